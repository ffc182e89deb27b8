//! Lists the versions of an entry.

use super::{MAX_BYTES, Memory, MemoryError, entry_key};
use crate::domain::TenantId;
use crate::domain::cursor;
use crate::domain::page_size::PageSize;
use crate::runtime::byte_budget::Reservation;
use crate::store::connection::pool::Pool;
use crate::store::entries::versions::{Version, history};

const SIZE: PageSize = PageSize { default: 20, max: 100 };

/// An unvalidated request for an entry's versions.
#[derive(Debug)]
pub struct HistoryRequest {
    /// The agent whose memory it is.
    pub agent_id: String,
    /// Where.
    pub path: String,
    /// Most versions.
    pub limit: Option<i64>,
    /// The cursor of the previous page.
    pub cursor: Option<String>,
}

/// A page of versions.
#[derive(Debug)]
pub struct HistoryPage {
    /// The newest first. It ends early when their values are large.
    pub versions: Vec<Version>,
    /// The cursor of the next page; none on the last one.
    pub next_cursor: Option<String>,
    /// Its bytes of the budget.
    pub reserved: Reservation,
}

impl Memory {
    /// Lists the versions of an entry.
    pub async fn history(
        &self,
        tenant: TenantId,
        request: HistoryRequest,
    ) -> Result<HistoryPage, MemoryError> {
        let key = entry_key(tenant, &request.agent_id, &request.path)?;
        let limit = SIZE.limit(request.limit)?;
        let number = |place: &str| place.parse().ok().filter(|n: &i64| *n > 0);
        let before = cursor::decode(request.cursor.as_deref(), number)?;
        let key = &key;
        let read = |pool: Pool| async move { history(&pool, key, before, limit, MAX_BYTES).await };
        let reserved = self.reserve(tenant, self.page_bytes(limit)).await?;
        let read = self.pool.retrying(tenant, read).await?;
        let last = read.versions.last().filter(|_| read.cut);
        let next_cursor = last.map(|last| cursor::encode(&last.number.to_string()));
        Ok(HistoryPage { versions: read.versions, next_cursor, reserved })
    }
}
