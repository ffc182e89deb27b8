//! Search documents: SQL by which writes make a value searchable, and the walks that repair what writes have
//! left.

use uuid::Uuid;

use crate::domain::TenantId;
use crate::domain::memory::value::JsonText;
use crate::domain::search::lexical_text::LexicalText;
use crate::store::StoreError;
use crate::store::connection::pool::Pool;
use crate::store::entries::sweep::BATCH;
use crate::store::entries::versions;

/// SQL of the part of a write that makes values searchable: their search documents and embedding jobs. The parameters are
/// the tenants, agents, paths and latest versions of heads, and their texts (null if not searchable); the statement's
/// `heads` has the latest versions of those that count. The rows of an entry are written under its head's lock.
macro_rules! made_searchable {
    ($tenants:literal, $agents:literal, $paths:literal, $versions:literal, $words:literal) => {
        concat!(
            ", searchable AS (
    SELECT s.*
      FROM unnest(", $tenants, "::uuid[], ", $agents, "::text[], ", $paths, "::text[], ", $versions, "::uuid[], ", $words, "::text[])
           AS s (tenant_id, agent_id, path, version_id, words)
      JOIN heads h ON h.latest_version_id = s.version_id
     WHERE s.words IS NOT NULL
), documents AS (
    INSERT INTO search_documents (tenant_id, agent_id, path, version_id, document)
    SELECT s.tenant_id, s.agent_id, s.path, s.version_id, to_tsvector('pg_catalog.english', s.words)
      FROM searchable s
    ON CONFLICT (tenant_id, agent_id, path) DO UPDATE
       SET version_id = excluded.version_id, document = excluded.document
), jobs AS (
    INSERT INTO embedding_jobs (tenant_id, agent_id, path, version_id, model_id)
    SELECT s.tenant_id, s.agent_id, s.path, s.version_id, m.id
      FROM searchable s CROSS JOIN embedding_models m
     WHERE m.state IN ('filling', 'serving')
)"
        )
    };
}
pub(crate) use made_searchable;

/// An entry, after which a walk goes on.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Place {
    tenant_id: Uuid,
    agent_id: String,
    path: String,
}

/// What a walk repairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walk {
    /// Makes missing documents of searchable entries: those written by a release without documents, or restored without
    /// them.
    MakeMissing,
    /// Removes documents that no longer count.
    RemoveLeftOver,
    /// Removes embeddings that no longer count, of any model.
    RemoveEmbeddings,
}

/// A step of a walk over all tenants' entries.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Rows made or removed.
    pub changed: usize,
    /// Where the walk goes on; none at its end.
    pub rest: Option<Place>,
}

#[derive(sqlx::FromRow)]
struct WalkedRow {
    #[sqlx(flatten)]
    place: Place,
    version_id: Uuid,
    is_wrong: bool,
}

/// Binds `$1` to `$4`: the tenants, agents, paths and versions of `$seen`.
macro_rules! bind_seen {
    ($query:expr, $seen:expr) => {
        $query
            .bind($seen.iter().map(|seen| seen.place.tenant_id).collect::<Vec<_>>())
            .bind($seen.iter().map(|seen| seen.place.agent_id.as_str()).collect::<Vec<_>>())
            .bind($seen.iter().map(|seen| seen.place.path.as_str()).collect::<Vec<_>>())
            .bind($seen.iter().map(|seen| seen.version_id).collect::<Vec<_>>())
    };
}

/// Repairs a batch of entries after `place`.
pub async fn step(pool: &Pool, walk: Walk, place: Option<&Place>) -> Result<Step, StoreError> {
    let look = match walk {
        Walk::MakeMissing => MISSING,
        Walk::RemoveLeftOver => LEFT_OVER_DOCUMENTS,
        Walk::RemoveEmbeddings => LEFT_OVER_EMBEDDINGS,
    };
    let mut seen: Vec<WalkedRow> = sqlx::query_as(look)
        .bind(place.map_or(Uuid::nil(), |place| place.tenant_id))
        .bind(place.map_or("", |place| place.agent_id.as_str()))
        .bind(place.map_or("", |place| place.path.as_str()))
        .bind(BATCH as i64)
        .fetch_all(pool)
        .await?;
    let rest = seen.last().filter(|_| seen.len() >= BATCH).map(|last| last.place.clone());
    seen.retain(|seen| seen.is_wrong);
    let changed = match walk {
        _ if seen.is_empty() => 0,
        Walk::MakeMissing => make_all(pool, &seen).await?,
        Walk::RemoveLeftOver => remove(pool, REMOVE_DOCUMENTS, &seen).await?,
        Walk::RemoveEmbeddings => remove(pool, REMOVE_EMBEDDINGS, &seen).await?,
    };
    Ok(Step { changed, rest })
}

