//! Where a command is walked: a PostgreSQL, a database, a location and a folder of its own.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use agentfs_server::maintenance::stored_bytes::settle;
use agentfs_server::recovery::FaultPoint;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::time::sleep;
use uuid::Uuid;

use super::Walked;
use super::remains::{self, Victim};
use crate::support::database::{Database, Postgres};
use crate::support::eventually::eventually;
use crate::support::process::Process;

/// The database that is restored into.
const RESTORED: &str = "walk_restored";

/// Memory that does not fit into a piece of a dump, compressed, so that one can be half written.
const MEMORY: &str = "
WITH versions AS (
    INSERT INTO entry_versions (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at)
    SELECT '00000000-0000-0000-0000-000000000000', gen_random_uuid(), 'ada', '/notes/' || n, 1,
           to_json((SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 2000) WHERE n > 0)), '{}', 0, false, now()
      FROM generate_series(1, 50) AS n
    RETURNING *
)
INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at)
SELECT tenant_id, agent_id, path, id, version, created_at FROM versions";

/// Rows of each table of a database, and how many databases, sessions of others and advisory locks there are.
type State = BTreeMap<String, i64>;

pub(super) struct Place {
    walked: Walked,
    postgres: Postgres,
    pub(super) database: Database,
    folder: TempDir,
    /// The API that a drill puts its marker through, or that serves while a restore in place is made.
    pub(super) api: Option<Process>,
}

impl Place {
    pub(super) async fn make(walked: Walked) -> Self {
        let postgres = Postgres::start(&["--restart", "--set", "fsync=off"]);
        let database = postgres.database().await;
        database.migrate().await;
        database.execute(MEMORY).await;
        // What the API would come to count some time or other.
        settle(&database.address().pool(1)).await.unwrap();
        let folder = TempDir::new().unwrap();
        let api = match walked {
            Walked::Drill | Walked::InPlace | Walked::Undo | Walked::Clean => {
                Some(Process::start(&[("DATABASE_URL", &database.url)]))
            }
            _ => None,
        };
        if let Some(api) = &api {
            api.wait_until_ready().await;
        }
        let place = Self { walked, postgres, database, folder, api };
        fs::create_dir(place.temporary()).unwrap();
        // Where we are root, a throwaway PostgreSQL is another user's.
        for path in [place.folder.path(), &place.temporary()] {
            fs::set_permissions(path, Permissions::from_mode(0o711)).unwrap();
        }
        place
    }

    pub(super) fn location(&self) -> PathBuf {
        self.folder.path().join("backups")
    }

    /// What commands take for the folder of temporary files.
    pub(super) fn temporary(&self) -> PathBuf {
        self.folder.path().join("tmp")
    }

    /// Makes what the command needs, and tells how all is before it.
    pub(super) async fn prepare(&self) -> State {
        if !matches!(self.walked, Walked::Drill | Walked::InPlace | Walked::Undo | Walked::Clean) {
            self.backup().await;
        }
        // One that expires or is to be removed, with a record beside it.
        if matches!(self.walked, Walked::Backup | Walked::Forget) {
            let archive = ["--backup", "latest", "--level", "archive"];
            let verify = || self.spawn("verify", "--from", &archive, None);
            succeeds("verify", verify).await;
            self.backup().await;
        }
        // The names of backups tell seconds apart, and no less.
        sleep(Duration::from_secs(1)).await;
        // A session ends a moment after its program.
        let state = async || self.state().await;
        eventually("all sessions end", state, |state| state["sessions"] == 0).await
    }

    /// Starts the command, which stops or is killed at a point.
    pub(super) fn start(&self, fault_point: Option<&str>) -> Running {
        let first = remains::ids(&self.location()).into_iter().next().unwrap_or_default();
        let api = self.api.as_ref().map(Process::url).unwrap_or_default();
        let (name, location, more): (_, _, &[&str]) = match self.walked {
            Walked::Backup => ("backup", "--to", &["--retention-days", "0", "--keep-last", "1"]),
            Walked::Forget => ("forget", "--from", &["--backup", &first]),
            Walked::Verify => ("verify", "--from", &["--backup", "latest", "--level", "restore"]),
            Walked::Restore => {
                ("restore", "--from", &["--backup", "latest", "--into-database", RESTORED])
            }
            Walked::Drill => ("drill", "--to", &["--api", &api]),
            Walked::InPlace => return self.restore_in_place(&[], fault_point),
            Walked::Clean => {
                return self.restore_in_place(&["--strategy", "clean", "--force"], fault_point);
            }
            Walked::Undo => return self.restore(&["--undo", "--yes"], fault_point),
        };
        self.spawn(name, location, more, fault_point)
    }

    /// Starts a restore in place of the newest backup.
    pub(super) fn restore_in_place(&self, how: &[&str], fault_point: Option<&str>) -> Running {
        let location = self.location();
        let programs = self.postgres.programs().to_str().unwrap();
        let options = ["--in-place", "--yes", "--backup", "latest", "--pg-bin", programs];
        let from = ["--from", location.to_str().unwrap()];
        self.restore(&[&options[..], &from, how].concat(), fault_point)
    }

