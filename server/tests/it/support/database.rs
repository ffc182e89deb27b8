//! The tests' PostgreSQL: one throwaway server a test process, one database a test.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use agentfs_server::store::connection::address::{DatabaseAddress, Link};
use secrecy::SecretString;
use serde::Deserialize;
use sqlx::{Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use super::eventually::eventually;

/// A PostgreSQL that ends with the process that started it, however that ends: it watches its standard input.
pub struct Postgres {
    /// Kept open; its end is the PostgreSQL's.
    _child: Child,
    ready: Ready,
}

#[derive(Deserialize)]
struct Ready {
    database_url: String,
    superuser_url: String,
    bin: PathBuf,
    pid: i32,
}

impl Postgres {
    /// Starts one; `options` are those of `dev-postgres`.
    pub fn start(options: &[&str]) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_agentfs-server")), options).0
    }

    /// The same by a command that ends with the program's name. Also that command's process id.
    pub fn start_by(mut command: Command, options: &[&str]) -> (Self, u32) {
        let mut child = command
            .args(["dev-postgres", "--throwaway"])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("agentfs-server starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let ready = serde_json::from_str(&line).expect("PostgreSQL starts; its error is above");
        let id = child.id();
        (Self { _child: child, ready }, id)
    }

    /// The folder of PostgreSQL's programs.
    pub fn programs(&self) -> &Path {
        &self.ready.bin
    }

    /// The postmaster's process id at the start.
    pub fn pid(&self) -> i32 {
        self.ready.pid
    }

    /// An empty database of its own, with pgvector.
    pub async fn database(&self) -> Database {
        let database = self.bare_database().await;
        let mut admin = PgConnection::connect(&database.superuser_url).await.expect("connects");
        admin.execute("CREATE EXTENSION vector").await.expect("pgvector is there");
        database
    }

    /// An empty database of its own, without pgvector.
    pub async fn bare_database(&self) -> Database {
        self.encoded_database("UTF8").await
    }

    /// An empty database of its own with an encoding, without pgvector.
    pub async fn encoded_database(&self, encoding: &str) -> Database {
        let name = format!("test_{}", Uuid::new_v4().simple());
        let mut admin = PgConnection::connect(&self.ready.superuser_url).await.expect("connects");
        let locale = if encoding == "UTF8" { "" } else { "LOCALE 'C'" };
        let create = format!(
            "CREATE DATABASE {name} OWNER agentfs TEMPLATE template0 ENCODING '{encoding}' {locale}"
        );
        admin.execute(sqlx::AssertSqlSafe(create)).await.expect("creates");
        let of = |url: &str| {
            let (server, _) = url.rsplit_once('/').expect("a URL with a database");
            format!("{server}/{name}")
        };
        Database { url: of(&self.ready.database_url), superuser_url: of(&self.ready.superuser_url) }
    }
}

/// The one that most tests share; durability is not what they look at.
pub fn shared() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(|| Postgres::start(&["--set", "fsync=off", "--set", "max_connections=400"]))
}

/// One of a major version, from scripts/pgserver: the shared one where that is of it, else one that the tests of that version share.
pub fn of_major(major: u32) -> &'static Postgres {
    static SIXTEEN: OnceLock<Postgres> = OnceLock::new();
    static SEVENTEEN: OnceLock<Postgres> = OnceLock::new();
    let started = match major {
        16 => &SIXTEEN,
        17 => &SEVENTEEN,
        _ => return shared(),
    };
    started.get_or_init(|| {
        let programs = script("pgserver", major);
        let programs = programs.to_str().expect("UTF-8");
        Postgres::start(&["--pg-bin", programs, "--set", "fsync=off"])
    })
}

/// The folder that scripts/pgserver or scripts/pgclient prints for a major version; it brings what is not there yet.
pub fn script(name: &str, major: u32) -> PathBuf {
    brought(name, &[&major.to_string()])
}

/// What one of scripts/ prints that bring programs: where they are.
pub fn brought(name: &str, arguments: &[&str]) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts").join(name);
    let output = Command::new(script).args(arguments).stderr(Stdio::inherit()).output();
    let printed = String::from_utf8(output.expect("it runs").stdout).expect("UTF-8");
    assert_ne!(printed, "", "scripts/{name} {arguments:?} fails; its message is above");
    printed.trim_end().into()
}

/// A test's own database.
#[derive(Clone, Default)]
pub struct Database {
    pub url: String,
    /// The same database for one who may do everything there.
    pub superuser_url: String,
}

