//! Deletes the value at a path.

use super::write::once;
use super::{Memory, MemoryError, NewVersion, entry_key};
use crate::domain::TenantId;
use crate::domain::memory::change::{Action, Change, Expected};
use crate::domain::memory::idempotency::IdempotencyKey;

/// What is to be deleted, as it was given.
#[derive(Debug)]
pub struct DeleteRequest {
    /// The agent whose memory it is.
    pub agent_id: String,
    /// Where.
    pub path: String,
    /// What the entry must be for it to be deleted; `None` is anything.
    pub if_version: Option<Expected>,
}

impl Memory {
    /// Deletes a value, and says which version is its tombstone; none where there was no live value, and nothing was
    /// written. With a key, a repetition writes nothing and is answered the same.
    pub async fn delete(
        &self,
        tenant: TenantId,
        request: DeleteRequest,
        key: Option<IdempotencyKey>,
    ) -> Result<Option<NewVersion>, MemoryError> {
        let change = once(request.change(tenant)?, key);
        NewVersion::of_delete(self.write(change).await?)
    }
}

impl DeleteRequest {
    /// What is asked for, checked.
    pub(super) fn change(self, tenant: TenantId) -> Result<Change, MemoryError> {
        let key = entry_key(tenant, &self.agent_id, &self.path)?;
        Ok(Change { expected: self.if_version, ..Change::new(key, Action::Delete) })
    }
}
