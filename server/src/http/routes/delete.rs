//! POST /v1/delete

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::if_version::if_version;
use crate::domain::memory::change::Expected;
use crate::domain::rfc3339;
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::{IdempotencyHeader, Json, MemoryWriter};
use crate::http::openapi::WriteRefusals;
use crate::memory::NewVersion;
use crate::memory::delete::DeleteRequest;

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = DeleteRequest)]
pub(crate) struct Request {
    /// The name of the agent.
    #[schema(min_length = 1, max_length = 128, example = "ada")]
    agent_id: String,
    /// The path of the entry. Repeated slashes collapse, and a trailing slash is dropped.
    #[schema(min_length = 2, pattern = "^/", example = "/notes/lunch")]
    path: String,
    /// Write only if this is the latest version; with null, only if there is no live version.
    #[serde(default, deserialize_with = "if_version")]
    #[schema(value_type = Option<Uuid>)]
    if_version: Option<Expected>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeleteAnswer)]
pub(crate) struct Response {
    ok: bool,
    /// False if there was no live value; then nothing was written.
    deleted: bool,
    /// The version of the tombstone.
    version_id: Option<Uuid>,
    /// RFC 3339 in UTC, with microseconds.
    #[schema(format = DateTime)]
    created_at: Option<String>,
}

/// Delete the value at a path
#[utoipa::path(post, path = "/v1/delete", tag = "memory", request_body = Request,
    params(("Idempotency-Key" = Option<String>, Header, description = "A retry with the same key within 24 hours gets the first response again and writes nothing", pattern = "^[A-Za-z0-9_-]{1,128}$")),
    responses((status = 200, description = "Committed, or there was nothing to delete.", body = Response), WriteRefusals))]
pub(crate) async fn delete(
    State(app): State<App>,
    MemoryWriter(tenant): MemoryWriter,
    IdempotencyHeader(key): IdempotencyHeader,
    Json(request): Json<Request>,
) -> Result<Answer<Response>, ApiError> {
    let tombstone = app.memory.delete(tenant, request.into(), key).await?;
    Ok(Answer(tombstone.into()))
}

impl From<Request> for DeleteRequest {
    fn from(Request { agent_id, path, if_version }: Request) -> Self {
        Self { agent_id, path, if_version }
    }
}

impl From<Option<NewVersion>> for Response {
    fn from(tombstone: Option<NewVersion>) -> Self {
        Self {
            ok: true,
            deleted: tombstone.is_some(),
            version_id: tombstone.map(|version| version.id),
            created_at: tombstone.map(|version| rfc3339(version.created_at)),
        }
    }
}