    /// Starts `restore` with these arguments, as the owner of the tables.
    pub(super) fn restore(&self, arguments: &[&str], fault_point: Option<&str>) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agentfs-server"));
        command.args(["restore", "--output", "json"]).args(arguments);
        self.run(command, &self.database.url, fault_point)
    }

    pub(super) async fn backup(&self) {
        succeeds("backup", || self.spawn("backup", "--to", &[], None)).await;
    }

    fn spawn(
        &self,
        name: &str,
        location: &str,
        more: &[&str],
        fault_point: Option<&str>,
    ) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agentfs-server"));
        command.arg(name).args([location.as_ref(), self.location().as_os_str()]).args(more);
        if name != "forget" {
            command.args([OsStr::new("--pg-bin"), self.postgres.programs().as_os_str()]);
        }
        // Who may make a database with the extension in it.
        self.run(command, &self.database.superuser_url, fault_point)
    }

    fn run(&self, mut command: Command, url: &str, fault_point: Option<&str>) -> Running {
        // Files, since a pipe would stay open for as long as anybody lives who was started.
        let output = Output::of(self.folder.path());
        let child = command
            .env("DATABASE_URL", url)
            .env("TMPDIR", self.temporary())
            .envs(fault_point.map(|point| ("AGENTFS_FAULT_POINT", point)))
            .stdin(Stdio::null())
            .stdout(File::create(&output.out).unwrap())
            .stderr(File::create(&output.err).unwrap())
            .spawn()
            .unwrap();
        Running { child, output }
    }

    /// What holds at any time: each manifest has its whole dump. And nothing that the program started outlives it.
    pub(super) async fn is_sound(&self, point: FaultPoint) {
        remains::manifests_have_their_dumps(&self.location());
        let look = async || remains::processes(self.folder.path());
        eventually(&format!("{point:?}: all end"), look, Vec::is_empty).await;
    }

    /// The next run succeeds, and nothing of the killed one is left.
    pub(super) async fn run_again(&self, point: FaultPoint, before: State) {
        let what = format!("{:?} after {point:?}", self.walked);
        match self.walked {
            // What was to be removed is no backup any more; the next backup sweeps the rest.
            Walked::Forget => self.backup().await,
            Walked::Restore => {
                // A database of this name is whole.
                self.drop_restored().await;
                succeeds(&what, || self.start(None)).await;
                assert!(self.drop_restored().await, "{what}");
            }
            _ => {
                succeeds(&what, || self.start(None)).await;
            }
        }
        if remains::end_leases(&self.location()) {
            self.backup().await;
        }
        self.is_sound(point).await;
        assert_eq!(remains::files(&self.location(), &self.temporary()), [""; 0], "{what}");
        let state = async || self.state().await;
        eventually(&format!("{what}: {before:?}"), state, |now| *now == before).await;
    }

    /// Drops the database that was restored into, where it is there; it must hold all.
    async fn drop_restored(&self) -> bool {
        let Some((server, _)) = self.database.superuser_url.rsplit_once('/') else { return false };
        let Ok(mut restored) = PgConnection::connect(&format!("{server}/{RESTORED}")).await else {
            return false;
        };
        let entries = "SELECT count(*) FROM entries";
        let found: i64 = sqlx::query_scalar(entries).fetch_one(&mut restored).await.unwrap();
        assert_eq!(found, self.database.number(entries).await);
        restored.close().await.unwrap();
        let mut connection = PgConnection::connect(&self.database.superuser_url).await.unwrap();
        let drop = format!("DROP DATABASE {RESTORED} WITH (FORCE)");
        sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(&mut connection).await.unwrap();
        true
    }

    /// Kills a part of PostgreSQL; returns of how many processes it was.
    pub(super) async fn kill(&self, victim: Victim) -> usize {
        let processes = match victim {
            Victim::Throwaway => remains::postmasters(self.folder.path()),
            Victim::Sessions => self.sessions().await,
            Victim::Server => vec![self.postmaster().await],
            Victim::Holder => return self.end_holders().await,
        };
        for process in &processes {
            match kill(Pid::from_raw(*process), Signal::SIGKILL) {
                // A parallel worker may have ended since it was listed.
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => panic!("{process}: {error}"),
            }
        }
        if victim == Victim::Server {
            // Its sessions live on for a moment.
            let gone = async || remains::alive(processes[0]);
            eventually("the postmaster is gone", gone, |alive| !alive).await;
        }
        if victim != Victim::Throwaway && !processes.is_empty() {
            // The postmaster ends all others and begins anew, or another one does.
            let connects =
                async || PgConnection::connect(&self.database.superuser_url).await.is_ok();
            eventually("PostgreSQL recovers", connects, |connects| *connects).await;
        }
        processes.len()
    }

    /// The processes of all sessions but the one that asks.
    async fn sessions(&self) -> Vec<i32> {
        let mut connection = PgConnection::connect(&self.database.superuser_url).await.unwrap();
        let others = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        sqlx::query_scalar(others).fetch_all(&mut connection).await.unwrap()
    }

    /// PostgreSQL's first process: the parent of any session.
    async fn postmaster(&self) -> i32 {
        let mut connection = PgConnection::connect(&self.database.superuser_url).await.unwrap();
        let session = sqlx::query_scalar("SELECT pg_backend_pid()");
        remains::parent(session.fetch_one(&mut connection).await.unwrap())
    }

    /// Ends the sessions that hold the lock of backups and restores; returns how many there were.
    async fn end_holders(&self) -> usize {
        let mut connection = PgConnection::connect(&self.database.superuser_url).await.unwrap();
        // The lock's key is "agentfsb" in ASCII.
        let end = "SELECT pg_terminate_backend(pid, 10000) FROM pg_locks
                    WHERE locktype = 'advisory' AND granted AND classid = x'6167656e'::integer::oid AND objid = x'74667362'::integer::oid
                      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        let ended: Vec<bool> = sqlx::query_scalar(end).fetch_all(&mut connection).await.unwrap();
        assert!(ended.iter().all(|ended| *ended), "a session does not end");
        ended.len()
    }

    async fn state(&self) -> State {
        let mut connection = PgConnection::connect(&self.database.superuser_url).await.unwrap();
        let tables = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
                       WHERE schemaname NOT IN ('pg_catalog', 'information_schema')";
        let tables: Vec<String> =
            sqlx::query_scalar(tables).fetch_all(&mut connection).await.unwrap();
        let counts = tables.iter().map(|table| format!("SELECT '{table}', count(*) FROM {table}"));
        // The API's sessions are the owner's.
        let rest = "SELECT 'databases', count(*) FROM pg_database
                    UNION ALL SELECT 'roles', count(*) FROM pg_roles
                    UNION ALL SELECT 'sessions', count(*) FROM pg_stat_activity
                               WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND usename <> 'agentfs'
                    UNION ALL SELECT 'advisory locks', count(*) FROM pg_locks WHERE locktype = 'advisory'";
        let all: Vec<String> = counts.chain([rest.to_owned()]).collect();
        let all = sqlx::AssertSqlSafe(all.join(" UNION ALL "));
        let rows: Vec<(String, i64)> =
            sqlx::query_as(all).fetch_all(&mut connection).await.unwrap();
        rows.into_iter().collect()
    }
}