/// SQL that reads a batch of rows of a table that has one row or, for each model, several an entry.
macro_rules! left_over {
    ($table:literal) => {
        concat!(
            "
SELECT d.tenant_id, d.agent_id, d.path, d.version_id,
       e.latest_version_id IS DISTINCT FROM d.version_id OR NOT (",
            live!("e"),
            ") AS is_wrong
  FROM (SELECT d.tenant_id, d.agent_id, d.path, d.version_id
          FROM ",
            $table,
            " d
         WHERE (d.tenant_id, d.agent_id, d.path) > ($1, $2, $3)
         ORDER BY d.tenant_id, d.agent_id, d.path
         FETCH FIRST $4 ROWS WITH TIES) d
  LEFT JOIN LATERAL (
       SELECT e.latest_version_id, e.deleted_at, e.expires_at
         FROM entries e
        WHERE e.tenant_id = d.tenant_id AND e.agent_id = d.agent_id AND e.path = d.path
        LIMIT 1) e ON true
 ORDER BY d.tenant_id, d.agent_id, d.path"
        )
    };
}

const LEFT_OVER_DOCUMENTS: &str = left_over!("search_documents");
const LEFT_OVER_EMBEDDINGS: &str = left_over!("embeddings");

/// SQL that removes rows of such a table. A version that is no longer the live one never is again. A row that was written
/// again meanwhile is of another version.
macro_rules! remove {
    ($table:literal) => {
        concat!(
            "
DELETE FROM ", $table, "
 WHERE ctid = ANY (ARRAY (
       SELECT d.ctid
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[]) AS k (tenant_id, agent_id, path, version_id)
        CROSS JOIN LATERAL (
              SELECT d.ctid
                FROM ", $table, " d
               WHERE d.tenant_id = k.tenant_id AND d.agent_id = k.agent_id AND d.path = k.path
                 AND d.version_id = k.version_id
                 FOR UPDATE SKIP LOCKED) d))"
        )
    };
}

const REMOVE_DOCUMENTS: &str = remove!("search_documents");
const REMOVE_EMBEDDINGS: &str = remove!("embeddings");

async fn remove(
    pool: &Pool,
    statement: &'static str,
    seen: &[WalkedRow],
) -> Result<usize, StoreError> {
    let done = bind_seen!(sqlx::query(statement), seen).execute(pool).await?;
    Ok(usize::try_from(done.rows_affected()).unwrap_or(usize::MAX))
}

const MISSING: &str = concat!(
    "
SELECT e.tenant_id, e.agent_id, e.path, e.latest_version_id AS version_id,
       coalesce(v.searchable, false) AND d.found IS NULL AS is_wrong
  FROM (SELECT e.tenant_id, e.agent_id, e.path, e.latest_version_id,
               ",
    live!("e"),
    " AS is_live
          FROM entries e
         WHERE (e.tenant_id, e.agent_id, e.path) > ($1, $2, $3)
         ORDER BY e.tenant_id, e.agent_id, e.path
         LIMIT $4) e
  LEFT JOIN LATERAL (
       SELECT v.searchable
         FROM entry_versions v
        WHERE e.is_live AND v.tenant_id = e.tenant_id AND v.id = e.latest_version_id
        LIMIT 1) v ON true
  LEFT JOIN LATERAL (
       SELECT true AS found
         FROM search_documents d
        WHERE d.tenant_id = e.tenant_id AND d.agent_id = e.agent_id AND d.path = e.path
          AND d.version_id = e.latest_version_id
        LIMIT 1) d ON true
 ORDER BY e.tenant_id, e.agent_id, e.path"
);

/// Processes that make missing documents take turns, so that each is made once: "afsfill" in ASCII.
const TURN: &str = "SELECT pg_try_advisory_xact_lock(x'61667366696c6c'::bigint)";

/// Skips heads that are being written: their writers make the documents.
const MAKE: &str = concat!(
    "WITH heads AS (
    SELECT e.latest_version_id
      FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[]) AS k (tenant_id, agent_id, path, version_id)
     CROSS JOIN LATERAL (
           SELECT e.latest_version_id
             FROM entries e
            WHERE e.tenant_id = k.tenant_id AND e.agent_id = k.agent_id AND e.path = k.path
              AND e.latest_version_id = k.version_id
            LIMIT 1
              FOR NO KEY UPDATE SKIP LOCKED) e
     WHERE NOT EXISTS (
           SELECT FROM search_documents d
            WHERE d.tenant_id = k.tenant_id AND d.agent_id = k.agent_id AND d.path = k.path
              AND d.version_id = k.version_id)
)",
    made_searchable!("$1", "$2", "$3", "$4", "$5"),
    " SELECT count(*) FROM searchable"
);

/// Values that are in memory together.
const STRIDE: usize = 8;

async fn make_all(pool: &Pool, seen: &[WalkedRow]) -> Result<usize, StoreError> {
    let mut made = 0;
    for of_tenant in seen.chunk_by(|a, b| a.place.tenant_id == b.place.tenant_id) {
        for stride in of_tenant.chunks(STRIDE) {
            made += make(pool, TenantId(stride[0].place.tenant_id), stride).await?;
        }
    }
    Ok(made)
}

async fn make(pool: &Pool, tenant: TenantId, seen: &[WalkedRow]) -> Result<usize, StoreError> {
    pool.noting(async {
        let ids: Vec<Uuid> = seen.iter().map(|seen| seen.version_id).collect();
        let read = versions::read(pool, tenant, &ids, usize::MAX).await?;
        let words: Vec<Option<LexicalText>> = ids
            .iter()
            .map(|id| {
                let version = read.versions.iter().find(|version| version.id == *id)?;
                Some(LexicalText::of_value(&JsonText::stored(version.value.as_deref()?)))
            })
            .collect();
        let mut transaction = pool.begin().await?;
        let is_ours: bool = sqlx::query_scalar(TURN).fetch_one(&mut *transaction).await?;
        if !is_ours {
            return Ok(0);
        }
        let made: i64 = bind_seen!(sqlx::query_scalar(MAKE), seen)
            .bind(
                words
                    .iter()
                    .map(|words| words.as_ref().map(LexicalText::as_str))
                    .collect::<Vec<_>>(),
            )
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(usize::try_from(made).unwrap_or_default())
    })
    .await
}
