//! POST /v1/search

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{page, quota};
use crate::domain::memory::agent_id::AgentId;
use crate::domain::memory::path::Prefix;
use crate::domain::memory::tags::Tags;
use crate::domain::rfc3339;
use crate::domain::search::lexical_text::LexicalText;
use crate::embedding::query_embeddings::QueryEmbeddingError;
use crate::http::App;
use crate::http::error::{ApiError, Code, Envelope};
use crate::http::extract::{Json, Searcher};
use crate::http::openapi::Refusals;
use crate::http::response::raw_json;
use crate::runtime::replica;
use crate::store::access::quota::count_search;
use crate::store::entries::versions::Version;
use crate::store::search::{Matches, RankBy, Search, find};

const SIZE: page::Size = page::Size { default: 10, max: 50 };
/// Longest query in characters.
const MAX_QUERY: usize = 2000;
/// When to come back, where the provider does not say: after its breaker's first pause, and after some jobs.
const RETRY_SOON: Duration = Duration::from_secs(1);
const RETRY_LATER: Duration = Duration::from_secs(30);

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = SearchRequest)]
pub(crate) struct Request {
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
    /// How it is found. Without it: by meaning where embeddings are configured, and by their words those that have no
    /// embedding yet; by words alone where none are configured, or the provider gives none now. A note says which.
    mode: Option<Mode>,
    /// See at least this version, and all that was committed before it: the `version_id` of a put or delete. It matters
    /// where reads may go to a replica.
    min_version: Option<Uuid>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
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
}

/// Search what was put as searchable
#[utoipa::path(post, path = "/v1/search", tag = "memory", request_body = Request,
    responses((status = 200, description = "What was found.", body = Answer), Refusals,
        (status = 503, body = Envelope, description = "The database is away for the moment (UNAVAILABLE); or a search by meaning was asked for, and there are no embeddings (EMBEDDINGS_NOT_CONFIGURED), or none now (UNAVAILABLE).")))]
pub(crate) async fn search(
    State(app): State<App>,
    Searcher(tenant): Searcher,
    Json(mut request): Json<Request>,
) -> Result<Response, ApiError> {
    let agent = AgentId::parse_plain(&request.agent_id)?;
    let chars = request.query.chars().count();
    if !(1..=MAX_QUERY).contains(&chars) {
        let sentence = format!("query has {chars} characters; it must have 1 to {MAX_QUERY}");
        return Err(ApiError::new(Code::ValidationError, sentence));
    }
    let limit = SIZE.limit(request.limit)?;
    let prefix = Prefix::parse(request.path_prefix.as_deref().unwrap_or("/"))?;
    let tags = Tags::new(request.tags_any.take().unwrap_or_default())
        .map_err(|e| ApiError::new(Code::ValidationError, format!("tags_any: {e}")))?;
    must_be_possible(&app, request.mode)?;
    let Some(tokens_used) = count_search(&app.pool, tenant, app.searches_per_day).await? else {
        return Err(quota::used_up(Code::QuotaSearches, "searches", "SEARCH_QUOTA_PER_DAY"));
    };
    let search = Search {
        tenant,
        agent: &agent,
        prefix: &prefix,
        tags_any: tags.as_slice(),
        words: &LexicalText::of_query(&request.query),
        limit,
    };
    let (mut found, mut note) = look(&app, &search, &request, tokens_used).await?;
    if let (false, Some(embeddings)) = (found.is_current, &app.query_embeddings) {
        embeddings.forget_model().await;
        (found, note) = look(&app, &search, &request, tokens_used).await?;
    }
    let rest = Rest { note };
    let items = found
        .hits
        .iter()
        .map(|(similarity, v)| (v.value.as_deref().unwrap_or("null"), fields(*similarity, v)));
    Ok(raw_json::answer(raw_json::list("results", items, &rest)?))
}

