//! Gets the value at a path, as it is now or as it was.

use uuid::Uuid;

use super::{Memory, MemoryError, entry_key};
use crate::domain::memory::path::EntryPath;
use crate::domain::{EntryKey, TenantId};
use crate::store::entries::get::{Entry, entry_as_of};

/// What is to be got, as it was given.
#[derive(Debug)]
pub struct GetRequest {
    /// The agent whose memory it is.
    pub agent_id: String,
    /// Where.
    pub path: String,
    /// The moment to look at; none is now.
    pub as_of: Option<String>,
    /// At least this version is to be seen.
    pub min_version: Option<Uuid>,
}

/// What there is at a path.
#[derive(Debug)]
pub struct GetAnswer {
    /// The path in normal form.
    pub path: EntryPath,
    /// What is there, if anything.
    pub entry: Option<Entry>,
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
        let entry = match self.past_moment(request.as_of.as_deref()).await? {
            None => self.get_live(key, request.min_version).await?,
            Some(as_of) => entry_as_of(&self.pool, &key, as_of).await?,
        };
        Ok(GetAnswer { path, entry })
    }
}

impl GetRequest {
    /// The entry that is asked for, checked.
    fn key(&self, tenant: TenantId) -> Result<EntryKey, MemoryError> {
        entry_key(tenant, &self.agent_id, &self.path)
    }

    /// The entry that is asked for, by one who can only be shown what is there now.
    pub(super) fn key_of_now(&self, tenant: TenantId) -> Result<EntryKey, MemoryError> {
        if self.as_of.is_some() {
            return Err(MemoryError::AsOfInBatch);
        }
        self.key(tenant)
    }
}
