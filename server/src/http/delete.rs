//! POST /v1/delete

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::App;
use super::error::ApiError;
use super::extract::{Json, MemoryWriter};
use super::put::quota_exceeded;
use crate::domain::agent_id::AgentId;
use crate::domain::change::{Action, Change, Outcome};
use crate::domain::path::EntryPath;
use crate::domain::{EntryKey, rfc3339};

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    agent_id: String,
    path: String,
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
    Json(request): Json<Request>,
) -> Result<Answer<Response>, ApiError> {
    let key = EntryKey {
        tenant,
        agent: AgentId::parse(&request.agent_id)?,
        path: EntryPath::parse(&request.path)?,
    };
    let version_id = Uuid::now_v7();
    match app.writes.ask(Change { key, version_id, action: Action::Delete }).await? {
        Outcome::Written { created_at } => Ok(Answer(Response {
            ok: true,
            deleted: true,
            version_id: Some(version_id),
            created_at: Some(rfc3339(created_at)),
        })),
        Outcome::NothingToDelete => {
            Ok(Answer(Response { ok: true, deleted: false, version_id: None, created_at: None }))
        }
        Outcome::QuotaExceeded => Err(quota_exceeded()),
    }
}
