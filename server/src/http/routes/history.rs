//! POST /v1/history

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::memory::sha256::Sha256Sum;
use crate::domain::rfc3339;
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::{Json, MemoryReader};
use crate::http::openapi::Refusals;
use crate::http::response::raw_json;
use crate::memory::history::HistoryRequest;
use crate::runtime::cpu::compute;
use crate::store::entries::versions::{Author, Version};

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = HistoryRequest)]
pub(crate) struct Request {
    /// The name of the agent.
    #[schema(min_length = 1, max_length = 128, example = "ada")]
    agent_id: String,
    /// The path of the entry. Repeated slashes collapse, and a trailing slash is dropped.
    #[schema(min_length = 2, pattern = "^/", example = "/notes/lunch")]
    path: String,
    /// The maximum number of results. Defaults to 20.
    #[schema(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// What surrounds the value of a version.
#[derive(Serialize)]
struct Fields<'a> {
    version_id: Uuid,
    created_at: String,
    expires_at: Option<String>,
    deleted_at: Option<String>,
    tags: &'a [String],
    importance: f32,
    searchable: bool,
    size: Option<usize>,
    sha256: Option<Sha256Sum>,
    author: Option<AuthorAnswer<'a>>,
}

/// The key that wrote a version.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Author)]
struct AuthorAnswer<'a> {
    key_id: &'a str,
    /// The key's label; null if there is no such key any more.
    label: Option<&'a str>,
}

#[derive(Serialize)]
struct Rest {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, ToSchema)]
#[schema(as = HistoryAnswer)]
#[expect(dead_code, reason = "answers are spliced together; this describes them")]
struct Answer {
    /// Versions, the newest first.
    versions: Vec<DescribedVersion>,
    /// The cursor of the next page; absent on the last page.
    #[schema(required = false)]
    next_cursor: Option<String>,
}

#[derive(Debug, ToSchema)]
#[schema(as = Version)]
#[expect(dead_code, reason = "answers are spliced together; this describes them")]
struct DescribedVersion {
    version_id: Uuid,
    /// When the version was written.
    #[schema(format = DateTime)]
    created_at: String,
    /// Null for a tombstone and for an expired version.
    value: serde_json::Value,
    /// When it expires; null if never.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// When the value was deleted or expired.
    #[schema(format = DateTime)]
    deleted_at: Option<String>,
    /// Empty for a tombstone and for an expired version.
    tags: Vec<String>,
    importance: f32,
    searchable: bool,
    /// The bytes of the value as JSON text; null where there is no value.
    size: Option<usize>,
    /// The SHA-256 of the value as JSON text, in hexadecimal digits; null where there is no value.
    sha256: Option<String>,
    /// The key that wrote it; null if it was written without one, or before keys were kept.
    author: Option<AuthorAnswer<'static>>,
}

/// List the versions of an entry
#[utoipa::path(post, path = "/v1/history", operation_id = "get_history", tag = "memory", request_body = Request,
    responses((status = 200, description = "A page of versions.", body = Answer), Refusals))]
pub(crate) async fn history(
    State(app): State<App>,
    MemoryReader(tenant): MemoryReader,
    Json(request): Json<Request>,
) -> Result<Response, ApiError> {
    let page = app.memory.history(tenant, request.into()).await?;
    let rest = Rest { next_cursor: page.next_cursor };
    let bytes = page.versions.iter().map(Version::bytes).sum();
    let write = |json: &mut Vec<u8>, version: &Version| {
        raw_json::value(json, version.value.as_deref().unwrap_or("null"), &fields(version))
    };
    let list = || raw_json::list("versions", page.versions, write, &rest);
    let json = compute(Some(tenant), bytes, list).await?;
    Ok(raw_json::answer(json, page.reserved))
}

impl From<Request> for HistoryRequest {
    fn from(Request { agent_id, path, limit, cursor }: Request) -> Self {
        Self { agent_id, path, limit, cursor }
    }
}

fn fields(version: &Version) -> Fields<'_> {
    Fields {
        version_id: version.id,
        created_at: rfc3339(version.created_at),
        expires_at: version.expires_at.map(rfc3339),
        deleted_at: version.deleted_at.map(rfc3339),
        // With a value its tags go as well, which may tell of it.
        tags: if version.value.is_some() { &version.tags } else { &[] },
        importance: version.importance,
        searchable: version.searchable,
        size: version.value.as_ref().map(String::len),
        sha256: version.value.as_deref().map(Sha256Sum::of),
        author: version
            .author
            .as_ref()
            .map(|Author { key_id, label }| AuthorAnswer { key_id, label: label.as_deref() }),
    }
}
