//! Rate limit per API key, from locally leased tokens, so that most requests need no database round trip.
//!
//! The limit is exact within lease × replicas: a replica may hold up to a tenth of a key's tokens that others
//! could use.

use std::sync::Arc;

use moka::future::Cache;
use moka::policy::EvictionPolicy;

use crate::domain::access::api_key::KeyId;
use crate::domain::access::rate_limit::{Limited, PerMinute, RateLimitStatus, Take};
use crate::group_commit::leases::{Bucket, Leaser};
use crate::group_commit::queue::Queue;
use crate::group_commit::{Backlog, BatchError};

/// Keys whose tokens are kept; the least recently used are evicted first, with their tokens.
const REMEMBERED: u64 = 100_000;

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The key has used up its rate limit of this minute.
    #[error("the limit of {} requests a minute is used up", .0.limit)]
    UsedUp(RateLimitStatus),
    /// Unknown: tokens cannot be leased.
    #[error(transparent)]
    Unknown(#[from] BatchError),
}

/// A rate limit for every key. Without a limit there is no limiter, and so no state and no query.
#[derive(Debug, Clone)]
pub struct RateLimiter {
    limited: Limited,
    limit: PerMinute,
    buckets: Cache<KeyId, Arc<Bucket>>,
    leases: Queue<Leaser>,
}

impl RateLimiter {
    /// Creates a limiter that leases tokens through `leases`.
    pub fn new(limited: Limited, limit: PerMinute, leases: Queue<Leaser>) -> Self {
        // Not by frequency, which would keep out new keys while many old ones are remembered.
        let buckets = Cache::builder()
            .max_capacity(REMEMBERED)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self { limited, limit, buckets, leases }
    }

    /// The queue in which requests wait for tokens, and its backlog.
    pub fn queue(&self) -> (&'static str, Backlog) {
        (self.leases.name(), self.leases.backlog())
    }

    /// The kind of requests that it limits.
    pub fn limited(&self) -> Limited {
        self.limited
    }

    /// Takes a token for `key`.
    pub async fn admit(&self, key: KeyId) -> Result<RateLimitStatus, Refused> {
        let bucket = match self.buckets.get(&key).await {
            Some(bucket) => bucket,
            None => self.buckets.get_with(key, async { self.bucket(key) }).await,
        };
        loop {
            match bucket.take() {
                Take::Token(status) => return Ok(status),
                Take::UsedUp(status) => return Err(Refused::UsedUp(status)),
                Take::Empty => self.leases.submit(bucket.clone()).await?,
            }
        }
    }

    fn bucket(&self, key: KeyId) -> Arc<Bucket> {
        let name = format!("{}:{}", self.limited.as_str(), key.as_str());
        Arc::new(Bucket::new(name, self.limit))
    }
}
