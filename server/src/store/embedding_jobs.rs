//! The work of embedding, as operators see and change it.

use sqlx::postgres::PgConnection;
use sqlx::{PgExecutor, Row as _};

use super::StoreError;
use crate::domain::TenantId;

/// Rows are locked in the order of their ids, like everywhere. A job without attempts is due at once, whatever its times say.
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

/// Puts failed jobs back into the queue, the oldest first: those of `tenant` or of all, at most `limit` or all. Says how many.
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

/// How many jobs there are of each status.
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
