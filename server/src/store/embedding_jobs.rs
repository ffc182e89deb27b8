//! Embedding jobs, as they are watched.

use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use super::StoreError;

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
