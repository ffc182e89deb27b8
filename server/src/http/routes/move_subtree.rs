//! POST /v1/move

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::rfc3339;
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::{IdempotencyHeader, Json, MemoryWriter};
use crate::http::openapi::MoveRefusals;
use crate::memory::subtree::MoveRequest;

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = MoveRequest)]
pub(crate) struct Request {
    /// The name of the agent.
    #[schema(min_length = 1, max_length = 128, example = "ada")]
    agent_id: String,
    /// The path of what is moved: the entry at it and all entries below it.
    #[schema(min_length = 2, pattern = "^/", example = "/drafts/lunch")]
    from: String,
    /// Its new path, neither within `from` nor around it.
    #[schema(min_length = 2, pattern = "^/", example = "/notes/lunch")]
    to: String,
    /// Whether entries that are moved replace those at their new paths. Defaults to false: an entry at `to` or below it
    /// is a 409.
    #[serde(default)]
    overwrite: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MoveAnswer)]
pub(crate) struct Response {
    ok: bool,
    /// How many entries were moved.
    moved: i64,
    /// The new version of the first of them in path order.
    version_id: Option<Uuid>,
    /// RFC 3339 in UTC, with microseconds.
    #[schema(format = DateTime)]
    created_at: Option<String>,
}

/// Move an entry and everything below it to another path
#[utoipa::path(post, path = "/v1/move", operation_id = "move_subtree", tag = "memory", request_body = Request,
    params(("Idempotency-Key" = Option<String>, Header, description = "A retry with the same key within 24 hours gets the first response again and writes nothing", pattern = "^[A-Za-z0-9_-]{1,128}$")),
    responses((status = 200, description = "Committed.", body = Response), MoveRefusals))]
pub(crate) async fn move_subtree(
    State(app): State<App>,
    MemoryWriter(by): MemoryWriter,
    IdempotencyHeader(key): IdempotencyHeader,
    Json(request): Json<Request>,
) -> Result<Answer<Response>, ApiError> {
    let Request { agent_id, from, to, overwrite } = request;
    let request = MoveRequest { agent_id, from, to, overwrite };
    let moved = app.memory.move_subtree(by, request, key).await?;
    Ok(Answer(Response {
        ok: true,
        moved: moved.entries,
        version_id: moved.first.map(|version| version.id),
        created_at: moved.first.map(|version| rfc3339(version.created_at)),
    }))
}
