//! The queue of embedding jobs: claim, count, requeue, prune.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use sqlx::{PgExecutor, Row as _};
use uuid::Uuid;

use crate::domain::TenantId;
use crate::store::StoreError;

/// Locks rows in the order of their ids, like everywhere. A job without attempts is due at once, whatever its times say.
const REQUEUE: &str = "
WITH chosen AS (
    SELECT id FROM embedding_jobs
     WHERE status = 'failed' AND ($1 IS NULL OR tenant_id = $1)
     ORDER BY id LIMIT $2 FOR UPDATE
)
UPDATE embedding_jobs j
   SET status = 'queued', attempts = 0, next_attempt_at = now(), leased_until = NULL, finished_at = NULL
  FROM chosen
 WHERE j.id = chosen.id";

/// Requeues failed jobs, the oldest first: those of `tenant` or of all, at most `limit` or all. Returns how many.
pub async fn requeue_failed(
    executor: impl PgExecutor<'_>,
    tenant: Option<TenantId>,
    limit: Option<i64>,
) -> Result<u64, StoreError> {
    let done = sqlx::query(REQUEUE)
        .bind(tenant.map(|tenant| tenant.0))
        .bind(limit)
        .execute(executor)
        .await?;
    Ok(done.rows_affected())
}

/// Every status of a job.
const STATUSES: [&str; 4] = ["queued", "running", "succeeded", "failed"];

/// Counts jobs by status.
pub async fn counts(connection: &mut PgConnection) -> Result<[(&'static str, i64); 4], StoreError> {
    let rows = sqlx::query("SELECT status, count(*) FROM embedding_jobs GROUP BY status")
        .fetch_all(connection)
        .await?;
    let mut counts = STATUSES.map(|status| (status, 0));
    for row in &rows {
        let status: &str = row.try_get(0)?;
        if let Some(found) = counts.iter_mut().find(|(name, _)| *name == status) {
            found.1 = row.try_get(1)?;
        }
    }
    Ok(counts)
}

/// A claimed job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: i64,
    /// Its entry's tenant.
    pub tenant: TenantId,
    /// The agent.
    pub agent: String,
    /// The path.
    pub path: String,
    /// The version to be embedded.
    pub version: Uuid,
    /// Attempts so far, this one included.
    pub attempts: i32,
    /// The value in normal form; `None` when the version is no longer the entry's latest live one, or not searchable.
    pub value: Option<String>,
}

/// Jobs of one claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// End of the lease; also tells this claim from every other.
    pub leased_until: Timestamp,
    /// The jobs; at least one.
    pub jobs: Vec<Job>,
}

/// Skips rows that others claim. A job without attempts is due at once, whatever its times say, but jobs that were put
/// back still queue behind the others. Jobs of a tenant over its quota of the day, or of a retired model, are left.
const CLAIM: &str = concat!(
    "
WITH due AS MATERIALIZED (
    SELECT j.id
      FROM embedding_jobs j
     WHERE j.model_id = $1
       AND EXISTS (SELECT FROM embedding_models m WHERE m.id = $1 AND m.state <> 'retired')
       AND j.status IN ('queued', 'running')
       AND CASE j.status WHEN 'queued' THEN j.attempts = 0 OR j.next_attempt_at <= now()
                         ELSE coalesce(j.leased_until <= now(), true) END
       AND coalesce((SELECT q.embed_tokens
                       FROM quota_usage q
                      WHERE q.tenant_id = j.tenant_id AND q.day = (now() AT TIME ZONE 'UTC')::date), 0) < $4
     ORDER BY j.next_attempt_at, j.id
     LIMIT $2
       FOR UPDATE OF j SKIP LOCKED
), claimed AS (
    UPDATE embedding_jobs j
       SET status = 'running', attempts = j.attempts + 1, finished_at = NULL,
           leased_until = now() + $3 * interval '1 second', next_attempt_at = now() + $3 * interval '1 second'
      FROM due
     WHERE j.id = due.id
    RETURNING j.id, j.tenant_id, j.agent_id, j.path, j.version_id, j.attempts, j.leased_until
)
SELECT c.*, latest.value
  FROM claimed c
  LEFT JOIN LATERAL (
       SELECT v.value::text AS value
         FROM (SELECT e.latest_version_id, e.deleted_at, e.expires_at
                 FROM entries e
                WHERE e.tenant_id = c.tenant_id AND e.agent_id = c.agent_id AND e.path = c.path
                LIMIT 1) head
         JOIN entry_versions v ON v.tenant_id = c.tenant_id AND v.id = head.latest_version_id
        WHERE head.latest_version_id = c.version_id AND ", live!("head"), "
          AND v.searchable
        LIMIT 1) latest ON true
 ORDER BY c.id"
);

/// Claims at most `limit` due jobs of a model, for `lease`; jobs of a dead worker are due again when its lease ends.
/// `None` if there are none.
pub async fn claim(
    executor: impl PgExecutor<'_>,
    model: i32,
    limit: usize,
    lease: Duration,
    tokens_per_day: Option<i64>,
) -> Result<Option<Claim>, StoreError> {
    let rows = sqlx::query(CLAIM)
        .bind(model)
        .bind(limit as i64)
        .bind(lease.as_secs_f64())
        .bind(tokens_per_day.unwrap_or(i64::MAX))
        .fetch_all(executor)
        .await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let leased_until = first.try_get::<jiff_sqlx::Timestamp, _>("leased_until")?.to_jiff();
    let jobs = rows
        .iter()
        .map(|row| {
            Ok(Job {
                id: row.try_get("id")?,
                tenant: TenantId(row.try_get("tenant_id")?),
                agent: row.try_get("agent_id")?,
                path: row.try_get("path")?,
                version: row.try_get("version_id")?,
                attempts: row.try_get("attempts")?,
                value: row.try_get("value")?,
            })
        })
        .collect::<Result<_, sqlx::Error>>()?;
    Ok(Some(Claim { leased_until, jobs }))
}

/// Most jobs that are pruned together.
pub const PRUNE_BATCH: u64 = 500;

const PRUNE: &str = "
DELETE FROM embedding_jobs
 WHERE id = ANY (ARRAY (
       SELECT id
         FROM embedding_jobs
        WHERE status = 'succeeded' AND finished_at < now() - interval '1 day'
        ORDER BY finished_at
        LIMIT $1
          FOR UPDATE SKIP LOCKED))";

/// Deletes a batch of jobs that succeeded more than a day ago; returns how many.
pub async fn prune(executor: impl PgExecutor<'_>) -> Result<u64, StoreError> {
    let done = sqlx::query(PRUNE).bind(PRUNE_BATCH as i64).execute(executor).await?;
    Ok(done.rows_affected())
}
