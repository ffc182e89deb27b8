//! The task that removes what time has ended. Nothing that it removes is served any more: it may be late, or fail, and
//! no answer changes. Now and then it also makes search find what writes have not made it find.

use std::convert::Infallible;
use std::time::Duration;

use sqlx::postgres::PgPool;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::runtime::health::Health;
use crate::runtime::jitter::jittered;
use crate::store::StoreError;
use crate::store::entries::sweep;
use crate::store::search::documents::{Walk, step};

/// Time from the start to the first sweep, and between sweeps, on the average.
const DELAY: Duration = Duration::from_secs(2);
const INTERVAL: Duration = Duration::from_mins(1);
/// Time between walks over all that can be searched, on the average; the first one comes after the first sweep.
const WALK_INTERVAL: Duration = Duration::from_hours(1);
/// Time between two batches of a sweep, on the average: writers go first.
const PAUSE: Duration = Duration::from_millis(100);

/// What a sweep has removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Expired versions that are tombstones now.
    pub versions: usize,
    /// Idempotency keys.
    pub idempotency_keys: usize,
    /// Counts of past minutes.
    pub rate_limits: usize,
}

/// Sweeps until it is dropped, and only while the schema is for this program. A sweep that panics is logged, and the next one comes.
pub async fn run(pool: PgPool, health: Health) -> Infallible {
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

async fn keep_sweeping(pool: PgPool, health: Health) {
    let mut trouble = Trouble::default();
    let mut wait = DELAY;
    let mut next_walk = Instant::now();
    loop {
        tokio::time::sleep(jittered(wait)).await;
        wait = INTERVAL;
        if health.schema().is_err() {
            continue;
        }
        let swept = sweep_once(&pool).await;
        if swept.is_ok() && Instant::now() >= next_walk {
            match right_search(&pool).await {
                Ok(righted) => {
                    next_walk = Instant::now() + jittered(WALK_INTERVAL);
                    tracing::debug!(?righted, "walked over what can be searched");
                }
                Err(error) => {
                    tracing::warn!("search cannot be put right for now; trying again: {error}");
                }
            }
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

/// A failure that goes on is logged once: a database that is away stays so for many sweeps.
#[derive(Debug, Default)]
struct Trouble {
    failing: bool,
}

impl Trouble {
    fn is_news(&mut self, failed: bool) -> bool {
        !std::mem::replace(&mut self.failing, failed) && failed
    }
}

/// Removes all that is due now, in batches.
pub async fn sweep_once(pool: &PgPool) -> Result<Swept, StoreError> {
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

/// What a walk over all that can be searched has put right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Righted {
    /// Documents made of what a former release has written, or a restore has brought without them.
    pub made: usize,
    /// Documents removed whose entries were deleted, have expired or were put anew as not searchable.
    pub removed: usize,
    /// Embeddings removed for the same reason.
    pub embeddings: usize,
}

/// Walks over all heads, documents of search and embeddings, and makes and removes until they fit.
pub async fn right_search(pool: &PgPool) -> Result<Righted, StoreError> {
    let made = go(pool, Walk::MakeMissing).await?;
    let removed = go(pool, Walk::RemoveLeftOver).await?;
    let embeddings = go(pool, Walk::RemoveEmbeddings).await?;
    Ok(Righted { made, removed, embeddings })
}

/// Goes to the end of a walk, and says how much was changed.
async fn go(pool: &PgPool, walk: Walk) -> Result<usize, StoreError> {
    let (mut place, mut changed) = (None, 0);
    loop {
        let done = step(pool, walk, place.as_ref()).await?;
        changed += done.changed;
        place = done.rest;
        if place.is_none() {
            return Ok(changed);
        }
        tokio::time::sleep(jittered(PAUSE)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_news_once_until_it_is_over() {
        let mut trouble = Trouble::default();
        let sweeps = [false, true, true, true, false, true];
        let news = sweeps.map(|failed| trouble.is_news(failed));
        assert_eq!(news, [false, true, false, false, false, true]);
    }
}
