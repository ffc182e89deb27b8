//! Puts while the database is dumped.

use std::process::Stdio;
use std::time::Instant;

use agentfs_load::entries::Population;
use agentfs_load::postgres::environment;
use agentfs_load::sample::median;
use agentfs_load::servers::tied;
use agentfs_load::wrk;
use anyhow::{Context as _, ensure};

use crate::deployment::{Bench, Deployment};
use crate::report::{Figure, Limit, Row};

/// Seconds of one of the measurements that follow each other.
const SLICE: u32 = 2;
/// Measurements before the dump.
const SLICES: usize = 10;

/// How fast puts are meanwhile.
pub(crate) async fn measure(bench: &mut Bench<'_>) -> anyhow::Result<Vec<Row>> {
    let entries = bench.plan.dumped;
    let deployment = bench.deploy("dumped", Population { entries, tenants: 1 }).await?;
    let mut before = Vec::new();
    for _ in 0..SLICES {
        before.push(puts(bench, &deployment).await?);
    }
    let before = median(before);
    let mut dump = tied(&bench.postgres.program("pg_dump"))
        .arg("--format=custom")
        .arg(format!("--file={}", bench.folder.join("dump").display()))
        .envs(environment(&deployment.url))
        .stdin(Stdio::null())
        .spawn()
        .context("setpriv (of util-linux) cannot be started")?;
    let (began, mut with) = (Instant::now(), Vec::new());
    let ended = loop {
        let slice = puts(bench, &deployment).await?;
        if let Some(ended) = dump.try_wait()? {
            // The end of the dump is in this one: it counts where there is no other.
            if with.is_empty() {
                with.push(slice);
            }
            break ended;
        }
        with.push(slice);
    };
    ensure!(ended.success(), "pg_dump failed; the reason is above");
    let (dumping, seconds) = (median(with), began.elapsed().as_secs());
    bench.end([deployment]).await?;
    Ok(vec![Row {
        what: format!("puts while pg_dump of {entries} entries runs ÷ without"),
        figure: Figure::Ratio(dumping / before),
        limit: Some(Limit::AtLeast(0.7)),
        from: format!("{dumping:.0}/s ÷ {before:.0}/s; {seconds} s"),
    }])
}

async fn puts(bench: &Bench<'_>, deployment: &Deployment) -> anyhow::Result<f64> {
    Ok(deployment.closed_for(bench, wrk::PUT, SLICE).await?.per_second)
}
