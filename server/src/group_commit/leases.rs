//! Leases rate limit tokens; concurrent requests share one statement.
//!
//! While the database answers but cannot lease, as when it is read-only or its disk is full, each process gives the whole limit
//! by itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::BatchError;
use super::queue::{BatchHandler, Bounds, Pending, longest_wait};
use crate::domain::access::rate_limit::{Lease, PerMinute, Take, Tokens};
use crate::domain::{DEFAULT_TENANT, TenantId};
use crate::runtime::metrics::Metrics;
use crate::store::StoreError;
use crate::store::access::rate_limits::{self, Wanted};
use crate::store::connection::address::Link;

/// Bounds of one batch of leases.
pub const BOUNDS: Bounds = Bounds { rows: 1024, bytes: usize::MAX };

/// Longest time for one statement; then the connection is dropped.
const TIMEOUT: Duration = Duration::from_secs(5);

/// One client's rate limit, and the tokens for it that this process holds.
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

type WantsToken = Pending<Arc<Bucket>, ()>;

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
    type Request = Arc<Bucket>;
    /// The tokens are in the bucket, for whoever comes first: a client that disconnects takes none with it.
    type Answer = ();

    /// A batch takes so many that all wait in one line.
    fn tenant(_: &Arc<Bucket>) -> TenantId {
        DEFAULT_TENANT
    }

    fn bytes(_: &Arc<Bucket>) -> usize {
        0
    }

    async fn process(&mut self, batch: Vec<WantsToken>) {
        let mut asked: BTreeMap<&str, (&Bucket, u32)> = BTreeMap::new();
        for pending in &batch {
            let bucket = &*pending.request;
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
