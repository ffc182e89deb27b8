//! Full text search, exact, within an agent's range of paths. A query of nothing but stop words finds
//! nothing.

use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::chunks::count_too_long;
use super::conditions::filtered;
use super::past::FormerDocument;
use super::{Ranked, Search};
use crate::store::StoreError;
use crate::store::embeddings::models::Serving;

/// The entries that full text search considers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Candidates<'a> {
    /// All, and these of before.
    All(&'a [FormerDocument]),
    /// Those whose latest version is one of these.
    Among(&'a [Uuid]),
    /// Those without an embedding of this model yet, and these of before, which have none.
    Unembedded(&'a Serving, &'a [FormerDocument]),
}

/// The result of full text search.
#[derive(Debug, Default)]
pub(super) struct FullTextMatches {
    /// The versions, the best first.
    pub(super) ranked: Ranked,
    /// Whether the query has words besides stop words.
    pub(super) has_terms: bool,
    /// How many live entries have no embedding yet, if only those are candidates; without those of before.
    pub(super) unembedded: i64,
    /// How many live entries are longer than their chunks reach, if only those without an embedding are candidates.
    pub(super) too_long: i64,
    /// Whether searches still use the model of which they have none.
    pub(super) is_current: bool,
}

/// Weighs every candidate that has one of the words. A word weighs the more, the fewer candidates have it, and a name is a
/// word besides those that it is made of; the similarity is the weight of the words that an entry has, relative to that of
/// all words of the query: 1 if it has them all. It is no less than an id or a number tells: 1 if the entry alone has it, and
/// nothing if 1000 have it. Without a hit, the one row of `asked` comes alone. A head is looked up by its key alone: with
/// more conditions a table that was never analysed is looked up by an index that knows the agent alone. For many words a
/// document is copied, so that it is taken out of storage once and not once a word; for few that would take longer. `$former` adds
/// more documents.
macro_rules! find {
    ($first:expr, $documents:expr, $former:expr, $told:expr) => {
        concat!(
            "
WITH ", $first, "lexemes AS (
    SELECT tsvector_to_array(to_tsvector('pg_catalog.english', $6)) AS all_of_them
), words AS MATERIALIZED (
    SELECT l.n, false AS is_code, quote_literal(l.lexeme)::tsquery AS query
      FROM lexemes CROSS JOIN unnest(all_of_them) WITH ORDINALITY AS l (lexeme, n)
     UNION ALL
    SELECT 1000 + s.n, s.is_code, name.query
      FROM unnest($7::text[], $8::bool[]) WITH ORDINALITY AS s (words, is_code, n)
     CROSS JOIN LATERAL (SELECT ", name!("s.words"), " AS query) name
     WHERE numnode(name.query) > 0
), asked AS MATERIALIZED (
    SELECT count(*) AS words, string_agg(query::text, ' | ')::tsquery AS any_of_them FROM words
), hits AS MATERIALIZED (
    SELECT f.path, f.version_id, ts_rank(f.document, (SELECT any_of_them FROM asked), 1) AS rank,
           ARRAY (SELECT w.n FROM words w WHERE f.document @@ w.query) AS present
      FROM (SELECT d.path, d.version_id,
                   CASE WHEN (SELECT words FROM asked) > 8 THEN d.document || ''::tsvector ELSE d.document END AS document
              FROM ", $documents, is_live!("d"), "
               AND ", is_in_range!("d"), "
               AND d.document @@ (SELECT any_of_them FROM asked)
               AND ", has_tag!("d"), $former, "
            OFFSET 0) f
), weights AS MATERIALIZED (
    SELECT w.n, 1 + ln(total.hits / greatest(found.hits, 1)) AS weight,
           CASE WHEN w.is_code THEN 1 - ln(greatest(found.hits, 1)::float8) / ln(1000::float8) END AS telling
      FROM words w
     CROSS JOIN (SELECT count(*)::float8 AS hits FROM hits HAVING count(*) > 0) total
      LEFT JOIN (SELECT n, count(*) AS hits FROM hits CROSS JOIN unnest(present) AS n GROUP BY n) found USING (n)
), weighed AS (
    SELECT h.path, h.version_id, h.rank,
           greatest(
               (SELECT sum(w.weight ORDER BY w.n) FROM weights w WHERE w.n = ANY (h.present))
               / (SELECT sum(w.weight ORDER BY w.n) FROM weights w),
               (SELECT max(w.telling) FROM weights w WHERE w.n = ANY (h.present))) AS similarity
      FROM hits h
)
SELECT a.words > 0 AS is_telling, w.version_id, w.similarity, ", $told, "
  FROM asked a LEFT JOIN weighed w ON true
 ORDER BY w.similarity DESC, w.rank DESC, w.path
 LIMIT $5"
        )
    };
}

/// The paths, versions and words of former documents. Each is made once, which the inner OFFSET is for.
macro_rules! former {
    ($paths:literal, $versions:literal, $words:literal) => {
        concat!(
            "
             UNION ALL
            SELECT o.path, o.version_id, o.document
              FROM (SELECT g.path COLLATE \"C\" AS path, g.version_id, to_tsvector('pg_catalog.english', g.words) AS document
                      FROM unnest(", $paths, "::text[], ", $versions, "::uuid[], ", $words, "::text[]) AS g (path, version_id, words)
                    OFFSET 0) o
             WHERE o.document @@ (SELECT any_of_them FROM asked)"
        )
    };
}

/// What is told besides what is found, where all or given ones are candidates.
macro_rules! not_counted {
    () => {
        "0::bigint AS waiting, 0::bigint AS too_long, true AS is_current"
    };
}

macro_rules! find_all {
    ($former:expr) => {
        find!("", "search_documents d", $former, not_counted!())
    };
}

const AMONG_ALL: &str = find_all!("");
const AMONG_ALL_AND_FORMER: &str = find_all!(former!("$9", "$10", "$11"));

/// Each is looked up by its keys: a query has a few dozen of them, whatever else there is.
const AMONG_GIVEN: &str = find!(
    "",
    "unnest($9::uuid[]) AS given (id)
     CROSS JOIN LATERAL (
           SELECT v.path
             FROM entry_versions v
            WHERE v.tenant_id = $1 AND v.id = given.id
            LIMIT 1) v
     CROSS JOIN LATERAL (
           SELECT d.tenant_id, d.agent_id, d.path, d.version_id, d.document
             FROM search_documents d
            WHERE d.tenant_id = $1 AND d.agent_id = $2 AND d.path = v.path AND d.version_id = given.id
            LIMIT 1) d",
    "",
    not_counted!()
);

/// Each live searchable entry has an embedding of a model that serves, or a job that has not made one. It may have both, where
/// its document was made anew.
macro_rules! find_unembedded {
    ($former:expr) => {
        find!(
            concat!("waiting AS MATERIALIZED (
    SELECT DISTINCT j.path, j.version_id
      FROM embedding_jobs j", is_live!("j"), "
       AND ", is_in_range!("j"), "
       AND j.status <> 'succeeded' AND j.model_id = $9
       AND (SELECT m.version_id
              FROM embeddings m
             WHERE m.tenant_id = j.tenant_id AND m.agent_id = j.agent_id AND m.path = j.path AND m.model_id = $9
             LIMIT 1) IS DISTINCT FROM j.version_id
), "),
            "waiting
     CROSS JOIN LATERAL (
           SELECT d.tenant_id, d.agent_id, d.path, d.version_id, d.document
             FROM search_documents d
            WHERE d.tenant_id = $1 AND d.agent_id = $2 AND d.path = waiting.path AND d.version_id = waiting.version_id
            LIMIT 1) d",
            $former,
            concat!("(SELECT count(*) FROM waiting) AS waiting, (", count_too_long!("$9"), ") AS too_long,
       EXISTS (SELECT FROM embedding_models m WHERE m.id = $9 AND m.name = $10 AND m.state = 'serving') AS is_current")
        )
    };
}

const AMONG_UNEMBEDDED: &str = find_unembedded!("");
const AMONG_UNEMBEDDED_AND_FORMER: &str = find_unembedded!(former!("$11", "$12", "$13"));

/// Finds the candidates that have words of `search`.
pub(super) async fn find(
    moment: &mut PgConnection,
    search: &Search<'_>,
    candidates: Candidates<'_>,
) -> Result<FullTextMatches, StoreError> {
    let none: &[FormerDocument] = &[];
    let (statement, former) = match candidates {
        Candidates::All(former) if former.is_empty() => (AMONG_ALL, former),
        Candidates::All(former) => (AMONG_ALL_AND_FORMER, former),
        Candidates::Among(_) => (AMONG_GIVEN, none),
        Candidates::Unembedded(_, former) if former.is_empty() => (AMONG_UNEMBEDDED, former),
        Candidates::Unembedded(_, former) => (AMONG_UNEMBEDDED_AND_FORMER, former),
    };
    let mut query = sqlx::query(filtered(statement, search))
        .bind(search.tenant.0)
        .bind(search.agent.as_str())
        .bind(search.prefix.as_str())
        .bind(search.tags_any)
        .bind(search.limit as i64)
        .bind(search.words.as_str())
        .bind(search.names.iter().map(|name| name.words.as_str()).collect::<Vec<_>>())
        .bind(search.names.iter().map(|name| name.is_code).collect::<Vec<_>>());
    match candidates {
        Candidates::All(_) => {}
        Candidates::Among(versions) => query = query.bind(versions),
        Candidates::Unembedded(model, _) => query = query.bind(model.id).bind(&model.name),
    }
    if !former.is_empty() {
        query = query
            .bind(former.iter().map(|document| document.path.as_str()).collect::<Vec<_>>())
            .bind(former.iter().map(|document| document.version_id).collect::<Vec<_>>())
            .bind(former.iter().map(|document| document.words.as_str()).collect::<Vec<_>>());
    }
    let mut found = FullTextMatches::default();
    for row in &query.fetch_all(moment).await? {
        found.has_terms = row.try_get("is_telling")?;
        found.unembedded = row.try_get("waiting")?;
        found.too_long = row.try_get("too_long")?;
        found.is_current = row.try_get("is_current")?;
        if let Some(id) = row.try_get("version_id")? {
            found.ranked.push((id, row.try_get("similarity")?));
        }
    }
    Ok(found)
}
