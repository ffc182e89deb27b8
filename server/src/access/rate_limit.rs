//! Rate limits per API key and per tenant, from locally leased tokens, so that most requests need no database round trip.
//!
//! A limit is exact within lease × replicas: a replica may hold up to a tenth of a key's or tenant's tokens that others
//! could use.

use std::hash::Hash;
use std::sync::Arc;

use moka::future::Cache;
use moka::policy::EvictionPolicy;

use crate::domain::TenantId;
use crate::domain::access::api_key::KeyId;
use crate::domain::access::rate_limit::{
    Limited, RateLimitStatus, RateLimits, TenantLimits, Whose,
};
use crate::group_commit::leases::{Bucket, Buckets, Leaser, TakeAll};
use crate::group_commit::queue::Queue;
use crate::group_commit::{Backlog, BatchError};

/// Keys, and tenants, whose tokens are kept; the least recently used are evicted first, with their tokens.
const REMEMBERED: u64 = 100_000;

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The key or the tenant has used up its rate limit of this minute.
    #[error("the {}'s limit of {} requests a minute is used up", .0.as_str(), .1.limit)]
    UsedUp(Whose, RateLimitStatus),
    /// Unknown: tokens cannot be leased.
    #[error(transparent)]
    Unknown(#[from] BatchError),
}

/// The rate limits of every key and tenant. Without a limit there is no limiter, and so no state and no query.
#[derive(Debug, Clone)]
pub struct RateLimiter {
    limited: Limited,
    limits: RateLimits,
    keys: Cache<KeyId, Arc<Buckets>>,
    tenants: Cache<TenantId, Arc<Bucket>>,
    leases: Queue<Leaser>,
}

impl RateLimiter {
    /// Creates a limiter that leases tokens through `leases`; `None` where nobody has a limit.
    pub fn new(limited: Limited, limits: RateLimits, leases: Queue<Leaser>) -> Option<Self> {
        let TenantLimits { of_default, of_others } = limits.of_tenants;
        limits.of_key.or(of_default).or(of_others)?;
        Some(Self { limited, limits, keys: cache(), tenants: cache(), leases })
    }

    /// The queue in which requests wait for tokens, and its backlog.
    pub fn queue(&self) -> (&'static str, Backlog) {
        (self.leases.name(), self.leases.backlog())
    }

    /// The kind of requests that it limits.
    pub fn limited(&self) -> Limited {
        self.limited
    }

    /// Takes a token for `key`, and one for `tenant`, whose key it is. `None` if neither has a limit.
    pub async fn admit(
        &self,
        tenant: TenantId,
        key: KeyId,
    ) -> Result<Option<RateLimitStatus>, Refused> {
        let buckets = match self.keys.get(&key).await {
            Some(buckets) => buckets,
            None => self.keys.get_with(key, self.buckets(tenant, key)).await,
        };
        loop {
            match buckets.take() {
                None => return Ok(None),
                Some(TakeAll::Tokens(status)) => return Ok(Some(status)),
                Some(TakeAll::UsedUp(whose, status)) => return Err(Refused::UsedUp(whose, status)),
                Some(TakeAll::Empty) => self.leases.submit(buckets.clone()).await?,
            }
        }
    }

    async fn buckets(&self, tenant: TenantId, key: KeyId) -> Arc<Buckets> {
        let kind = self.limited.as_str();
        let new = |name: String, limit| Bucket::new(format!("{kind}:{name}"), limit);
        let of_tenant = match self.limits.of_tenants.of(tenant) {
            None => None,
            Some(limit) => {
                let bucket = async { Arc::new(new(format!("tenant:{tenant}"), limit)) };
                Some(self.tenants.get_with(tenant, bucket).await)
            }
        };
        let of_key = self.limits.of_key.map(|limit| new(key.as_str().to_owned(), limit));
        Arc::new(Buckets { tenant, of_key, of_tenant })
    }
}

fn cache<K: Hash + Eq + Send + Sync + 'static, V: Clone + Send + Sync + 'static>() -> Cache<K, V> {
    // Not by frequency, which would keep out new keys while many old ones are remembered.
    let policy = EvictionPolicy::lru();
    Cache::builder().max_capacity(REMEMBERED).eviction_policy(policy).build()
}
