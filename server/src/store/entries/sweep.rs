//! Turns expired versions into tombstones; deletes old idempotency keys and past rate limit counts. Works in
//! batches and skips locked rows: any number of replicas sweep at once, and nobody waits for them. What is freed is given back
//! to the tenants' stored bytes in the same transaction.

use sqlx::{PgExecutor, Row as _};

use super::size::size;
use super::stored_bytes::give_back;
use crate::domain::memory::usage::IDEMPOTENCY_ROW;
use crate::store::StoreError;
use crate::store::connection::pool::Pool;

/// Most rows of a batch.
pub const BATCH: usize = 500;

/// The result of a batch of expired versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweptBatch {
    /// Versions that had expired, at most [`BATCH`]; there may be more.
    pub seen: usize,
    /// Those of them that are tombstones now; the others are being written.
    pub swept: usize,
}

/// Locks expired versions, and the heads of those that are the latest. Neither waits, so the order does not matter. A
/// latest version whose head is locked or has moved on is left for the next sweep.
const LOCK: &str = "
WITH expired AS MATERIALIZED (
    SELECT v.ctid, v.tenant_id, v.agent_id, v.path, v.id
      FROM entry_versions v
     WHERE v.expires_at <= now() AND v.deleted_at IS NULL
     ORDER BY v.expires_at
     LIMIT $1
       FOR UPDATE SKIP LOCKED
)
SELECT x.ctid::text AS version, latest.ctid::text AS head, coalesce(head.latest_version_id = x.id, false) AS is_latest
  FROM expired x
  LEFT JOIN LATERAL (
       SELECT e.latest_version_id
         FROM entries e
        WHERE e.tenant_id = x.tenant_id AND e.agent_id = x.agent_id AND e.path = x.path
        LIMIT 1) head ON true
  LEFT JOIN LATERAL (
       SELECT e.ctid
         FROM entries e
        WHERE e.tenant_id = x.tenant_id AND e.agent_id = x.agent_id AND e.path = x.path AND e.latest_version_id = x.id
        LIMIT 1
          FOR UPDATE SKIP LOCKED) latest ON true";

/// The rows are locked, so their ctids stay valid.
const TOMBSTONE_HEADS: &str =
    "UPDATE entries SET deleted_at = expires_at WHERE ctid = ANY ($1::text[]::tid[])";
const TOMBSTONE_VERSIONS: &str = concat!(
    "
WITH freed AS (
    SELECT v.tenant_id, ",
    size!("v"),
    " AS bytes FROM entry_versions v WHERE v.ctid = ANY ($1::text[]::tid[])
), tombstones AS (
    UPDATE entry_versions SET value = NULL, bytes = NULL, deleted_at = expires_at WHERE ctid = ANY ($1::text[]::tid[])
)",
    give_back!()
);

/// Turns a batch of expired versions into tombstones as of their expiry.
pub async fn expired(pool: &Pool) -> Result<SweptBatch, StoreError> {
    pool.noting(async {
        let mut transaction = pool.begin().await?;
        let rows = sqlx::query(LOCK).bind(BATCH as i64).fetch_all(&mut *transaction).await?;
        let (mut versions, mut heads) = (Vec::new(), Vec::new());
        for row in &rows {
            let head: Option<String> = row.try_get("head")?;
            if head.is_some() || !row.try_get::<bool, _>("is_latest")? {
                versions.push(row.try_get::<String, _>("version")?);
                heads.extend(head);
            }
        }
        let batch = SweptBatch { seen: rows.len(), swept: versions.len() };
        if batch.swept > 0 {
            sqlx::query(TOMBSTONE_HEADS).bind(heads).execute(&mut *transaction).await?;
            sqlx::query(TOMBSTONE_VERSIONS).bind(versions).execute(&mut *transaction).await?;
            transaction.commit().await?;
        }
        Ok(batch)
    })
    .await
}

const IDEMPOTENCY_KEYS: &str = concat!(
    "
WITH swept AS (
    DELETE FROM idempotency_keys
     WHERE ctid = ANY (ARRAY (
           SELECT ctid
             FROM idempotency_keys
            WHERE created_at < now() - interval '24 hours'
            ORDER BY created_at
            LIMIT $1
              FOR UPDATE SKIP LOCKED))
    RETURNING tenant_id
), freed AS (
    SELECT tenant_id, $2::bigint AS bytes FROM swept
), given_back AS (",
    give_back!(),
    "
)
SELECT count(*) FROM swept"
);

/// Deletes a batch of idempotency keys older than 24 hours; returns how many.
pub async fn idempotency_keys(executor: impl PgExecutor<'_>) -> Result<usize, StoreError> {
    let deleted: i64 = sqlx::query_scalar(IDEMPOTENCY_KEYS)
        .bind(BATCH as i64)
        .bind(IDEMPOTENCY_ROW)
        .fetch_one(executor)
        .await?;
    Ok(usize::try_from(deleted).unwrap_or(usize::MAX))
}

const RATE_LIMITS: &str = "
DELETE FROM rate_limits
 WHERE ctid = ANY (ARRAY (
       SELECT ctid
         FROM rate_limits
        WHERE minute < floor(extract(epoch FROM now()) / 60)::bigint - 10
        LIMIT $1
          FOR UPDATE SKIP LOCKED))";

/// Deletes a batch of rate limit counts more than ten minutes old; returns how many.
pub async fn rate_limits(executor: impl PgExecutor<'_>) -> Result<usize, StoreError> {
    let done = sqlx::query(RATE_LIMITS).bind(BATCH as i64).execute(executor).await?;
    Ok(usize::try_from(done.rows_affected()).unwrap_or(usize::MAX))
}
