//! The entries that are dumped and restored, made by statements alone.

use std::ops::Range;

use agentfs_server::store::connection::address::DatabaseAddress;
use anyhow::{Context as _, bail};
use futures::future::try_join_all;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};
use url::Url;

use agentfs_load::vector_indexes;

/// The model's name.
const MODEL: &str = "bench/384";
/// Entries of a statement.
const CHUNK: usize = 5_000;
/// What a build of an index may take of memory: HNSW builds many times faster where all of it fits.
const MEMORY: &str = "1GB";

const PROSE: &str = include_str!("prose.sql");
const FILL: &str = include_str!("fill.sql");

/// GIN indexes: filling them row by row takes longer than all the rest.
const WORD_INDEXES: &str = "
SELECT indexname::text, indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexdef LIKE '% USING gin %'";

/// The indexes of embeddings and of further chunks that can be used.
const HNSW: &str = "
SELECT c.oid::regclass::text
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
 WHERE a.amname = 'hnsw' AND i.indisvalid";

/// Makes the model known.
pub(crate) async fn make_model(database: &DatabaseAddress) -> anyhow::Result<i32> {
    let mut connection = database.connect_unlimited().await?;
    let made = "INSERT INTO embedding_models (name, dimensions, state) VALUES ($1, 384, 'serving') RETURNING id";
    Ok(sqlx::query_scalar(made).bind(MODEL).fetch_one(&mut connection).await?)
}

/// Makes the entries with these numbers; `superuser` is the same database, for who may do all.
pub(crate) async fn fill(
    database: &DatabaseAddress,
    superuser: &DatabaseAddress,
    model: i32,
    numbers: Range<usize>,
) -> anyhow::Result<()> {
    let mut connection = database.connect_unlimited().await?;
    let indexes: Vec<(String, String)> =
        sqlx::query_as(WORD_INDEXES).fetch_all(&mut connection).await?;
    for (name, _) in &indexes {
        connection.execute(AssertSqlSafe(format!("DROP INDEX {name}"))).await?;
    }
    // A session a processor.
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let part = numbers.len().div_ceil(workers).max(1);
    let parts = numbers.clone().step_by(part);
    try_join_all(
        parts.map(|begin| fill_part(database, model, begin..numbers.end.min(begin + part))),
    )
    .await?;
    connection.execute(AssertSqlSafe(format!("SET maintenance_work_mem = '{MEMORY}'"))).await?;
    for (_, definition) in indexes {
        connection.execute(AssertSqlSafe(definition)).await?;
    }
    // As autovacuum does before long: it is to have nothing left to do during the measurements.
    superuser.connect_unlimited().await?.execute("VACUUM ANALYZE").await?;
    Ok(())
}

async fn fill_part(
    database: &DatabaseAddress,
    model: i32,
    numbers: Range<usize>,
) -> anyhow::Result<()> {
    let mut connection = database.connect_unlimited().await?;
    connection.execute(PROSE).await.context("preparing")?;
    // Other words than in the other parts, and the same in each run.
    let seeding = sqlx::query("SELECT setseed($1)").bind(seed_of(&numbers));
    seeding.execute(&mut connection).await?;
    for begin in numbers.clone().step_by(CHUNK) {
        let last = numbers.end.min(begin + CHUNK) - 1;
        let filling = sqlx::query(FILL).bind(begin as i64).bind(last as i64).bind(model);
        filling.execute(&mut connection).await.context("filling")?;
    }
    Ok(())
}

/// A number below 1 that a part has for its own.
fn seed_of(numbers: &Range<usize>) -> f64 {
    1.0 / (2.0 + numbers.start as f64)
}

/// Builds the indexes of embeddings.
pub(crate) async fn build_indexes(database: &Url) -> anyhow::Result<()> {
    vector_indexes::build(database.as_str(), MODEL, MEMORY).await
}

/// Drops the indexes of embeddings.
pub(crate) async fn drop_indexes(database: &DatabaseAddress) -> anyhow::Result<()> {
    let mut connection = database.connect_unlimited().await?;
    for name in indexes(&mut connection).await? {
        connection.execute(AssertSqlSafe(format!("DROP INDEX {name}"))).await?;
    }
    Ok(())
}

/// The indexes of embeddings that can be used.
async fn indexes(connection: &mut PgConnection) -> anyhow::Result<Vec<String>> {
    Ok(sqlx::query_scalar(HNSW).fetch_all(connection).await?)
}

/// That a restored database holds so many entries, all their versions, and the indexes of embeddings where they are wanted, and only
/// there: building them is most of a restore.
pub(crate) async fn check(
    database: &DatabaseAddress,
    entries: usize,
    with_index: bool,
) -> anyhow::Result<()> {
    let mut connection = database.connect_unlimited().await?;
    let joined = "SELECT count(*) FROM entries e JOIN entry_versions v ON v.tenant_id = e.tenant_id AND v.id = e.latest_version_id";
    let found: i64 = sqlx::query_scalar(joined).fetch_one(&mut connection).await?;
    if found != entries as i64 {
        bail!("of {entries} entries {found} were restored");
    }
    let indexes = indexes(&mut connection).await?;
    if indexes.is_empty() == with_index {
        bail!("what was restored has these indexes of embeddings: {indexes:?}");
    }
    Ok(())
}
