//! POST /v1/search

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::memory::tags::TagList;
use crate::domain::rfc3339;
use crate::http::App;
use crate::http::error::{ApiError, Envelope};
use crate::http::extract::{Json, Searcher};
use crate::http::openapi::ReadRefusals;
use crate::http::response::raw_json;
use crate::memory::search::{self as searched, SearchAnswer, SearchRequest};
use crate::runtime::cpu::compute;
use crate::store::entries::versions::Version;

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = SearchRequest)]
pub(crate) struct Request {
    /// The name of the agent.
    #[schema(min_length = 1, max_length = 128, example = "ada")]
    agent_id: String,
    /// What to search for, in plain words.
    #[schema(min_length = 1, max_length = 2000, example = "food she must not eat")]
    query: String,
    /// The maximum number of results. Defaults to 10.
    #[schema(minimum = 1, maximum = 50)]
    limit: Option<i64>,
    /// Only entries whose values meet these conditions: members, as `status` or `a.b`, with the value that they must equal, or with
    /// an object of comparisons (`$eq`, `$ne`, `$gt`, `$gte`, `$lt`, `$lte`).
    #[schema(value_type = Option<std::collections::BTreeMap<String, serde_json::Value>>)]
    filter: Option<Box<RawValue>>,
    /// Only entries at this path or below it.
    #[schema(pattern = "^/", max_length = 512)]
    path_prefix: Option<String>,
    /// Only entries with at least one of these tags.
    #[schema(value_type = Option<Vec<String>>, max_items = 20)]
    tags_any: Option<TagList>,
    /// How to search. By default by meaning, where an entry that has a name of the query or most of its words goes first,
    /// and entries without an embedding yet are found by full-text search; by `text` if no embeddings are configured or
    /// the provider is unavailable. `note` says which.
    mode: Option<Mode>,
    /// Search the memory as it was at this time (RFC 3339). Entries that were written or deleted since are found by full-text
    /// search alone.
    #[schema(format = DateTime)]
    as_of: Option<String>,
    /// Read a state that includes this version and all that was committed before it: the `version_id` of a put or
    /// delete. It matters if reads may go to a replica.
    min_version: Option<Uuid>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = SearchMode)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// Semantic search only; an error if it is not available now.
    Semantic,
    /// Full-text search only.
    Text,
    /// Both, of all entries, fused; full-text only if the provider is unavailable.
    Hybrid,
}

/// What surrounds the value of a result.
#[derive(Serialize)]
struct Fields<'a> {
    path: &'a str,
    tags: &'a [String],
    similarity: f64,
    version_id: Uuid,
    created_at: String,
    expires_at: Option<String>,
    importance: f32,
    searchable: bool,
}

#[derive(Serialize)]
struct Rest {
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Debug, ToSchema)]
#[schema(as = SearchAnswer)]
#[expect(dead_code, reason = "answers are spliced together; this describes them")]
struct Answer {
    /// The best results first, up to the limit. There may be fewer when values are large.
    results: Vec<SearchResult>,
    /// A remark on how the results were found, if there is one.
    #[schema(required = false)]
    note: Option<String>,
}

#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "answers are spliced together; this describes them")]
struct SearchResult {
    path: String,
    value: serde_json::Value,
    tags: Vec<String>,
    /// From 0 to 1. With `semantic`, the cosine similarity of the embeddings of query and value; with `text`, the share
    /// of the query's words that the value has; by default the former, or the latter where only words have found it;
    /// with `hybrid`, a score of both.
    similarity: f64,
    version_id: Uuid,
    /// When the version was written.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it expires; null if never.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    importance: f32,
    searchable: bool,
}

/// Search the searchable entries of an agent
#[utoipa::path(post, path = "/v1/search", operation_id = "search_entries", tag = "memory", request_body = Request,
    responses((status = 200, description = "The results.", body = Answer), ReadRefusals,
        (status = 503, body = Envelope, description = "The database is unavailable, or the server is out of memory for requests (UNAVAILABLE); or the mode is `semantic`, and embeddings are not configured (EMBEDDINGS_NOT_CONFIGURED) or not available now (UNAVAILABLE).")))]
pub(crate) async fn search(
    State(app): State<App>,
    Searcher(tenant): Searcher,
    Json(request): Json<Request>,
) -> Result<Response, ApiError> {
    let SearchAnswer { results, note, reserved } =
        app.memory.search(tenant, request.into()).await?;
    let rest = Rest { note };
    let bytes = results.iter().map(|(_, version)| version.bytes()).sum();
    let write = |json: &mut Vec<u8>, (similarity, version): &(f64, Version)| {
        let fields = fields(*similarity, version);
        raw_json::value(json, version.value.as_deref().unwrap_or("null"), &fields)
    };
    let list = || raw_json::list("results", results, write, &rest);
    let json = compute(Some(tenant), bytes, list).await?;
    Ok(raw_json::answer(json, reserved))
}

impl From<Request> for SearchRequest {
    fn from(request: Request) -> Self {
        let Request {
            agent_id,
            query,
            limit,
            filter,
            path_prefix,
            tags_any,
            mode,
            as_of,
            min_version,
        } = request;
        let mode = mode.map(searched::Mode::from);
        Self { agent_id, query, limit, filter, path_prefix, tags_any, mode, as_of, min_version }
    }
}

impl From<Mode> for searched::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Semantic => Self::Semantic,
            Mode::Text => Self::Text,
            Mode::Hybrid => Self::Hybrid,
        }
    }
}

fn fields(similarity: f64, version: &Version) -> Fields<'_> {
    Fields {
        path: &version.path,
        tags: &version.tags,
        similarity,
        version_id: version.id,
        created_at: rfc3339(version.created_at),
        expires_at: version.expires_at.map(rfc3339),
        importance: version.importance,
        searchable: version.searchable,
    }
}
