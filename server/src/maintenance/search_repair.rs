//! Repairs search: walks over all entries, makes missing search documents, and removes documents and embeddings that no
//! longer count.

use std::time::Duration;

use tokio::time::Instant;

use crate::runtime::jitter::jittered;
use crate::store::StoreError;
use crate::store::connection::pool::Pool;
use crate::store::search::documents::{Walk, step};

/// Average time between two repairs; the first one comes after the first sweep.
const WALK_INTERVAL: Duration = Duration::from_hours(1);
/// Average time between two steps of a walk: writers go first.
const PAUSE: Duration = Duration::from_millis(100);

/// The repair, and when it is due again.
#[derive(Debug)]
pub(super) struct SearchRepair {
    next: Instant,
}

impl SearchRepair {
    pub(super) fn due_now() -> Self {
        Self { next: Instant::now() }
    }

    /// Repairs search if it is due. A failed repair stays due.
    pub(super) async fn when_due(&mut self, pool: &Pool) {
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

/// The result of a repair.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Documents made for entries written by an older release, or restored without them.
    pub made: usize,
    /// Documents removed because their entries were deleted, have expired or are no longer searchable.
    pub removed: usize,
    /// Embeddings removed for the same reason.
    pub embeddings: usize,
}

/// Walks over all heads, search documents and embeddings, and makes or removes what differs.
pub async fn repair_search(pool: &Pool) -> Result<Repaired, StoreError> {
    let made = go(pool, Walk::MakeMissing).await?;
    let removed = go(pool, Walk::RemoveLeftOver).await?;
    let embeddings = go(pool, Walk::RemoveEmbeddings).await?;
    Ok(Repaired { made, removed, embeddings })
}

/// Walks to the end; returns the number of rows changed.
async fn go(pool: &Pool, walk: Walk) -> Result<usize, StoreError> {
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
