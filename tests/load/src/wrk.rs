//! Load over HTTP, by wrk: a closed loop, each connection asks again as soon as it is answered.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use serde::Deserialize;

use crate::entries::Population;
use crate::sample::Sample;
use crate::servers::{Endpoint, tied};

const SCRIPT: &str = include_str!("../wrk/requests.lua");
/// Threads of all wrks together, one each at least.
const THREADS: usize = 2;

/// Requests of one kind.
#[derive(Debug, Clone, Copy)]
pub struct Requests {
    /// The route.
    pub route: &'static str,
    /// The body; each "000000" becomes the number of an entry.
    pub body: &'static str,
    /// What every right answer contains.
    pub expect: &'static str,
    /// Connections.
    pub connections: u32,
}

const GET_BODY: &str = r#"{"agent_id":"ada","path":"/notes/000000"}"#;
const PUT_BODY: &str = r#"{"agent_id":"ada","path":"/notes/000000","value":{"text":"Ada is allergic to peanuts; she told me at lunch and asked me to remember it.","n":123456}}"#;

/// A get.
pub const GET: Requests =
    Requests { route: "/v1/get", body: GET_BODY, expect: r#""found":true"#, connections: 32 };

/// A put.
pub const PUT: Requests =
    Requests { route: "/v1/put", body: PUT_BODY, expect: r#""version_id":"#, connections: 128 };

/// Ten of a text, with commas between.
macro_rules! ten {
    ($($one:tt)*) => {
        concat!(
            $($one)*, ",", $($one)*, ",", $($one)*, ",", $($one)*, ",", $($one)*, ",",
            $($one)*, ",", $($one)*, ",", $($one)*, ",", $($one)*, ",", $($one)*
        )
    };
}

const GETS_BODY: &str = concat!(
    r#"{"operations":["#,
    ten!(ten!(r#"{"op":"get","agent_id":"ada","path":"/notes/000000"}"#)),
    "]}"
);
const PUTS_BODY: &str = concat!(
    r#"{"operations":["#,
    ten!(ten!(
        r#"{"op":"put","agent_id":"ada","path":"/notes/000000","value":{"text":"Ada is allergic to peanuts; she told me at lunch and asked me to remember it.","n":123456}}"#
    )),
    "]}"
);

/// Operations of [`GETS`] and [`PUTS`].
pub const OPERATIONS: u32 = 100;

/// A batch of gets.
pub const GETS: Requests = Requests { route: "/v1/batch", body: GETS_BODY, connections: 8, ..GET };

/// A batch of puts.
pub const PUTS: Requests = Requests { route: "/v1/batch", body: PUTS_BODY, connections: 8, ..PUT };

/// A get's request that nothing is done for.
pub const ECHO_GET: Requests = Requests { route: "/echo", expect: r#""path":"/notes/"#, ..GET };

/// A put's request that nothing is done for.
pub const ECHO_PUT: Requests = Requests { route: "/echo", expect: r#""path":"/notes/"#, ..PUT };

/// How a measurement looks at the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// At their status.
    Status,
    /// At their bodies too, which costs speed.
    Bodies,
}

/// What wrk counted.
#[derive(Debug)]
pub struct Counted {
    /// Answers; all were good.
    pub answers: u64,
    /// Their speed.
    pub sample: Sample,
}

/// Who asks, and for what.
#[derive(Debug, Clone)]
pub struct Callers {
    /// The keys: of tenant 0, and so on.
    pub keys: Vec<String>,
    /// The entries.
    pub population: Population,
}

/// Sends `requests` for `seconds`, to several endpoints at once; fails unless every one is answered as it must. Latencies are then
/// those of the slowest endpoint.
pub async fn run(
    requests: Requests,
    endpoints: &[Endpoint],
    callers: &Callers,
    folder: &Path,
    seconds: u32,
    look: Look,
) -> anyhow::Result<Counted> {
    let number = u32::try_from(endpoints.len())?;
    let runs = endpoints.iter().zip(0..).map(|(endpoint, place)| {
        // What does not divide goes to the first ones.
        let connections =
            requests.connections / number + u32::from(place < requests.connections % number);
        let own = Requests { connections, ..requests };
        let threads = (THREADS / endpoints.len()).max(1);
        run_one(own, endpoint, callers, folder, seconds, look, threads)
    });
    let counted = try_join_all(runs).await?;
    Ok(Counted {
        answers: counted.iter().map(|one| one.answers).sum(),
        sample: Sample {
            per_second: counted.iter().map(|one| one.sample.per_second).sum(),
            p50_ms: counted.iter().map(|one| one.sample.p50_ms).fold(0.0, f64::max),
            p99_ms: counted.iter().map(|one| one.sample.p99_ms).fold(0.0, f64::max),
        },
    })
}

async fn run_one(
    requests: Requests,
    endpoint: &Endpoint,
    callers: &Callers,
    folder: &Path,
    seconds: u32,
    look: Look,
    threads: usize,
) -> anyhow::Result<Counted> {
    endpoint.forget_log()?;
    let folder = tempfile::tempdir_in(folder)?;
    let script = folder.path().join("requests.lua");
    std::fs::write(&script, SCRIPT)?;
    let keys = folder.path().join("keys");
    std::fs::write(&keys, callers.keys.join("\n"))?;
    let mut command = tied(Path::new("wrk"));
    command
        .arg(format!("--threads={threads}"))
        .arg(format!("--connections={}", requests.connections))
        .arg(format!("--duration={seconds}s"))
        .arg(format!("--script={}", script.display()))
        .arg(format!("{}{}", endpoint.url, requests.route))
        .env("BENCH_API_KEYS", &keys)
        .env("BENCH_BODY", requests.body)
        .env("BENCH_FIRST", callers.population.first().to_string())
        .env("BENCH_ENTRIES", callers.population.entries.to_string())
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
    fn a_batch_is_of_a_hundred_operations() {
        for requests in [GETS, PUTS] {
            let body: serde_json::Value = serde_json::from_str(requests.body).unwrap();
            let operations = body["operations"].as_array().unwrap();
            assert_eq!(operations.len(), OPERATIONS as usize);
            assert!(operations.iter().all(|operation| operation["path"] == "/notes/000000"));
        }
    }

    #[test]
    fn one_bad_answer_fails_the_run() {
        assert!(report(1, 0, 0).is_err() && report(0, 1, 0).is_err() && report(0, 0, 1).is_err());
        assert!(Report::read("unable to connect").is_err());
    }
}
