//! `memory_list`: what is in a directory, and in those below it.

use rmcp::model::JsonObject;
use serde::{Deserialize, Serialize};
use serde_json::json as schema;
use uuid::Uuid;

use super::super::server::Server;
use super::{Answer, Effect, Tool, as_of, boolean, cursor, integer, json, min_version, string};
use crate::domain::access::scope::Scope;
use crate::domain::rfc3339;
use crate::memory::list::{Item, Kind, ListRequest};
use crate::store::entries::details::Details;

/// Fewer than the route's, since a model reads them.
const DEFAULT_LIMIT: i64 = 100;

pub(super) const TOOL: Tool = Tool {
    name: "memory_list",
    title: "List a directory",
    description: "List a directory of memory, sorted: files are entries, dirs have entries below them. Begin with the root, /, to see what \
                  there is.",
    scopes: &[Scope::MemoryRead],
    effect: Effect::Reads,
    properties: || {
        schema!({
            "path": string("The directory, such as /notes. Defaults to the root, /."),
            "depth": integer("How deep: 2 lists also what is in the directories of the first level. Defaults to 1.", 1, 64),
            "details": boolean("Whether each entry comes with its size, version_id, times, tags, importance and searchable. Defaults to false."),
            "as_of": as_of(),
            "limit": integer("Most items in the answer. Defaults to 100.", 1, 1000),
            "cursor": cursor(),
            "min_version": min_version(),
        })
    },
    required: &[],
    call: |server, arguments| Box::pin(call(server, arguments)),
};

#[derive(Debug, Deserialize)]
struct Arguments {
    agent_id: Option<String>,
    path: Option<String>,
    depth: Option<i64>,
    details: Option<bool>,
    as_of: Option<String>,
    limit: Option<i64>,
    cursor: Option<String>,
    min_version: Option<Uuid>,
}

#[derive(Serialize)]
struct Listed {
    items: Vec<Child>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct Child {
    path: String,
    r#type: &'static str,
    #[serde(flatten)]
    about: Option<About>,
}

/// What is said of an entry, if it is asked for.
#[derive(Serialize)]
struct About {
    size: i32,
    version_id: Uuid,
    created_at: String,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    importance: f32,
    searchable: bool,
}

async fn call(server: &Server, arguments: &JsonObject) -> Answer {
    let tenant = server.may(Scope::MemoryRead)?;
    let arguments: Arguments = server.arguments(arguments)?;
    let list = ListRequest {
        agent_id: server.agent(arguments.agent_id)?,
        prefix: arguments.path.unwrap_or_else(|| "/".to_owned()),
        limit: Some(arguments.limit.unwrap_or(DEFAULT_LIMIT)),
        cursor: arguments.cursor,
        as_of: arguments.as_of,
        min_version: arguments.min_version,
        depth: arguments.depth,
        details: arguments.details.unwrap_or_default(),
    };
    let page = server.app.memory.list(tenant, list).await?;
    server.hold(page.reserved);
    let items = page.items.into_iter().map(Child::from).collect();
    json(&Listed { items, next_cursor: page.next_cursor })
}

impl From<Item> for Child {
    fn from(item: Item) -> Self {
        let r#type = match item.kind {
            Kind::File => "file",
            Kind::Directory => "dir",
        };
        Self { path: item.path, r#type, about: item.details.map(About::from) }
    }
}

impl From<Details> for About {
    fn from(details: Details) -> Self {
        Self {
            size: details.size,
            version_id: details.version_id,
            created_at: rfc3339(details.created_at),
            updated_at: rfc3339(details.updated_at),
            expires_at: details.expires_at.map(rfc3339),
            tags: details.tags,
            importance: details.importance,
            searchable: details.searchable,
        }
    }
}
