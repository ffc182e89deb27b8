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
    /// The agent whose memory it is.
    #[schema(min_length = 1, max_length = 128)]
    agent_id: String,
    /// The directory; `/` is the root.
    #[schema(min_length = 1, pattern = "^/", example = "/notes")]
    prefix: String,
    /// At most this many; 1000 without it.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// Read as it was at this moment (RFC 3339).
    #[schema(format = DateTime)]
    as_of: Option<String>,
    /// See at least this version, and all that was committed before it: the `version_id` of a put or delete. It matters
    /// where reads may go to a replica.
    min_version: Option<Uuid>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListAnswer)]
pub(crate) struct Answer {
    /// Sorted by path; a path that is both has both.
    items: Vec<Item>,
    /// Where the next page begins; absent on the last one.
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

/// The direct children of a directory
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
