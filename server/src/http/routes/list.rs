//! POST /v1/list

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::{Json, MemoryReader};
use crate::http::openapi::ReadRefusals;
use crate::http::response::raw_json;
use crate::memory::list::{self as listed, ListRequest};

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
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListAnswer)]
pub(crate) struct Answer {
    /// Children, sorted by path. A path that is both an entry and a directory is listed as both.
    items: Vec<Item>,
    /// The cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListItem)]
struct Item {
    path: String,
    r#type: Kind,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListItemType)]
#[serde(rename_all = "lowercase")]
enum Kind {
    File,
    Dir,
}

/// List the direct children of a directory
#[utoipa::path(post, path = "/v1/list", tag = "memory", request_body = Request,
    responses((status = 200, description = "A page of children.", body = Answer), ReadRefusals))]
pub(crate) async fn list(
    State(app): State<App>,
    MemoryReader(tenant): MemoryReader,
    Json(request): Json<Request>,
) -> Result<Response, ApiError> {
    let page = app.memory.list(tenant, request.into()).await?;
    let items = page.items.into_iter().map(Item::from).collect();
    raw_json::written(&Answer { items, next_cursor: page.next_cursor }, page.reserved)
}

impl From<Request> for ListRequest {
    fn from(request: Request) -> Self {
        let Request { agent_id, prefix, limit, cursor, as_of, min_version } = request;
        Self { agent_id, prefix, limit, cursor, as_of, min_version }
    }
}

impl From<listed::Item> for Item {
    fn from(item: listed::Item) -> Self {
        let r#type = match item.kind {
            listed::Kind::File => Kind::File,
            listed::Kind::Directory => Kind::Dir,
        };
        Self { path: item.path, r#type }
    }
}
