//! Searches entries: by meaning and names (the default), by meaning alone, by words alone or by both (hybrid), with fallback
//! to full text.

mod note;

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use self::note::{BLANK, NO_EMBEDDINGS, note};
use super::{MAX_BYTES, Memory, MemoryError, Quota};
use crate::domain::TenantId;
use crate::domain::memory::agent_id::AgentId;
use crate::domain::memory::filter::Filter;
use crate::domain::memory::path::Prefix;
use crate::domain::memory::tags::{TagList, Tags};
use crate::domain::page_size::PageSize;
use crate::domain::search::lexical_text::LexicalText;
use crate::domain::search::names::names;
use crate::embedding::query_embeddings::QueryEmbeddingError;
use crate::runtime::byte_budget::Reservation;
use crate::runtime::fair_pool::FairPoolError;
use crate::store::access::quota;
use crate::store::connection::pool::Pool;
use crate::store::entries::versions::Version;
use crate::store::search::{MAX_WRITTEN_BYTES, Matches, RankBy, Search, find};

/// Most bytes that a search of the past keeps before it reads what it found: words, and what is sent to the database of them.
const PAST_BYTES: usize = 2 * MAX_WRITTEN_BYTES;

const SIZE: PageSize = PageSize { default: 10, max: 50 };
/// Longest query in characters.
pub const MAX_QUERY: usize = 2000;
/// When to retry if the provider does not say: after its breaker's first pause, and after some jobs.
const RETRY_SOON: Duration = Duration::from_secs(1);
const RETRY_LATER: Duration = Duration::from_secs(30);

/// An unvalidated search.
#[derive(Debug, Default)]
pub struct SearchRequest {
    /// The agent whose memory it is.
    pub agent_id: String,
    /// The query's text.
    pub query: String,
    /// Most results.
    pub limit: Option<i64>,
    /// Only entries whose values meet these conditions.
    pub filter: Option<Box<RawValue>>,
    /// Only entries at or below this path.
    pub path_prefix: Option<String>,
    /// Only entries with one of these tags.
    pub tags_any: Option<TagList>,
    /// The mode. By default semantic search, in which an entry with most of the query's words goes first, with full text
    /// search for entries that have no embedding yet; full text search alone without an embedding provider, or while it fails.
    pub mode: Option<Mode>,
    /// The moment to search at; `None` is now.
    pub as_of: Option<String>,
    /// A version that the read must see.
    pub min_version: Option<Uuid>,
}

/// The mode of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Semantic search alone; an error if that is not possible now.
    Semantic,
    /// Full text search alone.
    Text,
    /// Both, of all entries; full text search alone if the query cannot be embedded now.
    Hybrid,
}

/// The result of a search.
#[derive(Debug)]
pub struct SearchAnswer {
    /// The versions with their similarity from 0 to 1, the best first, which need not be the most similar; fewer if their values are large.
    pub results: Vec<(f64, Version)>,
    /// A note on how they were found.
    pub note: Option<String>,
    /// Its bytes of the budget.
    pub reserved: Reservation,
}

/// A validated search.
struct Checked {
    agent: AgentId,
    prefix: Prefix,
    tags: Tags,
    filter: Option<Filter>,
    limit: usize,
}

/// What was found, the note on it, and its bytes of the budget.
struct Looked {
    found: Matches,
    note: Option<String>,
    reserved: Reservation,
}

impl SearchRequest {
    fn check(&mut self) -> Result<Checked, MemoryError> {
        let agent = AgentId::parse(&self.agent_id)?;
        let chars = self.query.chars().count();
        if !(1..=MAX_QUERY).contains(&chars) {
            return Err(MemoryError::Query(chars));
        }
        let limit = SIZE.limit(self.limit)?;
        let prefix = Prefix::parse(self.path_prefix.as_deref().unwrap_or("/"))?;
        let tags = Tags::new(self.tags_any.take().unwrap_or_default());
        let tags = tags.map_err(MemoryError::TagsAny)?;
        let filter = self.filter.as_deref().map(Filter::parse).transpose()?;
        Ok(Checked { agent, prefix, tags, filter, limit })
    }
}

impl Memory {
    /// Searches entries. Counts against the tenant's search quota of the day, unless the query is blank.
    pub async fn search(
        &self,
        tenant: TenantId,
        mut request: SearchRequest,
    ) -> Result<SearchAnswer, MemoryError> {
        let Checked { agent, prefix, tags, filter, limit } = request.check()?;
        let as_of = self.past_moment(tenant, request.as_of.as_deref()).await?;
        self.must_be_possible(request.mode)?;
        // Providers refuse blank texts, and no word is in them.
        if is_blank(&request.query) {
            let note = Some(BLANK.to_owned());
            let reserved = Reservation::default();
            return Ok(SearchAnswer { results: Vec::new(), note, reserved });
        }
        let tokens_used = self.count_search(tenant).await?;
        let tokens_used = tokens_used.ok_or(MemoryError::QuotaUsedUp(Quota::Searches))?;
        let search = Search {
            tenant,
            agent: &agent,
            prefix: &prefix,
            tags_any: tags.as_slice(),
            filter: filter.as_ref(),
            as_of,
            words: &LexicalText::of_query(&request.query),
            names: &names(&request.query),
            limit,
        };
        let mut looked = self.look(&search, &request, tokens_used).await?;
        if let (false, Some(embeddings)) = (looked.found.is_current, &self.query_embeddings) {
            embeddings.forget_model().await;
            drop(looked);
            looked = self.look(&search, &request, tokens_used).await?;
        }
        let Looked { found, note, reserved } = looked;
        Ok(SearchAnswer { results: found.hits, note, reserved })
    }

