//! POST /v1/dump

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::rfc3339;
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::{Json, MemoryReader};
use crate::http::openapi::Refusals;
use crate::http::response::raw_json;
use crate::memory::dump::DumpRequest;
use crate::runtime::cpu::compute;
use crate::store::entries::dump;
use crate::store::entries::versions::Version;

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = DumpRequest)]
pub(crate) struct Request {
    /// The name of the agent.
    #[schema(min_length = 1, max_length = 128, example = "ada")]
    agent_id: String,
    /// The maximum number of results. Defaults to 200.
    #[schema(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
    /// Read the memory as it was at this time (RFC 3339).
    #[schema(format = DateTime)]
    as_of: Option<String>,
    /// Only entries at this path or below it. Defaults to all.
    #[schema(min_length = 1, pattern = "^/", example = "/notes")]
    prefix: Option<String>,
    /// Only entries whose values meet these conditions: members, as `status` or `a.b`, with the value that they must equal, or with
    /// an object of comparisons (`$eq`, `$ne`, `$gt`, `$gte`, `$lt`, `$lte`).
    #[schema(value_type = Option<std::collections::BTreeMap<String, serde_json::Value>>)]
    filter: Option<Box<RawValue>>,
    /// The order. Defaults to `path`.
    #[serde(default)]
    order: Order,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = DumpOrder)]
#[serde(rename_all = "lowercase")]
enum Order {
    /// By path.
    #[default]
    Path,
    /// By the time when the latest version was written, the last one first.
    Newest,
}

/// What surrounds the value of an entry.
#[derive(Serialize)]
struct Fields<'a> {
    path: &'a str,
    tags: &'a [String],
    importance: f32,
    searchable: bool,
    version_id: Uuid,
    created_at: String,
    expires_at: Option<String>,
}

#[derive(Serialize)]
struct Rest {
    count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, ToSchema)]
#[schema(as = DumpAnswer)]
#[expect(dead_code, reason = "answers are spliced together; this describes them")]
struct Answer {
    /// Entries, in order. A page has fewer of them when values are large, or when much was looked at for the filter.
    entries: Vec<DumpedEntry>,
    /// The number of entries on the page.
    count: usize,
    /// The cursor of the next page; absent on the last page.
    #[schema(required = false)]
    next_cursor: Option<String>,
}

#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "answers are spliced together; this describes them")]
struct DumpedEntry {
    path: String,
    value: serde_json::Value,
    tags: Vec<String>,
    importance: f32,
    searchable: bool,
    version_id: Uuid,
    /// When the version was written.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it expires; null if never.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// Get the entries of an agent
#[utoipa::path(post, path = "/v1/dump", operation_id = "dump_entries", tag = "memory", request_body = Request,
    responses((status = 200, description = "A page of entries.", body = Answer), Refusals))]
pub(crate) async fn dump(
    State(app): State<App>,
    MemoryReader(tenant): MemoryReader,
    Json(request): Json<Request>,
) -> Result<Response, ApiError> {
    let page = app.memory.dump(tenant, request.into()).await?;
    let rest = Rest { count: page.entries.len(), next_cursor: page.next_cursor };
    let bytes = page.entries.iter().map(Version::bytes).sum();
    let write = |json: &mut Vec<u8>, version: &Version| {
        raw_json::value(json, version.value.as_deref().unwrap_or("null"), &fields(version))
    };
    let list = || raw_json::list("entries", page.entries, write, &rest);
    let json = compute(Some(tenant), bytes, list).await?;
    Ok(raw_json::answer(json, page.reserved))
}

impl From<Request> for DumpRequest {
    fn from(request: Request) -> Self {
        let Request { agent_id, limit, cursor, as_of, prefix, filter, order } = request;
        let order = match order {
            Order::Path => dump::Order::Path,
            Order::Newest => dump::Order::Newest,
        };
        Self { agent_id, limit, cursor, as_of, prefix, filter, order }
    }
}

fn fields(version: &Version) -> Fields<'_> {
    Fields {
        path: &version.path,
        tags: &version.tags,
        importance: version.importance,
        searchable: version.searchable,
        version_id: version.id,
        created_at: rfc3339(version.created_at),
        expires_at: version.expires_at.map(rfc3339),
    }
}
