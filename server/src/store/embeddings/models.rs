//! Embedding models: registers them and fills in the jobs that entries lack.

use jiff::Timestamp;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection as _, FromRow, PgExecutor, Row as _};
use uuid::Uuid;

use crate::domain::search::chunks::CHUNK;
use crate::store::StoreError;
use crate::store::connection::pool::Pool;

/// A model's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRow {
    /// Its id, which jobs and embeddings refer to.
    pub id: i32,
    /// The length of its vectors.
    pub dimensions: i32,
    /// Its state.
    pub state: ModelState,
    /// When it was registered.
    created_at: Timestamp,
}

impl ModelRow {
    /// Whether both are the row of the same model: ids are reused after a restore.
    pub fn is_same(&self, other: &Self) -> bool {
        self.id == other.id && self.created_at == other.created_at
    }
}

impl FromRow<'_, PgRow> for ModelRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            dimensions: row.try_get("dimensions")?,
            state: ModelState::from_column(row.try_get("state")?),
            created_at: row.try_get::<jiff_sqlx::Timestamp, _>("created_at")?.to_jiff(),
        })
    }
}

/// The state of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelState {
    /// Its embeddings are being made beside those that searches use.
    Filling,
    /// Searches use its embeddings.
    Serving,
    /// Nothing is made for it any more.
    Retired,
}

impl ModelState {
    /// Parses the column.
    pub(crate) fn from_column(text: &str) -> Self {
        match text {
            "filling" => Self::Filling,
            "serving" => Self::Serving,
            _ => Self::Retired,
        }
    }

    /// The state's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Filling => "filling",
            Self::Serving => "serving",
            Self::Retired => "retired",
        }
    }
}

/// The model that searches use.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Serving {
    /// Its id.
    pub id: i32,
    /// Its name, which identifies its embedder.
    pub name: String,
    /// The length of its vectors.
    pub dimensions: i32,
    /// There is an index of its vectors.
    pub has_index: bool,
}

/// SQL of whether the vectors of a model have an index; those of `$table`, or first chunks.
macro_rules! has_index {
    ($model:literal) => {
        has_index!("embeddings", $model)
    };
    ($table:literal, $model:literal) => {
        concat!(
            "EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                WHERE i.indrelid = '",
            $table,
            "'::regclass AND i.indisvalid AND c.relname = '",
            $table,
            "_hnsw_' || ",
            $model,
            ")"
        )
    };
}
pub(crate) use has_index;

const SERVING_NOW: &str = concat!(
    "SELECT m.id, m.name, m.dimensions, ",
    has_index!("m.id"),
    " AS has_index FROM embedding_models m WHERE m.state = 'serving'"
);

/// The model that searches use; none before the first one has all its jobs.
pub async fn serving(executor: impl PgExecutor<'_>) -> Result<Option<Serving>, StoreError> {
    sqlx::query_as(SERVING_NOW).fetch_optional(executor).await.map_err(Into::into)
}

const IN_USE: &str = "
SELECT name FROM embedding_models
 WHERE state <> 'retired' AND name = ANY ($1) ORDER BY state = 'serving' DESC, id";

/// Which of `models` embeddings are made of, the one that searches use first.
pub async fn in_use(
    executor: impl PgExecutor<'_>,
    models: &[&str],
) -> Result<Vec<String>, StoreError> {
    sqlx::query_scalar(IN_USE).bind(models).fetch_all(executor).await.map_err(Into::into)
}

/// ON CONFLICT needs the table's index: in the middle of a restore the table may only seem to be empty.
const REGISTER_FIRST: &str = "
INSERT INTO embedding_models (name, dimensions, state)
SELECT $1::text, $2::integer, 'filling'
 WHERE NOT EXISTS (SELECT FROM embedding_models WHERE state <> 'retired' AND name = ANY ($3))
ON CONFLICT (name) DO NOTHING";

/// Registers the model if none of `models` is in use; returns those that are in use then, which leaves a retired one out.
pub async fn register_first(
    pool: &Pool,
    name: &str,
    dimensions: i32,
    models: &[&str],
) -> Result<Vec<String>, StoreError> {
    let insert = sqlx::query(REGISTER_FIRST).bind(name).bind(dimensions).bind(models);
    insert.execute(pool).await?;
    in_use(pool, models).await
}

/// A retired model that a worker uses again is filled again, unless the worker also has the one that serves: then it is
/// the predecessor that was switched from.
const REGISTER: &str = "
INSERT INTO embedding_models AS m (name, dimensions, state) VALUES ($1, $2, 'filling')
ON CONFLICT (name) DO UPDATE
   SET state = CASE WHEN m.state = 'retired'
                     AND NOT EXISTS (SELECT FROM embedding_models s WHERE s.state = 'serving' AND s.name = ANY ($3))
                    THEN 'filling' ELSE m.state END
RETURNING id, dimensions, state, created_at";

/// Registers the model, to be filled; a known one stays as it is, including its dimensions. `of_worker`: the names of all
/// models that the worker has.
pub async fn register(
    executor: impl PgExecutor<'_>,
    name: &str,
    dimensions: i32,
    of_worker: &[&str],
) -> Result<ModelRow, StoreError> {
    sqlx::query_as(REGISTER)
        .bind(name)
        .bind(dimensions)
        .bind(of_worker)
        .fetch_one(executor)
        .await
        .map_err(Into::into)
}