/// Runs a command that has to succeed. One that may go well next time, as where PostgreSQL recovers or a name of this very second
/// is taken, is run again.
pub(super) async fn succeeds(what: &str, start: impl Fn() -> Running) -> Ended {
    let run = async || start().ended().await;
    let ended = eventually(what, run, |ended| ended.code() != Some(75)).await;
    assert_eq!(ended.code(), Some(0), "{what}: {ended:?}");
    ended
}

/// The files that a command writes to.
struct Output {
    out: PathBuf,
    err: PathBuf,
}

impl Output {
    /// New ones: several commands may run at once.
    fn of(folder: &Path) -> Self {
        let name = Uuid::new_v4().simple().to_string();
        let file = |kind: &str| folder.join(format!("{name}.{kind}"));
        Self { out: file("out"), err: file("err") }
    }

    fn read(&self) -> [String; 2] {
        [&self.out, &self.err].map(|file| fs::read_to_string(file).unwrap())
    }
}

/// A command that runs.
pub(super) struct Running {
    child: Child,
    output: Output,
}

impl Running {
    fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Waits until it has stopped itself at the point.
    pub(super) async fn is_stopped(&self, point: FaultPoint) {
        let state = async || (remains::state(self.pid()), self.output.read());
        let (state, said) =
            eventually("it stops", state, |(state, _)| matches!(state, Some('T' | 'Z') | None))
                .await;
        assert_eq!(state, Some('T'), "it does not come past {point:?}: {said:?}");
    }

    /// Lets it go on.
    pub(super) fn proceed(&self) {
        kill(Pid::from_raw(self.pid()), Signal::SIGCONT).unwrap();
    }

    /// Waits for its end.
    pub(super) async fn ended(mut self) -> Ended {
        let (child, output) = (&mut self.child, &self.output);
        let look = async || (child.try_wait().unwrap(), output.read());
        let ended = |(status, _): &(Option<ExitStatus>, _)| status.is_some();
        let (status, _) = eventually("the command ends", look, ended).await;
        let [out, err] = output.read();
        Ended { status: status.unwrap(), out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ended {
    status: ExitStatus,
    out: String,
    err: String,
}

impl Ended {
    pub(super) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    pub(super) fn is_killed(&self) -> bool {
        self.status.signal() == Some(Signal::SIGKILL as i32)
    }

    /// Whether it waited for an API to be well.
    pub(super) fn has_waited(&self) -> bool {
        self.err.contains("/healthz")
    }

    /// What it printed.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
