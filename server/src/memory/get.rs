//! Gets the value at a path, of the present or the past.

use uuid::Uuid;

use super::{Memory, MemoryError, entry_key};
use crate::domain::memory::path::EntryPath;
use crate::domain::{EntryKey, TenantId};
use crate::runtime::byte_budget::Reservation;
use crate::store::connection::pool::Pool;
use crate::store::entries::get::{Entry, entry_as_of};

/// An unvalidated get.
#[derive(Debug)]
pub struct GetRequest {
    /// The agent whose memory it is.
    pub agent_id: String,
    /// Where.
    pub path: String,
    /// The moment to read at; `None` is now.
    pub as_of: Option<String>,
    /// A version that the read must see.
    pub min_version: Option<Uuid>,
}

/// The result of a get.
#[derive(Debug)]
pub struct GetAnswer {
    /// The path in normal form.
    pub path: EntryPath,
    /// The entry, if there is one.
    pub entry: Option<Entry>,
    /// Its bytes of the budget.
    pub reserved: Reservation,
}

impl Memory {
    /// Gets the entry at a path.
    pub async fn get(
        &self,
        tenant: TenantId,
        request: GetRequest,
    ) -> Result<GetAnswer, MemoryError> {
        let key = request.key(tenant)?;
        let path = key.path.clone();
        let Some(as_of) = self.past_moment(tenant, request.as_of.as_deref()).await? else {
            let found = self.get_live(key, request.min_version).await?;
            let (entry, reserved) = found.map(|found| (found.entry, found.reserved)).unzip();
            return Ok(GetAnswer { path, entry, reserved: reserved.unwrap_or_default() });
        };
        let reserved = self.reserve(tenant, self.page_bytes(1)).await?;
        let key = &key;
        let read = |pool: Pool| async move { entry_as_of(&pool, key, as_of).await };
        let entry = self.read_primary(tenant, request.min_version, read).await?;
        Ok(GetAnswer { path, entry, reserved })
    }
}

impl GetRequest {
    /// Validates the entry's key.
    fn key(&self, tenant: TenantId) -> Result<EntryKey, MemoryError> {
        entry_key(tenant, &self.agent_id, &self.path)
    }

    /// Validates the entry's key for a caller that can only read the present.
    pub(super) fn key_of_now(&self, tenant: TenantId) -> Result<EntryKey, MemoryError> {
        if self.as_of.is_some() {
            return Err(MemoryError::AsOfInBatch);
        }
        self.key(tenant)
    }
}
