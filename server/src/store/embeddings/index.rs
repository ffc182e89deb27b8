//! The vector index (HNSW) of a model, used by semantic search among very many entries.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _};

use crate::store::StoreError;

/// The state of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IndexState {
    /// There is none: each search compares all vectors of its range.
    None,
    /// Somebody builds it.
    Building,
    /// Searches use it.
    Ready,
}

/// An index left by an interrupted build counts as none.
const STATE: &str = "
SELECT CASE WHEN i.indisvalid THEN 'ready'
            WHEN EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid) THEN 'building'
            ELSE 'left over' END
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
 WHERE i.indrelid = 'embeddings'::regclass AND c.relname = $1";

/// The state of a model's index.
pub async fn state(connection: &mut PgConnection, model: i32) -> Result<IndexState, StoreError> {
    let found: Option<String> =
        sqlx::query_scalar(STATE).bind(name(model)).fetch_optional(connection).await?;
    Ok(match found.as_deref() {
        Some("ready") => IndexState::Ready,
        Some("building") => IndexState::Building,
        _ => IndexState::None,
    })
}

/// Builds the index of a model, while searches and writes go on. It must not exist, nor be under construction. `memory`,
/// such as "1GB", is the build's maintenance_work_mem; without it, the database's. Needs a direct connection.
pub async fn build(
    connection: &mut PgConnection,
    model: i32,
    dimensions: i32,
    memory: Option<&str>,
) -> Result<(), StoreError> {
    drop(&mut *connection, model).await?;
    // A graph built by several processes lies in /dev/shm, of which containers have 64 MB.
    connection.execute("SET max_parallel_maintenance_workers = 0").await?;
    if let Some(memory) = memory {
        sqlx::query("SELECT set_config('maintenance_work_mem', $1, false)")
            .bind(memory)
            .execute(&mut *connection)
            .await?;
    }
    let statement = format!(
        "CREATE INDEX CONCURRENTLY {} ON embeddings
             USING hnsw ((embedding::halfvec({dimensions})) halfvec_cosine_ops) WITH (m = 16, ef_construction = 100)
             WHERE model_id = {model}",
        name(model)
    );
    connection.execute(AssertSqlSafe(statement)).await?;
    Ok(())
}

/// Drops the index of a model, or the remains of an interrupted build, without blocking anybody.
pub async fn drop(connection: &mut PgConnection, model: i32) -> Result<(), StoreError> {
    let statement = format!("DROP INDEX CONCURRENTLY IF EXISTS {}", name(model));
    connection.execute(AssertSqlSafe(statement)).await?;
    Ok(())
}

/// The index's name, which searches rely on.
pub(crate) fn name(model: i32) -> String {
    format!("embeddings_hnsw_{model}")
}