impl Database {
    /// An empty one on the shared PostgreSQL.
    pub async fn empty() -> Self {
        shared().database().await
    }

    /// A migrated one on the shared PostgreSQL.
    pub async fn migrated() -> Self {
        let database = Self::empty().await;
        database.migrate().await;
        database
    }

    pub async fn migrate(&self) {
        agentfs_server::commands::migrate::migrate(&self.address(), None).await.expect("migrates");
    }

    pub fn address(&self) -> DatabaseAddress {
        DatabaseAddress::parse(&SecretString::from(self.url.as_str())).expect("a URL")
    }

    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.expect("connects")
    }

    /// A number that one statement gives.
    pub async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&mut self.connect().await).await.expect(sql)
    }

    /// Waits until the statement gives that number.
    pub async fn until(&self, sql: &'static str, wanted: i64) {
        eventually(sql, async || self.number(sql).await, |number| *number == wanted).await;
    }

    /// Whether new sessions are read-only, as on a server that is none of the primary any more. Those that there are stay as
    /// they are.
    pub async fn set_read_only(&self, read_only: bool) {
        let mut connection = self.connect().await;
        connection.execute("SET default_transaction_read_only = off").await.expect("is set");
        let set = if read_only {
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$"
        } else {
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only', current_database()); END $$"
        };
        connection.execute(set).await.expect("is set");
    }

    /// Ends all sessions but its own.
    pub async fn end_sessions(&self) {
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
        self.number(end).await;
    }

    pub async fn execute(&self, sql: &'static str) {
        self.connect().await.execute(sql).await.expect(sql);
    }

    /// Makes the reading of a row of `table` that `is_slow` take a while.
    pub async fn slow_down(&self, table: &str, is_slow: &str, seconds: f64) {
        let sql = format!(
            "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
             CREATE POLICY slow ON {table} USING (NOT ({is_slow}) OR pg_sleep({seconds}) IS NOT NULL) WITH CHECK (true)"
        );
        self.connect().await.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    }
}

/// Where writes wait while it is closed, for as long as a statement may take; they wait for no lock, which would take less.
pub struct Gate(Database);

impl Gate {
    /// How many wait.
    pub const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";

    /// Before versions are written.
    pub async fn close(database: &Database) -> Self {
        let before = "CREATE TRIGGER gate BEFORE INSERT ON entry_versions";
        Self::close_by(database, before, "true").await
    }

    /// While the COMMIT of what writes versions is carried out.
    pub async fn close_at_commit(database: &Database) -> Self {
        let deferred = "CREATE CONSTRAINT TRIGGER gate AFTER INSERT ON entry_versions DEFERRABLE INITIALLY DEFERRED FOR EACH ROW";
        Self::close_by(database, deferred, "true").await
    }

    /// Behind the tombstones of a move or a delete of a subtree, whose numbers are ahead.
    pub async fn close_behind_tombstones(database: &Database) -> Self {
        let after = "CREATE TRIGGER gate AFTER INSERT ON entry_versions REFERENCING NEW TABLE AS added FOR EACH STATEMENT";
        let waits = "EXISTS (SELECT FROM added WHERE deleted_at IS NOT NULL AND version > 1000000)";
        Self::close_by(database, after, waits).await
    }

    async fn close_by(database: &Database, trigger: &str, waits: &str) -> Self {
        let gate = format!(
            "DROP TABLE IF EXISTS gate; DROP FUNCTION IF EXISTS wait_at_gate CASCADE;
             CREATE TABLE gate AS SELECT true AS closed;
             CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 WHILE EXISTS (SELECT FROM gate) AND {waits} LOOP PERFORM pg_sleep(0.02); END LOOP;
                 RETURN NULL;
             END $$;
             {trigger} EXECUTE FUNCTION wait_at_gate()"
        );
        let gate = sqlx::AssertSqlSafe(gate);
        sqlx::raw_sql(gate).execute(&mut database.connect().await).await.expect("a gate");
        Self(database.clone())
    }

    pub async fn open(self) {
        self.0.execute("DELETE FROM gate").await;
    }
}

/// The session of a link at this moment.
pub async fn session(link: &mut Link) -> i32 {
    let asked = sqlx::query_scalar("SELECT pg_backend_pid()");
    asked.fetch_one(link.connection().await.expect("connects")).await.expect("answers")
}
