//! The entry that a request names.

use crate::domain::memory::agent_id::AgentId;
use crate::domain::memory::path::EntryPath;
use crate::domain::{EntryKey, TenantId};
use crate::http::error::ApiError;

/// The entry of `agent_id` at `path`, both checked.
pub(crate) fn entry_key(
    tenant: TenantId,
    agent_id: &str,
    path: &str,
) -> Result<EntryKey, ApiError> {
    let agent = AgentId::parse(agent_id)?;
    Ok(EntryKey { tenant, agent, path: EntryPath::parse(path)? })
}
