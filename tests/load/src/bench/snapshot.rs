//! Puts while a transaction holds a snapshot, as a forgotten `BEGIN` does.

use std::time::{Duration, Instant};

use agentfs_load::entries::DEFAULT;
use agentfs_load::sample::median;
use agentfs_load::wrk;
use sqlx::Executor as _;

use crate::deployment::{Bench, Deployment};
use crate::report::{Figure, Limit, Row};

/// Seconds of one of the measurements that follow each other.
const SLICE: u32 = 10;
/// Measurements that count: before the snapshot, and at its end.
const SLICES: usize = 6;

/// How fast puts still are at the end of the snapshot.
pub(crate) async fn measure(bench: &mut Bench<'_>) -> anyhow::Result<Vec<Row>> {
    let deployment = bench.deploy("snapshot", DEFAULT).await?;
    let length = Duration::from_secs(bench.plan.snapshot_seconds.into());
    let mut before = Vec::new();
    for _ in 0..SLICES {
        before.push(puts(bench, &deployment).await?);
    }
    let mut holder = deployment.database.connect_unlimited().await?;
    holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    // The snapshot is taken by the first statement that reads.
    holder.execute("SELECT count(*) FROM tenants").await?;
    let (began, mut with) = (Instant::now(), Vec::new());
    while began.elapsed() < length {
        let speed = puts(bench, &deployment).await?;
        eprintln!("{} s with a snapshot: {speed:.0}/s", began.elapsed().as_secs());
        with.push(speed);
    }
    holder.execute("ROLLBACK").await?;
    let after = puts(bench, &deployment).await?;
    let before = median(before);
    let last = median(with[with.len().saturating_sub(SLICES)..].iter().copied());
    let slowest = with.iter().copied().fold(f64::INFINITY, f64::min);
    bench.end([deployment]).await?;
    Ok(vec![Row {
        what: format!("puts, a snapshot open for {} s ÷ without", length.as_secs()),
        figure: Figure::Ratio(last / before),
        limit: Some(Limit::AtLeast(0.8)),
        from: format!("{last:.0}/s ÷ {before:.0}/s; least {slowest:.0}/s, afterwards {after:.0}/s"),
    }])
}

async fn puts(bench: &Bench<'_>, deployment: &Deployment) -> anyhow::Result<f64> {
    Ok(deployment.closed_for(bench, wrk::PUT, SLICE).await?.per_second)
}
