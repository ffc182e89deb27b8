//! Searches what was put as searchable: by meaning, by words or by both, as it is asked for or as is possible.

mod note;

use std::time::Duration;

use sqlx::postgres::PgPool;
use uuid::Uuid;

use self::note::{NO_EMBEDDINGS, note};
use super::{MAX_BYTES, Memory, MemoryError, Quota};
use crate::domain::TenantId;
use crate::domain::memory::agent_id::AgentId;
use crate::domain::memory::path::Prefix;
use crate::domain::memory::tags::Tags;
use crate::domain::page_size::PageSize;
use crate::domain::search::lexical_text::LexicalText;
use crate::embedding::query_embeddings::QueryEmbeddingError;
use crate::store::access::quota::count_search;
use crate::store::entries::versions::Version;
use crate::store::search::{Matches, RankBy, Search, find};

const SIZE: PageSize = PageSize { default: 10, max: 50 };
/// Longest query in characters.
pub const MAX_QUERY: usize = 2000;
/// When to come back, where the provider does not say: after its breaker's first pause, and after some jobs.
const RETRY_SOON: Duration = Duration::from_secs(1);
const RETRY_LATER: Duration = Duration::from_secs(30);

/// What is looked for, as it was given.
#[derive(Debug)]
pub struct SearchRequest {
    /// The agent whose memory it is.
    pub agent_id: String,
    /// In plain words.
    pub query: String,
    /// Most results.
    pub limit: Option<i64>,
    /// Only what is at this path or below it.
    pub path_prefix: Option<String>,
    /// Only what has one of these tags.
    pub tags_any: Option<Vec<String>>,
    /// How it is found. Without it: by meaning where embeddings are configured, and by their words those that have no
    /// embedding yet; by words alone where there are none, or none now.
    pub mode: Option<Mode>,
    /// At least this version is to be seen.
    pub min_version: Option<Uuid>,
}

/// By what entries are to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// By meaning alone; an error where that cannot be done now.
    Semantic,
    /// By words alone.
    Text,
    /// By both, fused by their ranks; by words alone where there is no embedding of the query now.
    Hybrid,
}

/// What was found.
#[derive(Debug)]
pub struct SearchAnswer {
    /// The versions with their likeness from 0 to 1, the best first. They are fewer where their values are large.
    pub results: Vec<(f64, Version)>,
    /// What is to be known about how they were found.
    pub note: Option<String>,
}

/// A request, checked.
struct Checked {
    agent: AgentId,
    prefix: Prefix,
    tags: Tags,
    limit: usize,
}

impl SearchRequest {
    fn check(&mut self) -> Result<Checked, MemoryError> {
        let agent = AgentId::parse_plain(&self.agent_id)?;
        let chars = self.query.chars().count();
        if !(1..=MAX_QUERY).contains(&chars) {
            return Err(MemoryError::Query(chars));
        }
        let limit = SIZE.limit(self.limit)?;
        let prefix = Prefix::parse(self.path_prefix.as_deref().unwrap_or("/"))?;
        let tags = Tags::new(self.tags_any.take().unwrap_or_default());
        let tags = tags.map_err(MemoryError::TagsAny)?;
        Ok(Checked { agent, prefix, tags, limit })
    }
}

impl Memory {
    /// Searches what was put as searchable. It counts against the tenant's searches of the day.
    pub async fn search(
        &self,
        tenant: TenantId,
        mut request: SearchRequest,
    ) -> Result<SearchAnswer, MemoryError> {
        let Checked { agent, prefix, tags, limit } = request.check()?;
        self.must_be_possible(request.mode)?;
        let tokens_used = count_search(&self.pool, tenant, self.searches_per_day).await?;
        let tokens_used = tokens_used.ok_or(MemoryError::QuotaUsedUp(Quota::Searches))?;
        let search = Search {
            tenant,
            agent: &agent,
            prefix: &prefix,
            tags_any: tags.as_slice(),
            words: &LexicalText::of_query(&request.query),
            limit,
        };
        let (mut found, mut note) = self.look(&search, &request, tokens_used).await?;
        if let (false, Some(embeddings)) = (found.is_current, &self.query_embeddings) {
            embeddings.forget_model().await;
            (found, note) = self.look(&search, &request, tokens_used).await?;
        }
        Ok(SearchAnswer { results: found.hits, note })
    }

    /// Without embeddings only words can be searched: that is known before the search is counted.
    fn must_be_possible(&self, mode: Option<Mode>) -> Result<(), MemoryError> {
        if self.query_embeddings.is_some() || matches!(mode, None | Some(Mode::Text)) {
            return Ok(());
        }
        Err(MemoryError::EmbeddingsNotConfigured)
    }

    /// Searches in the way that is asked for, or in the next best; says which.
    async fn look(
        &self,
        search: &Search<'_>,
        request: &SearchRequest,
        tokens_used: i64,
    ) -> Result<(Matches, Option<String>), MemoryError> {
        let mode = request.mode;
        let embedded = match (&self.query_embeddings, mode) {
            (_, Some(Mode::Text)) => Err(None),
            (None, _) => Err(Some(NO_EMBEDDINGS.to_owned())),
            (Some(embeddings), _) => {
                match embeddings.embed(search.tenant, &request.query, tokens_used).await {
                    Ok(embedded) => Ok(embedded),
                    Err(QueryEmbeddingError::Store(error)) => {
                        return Err(MemoryError::Store(error));
                    }
                    Err(reason) if mode == Some(Mode::Semantic) => return Err(refused(reason)),
                    Err(reason) => Err(Some(format!("found by its words: {reason}"))),
                }
            }
        };
        let by = match (&embedded, mode) {
            (Err(_), _) => RankBy::FullText,
            (Ok(embedded), Some(Mode::Semantic)) => RankBy::Semantic(embedded),
            (Ok(embedded), Some(Mode::Hybrid)) => RankBy::Hybrid(embedded),
            (Ok(embedded), _) => RankBy::SemanticOrFullText(embedded),
        };
        let read = |pool: PgPool| async move { find(&pool, search, by, MAX_BYTES).await };
        let found = self.read(search.tenant, request.min_version, read).await?;
        let note = note(by, embedded.as_ref().err().cloned().flatten(), &found);
        Ok((found, note))
    }
}

/// What one is told who asked for meaning alone.
fn refused(reason: QueryEmbeddingError) -> MemoryError {
    let after = match &reason {
        QueryEmbeddingError::OutOfTokens => return MemoryError::QuotaUsedUp(Quota::EmbedTokens),
        QueryEmbeddingError::Away { after } => after.unwrap_or(RETRY_SOON),
        QueryEmbeddingError::NotReady | QueryEmbeddingError::Store(_) => RETRY_LATER,
    };
    MemoryError::NotSearchedByMeaning { reason, after }
}