/// Searches in the way that is asked for, or in the next best; says which.
async fn look(
    app: &App,
    search: &Search<'_>,
    request: &Request,
    tokens_used: i64,
) -> Result<(Matches, Option<String>), ApiError> {
    let mode = request.mode;
    let embedded = match (&app.query_embeddings, mode) {
        (_, Some(Mode::Text)) => Err(None),
        (None, _) => Err(Some(NO_EMBEDDINGS.to_owned())),
        (Some(embeddings), _) => {
            match embeddings.embed(search.tenant, &request.query, tokens_used).await {
                Err(QueryEmbeddingError::Store(error)) => return Err(ApiError::from(&*error)),
                Err(error) if mode == Some(Mode::Semantic) => return Err(refused(&error)),
                Err(error) => Err(Some(format!("found by its words: {error}"))),
                Ok(embedded) => Ok(embedded),
            }
        }
    };
    let by = match (&embedded, mode) {
        (Err(_), _) => RankBy::FullText,
        (Ok(embedded), Some(Mode::Semantic)) => RankBy::Semantic(embedded),
        (Ok(embedded), Some(Mode::Hybrid)) => RankBy::Hybrid(embedded),
        (Ok(embedded), _) => RankBy::SemanticOrFullText(embedded),
    };
    let read = |pool: PgPool| async move { find(&pool, search, by, page::MAX_BYTES).await };
    let seen = request.min_version;
    let found = replica::read(app.replica.as_ref(), &app.pool, search.tenant, seen, read).await?;
    let note = note(by, embedded.as_ref().err().cloned().flatten(), &found);
    Ok((found, note))
}

const NO_EMBEDDINGS: &str =
    "found by its words: this server has no embeddings, with which it would search by meaning";

/// Without embeddings only words can be searched: that is known before the search is counted.
fn must_be_possible(app: &App, mode: Option<Mode>) -> Result<(), ApiError> {
    if app.query_embeddings.is_some() || matches!(mode, None | Some(Mode::Text)) {
        return Ok(());
    }
    Err(ApiError::new(
        Code::EmbeddingsNotConfigured,
        "this server has no embeddings to search by meaning; leave mode out or send \"text\" to search by words, or have an operator configure a provider of embeddings",
    ))
}

/// What one is told who asked for meaning alone.
fn refused(error: &QueryEmbeddingError) -> ApiError {
    let after = match error {
        QueryEmbeddingError::OutOfTokens => {
            let (code, setting) = (Code::QuotaEmbedTokensPerDay, "EMBED_TOKENS_QUOTA_PER_DAY");
            return quota::used_up(code, "embedding tokens", setting);
        }
        QueryEmbeddingError::Away { after } => after.unwrap_or(RETRY_SOON),
        QueryEmbeddingError::NotReady | QueryEmbeddingError::Store(_) => RETRY_LATER,
    };
    let sentence = format!(
        "a search by meaning is not possible now: {error}; try again later, or leave mode out to search by words meanwhile"
    );
    let seconds = u32::try_from(after.as_secs().max(1)).unwrap_or(u32::MAX);
    ApiError::new(Code::Unavailable, sentence).retry_after(seconds)
}

fn note(by: RankBy<'_>, instead: Option<String>, found: &Matches) -> Option<String> {
    let only_stop_words =
        "the query has no word that tells values apart (like \"the\", \"is\", \"and\"); use others";
    let cut = "the values of more results would make the answer too large; narrow path_prefix or tags_any to see them";
    let waiting = match (by, found.unembedded) {
        (RankBy::FullText | RankBy::Hybrid(_), _) | (_, 0) => None,
        (RankBy::Semantic(_), 1) => {
            Some("1 entry has no embedding yet and is not found".to_owned())
        }
        (RankBy::Semantic(_), n) => {
            Some(format!("{n} entries have no embedding yet and are not found"))
        }
        (_, 1) => Some("1 entry has no embedding yet and is found by its words".to_owned()),
        (_, n) => Some(format!("{n} entries have no embedding yet and are found by their words")),
    };
    let lacks_terms = matches!(by, RankBy::FullText | RankBy::Hybrid(_)) && !found.has_terms;
    let notes = [
        instead,
        waiting,
        lacks_terms.then(|| only_stop_words.to_owned()),
        found.cut.then(|| cut.to_owned()),
    ];
    let notes: Vec<String> = notes.into_iter().flatten().collect();
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
