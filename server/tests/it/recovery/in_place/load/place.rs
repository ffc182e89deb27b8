//! A database with memory, all that serves from it, and what else there may be at work on it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentfs_server::maintenance::stored_bytes::settle;
use agentfs_server::maintenance::sweeper::sweep_once;
use agentfs_server::store::StoreError;
use agentfs_server::store::in_place::MOVING;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::support::api::{Client, new_key};
use crate::support::cli::{admin_json, agentfs};
use crate::support::database::{Database, Postgres};
use crate::support::eventually::eventually;
use crate::support::pgbouncer::PgBouncer;
use crate::support::process::{Process, free_port};
use crate::support::provider::Provider;
use crate::support::replica::Replica;
use crate::support::worker::variables;

/// Longest time that a restore may take: far more than it does.
const PATIENCE: Duration = Duration::from_mins(30);

/// Autovacuum is at each table again and again, and takes long.
const AUTOVACUUM: [&str; 8] = [
    "autovacuum_naptime=1s",
    "autovacuum_vacuum_threshold=1",
    "autovacuum_vacuum_scale_factor=0",
    "autovacuum_vacuum_insert_threshold=1",
    "autovacuum_vacuum_insert_scale_factor=0",
    "autovacuum_vacuum_cost_delay=20ms",
    "autovacuum_vacuum_cost_limit=1",
    "fsync=off",
];

/// `$1` entries, of which one of ten is searchable.
const FILL: &str = "
WITH versions AS (
    INSERT INTO entry_versions (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at)
    SELECT '00000000-0000-0000-0000-000000000000', gen_random_uuid(), 'ada', '/seed/' || n, 1,
           to_json('seed ' || n || ' ' || repeat('x', 200)), '{}', 0, n % 10 = 1, now() - interval '1 hour'
      FROM generate_series(0, $1::integer - 1) AS n
    RETURNING *
), heads AS (
    INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at)
    SELECT tenant_id, agent_id, path, id, version, created_at FROM versions
), documents AS (
    INSERT INTO search_documents (tenant_id, agent_id, path, version_id, document, form, form_version_id)
    SELECT tenant_id, agent_id, path, id, to_tsvector('pg_catalog.english', value::text), 1, id FROM versions WHERE searchable
)
INSERT INTO embeddings (tenant_id, agent_id, path, model_id, version_id, embedding)
SELECT tenant_id, agent_id, path, 1, id, (SELECT array_agg(random()) FROM generate_series(1, 8) WHERE version > 0)::halfvec
  FROM versions WHERE searchable";

/// One of the first ten thousand of them, and its value. Nobody writes it.
pub fn seed(n: u32) -> (String, Value) {
    let n = n % 10_000;
    (format!("/seed/{n}"), json!(format!("seed {n} {}", "x".repeat(200))))
}

pub struct Place {
    // In this order: what asks ends before what is asked.
    sweeping: JoinHandle<()>,
    swept: Arc<Mutex<Vec<String>>>,
    served: Vec<Process>,
    _pool: Option<PgBouncer>,
    _replica: Replica,
    folder: TempDir,
    pub database: Database,
    postgres: Postgres,
    /// One of each API.
    pub clients: Vec<Client>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sweeping.abort();
    }
}

