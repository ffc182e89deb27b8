//! POST /v1/delete

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::preconditions::{if_sha256, if_version, one_of};
use crate::domain::memory::change::Expected;
use crate::domain::rfc3339;
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::{IdempotencyHeader, Json, MemoryWriter};
use crate::http::openapi::WriteRefusals;
use crate::memory::NewVersion;
use crate::memory::delete::{DeleteRequest, Deleted};
use crate::memory::subtree::SubtreeAnswer;

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
    /// Delete only if the latest value has this SHA-256, as get returns it; with null, only if there is no live version.
    #[serde(default, deserialize_with = "if_sha256")]
    #[schema(value_type = Option<String>, pattern = "^[0-9a-fA-F]{64}$")]
    if_sha256: Option<Expected>,
    /// Whether to delete everything below the path as well. Defaults to false.
    #[serde(default)]
    pub(super) recursive: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeleteAnswer)]
pub(crate) struct Response {
    ok: bool,
    /// False if there was no live value; then nothing was written.
    deleted: bool,
    /// The version of the tombstone; with `recursive`, of the first one in path order.
    version_id: Option<Uuid>,
    /// RFC 3339 in UTC, with microseconds.
    #[schema(format = DateTime)]
    created_at: Option<String>,
    /// How many entries were deleted.
    deleted_entries: i64,
    /// A remark, if nothing was deleted and there are entries below the path. Not in a batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, required = false)]
    note: Option<&'static str>,
}

/// Delete the value at a path, or everything at and below it
#[utoipa::path(post, path = "/v1/delete", operation_id = "delete_entry", tag = "memory", request_body = Request,
    params(("Idempotency-Key" = Option<String>, Header, description = "A retry with the same key within 24 hours gets the first response again and writes nothing", pattern = "^[A-Za-z0-9_-]{1,128}$")),
    responses((status = 200, description = "Committed, or there was nothing to delete.", body = Response), WriteRefusals))]
pub(crate) async fn delete(
    State(app): State<App>,
    MemoryWriter(by): MemoryWriter,
    IdempotencyHeader(key): IdempotencyHeader,
    Json(request): Json<Request>,
) -> Result<Answer<Response>, ApiError> {
    let recursive = request.recursive;
    let request: DeleteRequest = request.try_into()?;
    Ok(Answer(if recursive {
        app.memory.delete_subtree(by, request, key).await?.into()
    } else {
        app.memory.delete(by, request, key).await?.into()
    }))
}

impl TryFrom<Request> for DeleteRequest {
    type Error = ApiError;

    fn try_from(request: Request) -> Result<Self, ApiError> {
        let Request { agent_id, path, if_version, if_sha256, recursive: _ } = request;
        Ok(Self { agent_id, path, if_version: one_of(if_version, if_sha256)? })
    }
}

impl From<Deleted> for Response {
    fn from(deleted: Deleted) -> Self {
        Self { note: deleted.note(), ..deleted.tombstone.into() }
    }
}

impl From<Option<NewVersion>> for Response {
    fn from(tombstone: Option<NewVersion>) -> Self {
        SubtreeAnswer { entries: tombstone.is_some().into(), first: tombstone }.into()
    }
}

impl From<SubtreeAnswer> for Response {
    fn from(SubtreeAnswer { entries, first }: SubtreeAnswer) -> Self {
        Self {
            ok: true,
            deleted: first.is_some(),
            version_id: first.map(|version| version.id),
            created_at: first.map(|version| rfc3339(version.created_at)),
            deleted_entries: entries,
            note: None,
        }
    }
}
