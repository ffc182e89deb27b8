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
    /// The agent whose memory it is.
    #[schema(min_length = 1, max_length = 128)]
    agent_id: String,
    /// `*` and `?` stay within a segment, `**` crosses segments, `[a-z]` is a class, `\\` takes the next character as it is.
    #[schema(min_length = 1, max_length = 512, pattern = "^/", example = "/notes/**")]
    pattern: String,
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
#[schema(as = GlobAnswer)]
pub(crate) struct Answer {
    /// Sorted.
    paths: Vec<String>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// The paths that fit a pattern
#[utoipa::path(post, path = "/v1/glob", tag = "memory", request_body = Request,
    responses((status = 200, description = "A page of paths; it may be empty and not the last.", body = Answer), ReadRefusals))]
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
