//! The work of embedding, as operators see and change it.

use sqlx::PgExecutor;

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
