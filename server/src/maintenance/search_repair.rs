//! Repairs search: walks over all entries, makes missing search documents, makes those of an older form anew, and removes
//! documents and embeddings that no longer count.

use std::time::Duration;

use tokio::time::Instant;

use crate::runtime::jitter::jittered;
use crate::store::StoreError;
use crate::store::connection::pool::Pool;
use crate::store::search::walks::{Walk, step};

/// Average time between two repairs; the first one comes after the first sweep.
const WALK_INTERVAL: Duration = Duration::from_hours(1);
/// The same while documents of an older form are left: servers of the release before may still write some.
const REFOLD_INTERVAL: Duration = Duration::from_mins(5);
/// Time between two reports of a walk that takes long.
const REPORT_INTERVAL: Duration = Duration::from_mins(1);
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
                let interval = if repaired.older == 0 { WALK_INTERVAL } else { REFOLD_INTERVAL };
                self.next = Instant::now() + jittered(interval);
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
    /// Documents of an older form that were seen: written by an older release, or restored from its backups.
    pub older: usize,
    /// Those of them that this process has made anew; other processes make some.
    pub refolded: usize,
    /// Documents removed because their entries were deleted, have expired or are no longer searchable.
    pub removed: usize,
    /// Embeddings removed for the same reason, those of further chunks included.
    pub embeddings: usize,
}

/// Walks over all heads, search documents and embeddings, and makes or removes what differs.
pub async fn repair_search(pool: &Pool) -> Result<Repaired, StoreError> {
    let made = go(pool, Walk::MakeMissing, |_| ()).await?.changed;
    let Walked { changed: removed, older } = go(pool, Walk::RemoveLeftOver, |_| ()).await?;
    let refolded = if older == 0 { 0 } else { refold(pool, older).await? };
    let embeddings = go(pool, Walk::RemoveEmbeddings, |_| ()).await?.changed
        + go(pool, Walk::RemoveChunks, |_| ()).await?.changed;
    Ok(Repaired { made, older, refolded, removed, embeddings })
}

/// Makes documents of an older form anew, of which `older` were counted, and says how many are left.
async fn refold(pool: &Pool, older: usize) -> Result<usize, StoreError> {
    let report = |refolded: usize| {
        let left = older.saturating_sub(refolded);
        tracing::info!(refolded, left, "making search documents of an older form anew");
    };
    let mut reported = Instant::now();
    let walked = go(pool, Walk::Refold, |so_far| {
        if reported.elapsed() >= REPORT_INTERVAL {
            reported = Instant::now();
            report(so_far.changed);
        }
    });
    let refolded = walked.await?.changed;
    // Where another process does it, that one says so.
    if refolded > 0 {
        report(refolded);
    }
    Ok(refolded)
}

/// What a walk has seen and done.
#[derive(Debug, Clone, Copy, Default)]
struct Walked {
    changed: usize,
    older: usize,
}

/// Walks to the end; `report` is told of each step what was done so far.
async fn go(pool: &Pool, walk: Walk, mut report: impl FnMut(Walked)) -> Result<Walked, StoreError> {
    let (mut place, mut walked) = (None, Walked::default());
    loop {
        let done = step(pool, walk, place.as_ref()).await?;
        walked.changed += done.changed;
        walked.older += done.older;
        place = done.rest;
        if place.is_none() {
            return Ok(walked);
        }
        report(walked);
        tokio::time::sleep(jittered(PAUSE)).await;
    }
}
