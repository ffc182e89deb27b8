//! Search within an agent's range of paths: full text, semantic, or hybrid; of now, or of a past moment.

#[macro_use]
mod conditions;

mod chunks;
pub(super) mod documents;
mod full_text;
mod named;
mod past;
mod semantic;
mod vectors;
pub mod walks;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use self::conditions::{filtered, set_conditions};
use self::full_text::{Candidates, FullTextMatches};
use self::past::{FormerDocument, WrittenSince, written_since};
pub use self::past::{MAX_WRITTEN, MAX_WRITTEN_BYTES};
use super::StoreError;
use super::embeddings::models::Serving;
use super::entries::versions::{self, Version};
use crate::domain::TenantId;
use crate::domain::memory::agent_id::AgentId;
use crate::domain::memory::filter::Filter;
use crate::domain::memory::path::Prefix;
use crate::domain::search::fusion::{bring_forward, in_turns, weighed};
use crate::domain::search::lexical_text::LexicalText;
use crate::domain::search::names::Name;
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
    /// The moment; `None` is now.
    pub as_of: Option<Timestamp>,
    /// The query's text.
    pub words: &'a LexicalText,
    /// The names in it.
    pub names: &'a [Name],
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
    /// By meaning, and by the words of those that are near or have a name of the query; by words alone where an entry has no
    /// embedding yet. Takes little longer than semantic search.
    Meant(&'a EmbeddedQuery),
    /// By meaning, and by the words of all entries.
    Hybrid(&'a EmbeddedQuery),
}

/// The result of a search.
#[derive(Debug, Default)]
pub struct Matches {
    /// The entries with their similarity from 0 to 1, the best first.
    pub hits: Vec<(f64, Version)>,
    /// How many more there are within the limit, whose values would make the answer too large.
    pub cut: usize,
    /// The query has words besides stop words ("the", "is", "and"); without any, full text search finds nothing.
    pub has_terms: bool,
    /// Entries in the range that have no embedding yet; not counted by full text search alone.
    pub unembedded: i64,
    /// Entries in the range that are longer than their chunks reach; not counted by full text search alone.
    pub too_long: i64,
    /// Why nothing could be found, whatever the query.
    pub nothing_to_find: Option<NothingToFind>,
    /// Entries that were written since the moment of the past, of which no embedding is left.
    pub written_since: usize,
    /// False if searches have switched to another model: this one does not find what was written since.
    pub is_current: bool,
}

/// Why nothing can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NothingToFind {
    /// The agent has entries, but none that was put as searchable.
    NoneSearchable,
    /// Nothing was ever put for the agent.
    NoEntries,
    /// At the moment of the past no searchable entry was in the range and met the tags and the filter.
    NoneThen,
}

/// Versions with their similarity, the best first.
type Ranked = Vec<(Uuid, f64)>;

/// How many of the nearest are looked at for words, at least.
const NEAR: usize = 50;
/// Least depth of both rankings of [`RankBy::Hybrid`].
const DEPTH: usize = 100;
/// Among how many results [`RankBy::Hybrid`] has the one that words alone put first: in a long query one word is little.
const BEST_WITHIN: usize = 10;

/// Finds the best matches of `search`, all in one snapshot, until `max_bytes` of values are reached. None where more was written since
/// its moment than one search looks at.
pub async fn find(
    pool: &Pool,
    search: &Search<'_>,
    by: RankBy<'_>,
    max_bytes: usize,
) -> Result<Option<Matches>, StoreError> {
    pool.noting(async {
        // What is found is read at the same moment: a version that is overwritten or expires in between would be missed.
        let mut moment = pool.begin_read().await?;
        let began = Instant::now();
        set_conditions(&mut moment, search).await?;
        let Some(since) = written_since(&mut moment, search, by, began).await? else {
            return Ok(None);
        };
        let WrittenSince { versions: written_since, documents } = since;
        keep_within(&mut moment, began).await?;
        let (ranked, mut found) = rank(&mut moment, search, by, &documents, began).await?;
        drop(documents);
        keep_within(&mut moment, began).await?;
        found.written_since = written_since;
        if ranked.is_empty() {
            found.nothing_to_find = nothing_to_find(&mut moment, search, written_since).await?;
        }
        let ids: Vec<Uuid> = ranked.iter().take(search.limit).map(|(id, _)| *id).collect();
        let similarities: HashMap<Uuid, f64> = ranked.into_iter().collect();
        let read = versions::read(&mut *moment, search.tenant, &ids, max_bytes).await?;
        moment.commit().await?;
        found.cut = if read.cut { ids.len().saturating_sub(read.versions.len()) } else { 0 };
        found.hits = read
            .versions
            .into_iter()
            .filter_map(|version| Some((*similarities.get(&version.id)?, version)))
            .collect();
        Ok(Some(found))
    })
    .await
}

