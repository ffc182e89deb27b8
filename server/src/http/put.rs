//! POST /v1/put

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::App;
use super::error::{ApiError, Code};
use super::extract::{Json, MemoryWriter, Repeatable};
use super::write::{if_version, write};
use crate::domain::agent_id::AgentId;
use crate::domain::change::{Action, Change, Expected, NewValue, Outcome};
use crate::domain::path::EntryPath;
use crate::domain::tags::Tags;
use crate::domain::value::JsonText;
use crate::domain::{EntryKey, TenantId, rfc3339};

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
    #[serde(default, deserialize_with = "if_version")]
    if_version: Option<Expected>,
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
        let new = NewValue {
            value: JsonText::normalise(&self.value)?,
            tags: Tags::new(self.tags)?,
            importance: importance(self.importance)?,
            searchable: self.searchable,
            ttl_seconds: self.ttl_seconds.map(ttl).transpose()?,
        };
        Ok(Change { expected: self.if_version, ..Change::new(key, Action::Put(new)) })
    }
}

impl Response {
    pub(super) fn of(outcome: Outcome) -> Result<Self, ApiError> {
        let Outcome::Written { version_id, created_at } = outcome else {
            return Err(ApiError::internal());
        };
        Ok(Self { ok: true, version_id, created_at: rfc3339(created_at) })
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
