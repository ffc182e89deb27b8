//! POST /v1/search

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::error::{ApiError, Code};
use super::extract::{Json, Searcher};
use super::openapi::Refusals;
use super::{App, page, quota, splice};
use crate::domain::agent_id::AgentId;
use crate::domain::path::Prefix;
use crate::domain::rfc3339;
use crate::domain::tags::Tags;
use crate::domain::words::Words;
use crate::store::quota::count_search;
use crate::store::search::{Found, Search, find};
use crate::store::versions::Version;

const SIZE: page::Size = page::Size { default: 10, max: 50 };
/// Longest query in characters.
const MAX_QUERY: usize = 2000;

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = SearchRequest)]
pub(super) struct Request {
    /// The agent whose memory it is.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,128}$")]
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
    #[schema(max_items = 20)]
    tags_any: Option<Vec<String>>,
    /// How it is found; without it, by meaning where embeddings are configured, else by its words.
    mode: Option<Mode>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[schema(as = SearchMode)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// By meaning.
    Semantic,
    /// By words.
    Text,
    /// By both.
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
    /// From 0 to 1. Comparable within an answer, not between queries.
    similarity: f64,
    version_id: Uuid,
    /// When the version was written.
    #[schema(format = DateTime)]
    created_at: String,
}

/// Search what was put as searchable
#[utoipa::path(post, path = "/v1/search", tag = "memory", request_body = Request,
    responses((status = 200, description = "What was found.", body = Answer), Refusals))]
pub(super) async fn search(
    State(app): State<App>,
    Searcher(tenant): Searcher,
    Json(request): Json<Request>,
) -> Result<Response, ApiError> {
    let agent = AgentId::parse_plain(&request.agent_id)?;
    let chars = request.query.chars().count();
    if !(1..=MAX_QUERY).contains(&chars) {
        let sentence = format!("query has {chars} characters; it must have 1 to {MAX_QUERY}");
        return Err(ApiError::new(Code::ValidationError, sentence));
    }
    let limit = SIZE.limit(request.limit)?;
    let prefix = Prefix::parse(request.path_prefix.as_deref().unwrap_or("/"))?;
    let tags = Tags::new(request.tags_any.unwrap_or_default())
        .map_err(|e| ApiError::new(Code::ValidationError, format!("tags_any: {e}")))?;
    let by_text = by_text(request.mode)?;
    if !count_search(&app.pool, tenant, app.searches_per_day).await? {
        return Err(quota::used_up(Code::QuotaSearches, "searches", "SEARCH_QUOTA_PER_DAY"));
    }
    let search = Search {
        tenant,
        agent: &agent,
        prefix: &prefix,
        tags_any: tags.as_slice(),
        words: &Words::of_query(&request.query),
        limit,
    };
    let found = find(&app.pool, &search, page::MAX_BYTES).await?;
    let rest = Rest { note: note(by_text, &found) };
    let items = found
        .hits
        .iter()
        .map(|(similarity, v)| (v.value.as_deref().unwrap_or("null"), fields(*similarity, v)));
    Ok(splice::answer(splice::list("results", items, &rest)?))
}

/// What a search by words alone has to say of itself; an error where it is not what was asked for.
fn by_text(mode: Option<Mode>) -> Result<Option<&'static str>, ApiError> {
    match mode {
        None => Ok(Some(
            "found by its words: this server has no embeddings, with which it would search by meaning",
        )),
        Some(Mode::Text) => Ok(None),
        Some(Mode::Semantic | Mode::Hybrid) => Err(ApiError::new(
            Code::EmbeddingsNotConfigured,
            "this server has no embeddings to search by meaning; leave mode out or send \"text\" to search by words, or have an operator configure a provider of embeddings",
        )),
    }
}

fn note(by_text: Option<&str>, found: &Found) -> Option<String> {
    let untelling =
        "the query has no word that tells values apart (like \"the\", \"is\", \"and\"); use others";
    let cut = "the values of more results would make the answer too large; narrow path_prefix or tags_any to see them";
    let notes = [by_text, (!found.is_telling).then_some(untelling), found.cut.then_some(cut)];
    let notes: Vec<&str> = notes.into_iter().flatten().collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}

fn fields(similarity: f64, version: &Version) -> Fields<'_> {
    Fields {
        path: &version.path,
        tags: &version.tags,
        similarity,
        version_id: version.id,
        created_at: rfc3339(version.created_at),
    }
}
