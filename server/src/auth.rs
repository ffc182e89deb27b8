//! Who is asking: keys, looked up once and remembered for a moment.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use moka::future::Cache;
use sqlx::postgres::PgPool;

use crate::domain::TenantId;
use crate::domain::api_key::{ApiKey, KeyId};
use crate::domain::scope::Scopes;
use crate::store::StoreError;
use crate::store::api_keys::{self, StoredKey};

/// How long a key is believed without a look: a revoked key must stop working within 10 s.
const REMEMBERED_FOR: Duration = Duration::from_secs(8);
/// Keys remembered, unknown ones included; the least used go first.
const REMEMBERED: u64 = 100_000;

/// One who has shown a valid key.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// Whose key it is.
    pub tenant: TenantId,
    /// What it may do.
    pub scopes: Scopes,
}

/// Why nobody is let in.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Malformed, unknown, revoked, expired or of a wrong secret; which of them is nobody's business.
    #[error("the API key is not valid")]
    Invalid,
    /// Keys cannot be looked up.
    #[error(transparent)]
    Store(Arc<StoreError>),
}

/// Checks keys against the database.
#[derive(Debug, Clone)]
pub struct Authenticator {
    pool: PgPool,
    remembered: Cache<KeyId, Option<Arc<StoredKey>>>,
}

impl Authenticator {
    /// Looks keys up through `pool`.
    pub fn new(pool: PgPool) -> Self {
        let remembered =
            Cache::builder().max_capacity(REMEMBERED).time_to_live(REMEMBERED_FOR).build();
        Self { pool, remembered }
    }

    /// Lets the bearer of `key` in, or not.
    pub async fn authenticate(&self, key: &str) -> Result<Caller, AuthError> {
        let key = ApiKey::parse(key).map_err(|_| AuthError::Invalid)?;
        let stored = match self.remembered.get(key.id()).await {
            Some(stored) => stored,
            // Many requests with a key that is not remembered make one query.
            None => self
                .remembered
                .try_get_with(key.id().clone(), async {
                    Ok(api_keys::find(&self.pool, key.id()).await?.map(Arc::new))
                })
                .await
                .map_err(AuthError::Store)?,
        };
        let stored = stored.ok_or(AuthError::Invalid)?;
        let expired = stored.expires_at.is_some_and(|at| at <= Timestamp::now());
        if expired || !stored.secret_hash.matches(&key.secret_hash()) {
            return Err(AuthError::Invalid);
        }
        Ok(Caller { tenant: stored.tenant, scopes: stored.scopes })
    }
}
