//! Entries that were written since the moment of a search, as they were then: search keeps the documents and embeddings of live
//! versions alone, so the words of former ones are taken from their values.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::postgres::PgConnection;
use tokio::task::yield_now;
use uuid::Uuid;

use super::conditions::filtered;
use super::{RankBy, Search};
use crate::domain::memory::value::JsonText;
use crate::domain::search::lexical_text::LexicalText;
use crate::store::StoreError;
use crate::store::connection::pool::keep_within;
use crate::store::entries::as_of::version_shown;
use crate::store::entries::versions;

/// Most entries written since that one search looks at.
pub const MAX_WRITTEN: usize = 10_000;
/// Most bytes of their former values, and of the words of these.
pub const MAX_WRITTEN_BYTES: usize = 8 << 20;
/// About the most bytes of values that one statement reads.
const STEP_BYTES: usize = 1 << 20;

/// The longest that words are taken from values before other requests get their turn on the thread.
const TURN: Duration = Duration::from_millis(1);

/// The words of a former version.
#[derive(Debug)]
pub(super) struct FormerDocument {
    pub(super) path: String,
    pub(super) version_id: Uuid,
    pub(super) words: LexicalText,
}

/// What was written since the moment of a search.
#[derive(Debug, Default)]
pub(super) struct WrittenSince {
    /// How many of the versions shown at that moment the search would find.
    pub(super) versions: usize,
    /// Their words; none where the search looks at no words.
    pub(super) documents: Vec<FormerDocument>,
}

/// The heads in range that were written after `$5`, each with the version that it showed then, if the search may find that. Where there
/// are `$6` of them, which are too many, no version is looked up.
const WRITTEN_SINCE: &str = concat!(
    "
WITH written AS MATERIALIZED (
    SELECT e.*
      FROM entries e
     WHERE ",
    is_in_range!("e"),
    "
       AND e.updated_at > $5
     ORDER BY e.path
     LIMIT $6
)
SELECT CASE WHEN (SELECT v.searchable FROM entry_versions v WHERE v.tenant_id = w.tenant_id AND v.id = w.version_id LIMIT 1)
             AND ",
    has_tag!("w"),
    " THEN w.version_id END
  FROM (SELECT e.tenant_id, CASE WHEN (SELECT count(*) FROM written) < $6 THEN ",
    version_shown!("$5"),
    " END AS version_id
          FROM written e
        OFFSET 0) w"
);

/// What was written since the moment of `search`; none where that is more than one search looks at.
pub(super) async fn written_since(
    moment: &mut PgConnection,
    search: &Search<'_>,
    by: RankBy<'_>,
    began: Instant,
) -> Result<Option<WrittenSince>, StoreError> {
    let Some(as_of) = search.as_of else { return Ok(Some(WrittenSince::default())) };
    let Some(ids) = versions_then(moment, search, as_of).await? else { return Ok(None) };
    let versions = ids.len();
    if matches!(by, RankBy::Semantic(_)) {
        return Ok(Some(WrittenSince { versions, documents: Vec::new() }));
    }
    let documents = documents(moment, search, &ids, began).await?;
    Ok(documents.map(|documents| WrittenSince { versions, documents }))
}

async fn versions_then(
    moment: &mut PgConnection,
    search: &Search<'_>,
    as_of: Timestamp,
) -> Result<Option<Vec<Uuid>>, StoreError> {
    let written: Vec<Option<Uuid>> = sqlx::query_scalar(filtered(WRITTEN_SINCE, search))
        .bind(search.tenant.0)
        .bind(search.agent.as_str())
        .bind(search.prefix.as_str())
        .bind(search.tags_any)
        .bind(as_of.to_sqlx())
        .bind(MAX_WRITTEN as i64 + 1)
        .fetch_all(moment)
        .await?;
    let is_all = written.len() <= MAX_WRITTEN;
    Ok(is_all.then(|| written.into_iter().flatten().collect()))
}

async fn documents(
    moment: &mut PgConnection,
    search: &Search<'_>,
    ids: &[Uuid],
    began: Instant,
) -> Result<Option<Vec<FormerDocument>>, StoreError> {
    let mut documents = Vec::with_capacity(ids.len());
    let mut bytes = 0;
    let mut rest = ids;
    while !rest.is_empty() {
        keep_within(moment, began).await?;
        let read = versions::read(&mut *moment, search.tenant, rest, STEP_BYTES).await?;
        let last = read.versions.last().filter(|_| read.cut).map(|version| version.id);
        let place = rest.iter().position(|id| Some(*id) == last);
        rest = place.map_or(&[][..], |place| &rest[place + 1..]);
        let mut turn = Instant::now();
        for version in read.versions {
            let Some(value) = &version.value else { continue };
            let words = LexicalText::of_value(&JsonText::stored(value));
            // Folding may make more of little.
            bytes += version.bytes().max(words.as_str().len());
            if bytes > MAX_WRITTEN_BYTES {
                return Ok(None);
            }
            documents.push(FormerDocument { path: version.path, version_id: version.id, words });
            if turn.elapsed() >= TURN {
                yield_now().await;
                turn = Instant::now();
            }
        }
    }
    Ok(Some(documents))
}
