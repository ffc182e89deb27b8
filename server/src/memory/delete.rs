//! Deletes the value at a path.

use super::write::once;
use super::{Memory, MemoryError, NewVersion, entry_key};
use crate::domain::memory::by::By;
use crate::domain::memory::change::{Action, Change, Expected};
use crate::domain::memory::idempotency::IdempotencyKey;
use crate::runtime::byte_budget::Reservation;

/// An unvalidated delete.
#[derive(Debug)]
pub struct DeleteRequest {
    /// The agent whose memory it is.
    pub agent_id: String,
    /// Where.
    pub path: String,
    /// The precondition; `None` accepts any state.
    pub if_version: Option<Expected>,
}

impl Memory {
    /// Deletes a value and returns its tombstone; none if there was no live value, and nothing was written. With an
    /// idempotency key, a repetition writes nothing and gets the same answer.
    pub async fn delete(
        &self,
        by: impl Into<By>,
        request: DeleteRequest,
        key: Option<IdempotencyKey>,
    ) -> Result<Option<NewVersion>, MemoryError> {
        let change = once(request.change(by.into())?, key);
        NewVersion::of_delete(self.write(change, Reservation::default()).await?)
    }
}

impl DeleteRequest {
    /// Validates the request.
    pub(super) fn change(self, by: By) -> Result<Change, MemoryError> {
        let key = entry_key(by.tenant, &self.agent_id, &self.path)?;
        let change = Change::new(key, Action::Delete);
        Ok(Change { expected: self.if_version, author: by.key, ..change })
    }
}
