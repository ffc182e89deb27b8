//! POST /v1/put

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::App;
use super::error::{ApiError, Code};
use super::extract::{Json, MemoryWriter};
use crate::domain::agent_id::AgentId;
use crate::domain::change::{Action, Change, NewValue, Outcome};
use crate::domain::path::EntryPath;
use crate::domain::tags::Tags;
use crate::domain::value::JsonText;
use crate::domain::{EntryKey, rfc3339};

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    agent_id: String,
    path: String,
    value: Box<RawValue>,
    ttl_seconds: Option<i64>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    importance: f32,
    #[serde(default)]
    searchable: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Response {
    ok: bool,
    version_id: Uuid,
    created_at: String,
}

pub(super) async fn put(
    State(app): State<App>,
    MemoryWriter(tenant): MemoryWriter,
    Json(request): Json<Request>,
) -> Result<Answer<Response>, ApiError> {
    let key = EntryKey {
        tenant,
        agent: AgentId::parse(&request.agent_id)?,
        path: EntryPath::parse(&request.path)?,
    };
    let new = NewValue {
        value: JsonText::normalise(&request.value)?,
        tags: Tags::new(request.tags)?,
        importance: importance(request.importance)?,
        searchable: request.searchable,
        ttl_seconds: request.ttl_seconds.map(ttl).transpose()?,
    };
    let version_id = Uuid::now_v7();
    match app.writes.ask(Change { key, version_id, action: Action::Put(new) }).await? {
        Outcome::Written { created_at } => {
            Ok(Answer(Response { ok: true, version_id, created_at: rfc3339(created_at) }))
        }
        Outcome::QuotaExceeded => Err(quota_exceeded()),
        Outcome::NothingToDelete => Err(ApiError::internal()),
    }
}

fn importance(given: f32) -> Result<f32, ApiError> {
    if (0.0..=1.0).contains(&given) {
        Ok(given)
    } else {
        Err(ApiError::new(
            Code::ValidationError,
            format!("importance is {given}; it must be between 0 and 1"),
        ))
    }
}

fn ttl(seconds: i64) -> Result<i32, ApiError> {
    i32::try_from(seconds).ok().filter(|s| *s > 0).ok_or_else(|| {
        let sentence =
            format!("ttl_seconds is {seconds}; it must be between 1 and {} (68 years)", i32::MAX);
        ApiError::new(Code::ValidationError, sentence)
    })
}

/// The tenant's writes of the day are used up; a new day begins at midnight UTC.
pub(super) fn quota_exceeded() -> ApiError {
    let now = jiff::Timestamp::now().as_second();
    let until_midnight = 86_400 - now.rem_euclid(86_400);
    ApiError::new(
        Code::QuotaWritesPerDay,
        "this tenant has used up its writes of today; they begin anew at 00:00 UTC, or an operator raises WRITE_QUOTA_PER_DAY",
    )
    .retry_after(u32::try_from(until_midnight).unwrap_or(86_400))
}
