//! Authenticates API keys. A key is looked up once and cached for a moment; one that is in use is looked up again before that
//! moment ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use tokio::sync::mpsc;
use tokio::time::sleep;

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
/// How long such keys are gathered, and how many share a statement: with thousands of keys in use, a statement each would take a third of
/// the processors.
const GATHERED_FOR: Duration = Duration::from_millis(100);
const GATHERED: usize = 1024;
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
    /// Keys to be looked up again.
    renewals: mpsc::Sender<KeyId>,
}

/// What the database has of a key.
#[derive(Debug)]
struct LookedUp {
    stored: Option<StoredKey>,
    at: Instant,
    is_renewed: AtomicBool,
}

impl Authenticator {
    /// Looks up known keys through `pool`, where nothing takes long, and others through `strangers`. Starts a task that looks up again
    /// those in use.
    pub fn start(pool: Pool, strangers: Strangers) -> Self {
        let remembered: Cache<_, _> =
            Cache::builder().max_capacity(REMEMBERED).time_to_live(REMEMBERED_FOR).build();
        let (renewals, asked) = mpsc::channel(GATHERED);
        tokio::spawn(renew(asked, pool.clone(), remembered.clone()));
        let known =
            Cache::builder().max_capacity(KNOWN).eviction_policy(EvictionPolicy::lru()).build();
        Self { pool, strangers, remembered, known, renewals }
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
            // Where there are too many, whoever needs it then looks it up.
            self.renewals.try_send(*key.id()).ok();
        }
        Ok(Caller { tenant: stored.tenant, scopes: stored.scopes, key: *key.id() })
    }

    /// Looks a key up. Many requests with the same one make one query.
    async fn look_up(&self, id: KeyId, client: ClientNetwork) -> Result<Arc<LookedUp>, AuthError> {
        let is_known = self.known.get(&id).await.is_some();
        let look_up = async {
            let found = if is_known {
                find(&self.pool, &[id]).await?
            } else {
                let (pool, _turn) = self.strangers.turn(client).await?;
                find(pool, &[id]).await?
            };
            Ok(found.of(&id))
        };
        let found = self.remembered.try_get_with(id, look_up).await.map_err(AuthError::LookUp)?;
        if is_known && found.stored.is_none() {
            self.known.invalidate(&id).await;
        }
        Ok(found)
    }
}

/// Looks up keys again before they are forgotten, until nobody asks any more. Where that fails, whoever needs them then looks them up.
async fn renew(
    mut asked: mpsc::Receiver<KeyId>,
    pool: Pool,
    remembered: Cache<KeyId, Arc<LookedUp>>,
) {
    let mut ids = Vec::with_capacity(GATHERED);
    while asked.recv_many(&mut ids, GATHERED).await > 0 {
        match find(&pool, &ids).await {
            Ok(found) => {
                for id in &ids {
                    remembered.insert(*id, found.of(id)).await;
                }
            }
            Err(error) => tracing::debug!("API keys are not looked up ahead: {error}"),
        }
        ids.clear();
        sleep(GATHERED_FOR).await;
    }
}

/// What the database has of several keys.
struct Found {
    stored: HashMap<KeyId, StoredKey>,
    at: Instant,
}

impl Found {
    /// What it has of one of them.
    fn of(&self, id: &KeyId) -> Arc<LookedUp> {
        let stored = self.stored.get(id).cloned();
        Arc::new(LookedUp { stored, at: self.at, is_renewed: AtomicBool::new(false) })
    }
}

async fn find(pool: &Pool, ids: &[KeyId]) -> Result<Found, StoreError> {
    let find = async |pool: Pool| {
        let mut connection = pool.acquire().await?;
        // Waiting for the connection makes nothing older.
        let at = Instant::now();
        let found = api_keys::find(&mut *connection, ids);
        let stored = pool.noting_within(LOOK_UP, found).await?;
        Ok(Found { stored, at })
    };
    // On the heap, since most keys are cached. A lock is waited for once, since unknown keys take turns.
    pool.reconnecting(|pool| Box::pin(find(pool))).await
}
