//! Samples gauges for /metrics from time to time: the connection pool, the database's oldest snapshot, embedding jobs.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use crate::runtime::fair_pool::FairPool;
use crate::runtime::metrics::Metrics;
use crate::store::StoreError;
use crate::store::connection::oldest_snapshot::{OldestSnapshot, oldest};
use crate::store::connection::pool::Pool;
use crate::store::embeddings::jobs::counts;

const EVERY: Duration = Duration::from_secs(15);
const BEGIN_AFTER: Duration = Duration::from_secs(1);
/// Counting may take one part in this many of the time: many jobs are counted less often.
const PART_OF_TIME: u32 = 100;

/// Samples the wait for a connection of `reads`, or of `pool` without them, and through `pool` the oldest snapshot and the embedding
/// jobs, until it is dropped.
pub async fn watch(pool: Pool, reads: Option<FairPool>, metrics: Metrics) -> Infallible {
    let mut held = Held::default();
    // The first requests need the pool's first connection more.
    tokio::time::sleep(BEGIN_AFTER).await;
    loop {
        let looked = look(&pool, reads.as_ref(), &mut held, &metrics).await;
        let counting = looked.unwrap_or_else(|error| {
            // The health check says it aloud.
            tracing::debug!("embedding jobs cannot be counted: {error}");
            metrics.embedding_jobs(&[]);
            Duration::ZERO
        });
        tokio::time::sleep(EVERY.max(counting * PART_OF_TIME)).await;
    }
}

/// Samples once; returns how long the counting took.
async fn look(
    pool: &Pool,
    reads: Option<&FairPool>,
    held: &mut Held,
    metrics: &Metrics,
) -> Result<Duration, StoreError> {
    let began = Instant::now();
    match reads {
        Some(reads) => reads.wait().await,
        None => drop(pool.acquire().await),
    }
    metrics.pool_wait(began.elapsed());
    let mut connection = pool.acquire().await?;
    let snapshot = pool.noting(oldest(&mut connection)).await?;
    metrics.oldest_snapshot(held.age(snapshot, Instant::now()));
    let began = Instant::now();
    metrics.embedding_jobs(&pool.noting(counts(&mut connection)).await?);
    Ok(began.elapsed())
}

/// The oldest snapshot as it was seen before. PostgreSQL hides the times of other roles' sessions, but not what they hold.
#[derive(Debug, Default)]
struct Held(Option<(String, Instant)>);

impl Held {
    /// The age of the oldest snapshot: the time for which it was seen, if PostgreSQL does not tell more.
    fn age(&mut self, snapshot: Option<OldestSnapshot>, now: Instant) -> Duration {
        let Some(OldestSnapshot { xid, age }) = snapshot else {
            self.0 = None;
            return Duration::ZERO;
        };
        let since = match self.0.take() {
            Some((seen, since)) if seen == xid => since,
            _ => now,
        };
        self.0 = Some((xid, since));
        age.max(now.duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_whose_age_is_hidden_is_as_old_as_it_has_been_seen() {
        let (mut held, began) = (Held::default(), Instant::now());
        let mut age = |snapshot: Option<(&str, u64)>, after: u64| {
            let snapshot = snapshot.map(|(xid, age)| OldestSnapshot {
                xid: xid.to_owned(),
                age: Duration::from_secs(age),
            });
            held.age(snapshot, began + Duration::from_secs(after)).as_secs()
        };
        assert_eq!(age(Some(("7", 0)), 0), 0);
        assert_eq!(age(Some(("7", 0)), 40), 40);
        assert_eq!(age(Some(("7", 90)), 55), 90, "PostgreSQL knows it better");
        assert_eq!(age(Some(("8", 0)), 70), 0, "another one");
        assert_eq!(age(None, 85), 0);
        assert_eq!(age(Some(("8", 0)), 100), 0);
    }
}
