//! Search within an agent's range of paths: full text, semantic, or hybrid.

#[macro_use]
mod conditions;

pub(super) mod documents;
mod full_text;
mod semantic;
pub mod walks;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use self::conditions::set_filter;
use self::full_text::{Candidates, FullTextMatches};
use super::StoreError;
use super::embeddings::models::Serving;
use super::entries::versions::{self, Version};
use crate::domain::TenantId;
use crate::domain::memory::agent_id::AgentId;
use crate::domain::memory::filter::Filter;
use crate::domain::memory::path::Prefix;
use crate::domain::search::fusion::fused;
use crate::domain::search::lexical_text::LexicalText;
use crate::store::connection::pool::{Pool, keep_within};

/// A search and its range.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// The tenant.
    pub tenant: TenantId,
    /// The agent within the tenant.
    pub agent: &'a AgentId,
    /// The paths at or below this prefix.
    pub prefix: &'a Prefix,
    /// Tags of which an entry must have one; if empty, all match.
    pub tags_any: &'a [String],
    /// What values must meet.
    pub filter: Option<&'a Filter>,
    /// The query's text.
    pub words: &'a LexicalText,
    /// Most entries.
    pub limit: usize,
}

/// An embedded query.
#[derive(Debug, Clone)]
pub struct EmbeddedQuery {
    /// The model of the vector.
    pub model: Serving,
    /// The vector, of the model's dimensions.
    pub vector: Arc<[f32]>,
}

