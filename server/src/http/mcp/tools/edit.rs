//! `memory_edit`: a passage of a text.

use rmcp::model::JsonObject;
use serde::Deserialize;
use serde_json::json as schema;

use super::super::server::Server;
use super::write::Written;
use super::{Answer, Effect, Tool, boolean, json, path, string};
use crate::domain::access::scope::Scope;
use crate::memory::edit::EditRequest;

pub(super) const TOOL: Tool = Tool {
    name: "memory_edit",
    title: "Edit a text",
    description: "Replace a passage of a text entry by another. Give the old passage exactly as it is, with enough around it to occur only once. \
                  Safe while others edit the same entry: no edit is lost. Tags and all else stay.",
    scopes: &[Scope::MemoryRead, Scope::MemoryWrite],
    effect: Effect::Changes,
    properties: || {
        schema!({
            "path": path(),
            "old_text": string("The passage to replace, exactly, white space included."),
            "new_text": string("What takes its place; empty to remove the passage."),
            "replace_all": boolean("Replace all occurrences. Defaults to false: the passage must occur exactly once."),
        })
    },
    required: &["path", "old_text", "new_text"],
    call: |server, arguments| Box::pin(call(server, arguments)),
};

#[derive(Debug, Deserialize)]
struct Arguments {
    agent_id: Option<String>,
    path: String,
    old_text: String,
    new_text: String,
    replace_all: Option<bool>,
}

async fn call(server: &Server, arguments: &JsonObject) -> Answer {
    let by = server.may_write()?;
    let Arguments { agent_id, path, old_text, new_text, replace_all } =
        server.arguments(arguments)?;
    let agent_id = server.agent(agent_id)?;
    let replace_all = replace_all.unwrap_or_default();
    let edit = EditRequest { agent_id, path, old_text, new_text, replace_all };
    let edited = server.app.memory.edit(by, edit).await?;
    json(&Written::of(edited.version, Some(edited.replaced)))
}
