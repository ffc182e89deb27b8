//! POST /v1/glob

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
use crate::memory::glob::{GlobPage, GlobRequest};

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = GlobRequest)]
pub(crate) struct Request {
    /// The name of the agent.
    #[schema(min_length = 1, max_length = 128, example = "ada")]
    agent_id: String,
    /// `*` and `?` stay within a segment, `**` crosses segments, `[a-z]` is a class, `\\` escapes the next character.
    #[schema(min_length = 1, max_length = 512, pattern = "^/", example = "/notes/**")]
    pattern: String,
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
#[schema(as = GlobAnswer)]
pub(crate) struct Answer {
    /// Paths, sorted.
    paths: Vec<String>,
    /// The cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// List the paths that match a pattern
#[utoipa::path(post, path = "/v1/glob", operation_id = "glob_paths", tag = "memory", request_body = Request,
    responses((status = 200, description = "A page of paths. It may be empty without being the last.", body = Answer), ReadRefusals))]
pub(crate) async fn glob(
    State(app): State<App>,
    MemoryReader(tenant): MemoryReader,
    Json(request): Json<Request>,
) -> Result<Response, ApiError> {
    let GlobPage { paths, next_cursor, reserved } = app.memory.glob(tenant, request.into()).await?;
    raw_json::written(&Answer { paths, next_cursor }, reserved)
}

impl From<Request> for GlobRequest {
    fn from(request: Request) -> Self {
        let Request { agent_id, pattern, limit, cursor, as_of, min_version } = request;
        Self { agent_id, pattern, limit, cursor, as_of, min_version }
    }
}
