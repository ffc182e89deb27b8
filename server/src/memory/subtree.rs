//! Moves and deletes subtrees.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::delete::DeleteRequest;
use super::write::refusal_by_quota;
use super::{Memory, MemoryError, NewVersion, entry_key};
use crate::domain::EntryKey;
use crate::domain::memory::by::By;
use crate::domain::memory::idempotency::{Idempotency, IdempotencyKey};
use crate::domain::memory::path::EntryPath;
use crate::domain::memory::subtree::Destination;
use crate::group_commit::BatchError;
use crate::runtime::fair_pool::FairPoolError;
use crate::runtime::jitter::jittered;
use crate::store::StoreError;
use crate::store::connection::pool::Pool;
use crate::store::connection::replica::has_version;
use crate::store::entries::subtree::{Changed, SubtreeChange, SubtreeOutcome, change};

/// The longest that a move or delete takes, once it has a connection.
pub(super) const LONGEST: Duration = Duration::from_mins(1);
/// How often it is tried while others are in its way.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(100);
/// How long an unacknowledged COMMIT is looked up.
const LOOK_UP: Duration = Duration::from_secs(5);
/// What the paths of the largest subtree take in memory, old and new ones, where they are of usual length.
const PATHS: usize = 8 << 20;

/// An unvalidated move.
#[derive(Debug)]
pub struct MoveRequest {
    /// The agent whose memory it is.
    pub agent_id: String,
    /// The path of what is moved.
    pub from: String,
    /// Its new path.
    pub to: String,
    /// Whether it replaces live entries at its new paths.
    pub overwrite: bool,
}

/// What was moved or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubtreeAnswer {
    /// How many entries.
    pub entries: i64,
    /// The version of the first of them; none where there was none.
    pub first: Option<NewVersion>,
}

impl Memory {
    /// Moves the entry at a path and all below it. With an idempotency key, a repetition writes nothing and gets the same
    /// answer.
    pub async fn move_subtree(
        &self,
        by: impl Into<By>,
        request: MoveRequest,
        key: Option<IdempotencyKey>,
    ) -> Result<SubtreeAnswer, MemoryError> {
        let by = by.into();
        let root = entry_key(by.tenant, &request.agent_id, &request.from)?;
        let to = EntryPath::parse(&request.to)?;
        let to = Destination::new(root.path.clone(), to, request.overwrite)?;
        let moved = self.change_subtree(by, &root, Some(&to), key).await?;
        if moved.first.is_none() {
            return Err(MemoryError::NothingToMove(root.path.as_str().to_owned()));
        }
        Ok(moved)
    }

    /// Deletes the entry at a path and all below it. With an idempotency key, a repetition writes nothing and gets the same
    /// answer.
    pub async fn delete_subtree(
        &self,
        by: impl Into<By>,
        request: DeleteRequest,
        key: Option<IdempotencyKey>,
    ) -> Result<SubtreeAnswer, MemoryError> {
        let by = by.into();
        if request.if_version.is_some() {
            return Err(MemoryError::ConditionOfSubtree);
        }
        let root = entry_key(by.tenant, &request.agent_id, &request.path)?;
        self.change_subtree(by, &root, None, key).await
    }

    async fn change_subtree(
        &self,
        by: By,
        root: &EntryKey,
        to: Option<&Destination>,
        key: Option<IdempotencyKey>,
    ) -> Result<SubtreeAnswer, MemoryError> {
        let _paths = self.reserve(by.tenant, PATHS).await?;
        let idempotency = key.map(|key| Idempotency::of_subtree(root, to, key));
        let wanted = SubtreeChange {
            root,
            to,
            idempotency: idempotency.as_ref(),
            author: by.key.as_ref(),
            limits: &self.write_limits,
        };
        let mut tries = 1;
        loop {
            let work = |pool: Pool| async move {
                pool.noting_within(LONGEST, change(&pool, wanted)).await
            };
            let begun = Instant::now();
            let error = match self.changes.once(by.tenant, work).await {
                Ok(SubtreeOutcome::Overtaken) => BatchError::Busy.into(),
                Ok(SubtreeOutcome::Unacknowledged(changed)) => {
                    return self.looked_up(root, changed).await;
                }
                Ok(outcome) => return answer(outcome),
                Err(FairPoolError::Store(error))
                    if matches!(*error, StoreError::TimedOut(_)) || begun.elapsed() >= LONGEST =>
                {
                    return Err(MemoryError::TooSlow);
                }
                Err(error) => MemoryError::of_write(error),
            };
            let most = match error {
                // Others held its entries.
                MemoryError::GroupCommit(BatchError::Busy) => TRIES,
                // The connection was lost, or a restore has replaced the tables.
                MemoryError::GroupCommit(BatchError::Unavailable { unknown: false }) => 2,
                _ => 1,
            };
            if tries >= most {
                return Err(error);
            }
            sleep(jittered(PAUSE * tries)).await;
            tries += 1;
        }
    }

    /// Learns whether a change is committed by whether its first version is there.
    async fn looked_up(
        &self,
        root: &EntryKey,
        changed: Changed,
    ) -> Result<SubtreeAnswer, MemoryError> {
        let unknown = BatchError::Unavailable { unknown: true };
        // Without a version, a repetition finds out as well.
        let Some((version, _)) = changed.first else { return Err(unknown.into()) };
        let deadline = Instant::now() + LOOK_UP;
        while Instant::now() < deadline {
            let has = |pool: Pool| async move { has_version(&pool, root.tenant, version).await };
            if let Ok(Some(true)) = self.lookups.retrying(root.tenant, has).await {
                return Ok(changed.into());
            }
            sleep(jittered(PAUSE)).await;
        }
        Err(unknown.into())
    }
}

fn answer(outcome: SubtreeOutcome) -> Result<SubtreeAnswer, MemoryError> {
    match outcome {
        SubtreeOutcome::Done(changed) => Ok(changed.into()),
        SubtreeOutcome::Occupied(path) => Err(MemoryError::DestinationExists(path)),
        SubtreeOutcome::InvalidPath(error) => Err(error.into()),
        SubtreeOutcome::TooManyEntries { entries, or_more } => {
            Err(MemoryError::TooManyEntries { entries, or_more })
        }
        SubtreeOutcome::TooManyBytes(bytes) => Err(MemoryError::TooManyBytes(bytes)),
        SubtreeOutcome::KeyReused => Err(MemoryError::KeyReused),
        SubtreeOutcome::QuotaExceeded(quota) => Err(refusal_by_quota(quota)),
        // Handled before.
        SubtreeOutcome::Overtaken | SubtreeOutcome::Unacknowledged(_) => {
            Err(MemoryError::Mismatched)
        }
    }
}

impl From<Changed> for SubtreeAnswer {
    fn from(Changed { entries, first }: Changed) -> Self {
        let version = |(id, created_at): (_, Timestamp)| NewVersion { id, created_at };
        Self { entries, first: first.map(version) }
    }
}
