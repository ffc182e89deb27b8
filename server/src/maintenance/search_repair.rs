//! Repairs what search finds: walks over all entries, makes the search documents that are missing, and removes documents and
//! embeddings that are left over.

use std::time::Duration;

use sqlx::postgres::PgPool;
use tokio::time::Instant;

use crate::runtime::jitter::jittered;
use crate::store::StoreError;
use crate::store::search::documents::{Walk, step};

/// Time between walks over all that can be searched, on the average; the first one comes after the first sweep.
const WALK_INTERVAL: Duration = Duration::from_hours(1);
/// Time between two steps of a walk, on the average: writers go first.
const PAUSE: Duration = Duration::from_millis(100);

/// The repair, with the time from which on it is due again.
#[derive(Debug)]
pub(super) struct SearchRepair {
    next: Instant,
}

impl SearchRepair {
    pub(super) fn due_now() -> Self {
        Self { next: Instant::now() }
    }

    /// Repairs search where it is due. What fails stays due.
    pub(super) async fn when_due(&mut self, pool: &PgPool) {
        if Instant::now() < self.next {
            return;
        }
        match repair_search(pool).await {
            Ok(repaired) => {
                self.next = Instant::now() + jittered(WALK_INTERVAL);
                tracing::debug!(?repaired, "walked over what can be searched");
            }
            Err(error) => {
                tracing::warn!("search cannot be put right for now; trying again: {error}");
            }
        }
    }
}

/// What a walk over all that can be searched has put right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Documents made of what a former release has written, or a restore has brought without them.
    pub made: usize,
    /// Documents removed whose entries were deleted, have expired or were put anew as not searchable.
    pub removed: usize,
    /// Embeddings removed for the same reason.
    pub embeddings: usize,
}

/// Walks over all heads, documents of search and embeddings, and makes and removes until they fit.
pub async fn repair_search(pool: &PgPool) -> Result<Repaired, StoreError> {
    let made = go(pool, Walk::MakeMissing).await?;
    let removed = go(pool, Walk::RemoveLeftOver).await?;
    let embeddings = go(pool, Walk::RemoveEmbeddings).await?;
    Ok(Repaired { made, removed, embeddings })
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