impl Place {
    /// With so many entries; there is an API behind PgBouncer where it is `pooled`.
    pub async fn make(entries: i32, pooled: bool) -> Self {
        let settings: Vec<&str> =
            AUTOVACUUM.iter().flat_map(|setting| ["--set", setting]).collect();
        let postgres = Postgres::start(&settings);
        let database = postgres.database().await;
        database.migrate().await;
        fill(&database, entries).await;
        let replica = Replica::of(&postgres, &database).await;
        let pool = if pooled { Some(PgBouncer::before(&database).await) } else { None };
        let through = pool.as_ref().map(|pool| pool.url(&database.url));
        let provider = Provider::start().await;

        let url = ("DATABASE_URL", &*database.url);
        let read = ("DATABASE_READ_URL", &*replica.database.url);
        let mut settings =
            vec![vec![url], vec![url, read, ("DATABASE_READ_MAX_LAG_SECONDS", "3600")]];
        settings.extend(through.as_deref().map(|through| vec![("DATABASE_URL", through)]));
        let mut served: Vec<Process> = settings
            .iter()
            .map(|settings| Process::start(&variables(&provider, settings)))
            .collect();
        let key = new_key(&database, &[]).await;
        let clients = served.iter().map(|api| Client::new(api.url(), key.clone())).collect();
        let worker = Process::start_command("worker", free_port(), &variables(&provider, &[url]));
        served.push(worker);
        for process in &served {
            until_well(process).await;
        }
        reads_go_to_the_replica(&served[1]).await;

        let swept = Arc::<Mutex<Vec<String>>>::default();
        let sweeping = tokio::spawn(sweep(database.clone(), swept.clone()));
        let folder = TempDir::new().unwrap();
        Self {
            sweeping,
            swept,
            served,
            _pool: pool,
            _replica: replica,
            folder,
            database,
            postgres,
            clients,
        }
    }

    fn programs(&self) -> &str {
        self.postgres.programs().to_str().unwrap()
    }

    pub fn back_up(&self) {
        let to = self.folder.path().to_str().unwrap();
        let arguments = ["backup", "--to", to, "--pg-bin", self.programs()];
        agentfs(&arguments, &[("DATABASE_URL", &self.database.url)]).text();
    }

    /// Starts a restore in place of the newest backup, with such options.
    pub fn restore(&self, options: &[&str]) -> Running {
        let from = self.folder.path().to_str().unwrap();
        let programs = self.programs();
        let restore = ["--in-place", "--backup", "latest", "--from", from, "--pg-bin", programs];
        self.start(&[&restore, options].concat())
    }

    /// Drops what was live before the last of both.
    pub fn drop_previous(&self) {
        let arguments = ["restore", "--drop-previous", "--yes"];
        agentfs(&arguments, &[("DATABASE_URL", &self.database.url)]).text();
    }

    /// Starts its undoing.
    pub fn undo(&self) -> Running {
        self.start(&["--undo"])
    }

    fn start(&self, arguments: &[&str]) -> Running {
        let file = |kind: &str| self.folder.path().join(format!("{}.{kind}", Uuid::new_v4()));
        let (out, err) = (file("out"), file("err"));
        let child = Command::new(env!("CARGO_BIN_EXE_agentfs-server"))
            .args(["restore", "--yes", "--output", "json"])
            .args(arguments)
            .env("DATABASE_URL", &self.database.url)
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Running { child, out, err, database: self.database.clone() }
    }

    /// A dump by hand, which has begun and stands still: nobody reads what it writes.
    pub async fn open_dump(&self) -> OpenDump {
        const HOLDS: &str =
            "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
              WHERE a.application_name = 'pg_dump' AND l.granted AND l.relation = 'embeddings'::regclass";
        let child = Command::new(Path::new(self.programs()).join("pg_dump"))
            .args(["--dbname", &self.database.url])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.database.until(HOLDS, 1).await;
        OpenDump(child)
    }

    /// Waits until autovacuum is at one of the tables that move.
    pub async fn until_autovacuum(&self) {
        let tables = "SELECT c.relname::text FROM pg_stat_progress_vacuum p JOIN pg_class c ON c.oid = p.relid";
        let mut superuser = PgConnection::connect(&self.database.superuser_url).await.unwrap();
        let look = async || -> Vec<String> {
            sqlx::query_scalar(tables).fetch_all(&mut superuser).await.unwrap()
        };
        let at_ours = |tables: &Vec<String>| tables.iter().any(|t| MOVING.contains(&t.as_str()));
        eventually("autovacuum is at a table", look, at_ours).await;
    }

    /// What the servers and workers say that went wrong.
    pub fn complaints(&self) -> String {
        let logs = self.served.iter().map(Process::log).collect::<Vec<_>>().concat();
        let is_one =
            |line: &&str| ["\"ERROR\"", "\"WARN\""].iter().any(|level| line.contains(level));
        logs.lines().filter(is_one).collect::<Vec<_>>().join("\n")
    }

    /// The sweepers have not failed either.
    pub fn have_swept(&self) {
        assert_eq!(*self.swept.lock().unwrap(), [""; 0]);
    }
}

