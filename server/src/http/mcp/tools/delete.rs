//! `memory_delete`: the value at a path.

use rmcp::model::JsonObject;
use serde::{Deserialize, Serialize};
use serde_json::json as schema;
use uuid::Uuid;

use super::super::server::Server;
use super::{Answer, Effect, Tool, if_version, json, path};
use crate::domain::access::scope::Scope;
use crate::domain::memory::change::Expected;
use crate::memory::delete::DeleteRequest;

pub(super) const TOOL: Tool = Tool {
    name: "memory_delete",
    title: "Delete an entry",
    description: "Delete the entry at a path, and none below it. Its earlier versions stay in memory_history.",
    scopes: &[Scope::MemoryWrite],
    effect: Effect::Sets,
    properties: || schema!({"path": path(), "if_version": if_version()}),
    required: &["path"],
    call: |server, arguments| Box::pin(call(server, arguments)),
};

#[derive(Debug, Deserialize)]
struct Arguments {
    agent_id: Option<String>,
    path: String,
    if_version: Option<Uuid>,
}

#[derive(Serialize)]
struct Deleted {
    /// False if there was nothing.
    deleted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_id: Option<Uuid>,
}

async fn call(server: &Server, arguments: &JsonObject) -> Answer {
    let by = server.may_write()?;
    let Arguments { agent_id, path, if_version } = server.arguments(arguments)?;
    let agent_id = server.agent(agent_id)?;
    let if_version = if_version.map(Expected::Version);
    let delete = DeleteRequest { agent_id, path, if_version };
    let tombstone = server.app.memory.delete(by, delete, None).await?;
    json(&Deleted { deleted: tombstone.is_some(), version_id: tombstone.map(|version| version.id) })
}
