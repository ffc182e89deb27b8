//! Sets when an entry expires, without a new version.

use jiff::Timestamp;
use uuid::Uuid;

use super::put::ttl;
use super::{Memory, MemoryError, entry_key};
use crate::domain::TenantId;
use crate::group_commit::BatchError;
use crate::store::connection::pool::Pool;
use crate::store::entries::touch::{Touched, touch};

/// How often it is tried while others write the entry.
const TRIES: usize = 5;

/// An unvalidated touch.
#[derive(Debug)]
pub struct TouchRequest {
    /// The agent whose memory it is.
    pub agent_id: String,
    /// Where.
    pub path: String,
    /// Time to live in seconds, from now; `None` is for ever.
    pub ttl_seconds: Option<i64>,
}

impl Memory {
    /// Sets when the live entry expires, and returns its version and that moment; none where there is no live entry.
    pub async fn touch(
        &self,
        tenant: TenantId,
        request: TouchRequest,
    ) -> Result<Option<(Uuid, Option<Timestamp>)>, MemoryError> {
        let key = &entry_key(tenant, &request.agent_id, &request.path)?;
        let ttl = request.ttl_seconds.map(ttl).transpose()?;
        for _ in 0..TRIES {
            // What is done twice counts from the second time.
            let work = |pool: Pool| async move { touch(&pool, key, ttl).await };
            match self.changes.retrying(tenant, work).await.map_err(MemoryError::of_write)? {
                Touched::Until(version, at) => return Ok(Some((version, at))),
                Touched::Nothing => return Ok(None),
                Touched::Overtaken => {}
            }
        }
        Err(BatchError::Busy.into())
    }
}
