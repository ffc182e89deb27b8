//! What a process of the API takes: until it is ready, and of memory.

use std::time::Duration;

use agentfs_load::entries::DEFAULT;
use agentfs_load::sample::median;
use agentfs_load::servers::Endpoint;
use agentfs_load::wrk;
use anyhow::Context as _;

use crate::deployment::Bench;
use crate::report::{Figure, Limit, Row};

/// Starts; the median counts.
const STARTS: usize = 5;
/// How long it idles before its memory is looked at.
const IDLE: Duration = Duration::from_secs(10);

/// Start, and memory without and with load.
pub(crate) async fn measure(bench: &mut Bench<'_>) -> anyhow::Result<Vec<Row>> {
    let filled = bench.deploy("serve", DEFAULT).await?;
    let mut starts = Vec::new();
    let api = loop {
        bench.end_apis().await;
        let api = bench.start_api(&filled.url).await?;
        starts.push(api.ready_after.as_secs_f64() * 1000.0);
        if starts.len() == STARTS {
            break api;
        }
    };
    tokio::time::sleep(IDLE).await;
    let idle = mebibytes(&api, "VmRSS")?;
    let served = filled.served_by(vec![api.clone()]);
    for requests in [wrk::GET, wrk::PUT] {
        served.closed_for(bench, requests, bench.plan.open_seconds).await?;
    }
    let loaded = mebibytes(&api, "VmHWM")?;
    bench.end([filled]).await?;
    let row = |what: &str, figure, limit, from: String| Row {
        what: what.to_owned(),
        figure,
        limit: Some(Limit::AtMost(limit)),
        from,
    };
    let seconds = bench.plan.open_seconds;
    Ok(vec![
        row(
            "serve, from its start until it is ready",
            Figure::Milliseconds(median(starts)),
            150.0,
            format!("the median of {STARTS}"),
        ),
        row(
            "serve, memory when idle",
            Figure::Mebibytes(idle),
            25.0,
            format!("resident, {} s after the start", IDLE.as_secs()),
        ),
        row(
            "serve, most memory under load",
            Figure::Mebibytes(loaded),
            96.0,
            format!("resident, {seconds} s of gets and of puts"),
        ),
    ])
}

/// A line of the process' status.
fn mebibytes(api: &Endpoint, name: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", api.pid))?;
    kibibytes(&status, name)
        .map(|kibibytes| kibibytes / 1024.0)
        .with_context(|| format!("/proc tells no {name} of the API"))
}

fn kibibytes(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_status() {
        let status = "Name:\tserve\nVmHWM:\t   30720 kB\nVmRSS:\t   20480 kB\n";
        assert_eq!(kibibytes(status, "VmRSS"), Some(20480.0));
        assert_eq!(kibibytes(status, "VmHWM"), Some(30720.0));
        assert_eq!(kibibytes(status, "Vm"), None);
    }
}
