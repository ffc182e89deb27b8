//! `memory_history`: the versions of an entry.

use rmcp::model::JsonObject;
use serde::{Deserialize, Serialize};
use serde_json::json as schema;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::super::server::Server;
use super::super::shown::shown;
use super::{Answer, Effect, Tool, cursor, integer, json, path};
use crate::domain::access::scope::Scope;
use crate::domain::rfc3339;
use crate::http::error::ApiError;
use crate::memory::history::HistoryRequest;
use crate::runtime::cpu::compute;
use crate::store::entries::versions::{Author, Version};

/// Fewer than the route's, since a model reads them.
const DEFAULT_LIMIT: i64 = 10;

pub(super) const TOOL: Tool = Tool {
    name: "memory_history",
    title: "History of an entry",
    description: "The versions of an entry, the newest first, deletions included, each with the key that wrote it (author). Of a value of more \
                  than 4 KiB the beginning is shown (value_cut): memory_read with as_of, the version's created_at, has it whole.",
    scopes: &[Scope::MemoryRead],
    effect: Effect::Reads,
    properties: || {
        schema!({
            "path": path(),
            "limit": integer("Most versions in the answer. Defaults to 10.", 1, 100),
            "cursor": cursor(),
        })
    },
    required: &["path"],
    call: |server, arguments| Box::pin(call(server, arguments)),
};

#[derive(Debug, Deserialize)]
struct Arguments {
    agent_id: Option<String>,
    path: String,
    limit: Option<i64>,
    cursor: Option<String>,
}

#[derive(Serialize)]
struct History<'a> {
    versions: Vec<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct Shown<'a> {
    version_id: Uuid,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<String>,
    /// None of a tombstone or an expired version.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    value_cut: bool,
    /// The bytes of the value as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<By<'a>>,
}

/// The key that wrote a version.
#[derive(Serialize)]
struct By<'a> {
    key_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
}

async fn call(server: &Server, arguments: &JsonObject) -> Answer {
    let tenant = server.may(Scope::MemoryRead)?;
    let Arguments { agent_id, path, limit, cursor } = server.arguments(arguments)?;
    let agent_id = server.agent(agent_id)?;
    let limit = Some(limit.unwrap_or(DEFAULT_LIMIT));
    let history = HistoryRequest { agent_id, path, limit, cursor };
    let page = server.app.memory.history(tenant, history).await?;
    server.hold(page.reserved);
    let bytes = page.versions.iter().map(Version::bytes).sum();
    let versions = || page.versions.iter().map(Shown::of).collect::<Result<_, _>>();
    let versions = compute(Some(tenant), bytes, versions).await?;
    json(&History { versions, next_cursor: page.next_cursor })
}

impl<'a> Shown<'a> {
    fn of(version: &'a Version) -> Result<Self, ApiError> {
        let (value, cut) = version.value.as_deref().map(shown).transpose()?.unzip();
        Ok(Self {
            version_id: version.id,
            created_at: rfc3339(version.created_at),
            deleted_at: version.deleted_at.map(rfc3339),
            value,
            value_cut: cut.unwrap_or_default(),
            size: version.value.as_ref().map(String::len),
            author: version.author.as_ref().map(By::from),
        })
    }
}

impl<'a> From<&'a Author> for By<'a> {
    fn from(author: &'a Author) -> Self {
        Self { key_id: &author.key_id, label: author.label.as_deref() }
    }
}
