//! `memory_read`: the value at a path, whole.

use rmcp::model::JsonObject;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::super::server::Server;
use super::super::shown::text;
use super::{Answer, Effect, Tool, as_of, min_version, path};
use crate::domain::access::scope::Scope;
use crate::domain::rfc3339;
use crate::http::error::{ApiError, Code};
use crate::memory::get::{GetAnswer, GetRequest};
use crate::runtime::cpu::compute;

pub(super) const TOOL: Tool = Tool {
    name: "memory_read",
    title: "Read an entry",
    description: "Read the entry at a path. The first text of the answer is the value: a text as it is, other values as JSON. The second one says \
                  which, with version_id, created_at, size and tags.",
    scopes: &[Scope::MemoryRead],
    effect: Effect::Reads,
    properties: || {
        json!({
            "path": path(),
            "as_of": as_of(),
            "min_version": min_version(),
        })
    },
    required: &["path"],
    call: |server, arguments| Box::pin(call(server, arguments)),
};

#[derive(Debug, Deserialize)]
struct Arguments {
    agent_id: Option<String>,
    path: String,
    as_of: Option<String>,
    min_version: Option<Uuid>,
}

/// What is said of a value.
#[derive(Serialize)]
struct About<'a> {
    path: &'a str,
    r#type: &'static str,
    version_id: Uuid,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    /// The bytes of the value as JSON.
    size: usize,
    tags: &'a [String],
    importance: f32,
    searchable: bool,
}

async fn call(server: &Server, arguments: &JsonObject) -> Answer {
    let tenant = server.may(Scope::MemoryRead)?;
    let Arguments { agent_id, path, as_of, min_version } = server.arguments(arguments)?;
    let agent_id = server.agent(agent_id)?;
    let get = GetRequest { agent_id, path, as_of, min_version };
    let GetAnswer { path, entry, reserved } = server.app.memory.get(tenant, get).await?;
    server.hold(reserved);
    let Some(entry) = entry else {
        let sentence = format!(
            "there is no entry at {}; memory_list shows what there is, memory_history what there was",
            path.as_str()
        );
        return Err(ApiError::new(Code::NotFound, sentence));
    };
    // As a text, and as JSON in JSON, which may be twice as long.
    server.reserve(3 * entry.value.len()).await?;
    let text = compute(Some(tenant), entry.value.len(), || text(&entry.value)).await;
    let about = About {
        path: path.as_str(),
        r#type: if text.is_some() { "text" } else { "json" },
        version_id: entry.version_id,
        created_at: rfc3339(entry.created_at),
        expires_at: entry.expires_at.map(rfc3339),
        size: entry.value.len(),
        tags: &entry.tags,
        importance: entry.importance,
        searchable: entry.searchable,
    };
    let about = serde_json::to_string(&about).map_err(|_| ApiError::internal())?;
    Ok(vec![text.unwrap_or(entry.value), about])
}
