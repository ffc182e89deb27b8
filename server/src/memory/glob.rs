//! Finds the paths that match a glob pattern.

use uuid::Uuid;

use super::reserve::names_bytes;
use super::{Memory, MemoryError};
use crate::domain::TenantId;
use crate::domain::cursor;
use crate::domain::memory::agent_id::AgentId;
use crate::domain::memory::glob::Glob;
use crate::domain::page_size::NAMES;
use crate::runtime::byte_budget::Reservation;
use crate::store::connection::pool::Pool;
use crate::store::entries::scan::Range;

/// An unvalidated request for paths.
#[derive(Debug)]
pub struct GlobRequest {
    /// The agent whose memory it is.
    pub agent_id: String,
    /// The pattern.
    pub pattern: String,
    /// Most paths.
    pub limit: Option<i64>,
    /// The cursor of the previous page.
    pub cursor: Option<String>,
    /// The moment to read at; `None` is now.
    pub as_of: Option<String>,
    /// A version that the read must see.
    pub min_version: Option<Uuid>,
}

/// A page of paths; an empty one need not be the last.
#[derive(Debug)]
pub struct GlobPage {
    /// Sorted.
    pub paths: Vec<String>,
    /// The cursor of the next page; none on the last one.
    pub next_cursor: Option<String>,
    /// Its bytes of the budget.
    pub reserved: Reservation,
}

impl Memory {
    /// Finds the paths that match a pattern.
    pub async fn glob(
        &self,
        tenant: TenantId,
        request: GlobRequest,
    ) -> Result<GlobPage, MemoryError> {
        let agent = AgentId::parse(&request.agent_id)?;
        let glob = Glob::parse(&request.pattern)?;
        let limit = NAMES.limit(request.limit)?;
        let place = |place: &str| {
            let ours = place.starts_with(glob.literal()) && !place.contains('\0');
            ours.then(|| place.to_owned())
        };
        let after = cursor::decode(request.cursor.as_deref(), place)?;
        let as_of = self.past_moment(tenant, request.as_of.as_deref()).await?;
        let range = Range { tenant, agent: &agent, prefix: glob.literal(), as_of };
        let (range, after, glob) = (&range, after.as_deref(), &glob);
        let read = |pool: Pool| async move {
            range.find(&pool, after, limit, |path| glob.matches(path)).await
        };
        let reserved = self.reserve(tenant, names_bytes(limit)).await?;
        let found = match as_of {
            None => self.read(tenant, request.min_version, read).await?,
            // The past is asked of the primary, whose clock dates the versions.
            Some(_) => self.read_primary(tenant, request.min_version, read).await?,
        };
        Ok(GlobPage {
            paths: found.shown.into_iter().map(|(path, _)| path).collect(),
            next_cursor: found.rest.as_deref().map(cursor::encode),
            reserved,
        })
    }
}
