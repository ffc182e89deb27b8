//! Load over HTTP, by wrk: a closed loop, each connection asks again as soon as it is answered.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::sample::Sample;
use agentfs_load::servers::{Endpoint, tied};

const SCRIPT: &str = include_str!("../../wrk/requests.lua");

/// Requests of one kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Requests {
    /// The route.
    pub(crate) route: &'static str,
    /// The body; "000000" becomes one of 100,000 keys.
    pub(crate) body: &'static str,
    /// What every right answer contains.
    pub(crate) expect: &'static str,
    /// Connections.
    pub(crate) connections: u32,
}

const GET_BODY: &str = r#"{"agent_id":"ada","path":"/notes/000000"}"#;
const PUT_BODY: &str = r#"{"agent_id":"ada","path":"/notes/000000","value":{"text":"Ada is allergic to peanuts; she told me at lunch and asked me to remember it.","n":123456}}"#;

/// A get.
pub(crate) const GET: Requests =
    Requests { route: "/v1/get", body: GET_BODY, expect: r#""found":true"#, connections: 32 };

/// A put.
pub(crate) const PUT: Requests =
    Requests { route: "/v1/put", body: PUT_BODY, expect: r#""version_id":"#, connections: 128 };

/// A get's request that nothing is done for.
pub(crate) const ECHO_GET: Requests =
    Requests { route: "/echo", expect: r#""path":"/notes/"#, ..GET };

/// A put's request that nothing is done for.
pub(crate) const ECHO_PUT: Requests =
    Requests { route: "/echo", expect: r#""path":"/notes/"#, ..PUT };

/// How a measurement looks at the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// At their status.
    Status,
    /// At their bodies too, which costs speed.
    Bodies,
}

/// What wrk counted.
#[derive(Debug)]
pub(crate) struct Counted {
    /// Answers; all were good.
    pub(crate) answers: u64,
    /// Their speed.
    pub(crate) sample: Sample,
}

/// Sends `requests` for `seconds`; fails unless every one is answered as it must.
pub(crate) async fn run(
    requests: Requests,
    endpoint: &Endpoint,
    api_key: &str,
    folder: &Path,
    seconds: u32,
    look: Look,
) -> anyhow::Result<Counted> {
    endpoint.forget_log()?;
    let script = folder.join("requests.lua");
    std::fs::write(&script, SCRIPT)?;
    let mut command = tied(Path::new("wrk"));
    command
        .args(["--threads=2", &format!("--connections={}", requests.connections)])
        .arg(format!("--duration={seconds}s"))
        .arg(format!("--script={}", script.display()))
        .arg(format!("{}{}", endpoint.url, requests.route))
        .env("BENCH_API_KEY", api_key)
        .env("BENCH_BODY", requests.body)
        .stdin(Stdio::null());
    if look == Look::Bodies {
        command.env("BENCH_EXPECT", requests.expect);
    }
    let output = command.output().await.context("setpriv (of util-linux) cannot be started")?;
    ensure!(
        output.status.success(),
        "wrk failed; it is the Debian package wrk: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let said = String::from_utf8_lossy(&output.stdout);
    Report::read(&said)?.counted(requests.route)
}

/// The line that the script ends with.
#[derive(Debug, Deserialize)]
struct Report {
    requests: u64,
    microseconds: u64,
    p50_us: u64,
    p99_us: u64,
    /// Answers of status 400 and above.
    refused: u64,
    /// Connections that failed, and requests without an answer in time.
    broken: u64,
    /// Answers with another body than expected.
    wrong: u64,
}

impl Report {
    fn read(said: &str) -> anyhow::Result<Self> {
        let line = said.lines().find(|line| line.starts_with('{'));
        let line = line.with_context(|| format!("wrk gave no report: {said}"))?;
        serde_json::from_str(line).with_context(|| format!("wrk's report cannot be read: {line}"))
    }

    fn counted(&self, route: &str) -> anyhow::Result<Counted> {
        let Self { requests, refused, broken, wrong, .. } = self;
        ensure!(
            *requests > 0 && refused + broken + wrong == 0,
            "{route}: of {requests} answers {refused} were errors and {wrong} wrong; {broken} requests or connections failed"
        );
        Ok(Counted {
            answers: self.requests,
            sample: Sample {
                per_second: self.requests as f64 * 1e6 / self.microseconds as f64,
                p50_ms: self.p50_us as f64 / 1000.0,
                p99_ms: self.p99_us as f64 / 1000.0,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(refused: u64, broken: u64, wrong: u64) -> anyhow::Result<Counted> {
        let line = format!(
            r#"{{"requests":8000,"microseconds":4000000,"p50_us":1500,"p99_us":9000,"refused":{refused},"broken":{broken},"wrong":{wrong}}}"#
        );
        Report::read(&format!("Running 4s test\n{line}\n"))?.counted("/v1/put")
    }

    #[test]
    fn a_clean_report_counts() {
        let counted = report(0, 0, 0).unwrap();
        assert_eq!(counted.answers, 8000);
        assert_eq!(counted.sample, Sample { per_second: 2000.0, p50_ms: 1.5, p99_ms: 9.0 });
    }

    #[test]
    fn one_bad_answer_fails_the_run() {
        assert!(report(1, 0, 0).is_err() && report(0, 1, 0).is_err() && report(0, 0, 1).is_err());
        assert!(Report::read("unable to connect").is_err());
    }
}
