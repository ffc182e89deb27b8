//! Walks over what can be searched, which repair what writes have left.

use uuid::Uuid;

use super::documents::{form, is_of_older_form, made_searchable};
use crate::domain::TenantId;
use crate::domain::memory::value::JsonText;
use crate::domain::search::lexical_text::LexicalText;
use crate::store::StoreError;
use crate::store::connection::pool::Pool;
use crate::store::entries::sweep::BATCH;
use crate::store::entries::versions;

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
    /// Removes documents that no longer count, and counts those of an older form.
    RemoveLeftOver,
    /// Makes documents of an older form anew: those written by a release before this one.
    Refold,
    /// Removes embeddings that no longer count, of any model.
    RemoveEmbeddings,
    /// Removes further chunks that no longer count, of any model.
    RemoveChunks,
}

/// A step of a walk over all tenants' entries.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Rows made or removed.
    pub changed: usize,
    /// Documents of an older form that were seen and count.
    pub older: usize,
    /// Where the walk goes on; none at its end.
    pub rest: Option<Place>,
}

#[derive(sqlx::FromRow)]
struct WalkedRow {
    #[sqlx(flatten)]
    place: Place,
    version_id: Uuid,
    is_wrong: bool,
    is_older: bool,
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
        Walk::RemoveLeftOver | Walk::Refold => DOCUMENTS,
        Walk::RemoveEmbeddings => EMBEDDINGS,
        Walk::RemoveChunks => CHUNKS,
    };
    let mut seen: Vec<WalkedRow> = sqlx::query_as(look)
        .bind(place.map_or(Uuid::nil(), |place| place.tenant_id))
        .bind(place.map_or("", |place| place.agent_id.as_str()))
        .bind(place.map_or("", |place| place.path.as_str()))
        .bind(BATCH as i64)
        .fetch_all(pool)
        .await?;
    let rest = seen.last().filter(|_| seen.len() >= BATCH).map(|last| last.place.clone());
    let older = seen.iter().filter(|seen| seen.is_older).count();
    seen.retain(|seen| if walk == Walk::Refold { seen.is_older } else { seen.is_wrong });
    // A version has one row for each model and chunk.
    seen.dedup_by(|a, b| a.place == b.place && a.version_id == b.version_id);
    let changed = match walk {
        _ if seen.is_empty() => 0,
        Walk::MakeMissing => make_all(pool, MAKE, &seen).await?,
        Walk::Refold => make_all(pool, REFOLD, &seen).await?,
        Walk::RemoveLeftOver => remove(pool, REMOVE_DOCUMENTS, &seen).await?,
        Walk::RemoveEmbeddings => remove(pool, REMOVE_EMBEDDINGS, &seen).await?,
        Walk::RemoveChunks => remove(pool, REMOVE_CHUNKS, &seen).await?,
    };
    Ok(Step { changed, older, rest })
}

/// SQL that reads a batch of rows of a table that has one row an entry or, for each model, one or several. `$older` is the condition
/// that a row `d` is of an older form.
macro_rules! seen {
    ($table:literal, $older:expr) => {
        concat!(
            "
SELECT d.tenant_id, d.agent_id, d.path, d.version_id, NOT is_live AS is_wrong, is_live AND d.is_older AS is_older
  FROM (SELECT d.tenant_id, d.agent_id, d.path, d.version_id, ",
            $older,
            " AS is_older
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
 CROSS JOIN LATERAL (
       SELECT e.latest_version_id IS NOT DISTINCT FROM d.version_id AND (",
            live!("e"),
            ") AS is_live) l
 ORDER BY d.tenant_id, d.agent_id, d.path"
        )
    };
}

const DOCUMENTS: &str = seen!("search_documents", is_of_older_form!("d"));
const EMBEDDINGS: &str = seen!("embeddings", "false");
const CHUNKS: &str = seen!("embedding_chunks", "false");

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
const REMOVE_CHUNKS: &str = remove!("embedding_chunks");

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
       coalesce(v.searchable, false) AND d.found IS NULL AS is_wrong, false AS is_older
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

/// Skips documents that are being written. Their embeddings stay as they are, so there are no new jobs.
const REFOLD: &str = concat!(
    "WITH older AS (
    SELECT d.ctid, k.words
      FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[])
           AS k (tenant_id, agent_id, path, version_id, words)
     CROSS JOIN LATERAL (
           SELECT d.ctid
             FROM search_documents d
            WHERE d.tenant_id = k.tenant_id AND d.agent_id = k.agent_id AND d.path = k.path
              AND d.version_id = k.version_id AND ",
    is_of_older_form!("d"),
    "
              FOR UPDATE SKIP LOCKED) d
     WHERE k.words IS NOT NULL
), refolded AS (
    UPDATE search_documents d
       SET document = to_tsvector('pg_catalog.english', older.words), form = ",
    form!(),
    ", form_version_id = d.version_id
      FROM older
     WHERE d.ctid = older.ctid
    RETURNING 1
)
SELECT count(*) FROM refolded"
);

/// Values that are in memory together.
const STRIDE: usize = 8;

/// Makes the documents of what was seen by a statement that takes their words as `$5`.
async fn make_all(
    pool: &Pool,
    statement: &'static str,
    seen: &[WalkedRow],
) -> Result<usize, StoreError> {
    let mut made = 0;
    for of_tenant in seen.chunk_by(|a, b| a.place.tenant_id == b.place.tenant_id) {
        for stride in of_tenant.chunks(STRIDE) {
            let tenant = TenantId(stride[0].place.tenant_id);
            made += make(pool, statement, tenant, stride).await?;
        }
    }
    Ok(made)
}

async fn make(
    pool: &Pool,
    statement: &'static str,
    tenant: TenantId,
    seen: &[WalkedRow],
) -> Result<usize, StoreError> {
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
        let made: i64 = bind_seen!(sqlx::query_scalar(statement), seen)
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
