//! Gets and puts, alone and in batches, beside what the same PostgreSQL does for pgbench, and at a fixed rate below that.

use agentfs_load::entries::{self, DEFAULT};
use agentfs_load::sample::median;
use agentfs_load::wrk::Requests;
use agentfs_load::{pgbench, wrk};

use crate::deployment::{Bench, Deployment};
use crate::report::{Figure, Limit, Row};
use crate::turns::turns;

/// The part of the peak at which latencies are measured.
const PART: f64 = 0.7;
/// Seconds of load after the checkpoint that recycles WAL. In the first of them each page is logged in full, and requests wait for that: in
/// production a second of each checkpoint's minutes, here one of thirty.
const AFTER_CHECKPOINT: u32 = 10;
/// The program of a route without a database.
const ECHO: &str = "echo";

/// Gets and puts at their fastest.
pub(crate) async fn beside_pgbench(bench: &mut Bench<'_>) -> anyhow::Result<Vec<Row>> {
    let deployment = bench.deploy("peak", DEFAULT).await?;
    entries::make_tables(&deployment.database).await?;
    let rounds = bench.plan.rounds;
    let measured = [
        ("gets, 32 connections ÷ pgbench", wrk::GET, pgbench::GET, 0.9),
        ("puts, 128 connections ÷ pgbench", wrk::PUT, pgbench::PUT, 2.7),
    ];
    let mut rows = Vec::new();
    for (what, requests, statement, limit) in measured {
        bench.postgres.recycle_wal().await?;
        let ours = async || deployment.closed(bench, requests).await;
        let alone = async || deployment.pgbench(bench, statement).await;
        rows.push(turns(rounds, ours, alone).await?.row(what, Some(limit)));
    }
    bench.end([deployment]).await?;
    Ok(rows)
}

/// Batches of a hundred, beside a statement of a hundred.
pub(crate) async fn batches(bench: &mut Bench<'_>) -> anyhow::Result<Vec<Row>> {
    let deployment = bench.deploy("batches", DEFAULT).await?;
    entries::make_tables(&deployment.database).await?;
    let rounds = bench.plan.rounds;
    let measured = [
        ("gets, 100 in a batch ÷ pgbench, 100 in a statement", wrk::GETS, pgbench::GETS, Some(0.8)),
        ("puts, 100 in a batch ÷ pgbench, 100 in a statement", wrk::PUTS, pgbench::PUTS, None),
    ];
    let mut rows = Vec::new();
    for (what, requests, statement, limit) in measured {
        bench.postgres.recycle_wal().await?;
        deployment.warm_up(bench, requests).await?;
        let ours = async || deployment.closed(bench, requests).await;
        let alone = async || deployment.pgbench(bench, statement).await;
        let both = turns(rounds, ours, alone).await?.times(wrk::OPERATIONS);
        rows.push(both.row(what, limit));
    }
    bench.end([deployment]).await?;
    Ok(rows)
}

/// Gets and puts at 70 % of their peak, beside a route without a database at the same rate: what is in both is not the API's.
pub(crate) async fn at_a_fixed_rate(bench: &mut Bench<'_>) -> anyhow::Result<Vec<Row>> {
    let deployment = bench.deploy("open_loop", DEFAULT).await?;
    let echo = bench.servers.start_http(ECHO, &[], &[], bench.folder).await?;
    let mut rows = Vec::new();
    let measured = [("get", wrk::GET, wrk::ECHO_GET, 4.0), ("put", wrk::PUT, wrk::ECHO_PUT, 8.0)];
    for (what, requests, alike, limit) in measured {
        let rate = PART * peak(bench, &deployment, requests).await?;
        bench.postgres.recycle_wal().await?;
        deployment.closed_for(bench, requests, AFTER_CHECKPOINT).await?;
        let sample = deployment.open(bench, requests, rate).await?;
        let of_echo = deployment.open_at(&echo, bench, alike, rate).await?;
        let row = |what: String, figure, limit| Row {
            what,
            figure: Figure::Milliseconds(figure),
            limit,
            from: format!("{rate:.0}/s, {} connections", requests.connections),
        };
        let at = format!("{what} at 70 % of its peak");
        let limit = Some(Limit::AtMost(limit));
        rows.push(row(format!("{at}, p50"), sample.p50_ms, None));
        rows.push(row(format!("{at}, p99"), sample.p99_ms, limit));
        let beside = "the same rate at a route without a database, p99".to_owned();
        rows.push(row(beside, of_echo.sample.p99_ms, None));
    }
    bench.servers.end(ECHO).await;
    bench.end([deployment]).await?;
    Ok(rows)
}

/// Requests a second in a closed loop.
async fn peak(
    bench: &Bench<'_>,
    deployment: &Deployment,
    requests: Requests,
) -> anyhow::Result<f64> {
    let mut rounds = Vec::new();
    for _ in 0..bench.plan.rounds {
        rounds.push(deployment.closed(bench, requests).await?.per_second);
    }
    Ok(median(rounds))
}
