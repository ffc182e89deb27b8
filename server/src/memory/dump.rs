//! Reads all entries of an agent.

use super::{MAX_BYTES, Memory, MemoryError};
use crate::domain::TenantId;
use crate::domain::cursor;
use crate::domain::memory::agent_id::AgentId;
use crate::domain::memory::path::EntryPath;
use crate::domain::page_size::PageSize;
use crate::runtime::byte_budget::Reservation;
use crate::store::connection::pool::Pool;
use crate::store::entries::dump::page;
use crate::store::entries::scan::Range;
use crate::store::entries::versions::Version;

const SIZE: PageSize = PageSize { default: 200, max: 500 };

/// An unvalidated request for a dump.
#[derive(Debug)]
pub struct DumpRequest {
    /// The agent whose memory it is.
    pub agent_id: String,
    /// Most entries.
    pub limit: Option<i64>,
    /// The cursor of the previous page.
    pub cursor: Option<String>,
    /// The moment to read at; `None` is now.
    pub as_of: Option<String>,
}

/// A page of entries.
#[derive(Debug)]
pub struct DumpPage {
    /// The versions that the entries show, sorted by path. It ends early when their values are large.
    pub entries: Vec<Version>,
    /// The cursor of the next page; none on the last one.
    pub next_cursor: Option<String>,
    /// Its bytes of the budget.
    pub reserved: Reservation,
}

impl Memory {
    /// Reads the entries of an agent.
    pub async fn dump(
        &self,
        tenant: TenantId,
        request: DumpRequest,
    ) -> Result<DumpPage, MemoryError> {
        let agent = AgentId::parse(&request.agent_id)?;
        let limit = SIZE.limit(request.limit)?;
        let path = |place: &str| EntryPath::parse(place).ok();
        let after = cursor::decode(request.cursor.as_deref(), path)?;
        let as_of = self.past_moment(tenant, request.as_of.as_deref()).await?;
        let range = &Range { tenant, agent: &agent, prefix: "", as_of };
        let after = after.as_ref().map(EntryPath::as_str);
        let read = |pool: Pool| async move { page(&pool, range, after, limit, MAX_BYTES).await };
        let reserved = self.reserve(tenant, self.page_bytes(limit)).await?;
        let page = self.pool.retrying(tenant, read).await?;
        let next_cursor = page.rest.as_deref().map(cursor::encode);
        Ok(DumpPage { entries: page.versions, next_cursor, reserved })
    }
}
