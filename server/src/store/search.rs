//! Full text search: exact, within an agent's range of paths.

use std::collections::HashMap;

use sqlx::Row as _;
use sqlx::postgres::PgPool;
use uuid::Uuid;

use super::StoreError;
use super::versions::{self, Version};
use crate::domain::TenantId;
use crate::domain::agent_id::AgentId;
use crate::domain::path::Prefix;
use crate::domain::words::Words;

/// What is looked for, and where.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// Whose.
    pub tenant: TenantId,
    /// The agent within the tenant.
    pub agent: &'a AgentId,
    /// What their paths are at or below.
    pub prefix: &'a Prefix,
    /// Tags of which an entry must have one; without any, all fit.
    pub tags_any: &'a [String],
    /// The words, of which an entry must have one.
    pub words: &'a Words,
    /// Most entries.
    pub limit: usize,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The entries with their likeness from 0 to 1, the best first.
    pub hits: Vec<(f64, Version)>,
    /// There are more within the limit, but their values are too large for one answer.
    pub cut: bool,
    /// The words say something: of a query that is nothing but "the", "is", "and", nothing can be found.
    pub is_telling: bool,
}

/// Every entry of the range that has one of the words is weighed. A word weighs the more, the fewer of them have it; the
/// likeness is the weight of the words that an entry has, out of that of all words of the query: 1 where it has them all.
/// The one row of `asked` comes without a hit where there is none. A head is looked up by its key alone: with more conditions
/// a table that was never analysed is looked up by an index that knows the agent alone.
const FIND: &str = "
WITH lexemes AS (
    SELECT tsvector_to_array(to_tsvector('pg_catalog.english', $6)) AS all_of_them
), words AS MATERIALIZED (
    SELECT l.n, quote_literal(l.lexeme)::tsquery AS query
      FROM lexemes CROSS JOIN unnest(all_of_them) WITH ORDINALITY AS l (lexeme, n)
), asked AS MATERIALIZED (
    SELECT count(*) AS words, string_agg(query::text, ' | ')::tsquery AS any_of_them FROM words
), hits AS MATERIALIZED (
    SELECT d.path, d.version_id, ts_rank(d.document, (SELECT any_of_them FROM asked), 1) AS rank,
           ARRAY (SELECT w.n FROM words w WHERE d.document @@ w.query) AS present
      FROM search_documents d
     CROSS JOIN LATERAL (
           SELECT e.latest_version_id, e.deleted_at, e.expires_at
             FROM entries e
            WHERE e.tenant_id = d.tenant_id AND e.agent_id = d.agent_id AND e.path = d.path
            LIMIT 1) e
     WHERE e.latest_version_id = d.version_id AND e.deleted_at IS NULL AND (e.expires_at IS NULL OR e.expires_at > now())
       AND d.tenant_id = $1 AND d.agent_id = $2 AND d.path >= $3 AND d.path < $3 || '0'
       AND (d.path = $3 OR starts_with(d.path, $3 || '/'))
       AND d.document @@ (SELECT any_of_them FROM asked)
       AND (cardinality($4::text[]) = 0
            OR (SELECT v.tags && $4 FROM entry_versions v WHERE v.tenant_id = d.tenant_id AND v.id = d.version_id LIMIT 1))
), weights AS MATERIALIZED (
    SELECT w.n, 1 + ln(total.hits / greatest(found.hits, 1)) AS weight
      FROM words w
     CROSS JOIN (SELECT count(*)::float8 AS hits FROM hits HAVING count(*) > 0) total
      LEFT JOIN (SELECT n, count(*) AS hits FROM hits CROSS JOIN unnest(present) AS n GROUP BY n) found USING (n)
), weighed AS (
    SELECT h.path, h.version_id, h.rank,
           (SELECT sum(w.weight ORDER BY w.n) FROM weights w WHERE w.n = ANY (h.present))
           / (SELECT sum(w.weight ORDER BY w.n) FROM weights w) AS similarity
      FROM hits h
)
SELECT a.words > 0 AS is_telling, w.version_id, w.similarity
  FROM asked a LEFT JOIN weighed w ON true
 ORDER BY w.similarity DESC, w.rank DESC, w.path
 LIMIT $5";

/// The entries that are most like the words of `search`, all from one moment, until `max_bytes` of values are met.
pub async fn find(
    pool: &PgPool,
    search: &Search<'_>,
    max_bytes: usize,
) -> Result<Found, StoreError> {
    // What is found is read at the same moment: a version that is overwritten or expires in between would be missed.
    let mut moment = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
    let rows = sqlx::query(FIND)
        .bind(search.tenant.0)
        .bind(search.agent.as_str())
        .bind(search.prefix.as_str())
        .bind(search.tags_any)
        .bind(search.limit as i64)
        .bind(search.words.as_str())
        .fetch_all(&mut *moment)
        .await?;
    let mut found = Found::default();
    let mut ids: Vec<Uuid> = Vec::with_capacity(rows.len());
    let mut similarities = HashMap::new();
    for row in &rows {
        found.is_telling = row.try_get("is_telling")?;
        if let Some(id) = row.try_get("version_id")? {
            ids.push(id);
            similarities.insert(id, row.try_get::<f64, _>("similarity")?);
        }
    }
    let read = versions::read(&mut *moment, search.tenant, &ids, max_bytes).await?;
    moment.commit().await?;
    found.cut = read.cut;
    found.hits = read
        .versions
        .into_iter()
        .filter_map(|version| Some((*similarities.get(&version.id)?, version)))
        .collect();
    Ok(found)
}
