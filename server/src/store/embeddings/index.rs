//! The vector index (HNSW) of a model, used by semantic search among very many entries.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use crate::store::StoreError;

/// What the names of indexes begin with.
const PREFIX: &str = "embeddings_hnsw_";

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
/// such as "1GB", is the build's maintenance_work_mem; without it, the database's. At most `jobs` processes of PostgreSQL build;
/// one, where there is no shared memory for more. Needs a direct connection.
pub async fn build(
    connection: &mut PgConnection,
    model: i32,
    dimensions: i32,
    memory: Option<&str>,
    jobs: usize,
) -> Result<(), StoreError> {
    if let Some(memory) = memory {
        sqlx::query("SELECT set_config('maintenance_work_mem', $1, false)")
            .bind(memory)
            .execute(&mut *connection)
            .await?;
    }
    if jobs > 1 {
        // Processes that build together have their graph in /dev/shm, of which containers have 64 MB.
        match build_with(connection, model, dimensions, jobs - 1).await {
            Err(StoreError::Exhausted(cause)) => {
                tracing::debug!("one process builds the vector index, not {jobs}: {cause}");
            }
            built => return built,
        }
    }
    build_with(connection, model, dimensions, 0).await
}

/// Builds it by the process of the connection and `workers` beside that.
async fn build_with(
    connection: &mut PgConnection,
    model: i32,
    dimensions: i32,
    workers: usize,
) -> Result<(), StoreError> {
    drop(&mut *connection, model).await?;
    let workers = format!("SET max_parallel_maintenance_workers = {workers}");
    connection.execute(AssertSqlSafe(workers)).await?;
    let statement = format!(
        "CREATE INDEX CONCURRENTLY {} ON embeddings
             USING hnsw ((embedding::halfvec({dimensions})) halfvec_cosine_ops) WITH (m = 16, ef_construction = 100)
             WHERE model_id = {model}",
        name(model)
    );
    connection.execute(AssertSqlSafe(statement)).await?;
    Ok(())
}

/// Has a build end soon after this program does, however that ends. PostgreSQL on Windows refuses it.
pub async fn end_with_us(connection: &mut PgConnection) {
    let _ = connection.execute("SET client_connection_check_interval = '1s'").await;
}

/// PostgreSQL counts blocks of the table.
const BUILT: &str = "
SELECT p.blocks_done * b.bytes, p.blocks_total * b.bytes
  FROM pg_stat_progress_create_index p
  JOIN pg_class c ON c.oid = p.index_relid,
       (SELECT current_setting('block_size')::bigint AS bytes) b
 WHERE p.relid = 'embeddings'::regclass AND c.relname = $1";

/// How many bytes of the table a build of a model's index has read, and of how many; `None` where nobody builds it.
pub async fn built_bytes(
    connection: &mut PgConnection,
    model: i32,
) -> Result<Option<(u64, u64)>, StoreError> {
    let built: Option<(i64, i64)> =
        sqlx::query_as(BUILT).bind(name(model)).fetch_optional(connection).await?;
    Ok(built.map(|(done, total)| (done.unsigned_abs(), total.unsigned_abs())))
}

/// Drops the index of a model, or the remains of an interrupted build, without blocking anybody.
pub async fn drop(connection: &mut PgConnection, model: i32) -> Result<(), StoreError> {
    let statement = format!("DROP INDEX CONCURRENTLY IF EXISTS {}", name(model));
    connection.execute(AssertSqlSafe(statement)).await?;
    Ok(())
}

/// The index's name, which searches rely on.
pub(crate) fn name(model: i32) -> String {
    format!("{PREFIX}{model}")
}

/// The model whose index has this name.
pub(crate) fn model_of(name: &str) -> Option<i32> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

/// A model whose index is to be built.
#[derive(Debug, Clone)]
pub struct Buildable {
    /// Its id.
    pub id: i32,
    /// Its name.
    pub name: String,
    /// The length of its vectors.
    pub dimensions: i32,
    /// The maintenance_work_mem that builds its index in memory, in megabytes, from 64 to 512.
    pub megabytes: i32,
}

/// A graph takes about two bytes a dimension and 700 more a vector.
const MODELS: &str = "
SELECT m.id, m.name, m.dimensions,
       least(greatest((SELECT count(*) FROM embeddings e WHERE e.model_id = m.id) * (2 * m.dimensions + 700) / 1000000, 64), 512)::int
  FROM embedding_models m
 WHERE m.id = ANY ($1)
 ORDER BY m.id";

/// Those of the models `ids` that there are.
pub async fn models(
    connection: &mut PgConnection,
    ids: &[i32],
) -> Result<Vec<Buildable>, StoreError> {
    let rows = sqlx::query(MODELS).bind(ids).fetch_all(connection).await?;
    let buildable = |row: &PgRow| {
        Ok(Buildable {
            id: row.try_get(0)?,
            name: row.try_get(1)?,
            dimensions: row.try_get(2)?,
            megabytes: row.try_get(3)?,
        })
    };
    rows.iter().map(buildable).collect::<Result<_, sqlx::Error>>().map_err(Into::into)
}
