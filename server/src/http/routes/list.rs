//! POST /v1/list

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::rfc3339;
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::{Json, MemoryReader};
use crate::http::openapi::ReadRefusals;
use crate::http::response::raw_json;
use crate::memory::list::{self as listed, ListRequest};
use crate::runtime::cpu::compute;
use crate::store::entries::details::Details;

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ListRequest)]
pub(crate) struct Request {
    /// The name of the agent.
    #[schema(min_length = 1, max_length = 128, example = "ada")]
    agent_id: String,
    /// The directory; `/` is the root.
    #[schema(min_length = 1, pattern = "^/", example = "/notes")]
    prefix: String,
    /// The maximum number of results. Defaults to 1000.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
    /// Read the memory as it was at this time (RFC 3339).
    #[schema(format = DateTime)]
    as_of: Option<String>,
    /// Read a state that includes this version and all that was committed before it: the `version_id` of a put or
    /// delete. It matters if reads may go to a replica.
    min_version: Option<Uuid>,
    /// How deep to list: 1 lists the direct children, 2 also what is in directories among them. Defaults to 1, the only depth
    /// that can be combined with `as_of`.
    #[schema(minimum = 1, maximum = 64)]
    depth: Option<i64>,
    /// Whether entries come with their size, version, times, tags, importance and searchability. Defaults to false.
    #[serde(default)]
    details: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListAnswer)]
pub(crate) struct Answer {
    /// Children, sorted by path, segment by segment: what is in a directory follows it. A path that is both an entry and a
    /// directory is listed as both, the entry first.
    #[schema(value_type = Vec<ListItem>)]
    items: Vec<Item>,
    /// The cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize)]
struct Item {
    path: String,
    r#type: Kind,
    #[serde(flatten)]
    details: Option<Fields>,
}

/// What is said of an entry, if it is asked for.
#[derive(Debug, Serialize)]
struct Fields {
    size: i32,
    version_id: Uuid,
    created_at: String,
    updated_at: String,
    expires_at: Option<String>,
    tags: Vec<String>,
    importance: f32,
    searchable: bool,
}

/// An entry or a directory. All but `path` and `type` are there for entries alone, and only with `details`.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "this describes what is flattened above")]
struct ListItem {
    path: String,
    r#type: Kind,
    /// The bytes of the value as JSON.
    #[schema(minimum = 0)]
    size: Option<i32>,
    /// The latest version.
    version_id: Option<Uuid>,
    /// When the entry was first written, even if it was deleted since and put again.
    #[schema(format = DateTime)]
    created_at: Option<String>,
    /// When the latest version was written.
    #[schema(format = DateTime)]
    updated_at: Option<String>,
    /// When it expires; null if never.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    tags: Option<Vec<String>>,
    importance: Option<f32>,
    searchable: Option<bool>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListItemType)]
#[serde(rename_all = "lowercase")]
enum Kind {
    File,
    Dir,
}

/// About so many bytes are written of an entry with its details.
const WITH_DETAILS: usize = 300;

/// List what is in a directory
#[utoipa::path(post, path = "/v1/list", operation_id = "list_directory", tag = "memory", request_body = Request,
    responses((status = 200, description = "A page of children.", body = Answer), ReadRefusals))]
pub(crate) async fn list(
    State(app): State<App>,
    MemoryReader(tenant): MemoryReader,
    Json(request): Json<Request>,
) -> Result<Response, ApiError> {
    let bytes_of_item = if request.details { WITH_DETAILS } else { 0 };
    let page = app.memory.list(tenant, request.into()).await?;
    let bytes = page.items.len() * bytes_of_item;
    let write = || {
        let items = page.items.into_iter().map(Item::from).collect();
        raw_json::written(&Answer { items, next_cursor: page.next_cursor }, page.reserved)
    };
    compute(Some(tenant), bytes, write).await
}

impl From<Request> for ListRequest {
    fn from(request: Request) -> Self {
        let Request { agent_id, prefix, limit, cursor, as_of, min_version, depth, details } =
            request;
        Self { agent_id, prefix, limit, cursor, as_of, min_version, depth, details }
    }
}

impl From<listed::Item> for Item {
    fn from(item: listed::Item) -> Self {
        let r#type = match item.kind {
            listed::Kind::File => Kind::File,
            listed::Kind::Directory => Kind::Dir,
        };
        Self { path: item.path, r#type, details: item.details.map(Fields::from) }
    }
}

impl From<Details> for Fields {
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
