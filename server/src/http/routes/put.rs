//! POST /v1/put

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::preconditions::{if_sha256, if_version, one_of};
use crate::domain::memory::change::Expected;
use crate::domain::memory::tags::TagList;
use crate::domain::rfc3339;
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::{IdempotencyHeader, KeptJson, MemoryWriter};
use crate::http::openapi::WriteRefusals;
use crate::memory::NewVersion;
use crate::memory::put::PutRequest;

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = PutRequest)]
pub(crate) struct Request {
    /// The name of the agent.
    #[schema(min_length = 1, max_length = 128, example = "ada")]
    agent_id: String,
    /// The path of the entry. Repeated slashes collapse, and a trailing slash is dropped.
    #[schema(min_length = 2, pattern = "^/", example = "/notes/lunch")]
    path: String,
    /// Any JSON value, including null; it comes back byte for byte.
    #[schema(value_type = serde_json::Value)]
    value: Box<RawValue>,
    /// Seconds until the value expires. Defaults to never.
    #[schema(minimum = 1, maximum = 2_147_483_647)]
    ttl_seconds: Option<i64>,
    /// At most 20 tags, each of at most 64 characters.
    #[serde(default)]
    #[schema(value_type = Vec<String>, max_items = 20)]
    tags: TagList,
    /// From 0 to 1. Defaults to 0.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1)]
    importance: f32,
    /// Whether search may find it. Defaults to false.
    #[serde(default)]
    #[schema(example = true)]
    searchable: bool,
    /// Write only if this is the latest version; with null, only if there is no live version.
    #[serde(default, deserialize_with = "if_version")]
    #[schema(value_type = Option<Uuid>)]
    if_version: Option<Expected>,
    /// Write only if the latest value has this SHA-256, as get returns it; with null, only if there is no live version.
    #[serde(default, deserialize_with = "if_sha256")]
    #[schema(value_type = Option<String>, pattern = "^[0-9a-fA-F]{64}$")]
    if_sha256: Option<Expected>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PutAnswer)]
pub(crate) struct Response {
    ok: bool,
    version_id: Uuid,
    /// RFC 3339 in UTC, with microseconds.
    #[schema(format = DateTime)]
    created_at: String,
}

/// Put a value at a path
#[utoipa::path(post, path = "/v1/put", operation_id = "put_entry", tag = "memory", request_body = Request,
    params(("Idempotency-Key" = Option<String>, Header, description = "A retry with the same key within 24 hours gets the first response again and writes nothing", pattern = "^[A-Za-z0-9_-]{1,128}$")),
    responses((status = 200, description = "Committed.", body = Response), WriteRefusals))]
pub(crate) async fn put(
    State(app): State<App>,
    MemoryWriter(by): MemoryWriter,
    IdempotencyHeader(key): IdempotencyHeader,
    KeptJson(request, reserved): KeptJson<Request>,
) -> Result<Answer<Response>, ApiError> {
    let version = app.memory.put(by, request.try_into()?, key, reserved).await?;
    Ok(Answer(version.into()))
}

impl TryFrom<Request> for PutRequest {
    type Error = ApiError;

    fn try_from(request: Request) -> Result<Self, ApiError> {
        let Request {
            agent_id,
            path,
            value,
            ttl_seconds,
            tags,
            importance,
            searchable,
            if_version,
            if_sha256,
        } = request;
        let if_version = one_of(if_version, if_sha256)?;
        Ok(Self { agent_id, path, value, ttl_seconds, tags, importance, searchable, if_version })
    }
}

impl From<NewVersion> for Response {
    fn from(version: NewVersion) -> Self {
        Self { ok: true, version_id: version.id, created_at: rfc3339(version.created_at) }
    }
}
