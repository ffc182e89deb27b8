//! POST /v1/delete

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::entry::entry_key;
use super::write::{if_version, write};
use crate::domain::memory::change::{Action, Change, Expected, Outcome};
use crate::domain::{TenantId, rfc3339};
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::{IdempotencyHeader, Json, MemoryWriter};
use crate::http::openapi::WriteRefusals;

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = DeleteRequest)]
pub(crate) struct Request {
    /// The agent whose memory it is.
    #[schema(min_length = 1, max_length = 128)]
    agent_id: String,
    /// Where; repeated slashes collapse, a trailing one is dropped.
    #[schema(min_length = 2, pattern = "^/", example = "/notes/lunch")]
    path: String,
    /// Write only if this is the latest version, or with null, only if there is none.
    #[serde(default, deserialize_with = "if_version")]
    #[schema(value_type = Option<Uuid>)]
    if_version: Option<Expected>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeleteAnswer)]
pub(crate) struct Response {
    ok: bool,
    /// False where there was no live value; then nothing was written.
    deleted: bool,
    /// The tombstone's version.
    version_id: Option<Uuid>,
    /// RFC 3339, UTC, six digits of a second.
    #[schema(format = DateTime)]
    created_at: Option<String>,
}

/// Delete the value at a path
#[utoipa::path(post, path = "/v1/delete", tag = "memory", request_body = Request,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repetition of the request within 24 hours is answered as the first time and writes nothing", pattern = "^[A-Za-z0-9_-]{1,128}$")),
    responses((status = 200, description = "Committed, or nothing to delete.", body = Response), WriteRefusals))]
pub(crate) async fn delete(
    State(app): State<App>,
    MemoryWriter(tenant): MemoryWriter,
    repeatable: IdempotencyHeader,
    Json(request): Json<Request>,
) -> Result<Answer<Response>, ApiError> {
    let change = repeatable.once(request.change(tenant)?);
    Response::of(write(&app, change).await?).map(Answer)
}

impl Request {
    /// What is asked for, checked.
    pub(crate) fn change(self, tenant: TenantId) -> Result<Change, ApiError> {
        let key = entry_key(tenant, &self.agent_id, &self.path)?;
        Ok(Change { expected: self.if_version, ..Change::new(key, Action::Delete) })
    }
}

impl Response {
    pub(crate) fn of(outcome: Outcome) -> Result<Self, ApiError> {
        let written = match outcome {
            Outcome::Written { version_id, created_at } => Some((version_id, created_at)),
            Outcome::NothingToDelete => None,
            _ => return Err(ApiError::internal()),
        };
        Ok(Self {
            ok: true,
            deleted: written.is_some(),
            version_id: written.map(|(id, _)| id),
            created_at: written.map(|(_, at)| rfc3339(at)),
        })
    }
}
