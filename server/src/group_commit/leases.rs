//! Leases rate limit tokens; concurrent requests share one statement.
//!
//! While the database answers but cannot lease, as when it is read-only or its disk is full, each process gives the whole limit
//! by itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::BatchError;
use super::queue::{BatchHandler, Bounds, Pending, longest_wait};
use crate::domain::TenantId;
use crate::domain::access::rate_limit::{Lease, PerMinute, RateLimitStatus, Take, Tokens, Whose};
use crate::runtime::metrics::Metrics;
use crate::store::StoreError;
use crate::store::access::rate_limits::{self, Wanted};
use crate::store::connection::address::Link;

/// Bounds of one batch of leases.
pub const BOUNDS: Bounds = Bounds { rows: 1024, bytes: usize::MAX };

/// Longest time for one statement; then the connection is dropped.
const TIMEOUT: Duration = Duration::from_secs(5);

/// One rate limit of a key or a tenant, and the tokens for it that this process holds.
#[derive(Debug)]
pub struct Bucket {
    name: String,
    limit: PerMinute,
    tokens: Mutex<Tokens>,
}

impl Bucket {
    /// Creates an empty bucket. Buckets of one name share a limit, on all replicas.
    pub fn new(name: String, limit: PerMinute) -> Self {
        Self { name, limit, tokens: Mutex::default() }
    }

    /// Takes a token, if there is one.
    pub fn take(&self) -> Take {
        self.with_tokens(|tokens| tokens.take(self.limit, Instant::now()))
    }

    fn give_back(&self) {
        self.with_tokens(|tokens| tokens.give_back(Instant::now()));
    }

    fn lacking(&self, pending: u32) -> u32 {
        self.with_tokens(|tokens| tokens.lacking(pending, Instant::now()))
    }

    /// A share, or more if more requests wait.
    fn wanted(&self, lacking: u32) -> Wanted<'_> {
        Wanted { bucket: &self.name, limit: self.limit, tokens: self.limit.share().max(lacking) }
    }

    fn add(&self, lease: Lease) {
        self.with_tokens(|tokens| tokens.add(lease, Instant::now()));
    }

    /// Grants the limit without the database.
    fn grant_unleased(&self) {
        let second = jiff::Timestamp::now().as_second().rem_euclid(60);
        let rest = Duration::from_secs(60 - second.unsigned_abs());
        self.with_tokens(|tokens| tokens.grant_unleased(self.limit, rest, Instant::now()));
    }

    fn with_tokens<T>(&self, change: impl FnOnce(&mut Tokens) -> T) -> T {
        change(&mut self.tokens.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The rate limits of a key's requests: the key's own, and its tenant's. At least one is there.
#[derive(Debug)]
pub struct Buckets {
    /// The tenant.
    pub tenant: TenantId,
    /// The key's limit.
    pub of_key: Option<Bucket>,
    /// The tenant's limit, which its keys share.
    pub of_tenant: Option<Arc<Bucket>>,
}

/// The result of asking for a token of each bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeAll {
    /// A token of each. The status is that of the limit with the fewest requests left.
    Tokens(RateLimitStatus),
    /// One of the limits is used up; no token is taken of the other.
    UsedUp(Whose, RateLimitStatus),
    /// A lease may bring what lacks; no token is taken.
    Empty,
}

impl Buckets {
    /// Takes a token of each bucket, or none.
    pub fn take(&self) -> Option<TakeAll> {
        let of_key = self.of_key.as_ref().map(Bucket::take);
        let status = match of_key {
            Some(Take::UsedUp(status)) => return Some(TakeAll::UsedUp(Whose::Key, status)),
            Some(Take::Empty) => return Some(TakeAll::Empty),
            Some(Take::Token(status)) => Some(status),
            None => None,
        };
        let of_tenant = self.of_tenant.as_ref().map(|bucket| bucket.take());
        let refusal = match of_tenant {
            None => return status.map(TakeAll::Tokens),
            Some(Take::Token(of_tenant)) => {
                let of_key = status.filter(|of_key| of_key.remaining <= of_tenant.remaining);
                return Some(TakeAll::Tokens(of_key.unwrap_or(of_tenant)));
            }
            Some(Take::UsedUp(status)) => TakeAll::UsedUp(Whose::Tenant, status),
            Some(Take::Empty) => TakeAll::Empty,
        };
        if let Some(of_key) = &self.of_key {
            of_key.give_back();
        }
        Some(refusal)
    }

    fn each(&self) -> impl Iterator<Item = &Bucket> {
        self.of_key.iter().chain(self.of_tenant.as_deref())
    }
}

type WantsTokens = Pending<Arc<Buckets>, ()>;

/// Leases tokens on a connection of its own.
#[derive(Debug)]
pub struct Leaser {
    link: Link,
    metrics: Metrics,
}

impl Leaser {
    /// Creates a leaser that connects on first use.
    pub fn new(link: Link, metrics: Metrics) -> Self {
        Self { link, metrics }
    }

    async fn lease(&mut self, wanted: &[Wanted<'_>]) -> Result<Vec<Lease>, StoreError> {
        let leased = async { rate_limits::lease(self.link.connection().await?, wanted).await };
        let leased = tokio::time::timeout(TIMEOUT, leased)
            .await
            .unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()).into()));
        leased.inspect_err(|error| self.link.note(error))
    }
}

impl BatchHandler for Leaser {
    type Request = Arc<Buckets>;
    /// The tokens are in the buckets, for whoever comes first: a client that disconnects takes none with it.
    type Answer = ();

    fn tenant(buckets: &Arc<Buckets>) -> TenantId {
        buckets.tenant
    }

    fn bytes(_: &Arc<Buckets>) -> usize {
        0
    }

    async fn process(&mut self, batch: Vec<WantsTokens>) {
        let mut asked: BTreeMap<&str, (&Bucket, u32)> = BTreeMap::new();
        for bucket in batch.iter().flat_map(|pending| pending.request.each()) {
            asked.entry(&bucket.name).or_insert((bucket, 0)).1 += 1;
        }
        // Those who asked while the lease before this one was under way may find tokens by now.
        let (buckets, wanted): (Vec<&Bucket>, Vec<Wanted<'_>>) = asked
            .into_values()
            .map(|(bucket, pending)| (bucket, bucket.lacking(pending)))
            .filter(|&(_, lacking)| lacking > 0)
            .map(|(bucket, lacking)| (bucket, bucket.wanted(lacking)))
            .unzip();
        if wanted.is_empty() {
            batch.into_iter().for_each(|pending| pending.answer(Ok(())));
            return;
        }
        self.metrics.batch("leases", batch.len(), longest_wait(&batch));
        let mut outcome = self.lease(&wanted).await;
        if outcome.as_ref().is_err_and(StoreError::is_connection_broken) {
            // The connection may have been closed while idle.
            outcome = self.lease(&wanted).await;
        }
        let result = match outcome {
            Ok(leases) => {
                buckets.into_iter().zip(leases).for_each(|(bucket, lease)| bucket.add(lease));
                Ok(())
            }
            // The database answers, so reads can be served: see docs/API.md on what is given meanwhile.
            Err(error) if error.takes_no_writes() => {
                tracing::warn!("this process gives rate limits by itself for a minute: {error}");
                buckets.into_iter().for_each(Bucket::grant_unleased);
                Ok(())
            }
            Err(error) => {
                tracing::error!(requests = batch.len(), "rate limits cannot be read: {error}");
                Err(BatchError::from(&error))
            }
        };
        batch.into_iter().for_each(|pending| pending.answer(result.clone()));
    }
}
