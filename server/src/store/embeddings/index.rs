//! The vector indexes (HNSW) of a model, used by semantic search among very many entries: one of first chunks, one of the others.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use crate::store::StoreError;

/// The tables of vectors, each with what the names of its indexes begin with.
const TABLES: [(&str, &str); 2] =
    [("embeddings", "embeddings_hnsw_"), ("embedding_chunks", "embedding_chunks_hnsw_")];

/// The state of a model's indexes, which are built together.
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
 WHERE i.indrelid = $1::regclass AND c.relname = $2";

/// The state of a model's indexes: one that is built for both.
pub async fn state(connection: &mut PgConnection, model: i32) -> Result<IndexState, StoreError> {
    let mut all = IndexState::Ready;
    for (table, prefix) in TABLES {
        match state_of(&mut *connection, table, &name(prefix, model)).await? {
            IndexState::Building => return Ok(IndexState::Building),
            IndexState::None => all = IndexState::None,
            IndexState::Ready => {}
        }
    }
    Ok(all)
}

async fn state_of(
    connection: &mut PgConnection,
    table: &str,
    index: &str,
) -> Result<IndexState, StoreError> {
    let found: Option<String> =
        sqlx::query_scalar(STATE).bind(table).bind(index).fetch_optional(connection).await?;
    Ok(match found.as_deref() {
        Some("ready") => IndexState::Ready,
        Some("building") => IndexState::Building,
        _ => IndexState::None,
    })
}

/// Builds those of a model's indexes that are not there, while searches and writes go on. None may be under construction. `memory`,
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
    for (table, prefix) in TABLES {
        let index = name(prefix, model);
        if state_of(&mut *connection, table, &index).await? != IndexState::Ready {
            let definition = format!(
                "{index} ON {table}
             USING hnsw ((embedding::halfvec({dimensions})) halfvec_cosine_ops) WITH (m = 16, ef_construction = 100)
             WHERE model_id = {model}"
            );
            build_one(&mut *connection, &index, &definition, jobs).await?;
        }
    }
    Ok(())
}

async fn build_one(
    connection: &mut PgConnection,
    index: &str,
    definition: &str,
    jobs: usize,
) -> Result<(), StoreError> {
    if jobs > 1 {
        // Processes that build together have their graph in /dev/shm, of which containers have 64 MB.
        match build_with(connection, index, definition, jobs - 1).await {
            Err(StoreError::Exhausted(cause)) => {
                tracing::debug!("one process builds the vector index, not {jobs}: {cause}");
            }
            built => return built,
        }
    }
    build_with(connection, index, definition, 0).await
}

/// Builds it by the process of the connection and `workers` beside that.
async fn build_with(
    connection: &mut PgConnection,
    index: &str,
    definition: &str,
    workers: usize,
) -> Result<(), StoreError> {
    drop_one(&mut *connection, index).await?;
    let workers = format!("SET max_parallel_maintenance_workers = {workers}");
    connection.execute(AssertSqlSafe(workers)).await?;
    let statement = format!("CREATE INDEX CONCURRENTLY {definition}");
    connection.execute(AssertSqlSafe(statement)).await?;
    Ok(())
}

/// Has a build end soon after this program does, however that ends. PostgreSQL on Windows refuses it.
pub async fn end_with_us(connection: &mut PgConnection) {
    let _ = connection.execute("SET client_connection_check_interval = '1s'").await;
}

/// PostgreSQL counts blocks of the table. One index is built after the other.
const BUILT: &str = "
SELECT p.blocks_done * b.bytes, p.blocks_total * b.bytes
  FROM pg_stat_progress_create_index p
  JOIN pg_class c ON c.oid = p.index_relid,
       (SELECT current_setting('block_size')::bigint AS bytes) b
 WHERE p.relid IN ('embeddings'::regclass, 'embedding_chunks'::regclass) AND c.relname = ANY ($1)
 LIMIT 1";

/// How many bytes of its table a build of one of a model's indexes has read, and of how many; `None` where nobody builds any.
pub async fn built_bytes(
    connection: &mut PgConnection,
    model: i32,
) -> Result<Option<(u64, u64)>, StoreError> {
    let built: Option<(i64, i64)> =
        sqlx::query_as(BUILT).bind(names(model)).fetch_optional(connection).await?;
    Ok(built.map(|(done, total)| (done.unsigned_abs(), total.unsigned_abs())))
}

/// Drops what an interrupted build has left, without blocking anybody. What it has finished stays.
pub async fn drop_remains(connection: &mut PgConnection, model: i32) -> Result<(), StoreError> {
    for (table, prefix) in TABLES {
        let index = name(prefix, model);
        if state_of(&mut *connection, table, &index).await? != IndexState::Ready {
            drop_one(&mut *connection, &index).await?;
        }
    }
    Ok(())
}

/// Drops the indexes of a model, without blocking anybody.
pub async fn drop(connection: &mut PgConnection, model: i32) -> Result<(), StoreError> {
    for index in names(model) {
        drop_one(&mut *connection, &index).await?;
    }
    Ok(())
}

async fn drop_one(connection: &mut PgConnection, index: &str) -> Result<(), StoreError> {
    let statement = format!("DROP INDEX CONCURRENTLY IF EXISTS {index}");
    connection.execute(AssertSqlSafe(statement)).await?;
    Ok(())
}

/// The names of a model's indexes, which searches rely on.
fn names(model: i32) -> Vec<String> {
    TABLES.map(|(_, prefix)| name(prefix, model)).to_vec()
}

fn name(prefix: &str, model: i32) -> String {
    format!("{prefix}{model}")
}

/// The model that has an index of this name.
pub(crate) fn model_of(name: &str) -> Option<i32> {
    TABLES.iter().find_map(|(_, prefix)| name.strip_prefix(prefix)?.parse().ok())
}

/// A model whose indexes are to be built.
#[derive(Debug, Clone)]
pub struct Buildable {
    /// Its id.
    pub id: i32,
    /// Its name.
    pub name: String,
    /// The length of its vectors.
    pub dimensions: i32,
    /// The maintenance_work_mem that builds either in memory, in megabytes, from 64 to 512.
    pub megabytes: i32,
}

/// A graph takes about two bytes a dimension and 700 more a vector. One is built after the other.
const MODELS: &str = "
SELECT m.id, m.name, m.dimensions,
       least(greatest(vectors.most * (2 * m.dimensions + 700) / 1000000, 64), 512)::int
  FROM embedding_models m
 CROSS JOIN LATERAL (
       SELECT greatest((SELECT count(*) FROM embeddings e WHERE e.model_id = m.id),
                       (SELECT count(*) FROM embedding_chunks c WHERE c.model_id = m.id)) AS most) vectors
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
