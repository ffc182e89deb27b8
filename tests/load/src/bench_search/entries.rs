//! The entries that are searched: as writes and a worker leave them, made by a few statements.

use std::ops::Range;

use agentfs_server::store::connection::address::DatabaseAddress;
use sqlx::Executor as _;

use crate::vectors::Space;

/// The model's name, as the endpoint knows it.
pub(crate) const MODEL: &str = "bench";

/// Rows of a statement.
const CHUNK: usize = 2000;

/// Where a thing lies, and its tags: of a thousand, one below /thousandth, nine below /hundredth, ninety below /tenth. The tags
/// are for those and all that are rarer.
pub(crate) fn place(thing: usize) -> (&'static str, &'static [&'static str]) {
    match thing % 1000 {
        0 => ("/thousandth", &["tenth", "hundredth", "thousandth"]),
        n if n % 100 == 0 => ("/hundredth", &["tenth", "hundredth"]),
        n if n % 10 == 0 => ("/tenth", &["tenth"]),
        _ => ("/rest", &[]),
    }
}

/// Makes the model known, and lets it serve.
pub(crate) async fn make_model(database: &DatabaseAddress) -> anyhow::Result<i32> {
    let mut connection = database.connect_unlimited().await?;
    let made = "INSERT INTO embedding_models (name, dimensions, state) VALUES ('bench/384', 384, 'serving') RETURNING id";
    Ok(sqlx::query_scalar(made).fetch_one(&mut connection).await?)
}

const FILL: &str = include_str!("fill.sql");

/// Makes the entries of `things`.
pub(crate) async fn fill(
    database: &DatabaseAddress,
    model: i32,
    space: &Space,
    things: Range<usize>,
) -> anyhow::Result<()> {
    let mut connection = database.connect_unlimited().await?;
    let things: Vec<usize> = things.collect();
    for chunk in things.chunks(CHUNK) {
        let tags = |thing: usize| format!("{{{}}}", place(thing).1.join(","));
        let path = |thing: usize| format!("{}/{thing}", place(thing).0);
        sqlx::query(FILL)
            .bind(chunk.iter().map(|thing| path(*thing)).collect::<Vec<_>>())
            .bind(chunk.iter().map(|thing| tags(*thing)).collect::<Vec<_>>())
            .bind(
                chunk
                    .iter()
                    .map(|thing| format!("{:?}", space.vector(*thing as u64)))
                    .collect::<Vec<_>>(),
            )
            .bind(model)
            .execute(&mut connection)
            .await?;
    }
    // As autovacuum does before long.
    connection.execute("VACUUM ANALYZE").await?;
    Ok(())
}
