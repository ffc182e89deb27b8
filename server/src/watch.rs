//! What is looked at from time to time, for metrics.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use sqlx::postgres::PgPool;

use crate::metrics::Metrics;
use crate::store::StoreError;
use crate::store::embedding_jobs::counts;

const EVERY: Duration = Duration::from_secs(15);
/// A look may take one part of this many of the time: jobs that are many are counted less often.
const PART_OF_TIME: u32 = 100;

/// Looks at the pool and at the embedding jobs, over and over.
pub async fn watch(pool: PgPool, metrics: Metrics) -> Infallible {
    loop {
        let began = Instant::now();
        if let Err(error) = look(&pool, &metrics).await {
            // The health check says it aloud.
            tracing::debug!("embedding jobs cannot be counted: {error}");
            metrics.embedding_jobs(&[]);
        }
        tokio::time::sleep(EVERY.max(began.elapsed() * PART_OF_TIME)).await;
    }
}

async fn look(pool: &PgPool, metrics: &Metrics) -> Result<(), StoreError> {
    let began = Instant::now();
    let acquired = pool.acquire().await;
    metrics.pool_wait(began.elapsed());
    metrics.embedding_jobs(&counts(&mut *acquired?).await?);
    Ok(())
}
