//! Watches a replica of the database: whether it is fresh enough to be read.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::domain::TenantId;
use crate::group_commit::queue::Queue;
use crate::group_commit::reads::Reader;
use crate::runtime::fair_pool::FairPool;
use crate::runtime::metrics::Metrics;
use crate::store::StoreError;
use crate::store::connection::pool::Pool;
use crate::store::connection::replica::{Position, has_version, position, replayed};

/// Time between two checks of the replica's lag.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The read replica.
#[derive(Debug, Clone)]
pub struct Replica {
    pool: FairPool,
    lookups: FairPool,
    gets: Queue<Reader>,
    fresh_until: Arc<Mutex<Option<Instant>>>,
}

impl Replica {
    /// Reads through `pool` and `gets`, which lead to a replica of `primary` as `lookups` do, while its lag is at most
    /// `max_lag`. Checks it until the process ends.
    pub fn watch(
        pool: FairPool,
        lookups: FairPool,
        gets: Queue<Reader>,
        primary: Pool,
        max_lag: Duration,
        metrics: Metrics,
    ) -> Self {
        let replica = Self { pool, lookups, gets, fresh_until: Arc::default() };
        let watcher = Watcher { replica: replica.clone(), primary, max_lag, seen: VecDeque::new() };
        tokio::spawn(watcher.keep_looking(metrics));
        replica
    }

    /// The replica, if a read of `tenant` may go there and it has the version `min_version` (if given); `None` is the
    /// primary.
    pub async fn for_reading(&self, tenant: TenantId, min_version: Option<Uuid>) -> Option<&Self> {
        if !self.is_fresh() {
            return None;
        }
        let Some(version) = min_version else { return Some(self) };
        // What cannot be told now is told by the primary.
        let has = |pool: Pool| async move { has_version(&pool, tenant, version).await };
        let has = self.lookups.once(tenant, has).await;
        matches!(has, Ok(Some(true))).then_some(self)
    }

    /// Its connections for reads other than gets.
    pub fn pool(&self) -> &FairPool {
        &self.pool
    }

    /// Where gets from it go.
    pub fn gets(&self) -> &Queue<Reader> {
        &self.gets
    }

    fn is_fresh(&self) -> bool {
        let until = *self.fresh_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() <= until)
    }
}

/// Checks the replica's lag.
struct Watcher {
    replica: Replica,
    primary: Pool,
    max_lag: Duration,
    /// Positions of the primary and their times, ascending.
    seen: VecDeque<(Instant, Position)>,
}

/// Why reads go to the primary.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum ReplicaStale {
    #[error("{0}")]
    Unknown(String),
    #[error("DATABASE_READ_URL leads to another database than DATABASE_URL")]
    Foreign,
    #[error("the replica is further behind than DATABASE_READ_MAX_LAG_SECONDS")]
    Behind,
}

impl Watcher {
    async fn keep_looking(mut self, metrics: Metrics) {
        let mut before = None;
        loop {
            let looked = self.look().await;
            let fresh_until = looked.as_ref().ok().copied();
            *self.replica.fresh_until.lock().unwrap_or_else(PoisonError::into_inner) = fresh_until;
            metrics.read_replica_fresh(looked.is_ok());
            let state = looked.map(drop);
            if before.as_ref() != Some(&state) {
                match &state {
                    Ok(()) => tracing::info!("reads go to the replica"),
                    Err(reason) => tracing::warn!("reads go to the primary: {reason}"),
                }
                before = Some(state);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Until when the replica counts as fresh.
    async fn look(&mut self) -> Result<Instant, ReplicaStale> {
        let unknown = |error: StoreError| ReplicaStale::Unknown(error.to_string());
        let now = Instant::now();
        let position = position(&self.primary).await.map_err(unknown)?;
        let instance = position.instance.clone();
        // After a restore or a failover the positions of before mean nothing.
        self.seen.retain(|(at, seen)| seen.instance == instance && at.elapsed() <= self.max_lag);
        self.seen.push_back((now, position));
        let positions: Vec<&str> = self.seen.iter().map(|(_, seen)| seen.lsn.as_str()).collect();
        let replayed = replayed(self.replica.lookups.pool(), &positions).await.map_err(unknown)?;
        if replayed.instance != instance {
            return Err(ReplicaStale::Foreign);
        }
        let reached = usize::try_from(replayed.reached).unwrap_or_default();
        let newest = reached.checked_sub(1).ok_or(ReplicaStale::Behind)?;
        // Those before it say nothing more.
        self.seen.drain(..newest);
        // All that was committed before the moment of the newest position that it has reached is on the replica.
        self.seen.front().map(|(at, _)| *at + self.max_lag).ok_or(ReplicaStale::Behind)
    }
}