/// How entries are ranked.
#[derive(Debug, Clone, Copy)]
pub enum RankBy<'a> {
    /// By full text search.
    FullText,
    /// By semantic search; entries without an embedding are not found.
    Semantic(&'a EmbeddedQuery),
    /// By semantic search, with full text search for entries that have no embedding yet.
    SemanticOrFullText(&'a EmbeddedQuery),
    /// By both, fused; entries that only one of them finds are included.
    Hybrid(&'a EmbeddedQuery),
}

/// The result of a search.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own that is told")]
pub struct Matches {
    /// The entries with their similarity from 0 to 1, the best first.
    pub hits: Vec<(f64, Version)>,
    /// There are more within the limit, but their values are too large for one answer.
    pub cut: bool,
    /// The query has words besides stop words ("the", "is", "and"); without any, full text search finds nothing.
    pub has_terms: bool,
    /// Entries in the range that have no embedding yet; not counted by full text search alone.
    pub unembedded: i64,
    /// Nothing is found, and the agent has entries, but none that was put as searchable.
    pub none_searchable: bool,
    /// False if searches have switched to another model: this one does not find what was written since.
    pub is_current: bool,
}

/// Versions with their similarity, the best first.
type Ranked = Vec<(Uuid, f64)>;

/// Least depth of both rankings that are fused.
const DEPTH: usize = 100;

/// Finds the best matches of `search`, all in one snapshot, until `max_bytes` of values are reached.
pub async fn find(
    pool: &Pool,
    search: &Search<'_>,
    by: RankBy<'_>,
    max_bytes: usize,
) -> Result<Matches, StoreError> {
    pool.noting(async {
        // What is found is read at the same moment: a version that is overwritten or expires in between would be missed.
        let mut moment = pool.begin_read().await?;
        let began = Instant::now();
        set_filter(&mut moment, search).await?;
        let (ranked, mut found) = rank(&mut moment, search, by, began).await?;
        keep_within(&mut moment, began).await?;
        found.none_searchable = ranked.is_empty() && none_searchable(&mut moment, search).await?;
        let ids: Vec<Uuid> = ranked.iter().take(search.limit).map(|(id, _)| *id).collect();
        let similarities: HashMap<Uuid, f64> = ranked.into_iter().collect();
        let read = versions::read(&mut *moment, search.tenant, &ids, max_bytes).await?;
        moment.commit().await?;
        found.cut = read.cut;
        found.hits = read
            .versions
            .into_iter()
            .filter_map(|version| Some((*similarities.get(&version.id)?, version)))
            .collect();
        Ok(found)
    })
    .await
}

async fn rank(
    moment: &mut PgConnection,
    search: &Search<'_>,
    by: RankBy<'_>,
    began: Instant,
) -> Result<(Ranked, Matches), StoreError> {
    let matches = |words: &FullTextMatches| Matches {
        has_terms: words.has_terms,
        unembedded: words.unembedded,
        is_current: words.is_current,
        ..Matches::default()
    };
    Ok(match by {
        RankBy::FullText => {
            let words = full_text::find(moment, search, Candidates::All).await?;
            let found = matches(&words);
            (words.ranked, found)
        }
        RankBy::Semantic(query) | RankBy::SemanticOrFullText(query) => {
            let near = semantic::nearest(moment, search, query).await?;
            keep_within(moment, began).await?;
            let words = match by {
                RankBy::Semantic(_) => waiting(moment, search, &query.model).await?,
                _ => full_text::find(moment, search, Candidates::Unembedded(&query.model)).await?,
            };
            let found = matches(&words);
            // Their likenesses are of different kinds, so only their ranks are compared; but shown as they are.
            let order = fuse(&near, &words.ranked);
            let own: HashMap<Uuid, f64> = words.ranked.into_iter().chain(near).collect();
            (order.into_iter().filter_map(|(id, _)| Some((id, *own.get(&id)?))).collect(), found)
        }
        RankBy::Hybrid(query) => {
            let deep = Search { limit: search.limit.max(DEPTH), ..*search };
            let near = semantic::nearest(moment, &deep, query).await?;
            keep_within(moment, began).await?;
            let words = full_text::find(moment, &deep, Candidates::All).await?;
            keep_within(moment, began).await?;
            let FullTextMatches { unembedded, is_current, .. } =
                waiting(moment, search, &query.model).await?;
            let found = Matches { unembedded, is_current, ..matches(&words) };
            (fuse(&near, &words.ranked), found)
        }
    })
}

/// Counts what has no embedding of `model` yet, and finds none of it: the search has no words.
async fn waiting(
    moment: &mut PgConnection,
    search: &Search<'_>,
    model: &Serving,
) -> Result<FullTextMatches, StoreError> {
    let words = &LexicalText::of_query("");
    full_text::find(moment, &Search { words, ..*search }, Candidates::Unembedded(model)).await
}

/// Whether the agent has live entries, none of them searchable. Versions are looked at besides documents, which a part of a restore
/// lacks for a while; the first ones will do.
const NONE_SEARCHABLE: &str = concat!(
    "
SELECT coalesce(bool_and(NOT v.searchable), false)
       AND NOT EXISTS (SELECT FROM search_documents d",
    is_live!("d"),
    " AND d.tenant_id = $1 AND d.agent_id = $2)
  FROM (SELECT e.latest_version_id, ",
    live!("e"),
    " AS is_live
          FROM entries e
         WHERE e.tenant_id = $1 AND e.agent_id = $2
         ORDER BY e.tenant_id, e.agent_id, e.path
         LIMIT 100) e
 CROSS JOIN LATERAL (
       SELECT v.searchable
         FROM entry_versions v
        WHERE e.is_live AND v.tenant_id = $1 AND v.id = e.latest_version_id
        LIMIT 1) v"
);

async fn none_searchable(
    moment: &mut PgConnection,
    search: &Search<'_>,
) -> Result<bool, StoreError> {
    sqlx::query_scalar(NONE_SEARCHABLE)
        .bind(search.tenant.0)
        .bind(search.agent.as_str())
        .fetch_one(moment)
        .await
        .map_err(Into::into)
}

fn fuse(first: &Ranked, second: &Ranked) -> Ranked {
    let ids = |ranked: &Ranked| ranked.iter().map(|(id, _)| *id).collect::<Vec<_>>();
    fused(&ids(first), &ids(second))
}
