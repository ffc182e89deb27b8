//! Changes the embedding model: progress of the new one, the switch, the removal of the old one.

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};
use uuid::Uuid;

use super::index::{self, IndexState};
use super::models::ModelState;
use crate::store::StoreError;

/// A model's progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Its id.
    pub id: i32,
    /// Its name.
    pub name: String,
    /// The length of its vectors.
    pub dimensions: i32,
    /// Its state.
    pub state: ModelState,
    /// Live searchable entries that have its embedding.
    pub embedded: i64,
    /// Vectors of long values besides their first ones.
    pub chunks: i64,
    /// Those whose job waits or is running.
    pub waiting: i64,
    /// Those whose job has failed for good.
    pub failed: i64,
    /// Those that have neither: no worker has looked at them yet.
    pub missing: i64,
    /// The index of its vectors.
    pub index: IndexState,
}

/// Of each live searchable entry and model: whether it has the embedding, else the best of its jobs.
const PROGRESS: &str = concat!(
    "
WITH live AS MATERIALIZED (
    SELECT d.tenant_id, d.agent_id, d.path, d.version_id
      FROM search_documents d
      JOIN entries e ON e.tenant_id = d.tenant_id AND e.agent_id = d.agent_id AND e.path = d.path
     WHERE e.latest_version_id = d.version_id AND ", live!("e"), "
), embedded AS MATERIALIZED (
    SELECT m.model_id, m.version_id
      FROM embeddings m
      JOIN live l ON l.tenant_id = m.tenant_id AND l.agent_id = m.agent_id AND l.path = m.path
     WHERE l.version_id = m.version_id
), jobs AS MATERIALIZED (
    SELECT j.model_id, j.version_id, bool_and(j.status = 'failed') AS failed
      FROM embedding_jobs j
      JOIN live l ON l.version_id = j.version_id
     WHERE j.status <> 'succeeded'
       AND NOT EXISTS (SELECT FROM embedded x WHERE x.model_id = j.model_id AND x.version_id = j.version_id)
     GROUP BY j.model_id, j.version_id
)
SELECT m.id, m.name, m.dimensions, m.state,
       (SELECT count(*) FROM live) AS live,
       (SELECT count(*) FROM embedded x WHERE x.model_id = m.id) AS embedded,
       (SELECT count(*) FROM embedding_chunks c WHERE c.model_id = m.id) AS chunks,
       (SELECT count(*) FROM jobs j WHERE j.model_id = m.id AND NOT j.failed) AS waiting,
       (SELECT count(*) FROM jobs j WHERE j.model_id = m.id AND j.failed) AS failed
  FROM embedding_models m
 ORDER BY m.id"
);

/// The progress of all models, the oldest first.
pub async fn progress(connection: &mut PgConnection) -> Result<Vec<Progress>, StoreError> {
    let rows = sqlx::query(PROGRESS).fetch_all(&mut *connection).await?;
    let mut models = Vec::with_capacity(rows.len());
    for row in &rows {
        let id = row.try_get("id")?;
        let (live, embedded): (i64, i64) = (row.try_get("live")?, row.try_get("embedded")?);
        let (waiting, failed): (i64, i64) = (row.try_get("waiting")?, row.try_get("failed")?);
        models.push(Progress {
            id,
            name: row.try_get("name")?,
            dimensions: row.try_get("dimensions")?,
            state: ModelState::from_column(row.try_get("state")?),
            embedded,
            chunks: row.try_get("chunks")?,
            waiting,
            failed,
            missing: live - embedded - waiting - failed,
            index: index::state(&mut *connection, id).await?,
        });
    }
    Ok(models)
}

/// Switches searches to a model that is being filled, and retires the one they used. False if the model is not, or no
/// longer, being filled.
pub async fn switch(connection: &mut PgConnection, model: i32) -> Result<bool, StoreError> {
    let mut transaction = connection.begin().await?;
    // In the order of their numbers, like everywhere.
    sqlx::query("SELECT FROM embedding_models ORDER BY id FOR NO KEY UPDATE")
        .execute(&mut *transaction)
        .await?;
    sqlx::query("UPDATE embedding_models SET state = 'retired' WHERE state = 'serving'")
        .execute(&mut *transaction)
        .await?;
    let serving =
        "UPDATE embedding_models SET state = 'serving' WHERE id = $1 AND state = 'filling'";
    let done = sqlx::query(serving).bind(model).execute(&mut *transaction).await?;
    let is_serving = done.rows_affected() > 0;
    if is_serving {
        transaction.commit().await?;
    }
    Ok(is_serving)
}

/// Retires a model, unless searches use it: then false. No job is made for it from then on.
pub async fn retire(connection: &mut PgConnection, model: i32) -> Result<bool, StoreError> {
    let retired =
        "UPDATE embedding_models SET state = 'retired' WHERE id = $1 AND state <> 'serving'";
    let done = sqlx::query(retired).bind(model).execute(connection).await?;
    Ok(done.rows_affected() > 0)
}

/// Rows that are removed together.
const PAGE: i64 = 2000;

/// SQL that removes a model's rows of a page of a table of vectors.
macro_rules! remove_vectors {
    ($table:literal) => {
        concat!(
            "
WITH page AS MATERIALIZED (
    SELECT m.ctid, m.tenant_id, m.agent_id, m.path, m.model_id
      FROM ",
            $table,
            " m
     WHERE (m.tenant_id, m.agent_id, m.path) > ($2, $3, $4)
     ORDER BY m.tenant_id, m.agent_id, m.path
     FETCH FIRST $5 ROWS WITH TIES
), gone AS (
    DELETE FROM ",
            $table,
            " WHERE ctid = ANY (ARRAY (SELECT ctid FROM page WHERE model_id = $1)) AND model_id = $1
)
SELECT tenant_id, agent_id, path FROM page ORDER BY tenant_id DESC, agent_id DESC, path DESC LIMIT 1"
        )
    };
}

const REMOVE_VECTORS: [&str; 2] =
    [remove_vectors!("embeddings"), remove_vectors!("embedding_chunks")];

const REMOVE_JOBS: &str = "
DELETE FROM embedding_jobs
 WHERE id = ANY (ARRAY (SELECT id FROM embedding_jobs WHERE model_id = $1 ORDER BY id LIMIT $2 FOR UPDATE))";

/// Removes a retired model with its embeddings and jobs, batch by batch. False if it is no longer retired.
pub async fn remove(connection: &mut PgConnection, model: i32) -> Result<bool, StoreError> {
    index::drop(&mut *connection, model).await?;
    while sqlx::query(REMOVE_JOBS)
        .bind(model)
        .bind(PAGE)
        .execute(&mut *connection)
        .await?
        .rows_affected()
        > 0
    {}
    for remove in REMOVE_VECTORS {
        let mut place = (Uuid::nil(), String::new(), String::new());
        while let Some(last) = sqlx::query_as(remove)
            .bind(model)
            .bind(place.0)
            .bind(&place.1)
            .bind(&place.2)
            .bind(PAGE)
            .fetch_optional(&mut *connection)
            .await?
        {
            place = last;
        }
    }
    let removed = "DELETE FROM embedding_models WHERE id = $1 AND state = 'retired'";
    let done = sqlx::query(removed).bind(model).execute(connection).await?;
    Ok(done.rows_affected() > 0)
}
