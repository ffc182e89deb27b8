//! Asks a server whether it takes writes.

use sqlx::PgExecutor;

use crate::store::StoreError;

/// Whether the server takes no writes of this session: a standby, or a primary that was set so.
pub async fn is_read_only(executor: impl PgExecutor<'_>) -> Result<bool, StoreError> {
    sqlx::query_scalar("SELECT current_setting('transaction_read_only')::bool")
        .fetch_one(executor)
        .await
        .map_err(Into::into)
}
