//! The order of measurements: what is compared is measured side by side, several times.

use std::path::Path;

use agentfs_load::postgres::Postgres;
use agentfs_load::sample::Sample;
use agentfs_load::servers::{Endpoint, Servers};
use agentfs_load::wrk::{Callers, Counted, Look, Requests};
use agentfs_load::{entries, pgbench, wrk};
use agentfs_server::commands::migrate;
use anyhow::Context as _;

const API: &str = "agentfs-server";
const WARM_UP_SECONDS: u32 = 1;

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// How often.
    pub(crate) rounds: u32,
    /// Seconds of each measurement.
    pub(crate) seconds: u32,
}

/// One measurement of each kind, close to one another in time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    pub(crate) pgbench_get: Sample,
    pub(crate) get: Sample,
    pub(crate) echo_get: Sample,
    pub(crate) pgbench_put: Sample,
    pub(crate) put: Sample,
    pub(crate) echo_put: Sample,
}

/// Starts all that is needed, measures, and checks that what was written is right.
pub(crate) async fn run(
    plan: Plan,
    servers: &mut Servers,
    folder: &Path,
) -> anyhow::Result<Vec<Round>> {
    let mut bench = Bench::start(servers, folder).await?;
    let mut rounds = Vec::new();
    bench.round(WARM_UP_SECONDS, Look::Bodies).await.context("warming up")?;
    for number in 1..=plan.rounds {
        let round = bench.round(plan.seconds, Look::Status).await?;
        eprintln!(
            "round {number} of {}: get {:.2} of pgbench, put {:.2}",
            plan.rounds,
            round.get.per_second / round.pgbench_get.per_second,
            round.put.per_second / round.pgbench_put.per_second,
        );
        rounds.push(round);
    }
    // Only then is every write that a client no longer waited for in the database, or will never be.
    servers.end(API).await;
    let in_flight = u64::from(wrk::PUT.connections) * u64::from(plan.rounds + 1);
    let database = bench.postgres.database()?;
    entries::check(&database, entries::DEFAULT, bench.acknowledged, in_flight).await?;
    Ok(rounds)
}

/// What the measurements need.
struct Bench<'f> {
    /// Logs and scripts.
    folder: &'f Path,
    postgres: Postgres,
    api: Endpoint,
    echo: Endpoint,
    callers: Callers,
    /// Puts that were answered, so far.
    acknowledged: u64,
}

impl<'f> Bench<'f> {
    async fn start(servers: &mut Servers, folder: &'f Path) -> anyhow::Result<Self> {
        let postgres = Postgres::start(servers).await?;
        let database = postgres.database()?;
        migrate::migrate(&database, None).await?;
        let population = entries::DEFAULT;
        let keys = population.fill(&database).await.context("the entries could not be loaded")?;
        entries::make_tables(&database).await?;
        postgres.recycle_wal().await?;
        let environment = [
            ("DATABASE_URL", postgres.database_url()),
            ("WRITE_QUOTA_PER_DAY", "0"),
            ("RATE_LIMIT_REQUESTS_PER_MINUTE", "0"),
        ];
        let api = servers.start_http(API, &["serve"], &environment, folder).await?;
        let echo = servers.start_http("echo", &[], &[], folder).await?;
        let callers = Callers { keys, population };
        Ok(Self { folder, postgres, api, echo, callers, acknowledged: 0 })
    }

    async fn round(&mut self, seconds: u32, look: Look) -> anyhow::Result<Round> {
        let pgbench_get = self.pgbench(pgbench::GET, seconds).await?;
        let get = self.http(wrk::GET, &self.api, seconds, look).await?;
        let echo_get = self.http(wrk::ECHO_GET, &self.echo, seconds, look).await?;
        let pgbench_put = self.pgbench(pgbench::PUT, seconds).await?;
        let put = self.http(wrk::PUT, &self.api, seconds, look).await?;
        let echo_put = self.http(wrk::ECHO_PUT, &self.echo, seconds, look).await?;
        self.acknowledged += put.answers;
        Ok(Round {
            pgbench_get,
            get: get.sample,
            echo_get: echo_get.sample,
            pgbench_put,
            put: put.sample,
            echo_put: echo_put.sample,
        })
    }

    async fn pgbench(&self, statement: pgbench::Statement, seconds: u32) -> anyhow::Result<Sample> {
        let database = self.postgres.url();
        pgbench::run(statement, &self.postgres, database, self.folder, seconds).await
    }

    async fn http(
        &self,
        requests: Requests,
        endpoint: &Endpoint,
        seconds: u32,
        look: Look,
    ) -> anyhow::Result<Counted> {
        let endpoints = std::slice::from_ref(endpoint);
        wrk::run(requests, endpoints, &self.callers, self.folder, seconds, look).await
    }
}