async fn rank(
    moment: &mut PgConnection,
    search: &Search<'_>,
    by: RankBy<'_>,
    former: &[FormerDocument],
    began: Instant,
) -> Result<(Ranked, Matches), StoreError> {
    let matches = |words: &FullTextMatches| Matches {
        has_terms: words.has_terms,
        unembedded: words.unembedded,
        too_long: words.too_long,
        is_current: words.is_current,
        ..Matches::default()
    };
    Ok(match by {
        RankBy::FullText => {
            let search = &Search { names: &[], ..*search };
            let words = full_text::find(moment, search, Candidates::All(former)).await?;
            let found = matches(&words);
            (words.ranked, found)
        }
        RankBy::Semantic(query) => {
            let near = semantic::nearest(moment, search, search.limit, query).await?;
            keep_within(moment, began).await?;
            let found = matches(&waiting(moment, search, &query.model).await?);
            (near, found)
        }
        RankBy::Meant(query) => {
            let deep = Search { limit: search.limit.max(NEAR), ..*search };
            let near = semantic::nearest(moment, &deep, search.limit, query).await?;
            keep_within(moment, began).await?;
            let mut words = telling(moment, search, &near).await?;
            keep_within(moment, began).await?;
            let candidates = Candidates::Unembedded(&query.model, former);
            let waiting = full_text::find(moment, search, candidates).await?;
            let found = matches(&waiting);
            // With most of the words they go first as well. Those with a name are told already.
            let told: HashSet<Uuid> = words.iter().map(|(id, _)| *id).collect();
            words.extend(waiting.ranked.iter().filter(|(id, _)| !told.contains(id)));
            let order = with_waiting(&weighed(&near, &words), &waiting.ranked);
            // Shown as they are, though they are of different kinds.
            let own: HashMap<Uuid, f64> = words.into_iter().chain(near).collect();
            (order.into_iter().filter_map(|id| Some((id, *own.get(&id)?))).collect(), found)
        }
        RankBy::Hybrid(query) => {
            let deep = Search { limit: search.limit.max(DEPTH), ..*search };
            let near = semantic::nearest(moment, &deep, search.limit, query).await?;
            keep_within(moment, began).await?;
            let words = full_text::find(moment, &deep, Candidates::All(former)).await?;
            keep_within(moment, began).await?;
            let candidates = Candidates::Unembedded(&query.model, former);
            let waiting = full_text::find(moment, search, candidates).await?;
            let found = matches(&waiting);
            let mut scores = weighed(&near, &words.ranked);
            if let Some((best, _)) = words.ranked.first() {
                bring_forward(&mut scores, *best, BEST_WITHIN);
            }
            let order = with_waiting(&scores, &waiting.ranked);
            (falling(&order, &waiting.ranked.into_iter().chain(scores).collect()), found)
        }
    })
}

/// The words of those that are near, and of those that have a name of the query.
async fn telling(
    moment: &mut PgConnection,
    search: &Search<'_>,
    near: &Ranked,
) -> Result<Ranked, StoreError> {
    if search.words.as_str().is_empty() {
        return Ok(Ranked::new());
    }
    let mut looked_at = named::versions(moment, search).await?;
    looked_at.extend(near.iter().map(|(id, _)| id));
    looked_at.sort_unstable();
    looked_at.dedup();
    if looked_at.is_empty() {
        return Ok(Ranked::new());
    }
    let search = &Search { limit: looked_at.len(), ..*search };
    Ok(full_text::find(moment, search, Candidates::Among(&looked_at)).await?.ranked)
}

/// Counts what has no embedding of `model` yet, and finds none of it: the search has no words.
async fn waiting(
    moment: &mut PgConnection,
    search: &Search<'_>,
    model: &Serving,
) -> Result<FullTextMatches, StoreError> {
    let words = &LexicalText::of_query("");
    let candidates = Candidates::Unembedded(model, &[]);
    full_text::find(moment, &Search { words, ..*search }, candidates).await
}

/// Why a search that found nothing could not find anything, if it could not.
async fn nothing_to_find(
    moment: &mut PgConnection,
    search: &Search<'_>,
    written_since: usize,
) -> Result<Option<NothingToFind>, StoreError> {
    let (statement, nothing) = match search.as_of {
        None => (NONE_SEARCHABLE, NothingToFind::NoneSearchable),
        Some(_) if written_since > 0 => return Ok(None),
        Some(_) => (NONE_UNCHANGED, NothingToFind::NoneThen),
    };
    let mut query = sqlx::query_scalar(filtered(statement, search))
        .bind(search.tenant.0)
        .bind(search.agent.as_str());
    if nothing == NothingToFind::NoneThen {
        query = query.bind(search.prefix.as_str()).bind(search.tags_any);
    }
    let is_nothing: bool = query.fetch_one(&mut *moment).await?;
    if is_nothing || search.as_of.is_some() {
        return Ok(is_nothing.then_some(nothing));
    }
    let no_entries =
        sqlx::query_scalar(NO_ENTRIES).bind(search.tenant.0).bind(search.agent.as_str());
    let no_entries: bool = no_entries.fetch_one(moment).await?;
    Ok(no_entries.then_some(NothingToFind::NoEntries))
}

/// Whether nothing was ever put for the agent: its name may be misspelt.
const NO_ENTRIES: &str =
    "SELECT NOT EXISTS (SELECT FROM entries e WHERE e.tenant_id = $1 AND e.agent_id = $2)";

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

/// Whether none of the documents in range is of the moment of the search.
const NONE_UNCHANGED: &str = concat!(
    "SELECT NOT EXISTS (SELECT FROM search_documents d",
    is_live!("d"),
    " AND ",
    is_in_range!("d"),
    " AND ",
    has_tag!("d"),
    ")"
);

/// What has an embedding and what has none yet take turns: their similarities are not comparable.
fn with_waiting(ranked: &Ranked, waiting: &Ranked) -> Vec<Uuid> {
    let ids = |ranked: &Ranked| ranked.iter().map(|(id, _)| *id).collect::<Vec<_>>();
    in_turns(&ids(ranked), &ids(waiting))
}

/// Gives each its score, or that of the one before where this is less.
fn falling(order: &[Uuid], scores: &HashMap<Uuid, f64>) -> Ranked {
    let mut least = 1.0_f64;
    let falling = order.iter().map(|id| {
        least = least.min(scores.get(id).copied().unwrap_or_default());
        (*id, least)
    });
    falling.collect()
}
