//! POST /v1/delete

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::App;
use super::error::ApiError;
use super::extract::{Json, MemoryWriter, Repeatable};
use super::write::{if_version, write};
use crate::domain::agent_id::AgentId;
use crate::domain::change::{Action, Change, Expected, Outcome};
use crate::domain::path::EntryPath;
use crate::domain::{EntryKey, TenantId, rfc3339};

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    agent_id: String,
    path: String,
    #[serde(default, deserialize_with = "if_version")]
    if_version: Option<Expected>,
}

#[derive(Debug, Serialize)]
pub(super) struct Response {
    ok: bool,
    deleted: bool,
    version_id: Option<Uuid>,
    created_at: Option<String>,
}

pub(super) async fn delete(
    State(app): State<App>,
    MemoryWriter(tenant): MemoryWriter,
    repeatable: Repeatable,
    Json(request): Json<Request>,
) -> Result<Answer<Response>, ApiError> {
    let change = repeatable.once(request.change(tenant)?);
    Response::of(write(&app, change).await?).map(Answer)
}

impl Request {
    /// What is asked for, checked.
    pub(super) fn change(self, tenant: TenantId) -> Result<Change, ApiError> {
        let key = EntryKey {
            tenant,
            agent: AgentId::parse(&self.agent_id)?,
            path: EntryPath::parse(&self.path)?,
        };
        Ok(Change { expected: self.if_version, ..Change::new(key, Action::Delete) })
    }
}

impl Response {
    pub(super) fn of(outcome: Outcome) -> Result<Self, ApiError> {
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
