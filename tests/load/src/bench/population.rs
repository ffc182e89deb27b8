//! Gets and puts among many entries beside few, and of many tenants beside one.

use agentfs_load::entries::{DEFAULT, Population};
use agentfs_load::wrk;

use crate::deployment::{Bench, Deployment};
use crate::report::Row;
use crate::turns::turns;

/// What many entries are compared with.
pub(crate) const FEW: Population = Population { entries: 10_000, tenants: 1 };
/// What one tenant is compared with, among as many entries.
const TENANTS: u64 = 10_000;
/// The least ratio of gets, and of puts.
const LIMIT: f64 = 0.8;

/// Many entries beside few.
pub(crate) async fn entries(bench: &mut Bench<'_>) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for entries in bench.plan.entries.clone() {
        let few = bench.deploy("few", FEW).await?;
        let many = bench.deploy("many", Population { entries, ..FEW }).await?;
        let what = format!("{entries} entries ÷ {}", FEW.entries);
        rows.extend(compare(bench, &what, &many, &few).await?);
        bench.end([few, many]).await?;
    }
    Ok(rows)
}

/// Many tenants beside one.
pub(crate) async fn tenants(bench: &mut Bench<'_>) -> anyhow::Result<Vec<Row>> {
    let one = bench.deploy("one_tenant", DEFAULT).await?;
    let many = bench.deploy("tenants", Population { tenants: TENANTS, ..DEFAULT }).await?;
    let rows = compare(bench, &format!("{TENANTS} tenants ÷ 1"), &many, &one).await?;
    bench.end([one, many]).await?;
    Ok(rows)
}

async fn compare(
    bench: &Bench<'_>,
    what: &str,
    many: &Deployment,
    few: &Deployment,
) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (name, requests) in [("gets", wrk::GET), ("puts", wrk::PUT)] {
        bench.postgres.recycle_wal().await?;
        let of_many = async || many.closed(bench, requests).await;
        let of_few = async || few.closed(bench, requests).await;
        let both = turns(bench.plan.rounds, of_many, of_few).await?;
        rows.push(both.row(format!("{name}, {what}"), Some(LIMIT)));
    }
    Ok(rows)
}
