//! Samples gauges for /metrics from time to time: the connection pool, the oldest snapshot, embedding jobs.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use super::old_snapshot::OldSnapshot;
use crate::runtime::fair_pool::FairPool;
use crate::runtime::metrics::Metrics;
use crate::store::StoreError;
use crate::store::connection::pool::Pool;
use crate::store::embeddings::jobs::counts;

const EVERY: Duration = Duration::from_secs(15);
const BEGIN_AFTER: Duration = Duration::from_secs(1);
/// Counting may take one part in this many of the time: many jobs are counted less often.
const PART_OF_TIME: u32 = 100;

/// Samples the wait for a connection of `reads`, or of `pool` without them, and the rest through `pool`, until it is dropped.
pub async fn watch(pool: Pool, reads: Option<FairPool>, metrics: Metrics) -> Infallible {
    let mut snapshot = OldSnapshot::default();
    // The first requests need the pool's first connection more.
    tokio::time::sleep(BEGIN_AFTER).await;
    loop {
        let looked = look(&pool, reads.as_ref(), &mut snapshot, &metrics).await;
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
    snapshot: &mut OldSnapshot,
    metrics: &Metrics,
) -> Result<Duration, StoreError> {
    let began = Instant::now();
    match reads {
        Some(reads) => reads.wait().await,
        None => drop(pool.acquire().await),
    }
    metrics.pool_wait(began.elapsed());
    metrics.oldest_snapshot(snapshot.look(pool).await?);
    let mut connection = pool.acquire().await?;
    let began = Instant::now();
    metrics.embedding_jobs(&pool.noting(counts(&mut connection)).await?);
    Ok(began.elapsed())
}
