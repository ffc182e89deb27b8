//! What PostgreSQL gives alone: single prepared statements by pgbench.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};
use url::Url;

use crate::postgres::{Postgres, environment};
use crate::sample::{Sample, percentile};
use crate::servers::tied;

/// Part of the transactions whose latency is written down; all would slow pgbench.
const SAMPLED: &str = "0.05";

/// A statement for pgbench to repeat.
#[derive(Debug, Clone, Copy)]
pub struct Statement {
    /// The script's name.
    pub name: &'static str,
    /// The script.
    pub script: &'static str,
    /// Connections.
    pub clients: u32,
}

/// A get. More clients than ten give no more: the two cores are busy.
pub const GET: Statement =
    Statement { name: "get", script: include_str!("../pgbench/get.sql"), clients: 10 };

/// A put: head and version in one statement, without a quota, which would have all wait for one row.
pub const PUT: Statement =
    Statement { name: "put", script: include_str!("../pgbench/put.sql"), clients: 32 };

/// A hundred gets in one statement.
pub const GETS: Statement =
    Statement { name: "gets", script: include_str!("../pgbench/gets.sql"), clients: 4 };

/// A hundred puts in one statement, of as many entries.
pub const PUTS: Statement =
    Statement { name: "puts", script: include_str!("../pgbench/puts.sql"), clients: 4 };

/// Repeats `statement` on `database` for `seconds`. `folder` takes the files that pgbench reads and writes.
pub async fn run(
    statement: Statement,
    postgres: &Postgres,
    database: &Url,
    folder: &Path,
    seconds: u32,
) -> anyhow::Result<Sample> {
    let script = folder.join(format!("{}.sql", statement.name));
    std::fs::write(&script, statement.script)?;
    let log = folder.join(format!("{}.latency", statement.name));
    let output = tied(&postgres.program("pgbench"))
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=2", "--log"])
        .arg(format!("--client={}", statement.clients))
        .arg(format!("--time={seconds}"))
        .arg(format!("--sampling-rate={SAMPLED}"))
        .arg(format!("--log-prefix={}", log.display()))
        .arg(format!("--file={}", script.display()))
        .envs(environment(database))
        .stdin(Stdio::null())
        .output()
        .await
        .context("setpriv (of util-linux) cannot be started")?;
    if !output.status.success() {
        bail!("pgbench failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let per_second =
        per_second(&said).with_context(|| format!("pgbench said no clean tps: {said}"))?;
    let mut latencies = Vec::new();
    for file in logs(folder, statement.name)? {
        latencies.extend(std::fs::read_to_string(&file)?.lines().filter_map(latency_ms));
        std::fs::remove_file(&file)?;
    }
    latencies.sort_by(f64::total_cmp);
    Ok(Sample {
        per_second,
        p50_ms: percentile(&latencies, 50),
        p99_ms: percentile(&latencies, 99),
    })
}

/// Transactions a second, when none failed.
fn per_second(said: &str) -> Option<f64> {
    let failed = said.lines().find_map(|l| l.strip_prefix("number of failed transactions: "))?;
    let tps = said.lines().find_map(|line| line.strip_prefix("tps = "))?;
    failed.starts_with("0 ").then_some(())?;
    tps.split(' ').next()?.parse().ok()
}

/// The latency of a line of pgbench's log: client, transaction, microseconds, and more.
fn latency_ms(line: &str) -> Option<f64> {
    line.split(' ').nth(2)?.parse::<f64>().ok().map(|microseconds| microseconds / 1000.0)
}

/// The files of latencies that pgbench's threads wrote.
fn logs(folder: &Path, name: &str) -> anyhow::Result<Vec<PathBuf>> {
    let prefix = format!("{name}.latency.");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "number of transactions actually processed: 4242\n\
        number of failed transactions: 0 (0.000%)\nlatency average = 0.2 ms\n\
        tps = 42123.5 (without initial connection time)\n";

    #[test]
    fn the_speed_counts_only_when_nothing_failed() {
        assert_eq!(per_second(SAID), Some(42123.5));
        assert_eq!(per_second(&SAID.replace(": 0 (", ": 10 (")), None);
        assert_eq!(per_second("pgbench: error"), None);
    }

    #[test]
    fn latencies_are_read_in_milliseconds() {
        assert_eq!(latency_ms("0 199 2241 0 1175850568 995598"), Some(2.241));
    }
}
