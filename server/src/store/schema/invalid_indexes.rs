//! Drops invalid indexes, left by an interrupted CREATE INDEX CONCURRENTLY: they cost every write and serve
//! no read.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _};

use super::TABLES;

/// An index under construction is invalid too, until it is done.
const INVALID: &str = "
SELECT i.indexrelid::regclass::text
  FROM pg_index i
  JOIN pg_class t ON t.oid = i.indrelid
 WHERE NOT i.indisvalid AND t.relname = ANY ($1) AND t.relnamespace = quote_ident(current_schema())::regnamespace
   AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)";

/// Drops the invalid indexes of our tables, without blocking anybody.
pub(super) async fn drop_all(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let names: Vec<String> =
        sqlx::query_scalar(INVALID).bind(TABLES.as_slice()).fetch_all(&mut *connection).await?;
    for name in names {
        tracing::info!("dropping the index {name}: whoever built it was interrupted");
        // regclass quotes what has to be quoted.
        let statement = format!("DROP INDEX CONCURRENTLY IF EXISTS {name}");
        connection.execute(AssertSqlSafe(statement)).await?;
    }
    Ok(())
}
