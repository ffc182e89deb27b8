//! Authenticates API keys. A key is looked up once and cached for a moment.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use moka::future::Cache;
use tokio::sync::Semaphore;

use crate::domain::TenantId;
use crate::domain::access::api_key::{ApiKey, KeyId};
use crate::domain::access::scope::Scopes;
use crate::store::StoreError;
use crate::store::access::api_keys::{self, StoredKey};
use crate::store::connection::pool::Pool;

/// How long a key is cached: a revoked key must stop working within 10 s.
const REMEMBERED_FOR: Duration = Duration::from_secs(8);
/// Cached keys, unknown ones included; the least used are evicted first.
const REMEMBERED: u64 = 100_000;

/// The owner of a valid key.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// The key's tenant.
    pub tenant: TenantId,
    /// The key's permissions.
    pub scopes: Scopes,
    /// The key's id.
    pub key: KeyId,
}

/// Why a key is not authenticated.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Malformed, unknown, revoked or expired; clients are not told which.
    #[error("the API key is not valid")]
    Invalid,
    /// The key exists, with another secret. Clients are not told that either.
    #[error("the API key is not valid")]
    WrongSecret(KeyId),
    /// Keys cannot be looked up.
    #[error(transparent)]
    Store(Arc<StoreError>),
}

/// Checks keys against the database.
#[derive(Debug, Clone)]
pub struct Authenticator {
    pool: Pool,
    remembered: Cache<KeyId, Option<Arc<StoredKey>>>,
    /// One look-up at a time for all suspects, so that made-up keys cannot exhaust the pool.
    suspects: Arc<Semaphore>,
}

impl Authenticator {
    /// Looks keys up through `pool`.
    pub fn new(pool: Pool) -> Self {
        let remembered =
            Cache::builder().max_capacity(REMEMBERED).time_to_live(REMEMBERED_FOR).build();
        Self { pool, remembered, suspects: Arc::new(Semaphore::new(1)) }
    }

    /// Authenticates the bearer of `key`. `suspect` is awaited only where the key must be looked up.
    pub async fn authenticate(
        &self,
        key: &str,
        suspect: impl Future<Output = bool>,
    ) -> Result<Caller, AuthError> {
        let key = ApiKey::parse(key).map_err(|_| AuthError::Invalid)?;
        let stored = if let Some(stored) = self.remembered.get(key.id()).await {
            stored
        } else {
            let _turn = if suspect.await { self.suspects.acquire().await.ok() } else { None };
            // Many requests with a key that is not remembered make one query.
            let id = key.id();
            let find = |pool: Pool| async move { api_keys::find(&pool, id).await };
            let look_up = async { Ok(self.pool.retrying(find).await?.map(Arc::new)) };
            let looked_up = self.remembered.try_get_with(*key.id(), look_up).await;
            looked_up.map_err(AuthError::Store)?
        };
        let stored = stored.ok_or(AuthError::Invalid)?;
        if !stored.secret_hash.matches(&key.secret_hash()) {
            return Err(AuthError::WrongSecret(*key.id()));
        }
        if stored.expires_at.is_some_and(|at| at <= Timestamp::now()) {
            return Err(AuthError::Invalid);
        }
        Ok(Caller { tenant: stored.tenant, scopes: stored.scopes, key: *key.id() })
    }
}
