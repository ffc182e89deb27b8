//! Keeps the books of stored bytes: counts tenants that an upgrade or a restore has brought, and closes days that are over.

use std::time::{Duration, Instant};

use crate::runtime::jitter::jittered;
use crate::store::StoreError;
use crate::store::connection::pool::Pool;
use crate::store::entries::stored_bytes::{close_days, count_next};

/// Most tenants of a batch whose days are closed.
const BATCH: usize = 500;
/// Average time between two batches: writers go first.
const PAUSE: Duration = Duration::from_millis(100);
/// Counting takes at most half of the time; small tenants are counted without much ado.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

/// Does all that is due. Replicas share it: one counts at a time, and none waits for another.
pub async fn settle(pool: &Pool) -> Result<(), StoreError> {
    loop {
        let began = Instant::now();
        let Some(counted) = count_next(pool).await? else { break };
        let took = began.elapsed();
        tracing::debug!(?counted, ?took, "counted the stored bytes of a tenant");
        tokio::time::sleep(took.max(SHORTEST_PAUSE)).await;
    }
    while close_days(pool, BATCH).await? == BATCH {
        tokio::time::sleep(jittered(PAUSE)).await;
    }
    Ok(())
}