    /// Counts a search against the tenant's quota; `None` if that is used up. Returns the tenant's embedded tokens of today.
    /// While the database takes no writes, the search goes by the counts as they are.
    async fn count_search(&self, tenant: TenantId) -> Result<Option<i64>, FairPoolError> {
        let daily = self.searches_per_day;
        let count = |pool: Pool| async move { quota::count_search(&pool, tenant, daily).await };
        match self.lookups.retrying(tenant, count).await {
            Err(FairPoolError::Store(error)) if error.takes_no_writes() => {
                tracing::warn!("a search is not counted: {error}");
                let look =
                    |pool: Pool| async move { quota::may_search(&pool, tenant, daily).await };
                self.lookups.retrying(tenant, look).await
            }
            counted => counted,
        }
    }

    /// Refuses semantic search without an embedding provider, before the search is counted.
    fn must_be_possible(&self, mode: Option<Mode>) -> Result<(), MemoryError> {
        if self.query_embeddings.is_some() || matches!(mode, None | Some(Mode::Text)) {
            return Ok(());
        }
        Err(MemoryError::EmbeddingsNotConfigured)
    }

    /// Searches in the requested mode or falls back to full text.
    async fn look(
        &self,
        search: &Search<'_>,
        request: &SearchRequest,
        tokens_used: i64,
    ) -> Result<Looked, MemoryError> {
        let mode = request.mode;
        let embedded = match (&self.query_embeddings, mode) {
            (_, Some(Mode::Text)) => Err(None),
            (None, _) => Err(Some(NO_EMBEDDINGS.to_owned())),
            (Some(embeddings), _) => {
                match embeddings.embed(search.tenant, &request.query, tokens_used).await {
                    Ok(embedded) => Ok(embedded),
                    Err(QueryEmbeddingError::LookUp(error)) => {
                        return Err(FairPoolError::clone(&error).into());
                    }
                    Err(reason) if mode == Some(Mode::Semantic) => return Err(refused(reason)),
                    Err(reason) => Err(Some(format!("full-text search: {reason}"))),
                }
            }
        };
        let by = match (&embedded, mode) {
            (Err(_), _) => RankBy::FullText,
            (Ok(embedded), Some(Mode::Semantic)) => RankBy::Semantic(embedded),
            (Ok(embedded), Some(Mode::Hybrid)) => RankBy::Hybrid(embedded),
            (Ok(embedded), _) => RankBy::Meant(embedded),
        };
        let page = self.page_bytes(search.limit);
        let bytes = if search.as_of.is_some() { page.max(PAST_BYTES) } else { page };
        let reserved = self.reserve(search.tenant, bytes).await?;
        let read = |pool: Pool| async move { find(&pool, search, by, MAX_BYTES).await };
        let found = match search.as_of {
            None => self.read(search.tenant, request.min_version, read).await,
            // The past is asked of the primary, whose clock dates the versions.
            Some(_) => self.read_primary(search.tenant, request.min_version, read).await,
        };
        let found = found.map_err(|error| match error {
            MemoryError::TimedOut => MemoryError::SearchTooDear,
            error => error,
        })?;
        let found = found.ok_or(MemoryError::TooMuchSince)?;
        let note = note(by, embedded.as_ref().err().cloned().flatten(), &found);
        Ok(Looked { found, note, reserved })
    }
}

/// Whether a text has nothing but white space and characters that are not seen.
fn is_blank(text: &str) -> bool {
    let is_unseen = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}');
    text.chars().all(|c| c.is_whitespace() || c.is_control() || is_unseen(c))
}

/// The error of a semantic search whose query was not embedded.
fn refused(reason: QueryEmbeddingError) -> MemoryError {
    let after = match &reason {
        QueryEmbeddingError::OutOfTokens => return MemoryError::QuotaUsedUp(Quota::EmbedTokens),
        QueryEmbeddingError::Away { after } => after.unwrap_or(RETRY_SOON),
        QueryEmbeddingError::NotReady
        | QueryEmbeddingError::OtherModel
        | QueryEmbeddingError::LookUp(_) => RETRY_LATER,
    };
    MemoryError::SemanticSearchUnavailable { reason, after }
}
