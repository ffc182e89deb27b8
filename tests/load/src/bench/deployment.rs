//! A database with entries, the API's processes that serve it, and load on them.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use agentfs_load::entries::{self, Population};
use agentfs_load::open_loop;
use agentfs_load::pgbench::{self, Statement};
use agentfs_load::postgres::Postgres;
use agentfs_load::sample::Sample;
use agentfs_load::servers::{Endpoint, Servers};
use agentfs_load::wrk::{self, Callers, Counted, Look, Requests};
use agentfs_server::commands::migrate;
use agentfs_server::store::connection::address::DatabaseAddress;
use anyhow::{Context as _, ensure};
use reqwest::{Client, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

use crate::plan::Plan;

const API: &str = "agentfs-server";
const WARM_UP_SECONDS: u32 = 1;
/// The pause after a key that was refused because too many unknown ones are looked up.
const REFUSED: Duration = Duration::from_millis(100);
/// WAL that is there to be used again: for minutes of puts.
const SETTINGS: [&str; 4] =
    ["shared_buffers=512MB", "max_wal_size=8GB", "min_wal_size=4GB", "checkpoint_timeout=30min"];

/// What all measurements share.
pub(crate) struct Bench<'s> {
    pub(crate) servers: &'s mut Servers,
    pub(crate) postgres: Postgres,
    pub(crate) plan: Plan,
    /// Logs and scripts.
    pub(crate) folder: &'s Path,
}

impl<'s> Bench<'s> {
    /// Starts PostgreSQL. Its own database stays empty: the others are copies of it.
    pub(crate) async fn start(
        servers: &'s mut Servers,
        folder: &'s Path,
        plan: Plan,
    ) -> anyhow::Result<Self> {
        let postgres = Postgres::start_with(servers, None, &SETTINGS).await?;
        migrate::migrate(&postgres.database()?, None).await?;
        Ok(Self { servers, postgres, plan, folder })
    }

    /// A database of this name with entries, which one process serves.
    pub(crate) async fn deploy(
        &mut self,
        name: &'static str,
        population: Population,
    ) -> anyhow::Result<Deployment> {
        let url = self.postgres.copy_database(name).await?;
        let database = DatabaseAddress::parse(&SecretString::from(url.as_str()))?;
        let keys = population.fill(&database).await?;
        self.postgres.recycle_wal().await?;
        let callers = Callers { keys, population };
        let apis = vec![self.start_api(&url).await?];
        let deployment = Deployment { name, url, database, callers, apis, written: Rc::default() };
        deployment.introduce().await?;
        for requests in [wrk::GET, wrk::PUT] {
            deployment.warm_up(self, requests).await?;
        }
        Ok(deployment)
    }

    /// One more process that serves a database.
    pub(crate) async fn start_api(&mut self, database: &Url) -> anyhow::Result<Endpoint> {
        let environment = [
            ("DATABASE_URL", database.as_str()),
            ("WRITE_QUOTA_PER_DAY", "0"),
            ("RATE_LIMIT_REQUESTS_PER_MINUTE", "0"),
        ];
        self.servers.start_http(API, &["serve"], &environment, self.folder).await
    }

    /// Ends all processes of the API.
    pub(crate) async fn end_apis(&mut self) {
        self.servers.end(API).await;
    }

    /// Ends all processes of the API, checks what they have written, and drops the databases.
    pub(crate) async fn end<const N: usize>(
        &mut self,
        deployments: [Deployment; N],
    ) -> anyhow::Result<()> {
        // Only then is every write that a client no longer waited for in the database, or will never be.
        self.end_apis().await;
        for Deployment { name, database, callers, written, .. } in deployments {
            let (puts, in_flight) = (written.puts.get(), written.in_flight.get());
            entries::check(&database, callers.population, puts, in_flight).await.context(name)?;
            self.postgres.drop_database(name).await?;
        }
        Ok(())
    }
}

/// A database and who serves it.
#[derive(Debug, Clone)]
pub(crate) struct Deployment {
    name: &'static str,
    pub(crate) url: Url,
    pub(crate) database: DatabaseAddress,
    callers: Callers,
    pub(crate) apis: Vec<Endpoint>,
    written: Rc<Written>,
}

/// What the database must hold in the end.
#[derive(Debug, Default)]
struct Written {
    /// Puts that were answered.
    puts: Cell<u64>,
    /// Most puts whose answers nobody waited for.
    in_flight: Cell<u64>,
}

impl Deployment {
    /// The same database, served by others.
    pub(crate) fn served_by(&self, apis: Vec<Endpoint>) -> Self {
        Self { apis, ..self.clone() }
    }

