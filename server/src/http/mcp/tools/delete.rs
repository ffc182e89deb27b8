//! `memory_delete`: the value at a path, or all at and below it.

use rmcp::model::JsonObject;
use serde::{Deserialize, Serialize};
use serde_json::json as schema;
use uuid::Uuid;

use super::super::server::Server;
use super::{Answer, Effect, Tool, boolean, if_version, json, path};
use crate::domain::access::scope::Scope;
use crate::domain::memory::change::Expected;
use crate::memory::delete::DeleteRequest;
use crate::memory::subtree::SubtreeAnswer;

pub(super) const TOOL: Tool = Tool {
    name: "memory_delete",
    title: "Delete an entry",
    description: "Delete the entry at a path. Its earlier versions stay in memory_history.",
    scopes: &[Scope::MemoryWrite],
    effect: Effect::Sets,
    properties: || {
        schema!({
            "path": path(),
            "recursive": boolean("Delete all entries below the path as well, all at once. Defaults to false."),
            "if_version": if_version(),
        })
    },
    required: &["path"],
    call: |server, arguments| Box::pin(call(server, arguments)),
};

#[derive(Debug, Deserialize)]
struct Arguments {
    agent_id: Option<String>,
    path: String,
    recursive: Option<bool>,
    if_version: Option<Uuid>,
}

#[derive(Serialize)]
struct Outcome {
    /// False if there was nothing.
    deleted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_id: Option<Uuid>,
    /// How many entries.
    deleted_entries: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

async fn call(server: &Server, arguments: &JsonObject) -> Answer {
    let by = server.may_write()?;
    let Arguments { agent_id, path, recursive, if_version } = server.arguments(arguments)?;
    let agent_id = server.agent(agent_id)?;
    let if_version = if_version.map(Expected::Version);
    let delete = DeleteRequest { agent_id, path, if_version };
    let (SubtreeAnswer { entries, first }, note) = if recursive.unwrap_or_default() {
        (server.app.memory.delete_subtree(by, delete, None).await?, None)
    } else {
        let deleted = server.app.memory.delete(by, delete, None).await?;
        let first = deleted.tombstone;
        (SubtreeAnswer { entries: first.is_some().into(), first }, deleted.note())
    };
    let version_id = first.map(|version| version.id);
    json(&Outcome { deleted: first.is_some(), version_id, deleted_entries: entries, note })
}
