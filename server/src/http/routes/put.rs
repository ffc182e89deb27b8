//! POST /v1/put

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::entry::entry_key;
use super::write::{if_version, write};
use crate::domain::memory::change::{Action, Change, Expected, NewValue, Outcome};
use crate::domain::memory::tags::Tags;
use crate::domain::memory::value::JsonText;
use crate::domain::search::lexical_text::LexicalText;
use crate::domain::{TenantId, rfc3339};
use crate::http::App;
use crate::http::error::{ApiError, Code};
use crate::http::extract::{IdempotencyHeader, Json, MemoryWriter};
use crate::http::openapi::WriteRefusals;

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = PutRequest)]
pub(crate) struct Request {
    /// The agent whose memory it is.
    #[schema(min_length = 1, max_length = 128)]
    agent_id: String,
    /// Where; repeated slashes collapse, a trailing one is dropped.
    #[schema(min_length = 2, pattern = "^/", example = "/notes/lunch")]
    path: String,
    /// Any JSON, null included; it comes back byte for byte.
    #[schema(value_type = serde_json::Value)]
    value: Box<RawValue>,
    /// Seconds until the value is no longer served; without it, for ever.
    #[schema(minimum = 1, maximum = 2_147_483_647)]
    ttl_seconds: Option<i64>,
    /// At most 20, each of at most 64 characters.
    #[serde(default)]
    #[schema(max_items = 20)]
    tags: Vec<String>,
    /// From 0 to 1.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1)]
    importance: f32,
    /// Whether search may find it.
    #[serde(default)]
    searchable: bool,
    /// Write only if this is the latest version, or with null, only if there is none.
    #[serde(default, deserialize_with = "if_version")]
    #[schema(value_type = Option<Uuid>)]
    if_version: Option<Expected>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PutAnswer)]
pub(crate) struct Response {
    ok: bool,
    version_id: Uuid,
    /// RFC 3339, UTC, six digits of a second.
    #[schema(format = DateTime)]
    created_at: String,
}

/// Put a value at a path
#[utoipa::path(post, path = "/v1/put", tag = "memory", request_body = Request,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repetition of the request within 24 hours is answered as the first time and writes nothing", pattern = "^[A-Za-z0-9_-]{1,128}$")),
    responses((status = 200, description = "Committed.", body = Response), WriteRefusals))]
pub(crate) async fn put(
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
        let value = JsonText::normalise(&self.value)?;
        let new = NewValue {
            words: self.searchable.then(|| LexicalText::of_value(&value)),
            value,
            tags: Tags::new(self.tags)?,
            importance: importance(self.importance)?,
            ttl_seconds: self.ttl_seconds.map(ttl).transpose()?,
        };
        Ok(Change { expected: self.if_version, ..Change::new(key, Action::Put(new)) })
    }
}

impl Response {
    pub(crate) fn of(outcome: Outcome) -> Result<Self, ApiError> {
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
