//! Turns expired versions into tombstones and deletes old idempotency keys and rate limit counts, in the background. Nothing
//! that it removes is served any more: it may be late, or fail, and no answer changes. Between sweeps it keeps the books of stored
//! bytes and starts the repair of search.

use std::convert::Infallible;
use std::time::Duration;

use tokio::task::JoinSet;

use super::search_repair::SearchRepair;
use super::stored_bytes;
use super::trouble::Trouble;
use crate::runtime::health::Health;
use crate::runtime::jitter::jittered;
use crate::store::StoreError;
use crate::store::connection::pool::Pool;
use crate::store::entries::sweep;

/// Average time from the start to the first sweep; below, between sweeps.
const DELAY: Duration = Duration::from_secs(2);
const INTERVAL: Duration = Duration::from_mins(1);
/// Average time between two batches of a sweep: writers go first.
const PAUSE: Duration = Duration::from_millis(100);

/// The result of a sweep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Expired versions that are tombstones now.
    pub versions: usize,
    /// Idempotency keys deleted.
    pub idempotency_keys: usize,
    /// Rate limit counts deleted.
    pub rate_limits: usize,
}

/// Sweeps until it is dropped, but only while the schema matches this program. Goes on after a panic.
pub async fn run(pool: Pool, health: Health) -> Infallible {
    let mut tasks = JoinSet::new();
    loop {
        tasks.spawn(keep_sweeping(pool.clone(), health.clone()));
        if let Some(Err(end)) = tasks.join_next().await
            && end.is_panic()
        {
            tracing::error!("the sweeper panicked; it is started anew");
        }
    }
}

async fn keep_sweeping(pool: Pool, health: Health) {
    let (mut trouble, mut trouble_with_books) = (Trouble::default(), Trouble::default());
    let mut wait = DELAY;
    let mut repair = SearchRepair::due_now();
    loop {
        tokio::time::sleep(jittered(wait)).await;
        wait = INTERVAL;
        if health.schema().is_err() {
            continue;
        }
        let swept = sweep_once(&pool).await;
        if swept.is_ok() {
            let settled = stored_bytes::settle(&pool).await;
            let is_news = trouble_with_books.is_news(settled.is_err());
            if let Some(error) = settled.err().filter(|_| is_news) {
                tracing::warn!("stored bytes are not counted for now; trying again: {error}");
            }
            repair.when_due(&pool).await;
        }
        let is_news = trouble.is_news(swept.is_err());
        match swept {
            Ok(swept) => tracing::debug!(?swept, "swept"),
            Err(error) if is_news => {
                tracing::warn!("expired values are not swept for now; trying again: {error}");
            }
            Err(_) => {}
        }
    }
}

/// Sweeps everything that is due now, in batches.
pub async fn sweep_once(pool: &Pool) -> Result<Swept, StoreError> {
    let mut swept = Swept::default();
    loop {
        let batch = sweep::expired(pool).await?;
        swept.versions += batch.swept;
        // Where nothing of a full batch could be swept, its rows are held for longer than a pause.
        if batch.seen < sweep::BATCH || batch.swept == 0 {
            break;
        }
        tokio::time::sleep(jittered(PAUSE)).await;
    }
    loop {
        let keys = sweep::idempotency_keys(pool).await?;
        let limits = sweep::rate_limits(pool).await?;
        swept.idempotency_keys += keys;
        swept.rate_limits += limits;
        if keys.max(limits) < sweep::BATCH {
            return Ok(swept);
        }
        tokio::time::sleep(jittered(PAUSE)).await;
    }
}
