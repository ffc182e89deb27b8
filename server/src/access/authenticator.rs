//! Authenticates API keys. A key is looked up once and cached for a moment; one that is in use is looked up again before that
//! moment ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use moka::future::Cache;
use moka::policy::EvictionPolicy;

use super::strangers::{Strangers, TooMany};
use crate::domain::TenantId;
use crate::domain::access::api_key::{ApiKey, KeyId};
use crate::domain::access::client::ClientNetwork;
use crate::domain::access::scope::Scopes;
use crate::store::StoreError;
use crate::store::access::api_keys::{self, StoredKey};
use crate::store::connection::pool::Pool;

/// How long a revoked key may go on working.
const REVOKED_WITHIN: Duration = Duration::from_secs(10);
/// The longest that the database takes to say what it has of a key, which may have changed since it was asked.
const LOOK_UP: Duration = Duration::from_secs(2);
/// How long a key is cached after that.
const REMEMBERED_FOR: Duration = REVOKED_WITHIN.saturating_sub(LOOK_UP);
/// The age from which a cached key that is used is looked up again in the background.
const RENEWED_AFTER: Duration = Duration::from_secs(5);
/// Cached keys, unknown ones included; the least used are evicted first.
const REMEMBERED: u64 = 100_000;
/// Ids of keys that were valid; the least recently used are evicted first.
const KNOWN: u64 = 100_000;

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
    /// The request has no header Authorization.
    #[error("there is no API key")]
    Missing,
    /// The header Authorization is of another scheme than Bearer.
    #[error("there is no bearer")]
    NoBearer,
    /// It has not the form of a key.
    #[error("the API key is malformed")]
    Malformed,
    /// Unknown, revoked or expired; clients are not told which.
    #[error("the API key is not valid")]
    Invalid,
    /// The key exists, with another secret. Clients are not told that either.
    #[error("the API key is not valid")]
    WrongSecret(KeyId),
    /// Keys cannot be looked up.
    #[error(transparent)]
    LookUp(Arc<LookUpError>),
}

/// Why a key is not looked up.
#[derive(Debug, thiserror::Error)]
pub enum LookUpError {
    /// It was never seen valid, and there are too many such keys.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// The database fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Checks keys against the database.
#[derive(Debug, Clone)]
pub struct Authenticator {
    pool: Pool,
    strangers: Strangers,
    remembered: Cache<KeyId, Arc<LookedUp>>,
    /// Keys that were valid, which never wait for those that were not.
    known: Cache<KeyId, ()>,
}

/// What the database has of a key.
#[derive(Debug)]
struct LookedUp {
    stored: Option<StoredKey>,
    at: Instant,
    is_renewed: AtomicBool,
}

impl Authenticator {
    /// Looks up known keys through `pool`, where nothing takes long, and others through `strangers`.
    pub fn new(pool: Pool, strangers: Strangers) -> Self {
        let remembered =
            Cache::builder().max_capacity(REMEMBERED).time_to_live(REMEMBERED_FOR).build();
        let known =
            Cache::builder().max_capacity(KNOWN).eviction_policy(EvictionPolicy::lru()).build();
        Self { pool, strangers, remembered, known }
    }

    /// Authenticates the bearer of `key`. `client` is asked for only where the key must be looked up.
    pub async fn authenticate(
        &self,
        key: &str,
        client: impl FnOnce() -> ClientNetwork,
    ) -> Result<Caller, AuthError> {
        let key = ApiKey::parse(key).map_err(|_| AuthError::Malformed)?;
        let remembered = self.remembered.get(key.id()).await;
        let is_remembered = remembered.is_some();
        let found = match remembered {
            Some(found) => found,
            None => self.look_up(*key.id(), client()).await?,
        };
        let stored = found.stored.as_ref().ok_or(AuthError::Invalid)?;
        if !stored.secret_hash.matches(&key.secret_hash()) {
            return Err(AuthError::WrongSecret(*key.id()));
        }
        if stored.expires_at.is_some_and(|at| at <= Timestamp::now()) {
            return Err(AuthError::Invalid);
        }
        if !is_remembered {
            self.known.insert(*key.id(), ()).await;
        } else if found.at.elapsed() >= RENEWED_AFTER
            && !found.is_renewed.swap(true, Ordering::Relaxed)
        {
            tokio::spawn(self.clone().renew(*key.id()));
        }
        Ok(Caller { tenant: stored.tenant, scopes: stored.scopes, key: *key.id() })
    }

    /// Looks a key up. Many requests with the same one make one query.
    async fn look_up(&self, id: KeyId, client: ClientNetwork) -> Result<Arc<LookedUp>, AuthError> {
        let is_known = self.known.get(&id).await.is_some();
        let look_up = async {
            if is_known {
                return Ok(find(&self.pool, id).await?);
            }
            let (pool, _turn) = self.strangers.turn(client).await?;
            Ok(find(pool, id).await?)
        };
        let found = self.remembered.try_get_with(id, look_up).await.map_err(AuthError::LookUp)?;
        if is_known && found.stored.is_none() {
            self.known.invalidate(&id).await;
        }
        Ok(found)
    }

    /// Looks a key up before it is forgotten. Where that fails, whoever needs it then looks it up.
    async fn renew(self, id: KeyId) {
        match find(&self.pool, id).await {
            Ok(found) => self.remembered.insert(id, found).await,
            Err(error) => tracing::debug!("an API key is not looked up ahead: {error}"),
        }
    }
}

async fn find(pool: &Pool, id: KeyId) -> Result<Arc<LookedUp>, StoreError> {
    let find = async |pool: Pool| {
        let mut connection = pool.acquire().await?;
        // Waiting for the connection makes nothing older.
        let at = Instant::now();
        let found = api_keys::find(&mut *connection, &id);
        let stored = pool.noting_within(LOOK_UP, found).await?;
        Ok(Arc::new(LookedUp { stored, at, is_renewed: AtomicBool::new(false) }))
    };
    // On the heap, since most keys are cached. A lock is waited for once, since unknown keys take turns.
    pool.reconnecting(|pool| Box::pin(find(pool))).await
}
