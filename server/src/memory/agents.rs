//! Lists the agents that have memories.

use super::reserve::names_bytes;
use super::{Memory, MemoryError};
use crate::domain::TenantId;
use crate::domain::cursor;
use crate::domain::memory::agent_id::AgentId;
use crate::domain::page_size::NAMES;
use crate::runtime::byte_budget::Reservation;
use crate::store::connection::pool::Pool;
use crate::store::entries::agents::{self, Agent};

/// An unvalidated request to list agents.
#[derive(Debug)]
pub struct AgentsRequest {
    /// Most agents.
    pub limit: Option<i64>,
    /// The cursor of the previous page.
    pub cursor: Option<String>,
}

/// A page of agents.
#[derive(Debug)]
pub struct AgentsPage {
    /// Sorted by id.
    pub agents: Vec<Agent>,
    /// The cursor of the next page; none on the last one.
    pub next_cursor: Option<String>,
    /// Its bytes of the budget.
    pub reserved: Reservation,
}

impl Memory {
    /// Lists the agents that have memories.
    pub async fn agents(
        &self,
        tenant: TenantId,
        request: AgentsRequest,
    ) -> Result<AgentsPage, MemoryError> {
        let limit = NAMES.limit(request.limit)?;
        let id = |place: &str| AgentId::parse(place).ok();
        let after = cursor::decode(request.cursor.as_deref(), id)?;
        let after = after.as_ref().map(AgentId::as_str);
        let read = |pool: Pool| async move { agents::page(&pool, tenant, after, limit).await };
        let reserved = self.reserve(tenant, names_bytes(limit)).await?;
        let page = self.pool.retrying(tenant, read).await?;
        let next_cursor = page.rest.as_deref().map(cursor::encode);
        Ok(AgentsPage { agents: page.agents, next_cursor, reserved })
    }
}
