//! `memory_move`: an entry and all below it.

use rmcp::model::JsonObject;
use serde::{Deserialize, Serialize};
use serde_json::json as schema;
use uuid::Uuid;

use super::super::server::Server;
use super::{Answer, Effect, Tool, boolean, json, string};
use crate::domain::access::scope::Scope;
use crate::memory::subtree::MoveRequest;

pub(super) const TOOL: Tool = Tool {
    name: "memory_move",
    title: "Move entries",
    description: "Move the entry at a path, and all entries below it, to another path, all at once. Tags and times of expiry stay. The earlier \
                  versions stay in the memory_history of the old paths.",
    scopes: &[Scope::MemoryWrite],
    effect: Effect::Changes,
    properties: || {
        schema!({
            "from": string("The path of what is moved, such as /drafts/plan."),
            "to": string("Its new path. What was at from/x is at to/x afterwards."),
            "overwrite": boolean("Replace entries that are at the new paths. Defaults to false: then nothing is moved, and the error names one."),
        })
    },
    required: &["from", "to"],
    call: |server, arguments| Box::pin(call(server, arguments)),
};

#[derive(Debug, Deserialize)]
struct Arguments {
    agent_id: Option<String>,
    from: String,
    to: String,
    overwrite: Option<bool>,
}

#[derive(Serialize)]
struct Moved {
    /// How many entries.
    moved: i64,
    /// The new version of the first of them.
    version_id: Option<Uuid>,
}

async fn call(server: &Server, arguments: &JsonObject) -> Answer {
    let by = server.may_write()?;
    let Arguments { agent_id, from, to, overwrite } = server.arguments(arguments)?;
    let agent_id = server.agent(agent_id)?;
    let request = MoveRequest { agent_id, from, to, overwrite: overwrite.unwrap_or_default() };
    let moved = server.app.memory.move_subtree(by, request, None).await?;
    json(&Moved { moved: moved.entries, version_id: moved.first.map(|version| version.id) })
}
