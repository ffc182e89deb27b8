//! POST /v1/search

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
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
    /// The agent whose memory it is.
    #[schema(min_length = 1, max_length = 128)]
    agent_id: String,
    /// What is looked for, in plain words.
    #[schema(min_length = 1, max_length = 2000)]
    query: String,
    /// At most this many; 10 without it.
    #[schema(minimum = 1, maximum = 50)]
    limit: Option<i64>,
    /// Only what is at this path or below it.
    #[schema(pattern = "^/", max_length = 512)]
    path_prefix: Option<String>,
    /// Only what has one of these tags.
    #[schema(value_type = Option<Vec<String>>, max_items = 20)]
    tags_any: Option<TagList>,
    /// How it is found. Without it: by meaning where embeddings are configured, and by their words those that have no
    /// embedding yet; by words alone where none are configured, or the provider gives none now. A note says which.
    mode: Option<Mode>,
    /// See at least this version, and all that was committed before it: the `version_id` of a put or delete. It matters
    /// where reads may go to a replica.
    min_version: Option<Uuid>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = SearchMode)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// By meaning alone; an error where that cannot be done now.
    Semantic,
    /// By words alone.
    Text,
    /// By both, fused by their ranks; by words alone where the provider gives no embedding now.
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
    /// The best first. As many as match, up to the limit; fewer where their values are large.
    results: Vec<SearchResult>,
    /// What is to be known about how they were found.
    #[schema(required = false)]
    note: Option<String>,
}

#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "answers are spliced together; this describes them")]
struct SearchResult {
    path: String,
    value: serde_json::Value,
    tags: Vec<String>,
    /// From 0 to 1. By meaning it is the cosine of the angle between the vectors of query and value; by words, the share of
    /// the query's words that the value has; of both, a measure of the ranks alone.
    similarity: f64,
    version_id: Uuid,
    /// When the version was written.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it stops being served.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    importance: f32,
    searchable: bool,
}

/// Search what was put as searchable
#[utoipa::path(post, path = "/v1/search", tag = "memory", request_body = Request,
    responses((status = 200, description = "What was found.", body = Answer), ReadRefusals,
        (status = 503, body = Envelope, description = "The database is away for the moment, or the server has no memory to spare (UNAVAILABLE); or a search by meaning was asked for, and there are no embeddings (EMBEDDINGS_NOT_CONFIGURED), or none now (UNAVAILABLE).")))]
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
        let Request { agent_id, query, limit, path_prefix, tags_any, mode, min_version } = request;
        let mode = mode.map(searched::Mode::from);
        Self { agent_id, query, limit, path_prefix, tags_any, mode, min_version }
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
