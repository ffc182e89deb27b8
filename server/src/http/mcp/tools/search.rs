//! `memory_search`: entries by what they say. The prompt shows what it finds as well.

use rmcp::model::JsonObject;
use serde::{Deserialize, Serialize};
use serde_json::json as schema;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::super::server::{Server, invalid};
use super::super::shown::{shown, text};
use super::{Answer, Effect, Tool, as_of, integer, json, min_version, string, strings};
use crate::domain::access::scope::Scope;
use crate::domain::json_error;
use crate::domain::memory::tags::TagList;
use crate::domain::rfc3339;
use crate::http::error::ApiError;
use crate::memory::search::{Mode, SearchAnswer, SearchRequest};
use crate::runtime::cpu::compute;
use crate::store::entries::versions::Version;

pub(super) const TOOL: Tool = Tool {
    name: "memory_search",
    title: "Search memory",
    description: "Find entries by what they say, the best first. Ask in plain words; entries need not have all of them. Of a value of more than \
                  4 KiB the beginning is shown (value_cut): memory_read has it whole.",
    scopes: &[Scope::SearchRead],
    effect: Effect::Reads,
    properties: || {
        schema!({
            "query": string("What to look for, in plain words, of at most 2000 characters."),
            "limit": integer("Most results. Defaults to 10.", 1, 50),
            "path_prefix": string("Only entries at this path or below it, such as /notes."),
            "tags_any": strings("Only entries with at least one of these tags."),
            "filter": string("Only entries whose JSON values meet these conditions, as JSON text: {\"status\": \"open\", \"due.day\": {\"$gte\": 10}}. \
                              Comparisons: $eq $ne $gt $gte $lt $lte."),
            "mode": {
                "type": "string", "enum": ["semantic", "text", "hybrid"],
                "description": "By meaning alone, by words alone, or a score of both. Leave it out for the best of both.",
            },
            "as_of": as_of(),
            "min_version": min_version(),
        })
    },
    required: &["query"],
    call: |server, arguments| Box::pin(call(server, arguments)),
};

#[derive(Debug, Deserialize)]
struct Arguments {
    agent_id: Option<String>,
    query: String,
    limit: Option<i64>,
    path_prefix: Option<String>,
    tags_any: Option<TagList>,
    filter: Option<Box<RawValue>>,
    mode: Option<Mode>,
    as_of: Option<String>,
    min_version: Option<Uuid>,
}

#[derive(Serialize)]
struct Found {
    results: Vec<Hit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Serialize)]
struct Hit {
    path: String,
    value: Box<RawValue>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    value_cut: bool,
    similarity: f64,
    tags: Vec<String>,
    version_id: Uuid,
    created_at: String,
}

async fn call(server: &Server, arguments: &JsonObject) -> Answer {
    let arguments: Arguments = server.arguments(arguments)?;
    let search = SearchRequest {
        agent_id: server.agent(arguments.agent_id)?,
        query: arguments.query,
        limit: arguments.limit,
        filter: arguments.filter.map(filter).transpose()?,
        path_prefix: arguments.path_prefix,
        tags_any: arguments.tags_any,
        mode: arguments.mode,
        as_of: arguments.as_of,
        min_version: arguments.min_version,
    };
    found(server, search).await
}

/// A filter: the JSON of a text, or the object itself, which some models send instead.
fn filter(given: Box<RawValue>) -> Result<Box<RawValue>, ApiError> {
    let Some(json) = text(given.get()) else { return Ok(given) };
    RawValue::from_string(json).map_err(|error| {
        invalid(format!("filter is not valid JSON: {}", json_error::sentence(&error)))
    })
}

/// What a search finds.
async fn found(server: &Server, search: SearchRequest) -> Answer {
    let tenant = server.may_search().await?;
    let SearchAnswer { results, note, reserved } = server.app.memory.search(tenant, search).await?;
    server.hold(reserved);
    let bytes = results.iter().map(|(_, version)| version.bytes()).sum();
    let hits = || results.into_iter().map(Hit::of).collect::<Result<_, _>>();
    let results = compute(Some(tenant), bytes, hits).await?;
    json(&Found { results, note })
}

/// What a search for a topic finds, with the limits that it has by default.
pub(in super::super) async fn about(server: &Server, agent_id: String, topic: String) -> Answer {
    let search = SearchRequest { agent_id, query: topic, ..SearchRequest::default() };
    found(server, search).await
}

impl Hit {
    fn of((similarity, version): (f64, Version)) -> Result<Self, ApiError> {
        let (value, value_cut) = shown(version.value.as_deref().unwrap_or("null"))?;
        Ok(Self {
            path: version.path,
            value,
            value_cut,
            similarity,
            tags: version.tags,
            version_id: version.id,
            created_at: rfc3339(version.created_at),
        })
    }
}