const FIND: &str = "SELECT id, dimensions, state, created_at FROM embedding_models WHERE name = $1";

/// The row of a model, if it is registered.
pub async fn find(
    executor: impl PgExecutor<'_>,
    name: &str,
) -> Result<Option<ModelRow>, StoreError> {
    sqlx::query_as(FIND).bind(name).fetch_optional(executor).await.map_err(Into::into)
}

const SERVE_FIRST: &str = "
UPDATE embedding_models SET state = 'serving'
 WHERE id = $1 AND state = 'filling' AND NOT EXISTS (SELECT FROM embedding_models WHERE state = 'serving')";

/// Makes searches use the model, if they use none. Call it once all entries have their jobs, since an entry with neither
/// an embedding nor a job would not be found. Returns whether searches use it from now on. If two first models come at
/// the same moment, one is refused as contended, and may try again.
pub async fn serve_first(executor: impl PgExecutor<'_>, model: i32) -> Result<bool, StoreError> {
    let done = sqlx::query(SERVE_FIRST).bind(model).execute(executor).await?;
    Ok(done.rows_affected() > 0)
}

/// Entries per page.
const PAGE: i64 = 1000;

/// A position in the walk over all entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FillCursor {
    tenant: Uuid,
    agent: String,
    path: String,
}

/// The result of filling a page of entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    /// Jobs that were made.
    pub jobs: i64,
    /// Where to go on; `None` at the end.
    pub next: Option<FillCursor>,
}

/// Workers that start together take turns, so that the second sees what the first has made. Nothing is made for a retired
/// model.
const TAKE_TURNS: &str =
    "SELECT id FROM embedding_models WHERE id = $1 AND state <> 'retired' FOR NO KEY UPDATE";

/// ON CONFLICT needs the table's index, which a restore builds after all data: nothing is written into the middle of it. `$6`: bytes of the
/// longest value that has no chunks. How long a value is tells its size, unless it is stored compressed.
const FILL: &str = concat!(
    "
WITH page AS MATERIALIZED (
    SELECT e.tenant_id, e.agent_id, e.path, e.latest_version_id,
           ", live!("e"), " AS live
      FROM entries e
     WHERE (e.tenant_id, e.agent_id, e.path) > ($2, $3, $4)
     ORDER BY e.tenant_id, e.agent_id, e.path
     LIMIT $5
), made AS (
    INSERT INTO embedding_jobs (tenant_id, agent_id, path, version_id, model_id)
    SELECT p.tenant_id, p.agent_id, p.path, p.latest_version_id, $1
      FROM page p
     WHERE p.live
       AND (SELECT v.searchable FROM entry_versions v
             WHERE v.tenant_id = p.tenant_id AND v.id = p.latest_version_id)
       AND NOT EXISTS (
           SELECT 1 FROM embeddings m
            WHERE m.tenant_id = p.tenant_id AND m.agent_id = p.agent_id AND m.path = p.path AND m.model_id = $1
              AND m.version_id = p.latest_version_id
              AND (m.chunked_version_id IS NOT DISTINCT FROM m.version_id
                   OR (SELECT CASE WHEN pg_column_compression(v.value) IS NULL THEN pg_column_size(v.value) - 4
                                   ELSE octet_length(v.value::text) END <= $6
                         FROM entry_versions v
                        WHERE v.tenant_id = p.tenant_id AND v.id = p.latest_version_id)))
       AND NOT EXISTS (
           SELECT 1 FROM embedding_jobs j
            WHERE j.tenant_id = p.tenant_id AND j.agent_id = p.agent_id AND j.path = p.path
              AND j.version_id = p.latest_version_id AND j.model_id = $1 AND j.status <> 'succeeded')
     ORDER BY p.tenant_id, p.agent_id, p.path
    ON CONFLICT (id) DO NOTHING
    RETURNING 1
)
SELECT p.tenant_id, p.agent_id, p.path, (SELECT count(*) FROM made) AS made, (SELECT count(*) FROM page) AS seen
  FROM page p
 ORDER BY p.tenant_id DESC, p.agent_id DESC, p.path DESC
 LIMIT 1"
);

/// Makes the missing jobs of a page of entries after `cursor`: of live searchable entries that have neither an embedding
/// of the model nor a job for one, failed ones included, and of long ones that were embedded without chunks.
pub async fn fill(
    connection: &mut PgConnection,
    model: i32,
    cursor: &FillCursor,
) -> Result<Filled, StoreError> {
    let mut transaction = connection.begin().await?;
    let turn = sqlx::query(TAKE_TURNS).bind(model).fetch_optional(&mut *transaction).await?;
    if turn.is_none() {
        return Ok(Filled { jobs: 0, next: None });
    }
    let last = sqlx::query(FILL)
        .bind(model)
        .bind(cursor.tenant)
        .bind(&cursor.agent)
        .bind(&cursor.path)
        .bind(PAGE)
        .bind(CHUNK as i32)
        .fetch_optional(&mut *transaction)
        .await?;
    transaction.commit().await?;
    let Some(last) = last else { return Ok(Filled { jobs: 0, next: None }) };
    let next = FillCursor {
        tenant: last.try_get("tenant_id")?,
        agent: last.try_get("agent_id")?,
        path: last.try_get("path")?,
    };
    let full = last.try_get::<i64, _>("seen")? == PAGE;
    Ok(Filled { jobs: last.try_get("made")?, next: full.then_some(next) })
}
