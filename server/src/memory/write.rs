//! Commits a change for puts, deletes and batches, and translates its outcome.

use jiff::Timestamp;
use uuid::Uuid;

use super::{Memory, MemoryError, Quota};
use crate::domain::memory::change::{Change, Outcome};
use crate::domain::memory::idempotency::{Idempotency, IdempotencyKey};
use crate::domain::memory::usage::WriteQuota;
use crate::group_commit::writes::Submission;
use crate::runtime::byte_budget::Reservation;

/// A version that a write has committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewVersion {
    /// The version.
    pub id: Uuid,
    /// When, by the database's clock.
    pub created_at: Timestamp,
}

impl NewVersion {
    /// From the outcome of a put.
    pub(super) fn of_put(outcome: Outcome) -> Result<Self, MemoryError> {
        match outcome {
            Outcome::Written { version_id, created_at } => Ok(Self { id: version_id, created_at }),
            _ => Err(MemoryError::Mismatched),
        }
    }

    /// From the outcome of a delete: the tombstone; none if there was nothing to delete.
    pub(super) fn of_delete(outcome: Outcome) -> Result<Option<Self>, MemoryError> {
        match outcome {
            Outcome::NothingToDelete => Ok(None),
            written => Self::of_put(written).map(Some),
        }
    }
}

impl Memory {
    /// Commits one change, and keeps what is `reserved` for it until then.
    pub(super) async fn write(
        &self,
        change: Change,
        reserved: Reservation,
    ) -> Result<Outcome, MemoryError> {
        let submission = Submission { changes: vec![change], atomic: false, reserved };
        let mut written = self.writes.submit(submission).await?;
        let done = written.pop().ok_or(MemoryError::Mismatched)??;
        refusal(done.outcome).map_or(Ok(done.outcome), Err)
    }
}

/// Adds the idempotency key to `change`.
pub(super) fn once(change: Change, key: Option<IdempotencyKey>) -> Change {
    let idempotency = key.map(|key| Idempotency::of(&change, key));
    Change { idempotency, ..change }
}

/// The error of a refused change.
pub(super) fn refusal(outcome: Outcome) -> Option<MemoryError> {
    match outcome {
        Outcome::Written { .. } | Outcome::NothingToDelete | Outcome::Read(_) => None,
        Outcome::Conflict { current } => Some(MemoryError::Conflict { current }),
        Outcome::KeyReused => Some(MemoryError::KeyReused),
        Outcome::QuotaExceeded(quota) => Some(refusal_by_quota(quota)),
        // Only ever beside the refusal that is its reason.
        Outcome::Undone => Some(MemoryError::Mismatched),
    }
}

/// The error of a write that does not fit under a quota.
pub(super) fn refusal_by_quota(quota: WriteQuota) -> MemoryError {
    MemoryError::QuotaUsedUp(Quota::Write(quota))
}
