//! `memory_list`: what is in a directory.

use rmcp::model::JsonObject;
use serde::{Deserialize, Serialize};
use serde_json::json as schema;
use uuid::Uuid;

use super::super::server::Server;
use super::{Answer, Effect, Tool, cursor, integer, json, min_version, string};
use crate::domain::access::scope::Scope;
use crate::memory::list::{Item, Kind, ListRequest};

/// Fewer than the route's, since a model reads them.
const DEFAULT_LIMIT: i64 = 100;

pub(super) const TOOL: Tool = Tool {
    name: "memory_list",
    title: "List a directory",
    description: "List the direct children of a directory of memory, sorted: files are entries, dirs have entries below them. Begin with the root, \
                  /, to see what there is.",
    scopes: &[Scope::MemoryRead],
    effect: Effect::Reads,
    properties: || {
        schema!({
            "path": string("The directory, such as /notes. Defaults to the root, /."),
            "limit": integer("Most children in the answer. Defaults to 100.", 1, 1000),
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
}

async fn call(server: &Server, arguments: &JsonObject) -> Answer {
    let tenant = server.may(Scope::MemoryRead)?;
    let Arguments { agent_id, path, limit, cursor, min_version } = server.arguments(arguments)?;
    let list = ListRequest {
        agent_id: server.agent(agent_id)?,
        prefix: path.unwrap_or_else(|| "/".to_owned()),
        limit: Some(limit.unwrap_or(DEFAULT_LIMIT)),
        cursor,
        min_version,
        ..ListRequest::default()
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
        Self { path: item.path, r#type }
    }
}
