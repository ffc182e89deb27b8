//! How much of the disk puts take, of entries that are overwritten again and again and of new ones, and how much of the indexes is
//! waste: what `REINDEX` takes off.

use std::future::ready;

use agentfs_load::entries::Population;
use agentfs_load::wrk::{OPERATIONS, PUTS};
use agentfs_server::store::connection::address::DatabaseAddress;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use rand::seq::SliceRandom as _;
use reqwest::Client;
use sqlx::{AssertSqlSafe, Executor as _};

use crate::deployment::{Bench, Deployment};
use crate::population::FEW;
use crate::report::{Figure, Row};

/// The tables that puts write to.
const TABLES: [&str; 2] = ["entries", "entry_versions"];
const TABLE_BYTES: &str = "SELECT pg_table_size('entries') + pg_table_size('entry_versions')";
const INDEX_BYTES: &str = "
SELECT indexrelid::regclass::text, pg_relation_size(indexrelid)
  FROM pg_index
 WHERE indrelid IN ('entries'::regclass, 'entry_versions'::regclass)
 ORDER BY indexrelid";

/// An odd factor: no two products are equal, and none is next to the one before.
const SCATTER: u64 = 0x9E37_79B9_7F4A_7C15;

/// Overwrites of all entries, each time in another order, and new entries in no order.
pub(crate) async fn measure(bench: &mut Bench<'_>) -> anyhow::Result<Vec<Row>> {
    let (entries, overwrites) = (bench.plan.overwritten, bench.plan.overwrites);
    let population = Population { entries, tenants: 1 };
    let overwritten = bench.deploy("overwritten", population).await?;
    let before = Sizes::of(&overwritten.database).await?;
    let first = population.first();
    for _ in 0..overwrites {
        let mut numbers: Vec<u64> = (first..first + entries).collect();
        numbers.shuffle(&mut rand::rng());
        put(&overwritten, numbers.into_iter().map(|number| format!("/notes/{number}"))).await?;
    }
    let what = format!("{overwrites} overwrites of each of {entries} entries");
    let puts = u64::from(overwrites) * entries;
    let mut rows = Vec::from(grown(&overwritten, &before, &what, puts).await?);
    bench.end([overwritten]).await?;

    let added = bench.plan.added;
    let deployment = bench.deploy("added", FEW).await?;
    let before = Sizes::of(&deployment.database).await?;
    let paths = (0..added).map(|number| format!("/added/{:016x}", number.wrapping_mul(SCATTER)));
    put(&deployment, paths).await?;
    rows.extend(grown(&deployment, &before, &format!("{added} new entries"), added).await?);
    bench.end([deployment]).await?;
    Ok(rows)
}

/// Puts an entry at each path, a hundred in a batch.
async fn put(deployment: &Deployment, paths: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let client = Client::builder().no_proxy().build()?;
    let batches = stream::iter(paths).chunks(OPERATIONS as usize);
    let sent = batches
        .map(|paths| deployment.put(&client, paths))
        .buffer_unordered(PUTS.connections as usize);
    sent.try_for_each(|()| ready(Ok(()))).await
}

/// What so many puts have added, and what rebuilding the indexes takes off.
async fn grown(
    deployment: &Deployment,
    before: &Sizes,
    what: &str,
    puts: u64,
) -> anyhow::Result<[Row; 2]> {
    let after = Sizes::of(&deployment.database).await?;
    let mut connection = deployment.database.connect_unlimited().await?;
    for table in TABLES {
        connection.execute(AssertSqlSafe(format!("REINDEX TABLE {table}"))).await?;
    }
    let rebuilt = Sizes::of(&deployment.database).await?;
    Ok(after.rows(before, &rebuilt, what, puts))
}

/// Bytes on disk.
#[derive(Debug)]
struct Sizes {
    tables: f64,
    /// Each with its name, always in the same order.
    indexes: Vec<(String, f64)>,
}

impl Sizes {
    async fn of(database: &DatabaseAddress) -> anyhow::Result<Self> {
        let mut connection = database.connect_unlimited().await?;
        let tables: i64 = sqlx::query_scalar(TABLE_BYTES).fetch_one(&mut connection).await?;
        let indexes: Vec<(String, i64)> =
            sqlx::query_as(INDEX_BYTES).fetch_all(&mut connection).await?;
        let indexes = indexes.into_iter().map(|(name, bytes)| (name, bytes as f64)).collect();
        Ok(Self { tables: tables as f64, indexes })
    }

    fn of_indexes(&self) -> f64 {
        self.indexes.iter().map(|(_, bytes)| bytes).sum()
    }

    fn rows(&self, before: &Self, rebuilt: &Self, what: &str, puts: u64) -> [Row; 2] {
        let (indexes, necessary) = (self.of_indexes(), rebuilt.of_indexes());
        let added = [self.tables - before.tables, indexes - before.of_indexes()];
        let [in_tables, in_indexes] = added.map(mebibytes);
        let ratios = self.indexes.iter().zip(&rebuilt.indexes);
        let ratios = ratios.map(|((name, bytes), (_, rebuilt))| (name.as_str(), bytes / rebuilt));
        let worst = ratios.max_by(|(_, one), (_, other)| one.total_cmp(other));
        let worst = worst.map(|(name, ratio)| format!("; most in {name}, {ratio:.2}"));
        [
            Row {
                what: format!("disk of a put, {what}"),
                figure: Figure::Bytes(added.iter().sum::<f64>() / puts as f64),
                limit: None,
                from: format!("{in_tables:.0} MiB in tables, {in_indexes:.0} MiB in indexes"),
            },
            Row {
                what: format!("indexes ÷ rebuilt ones, {what}"),
                figure: Figure::Ratio(indexes / necessary),
                limit: None,
                from: format!(
                    "{:.0} MiB ÷ {:.0} MiB{}",
                    mebibytes(indexes),
                    mebibytes(necessary),
                    worst.unwrap_or_default()
                ),
            },
        ]
    }
}

fn mebibytes(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(tables: f64, [one, other]: [f64; 2]) -> Sizes {
        let mebibyte = f64::from(1 << 20);
        let indexes = [("one", one), ("other", other)];
        let indexes = indexes.map(|(name, size)| (name.to_owned(), size * mebibyte));
        Sizes { tables: tables * mebibyte, indexes: indexes.into() }
    }

    #[test]
    fn what_was_there_before_is_no_puts_and_what_a_rebuild_takes_off_is_waste() {
        let (before, after) = (sizes(10.0, [1.0, 4.0]), sizes(40.0, [3.0, 12.0]));
        let rebuilt = sizes(40.0, [2.0, 10.0]);
        let rows = after.rows(&before, &rebuilt, "2 new entries", 1 << 20);
        assert_eq!(
            rows.map(|row| row.to_string()),
            [
                "| disk of a put, 2 new entries | 40 B |  | 30 MiB in tables, 10 MiB in indexes |",
                "| indexes ÷ rebuilt ones, 2 new entries | 1.25 |  | 15 MiB ÷ 12 MiB; most in one, 1.50 |"
            ]
        );
    }
}
