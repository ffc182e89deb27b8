//! Deletes the value at a path.

use super::write::once;
use super::{Memory, MemoryError, NewVersion, entry_key};
use crate::domain::EntryKey;
use crate::domain::memory::by::By;
use crate::domain::memory::change::{Action, Change, Expected};
use crate::domain::memory::idempotency::IdempotencyKey;
use crate::domain::memory::path::Prefix;
use crate::runtime::byte_budget::Reservation;
use crate::store::connection::pool::Pool;
use crate::store::entries::list::{After, Tree};

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

/// What came of a delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deleted {
    /// The tombstone; none if there was no live value, and nothing was written.
    pub tombstone: Option<NewVersion>,
    /// Whether there was no live value, and there are entries below the path.
    pub is_directory: bool,
}

impl Deleted {
    /// A remark for who may have meant all that is below the path.
    pub fn note(&self) -> Option<&'static str> {
        self.is_directory.then_some(
            "no entry is at this path, but some are below it: send \"recursive\":true to delete those",
        )
    }
}

impl Memory {
    /// Deletes a value. With an idempotency key, a repetition writes nothing and gets the same tombstone.
    pub async fn delete(
        &self,
        by: impl Into<By>,
        request: DeleteRequest,
        key: Option<IdempotencyKey>,
    ) -> Result<Deleted, MemoryError> {
        let change = once(request.change(by.into())?, key);
        let entry = change.key.clone();
        let outcome = self.write(change, Reservation::default()).await?;
        let tombstone = NewVersion::of_delete(outcome)?;
        let is_directory = tombstone.is_none() && self.is_directory(&entry).await;
        Ok(Deleted { tombstone, is_directory })
    }

    /// Whether there are live entries below a path. The delete is done by now, so that one which cannot be read is taken for none.
    async fn is_directory(&self, EntryKey { tenant, agent, path }: &EntryKey) -> bool {
        let Ok(prefix) = Prefix::parse(path.as_str()) else { return false };
        let tree = &Tree { tenant: *tenant, agent, prefix: &prefix, depth: 1, details: false };
        let read = |pool: Pool| async move { tree.children(&pool, &After::Start, 1).await };
        let children = self.read_primary(*tenant, None, read).await;
        children.is_ok_and(|children| !children.is_empty())
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