async fn fill(database: &Database, entries: i32) {
    database
        .execute("INSERT INTO embedding_models (name, dimensions, state) VALUES ('fake/8', 8, 'serving')")
        .await;
    sqlx::query(FILL).bind(entries).execute(&mut database.connect().await).await.unwrap();
    database.execute("ANALYZE").await;
    admin_json(database, &["embeddings", "index", "fake/8"]);
}

async fn until_well(process: &Process) {
    let client = Client::new(process.operations_url(), String::new());
    let well = async || {
        let asked = client.http.get(format!("{}/readyz", client.url)).send().await;
        (asked.map(|answer| answer.status().as_u16()).ok(), process.log())
    };
    eventually("it is ready", well, |(status, _)| *status == Some(200)).await;
}

async fn reads_go_to_the_replica(process: &Process) {
    let client = Client::new(process.operations_url(), String::new());
    let metrics = async || {
        let asked = client.http.get(format!("{}/metrics", client.url)).send().await.unwrap();
        asked.text().await.unwrap()
    };
    let fresh = |text: &String| text.contains("\nagentfs_read_replica_fresh 1");
    eventually("the replica is fresh", metrics, fresh).await;
}

/// Sweeps all the time, as one more API does each minute.
async fn sweep(database: Database, failures: Arc<Mutex<Vec<String>>>) {
    let pool = database.address().pool(2);
    let note = |of: &str, error: &StoreError| {
        // What waits for the switch for too long is done the next time.
        if !matches!(error, StoreError::Contended(_)) {
            failures.lock().unwrap().push(format!("{of}: {error:?}"));
        }
    };
    loop {
        if let Err(error) = sweep_once(&pool).await {
            note("sweep", &error);
        }
        if let Err(error) = settle(&pool).await {
            note("settle", &error);
        }
        sleep(Duration::from_millis(100)).await;
    }
}

pub struct OpenDump(Child);

impl OpenDump {
    /// Lets it go on to its end, which must be a good one.
    pub async fn end(self) {
        let output = self.0.wait_with_output().await.unwrap();
        assert!(output.status.success(), "pg_dump: {:?}", output.status);
    }
}

/// What a tenant lost, as it is printed.
#[derive(Debug, Deserialize)]
pub struct Lost {
    pub tenant: Uuid,
    pub versions: i64,
    pub from: Timestamp,
    pub to: Timestamp,
}

/// A restore that has switched, as it is printed.
#[derive(Debug, Deserialize)]
pub struct Switched {
    #[serde(rename = "switched_at")]
    pub at: Timestamp,
    pub lost: Vec<Lost>,
}

/// A restore, or an undoing, that runs.
pub struct Running {
    child: Child,
    out: PathBuf,
    err: PathBuf,
    database: Database,
}

impl Running {
    /// What it has said so far.
    fn said(&self) -> [String; 2] {
        [&self.out, &self.err].map(|path| fs::read_to_string(path).unwrap())
    }

    /// Waits until it has tried to have the tables, and stepped back, so many times.
    pub async fn until_stepped_back(&mut self, times: u32) {
        // A dump of an undoing holds the previous tables as well.
        const WAITS: &str =
            "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE NOT l.granted AND l.mode = 'AccessExclusiveLock' AND n.nspname IN ('public', 'agentfs_old'))";
        let deadline = Instant::now() + PATIENCE;
        let mut connection = self.database.connect().await;
        let (mut tries, mut waited) = (0, false);
        while tries < times {
            let ended = self.child.try_wait().unwrap();
            assert_eq!(ended, None, "the dump holds its locks still: {:?}", self.said());
            assert!(Instant::now() < deadline, "it does not try: {:?}", self.said());
            let waits: bool = sqlx::query_scalar(WAITS).fetch_one(&mut connection).await.unwrap();
            tries += u32::from(waited && !waits);
            waited = waits;
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits for its end, which must be a good one.
    pub async fn switched(mut self) -> Switched {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let [out, err] = self.said();
        let status = ended.unwrap_or_else(|_| panic!("it does not end: {err}")).unwrap();
        assert!(status.success(), "{status:?}: {err}");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }
}