    /// Has each API know every key: unknown ones are looked up at a rate of their own, beyond which they are refused.
    async fn introduce(&self) -> anyhow::Result<()> {
        let client = Client::builder().no_proxy().build()?;
        for Endpoint { url, .. } in &self.apis {
            for key in &self.callers.keys {
                let request = || {
                    let request = client.post(format!("{url}{}", wrk::GET.route)).bearer_auth(key);
                    request.header("content-type", "application/json").body(wrk::GET.body)
                };
                while request().send().await?.status() == StatusCode::SERVICE_UNAVAILABLE {
                    tokio::time::sleep(REFUSED).await;
                }
            }
        }
        Ok(())
    }

    /// Sends `requests` for a second, and looks into every answer's body.
    pub(crate) async fn warm_up(
        &self,
        bench: &Bench<'_>,
        requests: Requests,
    ) -> anyhow::Result<()> {
        let warm = self.load(bench, requests, WARM_UP_SECONDS, Look::Bodies).await;
        warm.map(drop).context("warming up")
    }

    /// Sends `requests` in a closed loop for the seconds of the plan.
    pub(crate) async fn closed(
        &self,
        bench: &Bench<'_>,
        requests: Requests,
    ) -> anyhow::Result<Sample> {
        self.load(bench, requests, bench.plan.seconds, Look::Status).await
    }

    /// The same for so many seconds.
    pub(crate) async fn closed_for(
        &self,
        bench: &Bench<'_>,
        requests: Requests,
        seconds: u32,
    ) -> anyhow::Result<Sample> {
        self.load(bench, requests, seconds, Look::Status).await
    }

    /// Sends so many `requests` a second in an open loop.
    pub(crate) async fn open(
        &self,
        bench: &Bench<'_>,
        requests: Requests,
        per_second: f64,
    ) -> anyhow::Result<Sample> {
        let api = self.apis.first().context("nothing serves the database")?;
        let counted = self.open_at(api, bench, requests, per_second).await?;
        Ok(self.count(requests, &counted))
    }

    /// The same to another program, which writes nothing.
    pub(crate) async fn open_at(
        &self,
        endpoint: &Endpoint,
        bench: &Bench<'_>,
        requests: Requests,
        per_second: f64,
    ) -> anyhow::Result<Counted> {
        let seconds = bench.plan.open_seconds;
        open_loop::run(requests, endpoint, &self.callers, per_second, seconds).await
    }

    /// Puts an entry at each path, in one batch; fails unless all are taken.
    pub(crate) async fn put(&self, client: &Client, paths: Vec<String>) -> anyhow::Result<()> {
        let api = self.apis.first().context("nothing serves the database")?;
        let key = self.callers.keys.first().context("nobody may put")?;
        let put = |path: &String| {
            let text =
                "Ada is allergic to peanuts; she told me at lunch and asked me to remember it.";
            json!({"op": "put", "agent_id": "ada", "path": path, "value": {"text": text, "n": 123_456}})
        };
        let operations: Vec<Value> = paths.iter().map(put).collect();
        let request = client.post(format!("{}{}", api.url, wrk::PUTS.route)).bearer_auth(key);
        let answer = request.json(&json!({"operations": operations})).send().await?;
        let answer = answer.error_for_status()?.text().await?;
        ensure!(!answer.contains(r#""error":{"#), "a batch of puts was answered by {answer}");
        let answered = &self.written.puts;
        answered.set(answered.get() + paths.len() as u64);
        Ok(())
    }

    /// Has pgbench repeat a statement.
    pub(crate) async fn pgbench(
        &self,
        bench: &Bench<'_>,
        statement: Statement,
    ) -> anyhow::Result<Sample> {
        let (folder, seconds) = (bench.folder, bench.plan.seconds);
        pgbench::run(statement, &bench.postgres, &self.url, folder, seconds).await
    }

    async fn load(
        &self,
        bench: &Bench<'_>,
        requests: Requests,
        seconds: u32,
        look: Look,
    ) -> anyhow::Result<Sample> {
        let folder = bench.folder;
        let counted = wrk::run(requests, &self.apis, &self.callers, folder, seconds, look).await?;
        Ok(self.count(requests, &counted))
    }

    fn count(&self, requests: Requests, counted: &Counted) -> Sample {
        let puts = requests.body.matches(r#""value":"#).count() as u64;
        let Written { puts: answered, in_flight } = &*self.written;
        answered.set(answered.get() + counted.answers * puts);
        in_flight.set(in_flight.get() + u64::from(requests.connections) * puts);
        counted.sample
    }
}
