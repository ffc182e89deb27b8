//! The embedded PostgreSQL of one machine, and the command that runs the API on it.

use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use serde_json::Value;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(120);

/// A temporary folder that the user of PostgreSQL can pass through.
fn folder() -> TempDir {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o711)).tempdir().unwrap()
}

fn server(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentfs-server"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The sentence of a command that must fail.
fn sentence(arguments: &[&str]) -> String {
    let output = server(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success(), "{arguments:?} succeeded");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.trim_end().lines().count(), 1, "one sentence: {said}");
    said
}

/// A running `dev-postgres`, killed when dropped.
struct Running {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    stdin: Option<ChildStdin>,
    ready: Value,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let arguments = [&["dev-postgres"], arguments].concat();
        Self::of(server(&arguments))
    }

    fn of(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let stdin = child.stdin.take();
        let mut running = Self { child, out, stdin, ready: Value::Null };
        running.next_line();
        running
    }

    /// Reads the line that says where PostgreSQL is.
    fn next_line(&mut self) {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        self.ready = serde_json::from_str(&line).unwrap_or_else(|_| {
            let mut said = String::new();
            self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("no PostgreSQL: {said}")
        });
    }

    fn url(&self) -> &str {
        self.ready["database_url"].as_str().unwrap()
    }

    fn postgres(&self) -> Pid {
        Pid::from_raw(self.ready["pid"].as_i64().unwrap().try_into().unwrap())
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Closes standard input and waits.
    fn close(mut self) -> ExitStatus {
        self.stdin = None;
        self.wait()
    }

    fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the process ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[track_caller]
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(50));
    }
}

/// Whether a process runs; one that ended and was not waited for does not.
fn runs(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

async fn text(url: &str, query: &'static str) -> String {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap()
}

async fn execute(url: &str, statement: &'static str) {
    PgConnection::connect(url).await.unwrap().execute(statement).await.unwrap();
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

#[tokio::test]
async fn a_second_start_finds_its_data_where_it_was() {
    let top = folder();
    let data = top.path().join("data");
    let arguments = ["--data-dir", data.to_str().unwrap(), "--set", "work_mem=7MB"];

    let first = Running::start(&arguments);
    let url = first.url().to_owned();
    let settings = "SELECT concat_ws(' ', current_setting('fsync'), current_setting('synchronous_commit'),
        current_setting('timezone'), current_setting('server_encoding'), current_setting('data_checksums'),
        current_setting('work_mem'), current_setting('listen_addresses'), current_user)";
    assert_eq!(text(&url, settings).await, "on on UTC UTF8 on 7MB 127.0.0.1 agentfs");
    assert_eq!(
        text(&url, "SELECT extname::text FROM pg_extension WHERE extname = 'vector'").await,
        "vector"
    );
    execute(&url, "CREATE TABLE kept AS SELECT 'kept' AS word").await;
    let postgres = first.postgres();
    assert!(first.close().success());
    assert!(!runs(postgres));

    let second = Running::start(&arguments);
    assert_eq!(second.url(), url, "port and password stay");
    assert_eq!(text(&url, "SELECT word FROM kept").await, "kept");
    for secret in ["agentfs.password", "postgres.password"] {
        let mode = fs::metadata(data.join(secret)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
}

#[test]
fn a_folder_has_one_user_at_a_time() {
    let top = folder();
    let data = top.path().join("data");
    let arguments = ["--data-dir", data.to_str().unwrap()];
    let _first = Running::start(&arguments);
    let said = sentence(&["dev-postgres", arguments[0], arguments[1]]);
    assert!(said.contains("another agentfs-server runs on") && said.contains("data"), "{said}");
}

/// Starts the PostgreSQL of a stopped folder on its own, as one that a killed run left.
fn leftover(data: &Path, bin: &str) -> Child {
    let cluster = data.join("pgdata").canonicalize().unwrap();
    let owner = fs::metadata(&cluster).unwrap();
    let parent = std::process::id().to_string();
    let (uid, gid) = (owner.uid().to_string(), owner.gid().to_string());
    let mut command =
        server(&["dev-postgres-exec", "--parent", &parent, "--death-signal", "SIGKILL"]);
    if geteuid().is_root() {
        command.args(["--uid", &uid, "--gid", &gid]);
    }
    command.arg("--program").arg(Path::new(bin).join("postgres")).arg("--").arg("-D").arg(&cluster);
    command.args(["-c", "listen_addresses=", "-c", "unix_socket_directories="]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let status = || fs::read_to_string(cluster.join("postmaster.pid")).unwrap_or_default();
    eventually("the leftover runs", || {
        status().lines().nth(7).is_some_and(|line| line.trim() == "ready")
    });
    child
}

#[tokio::test]
async fn a_leftover_is_found_and_stopped() {
    let top = folder();
    let data = top.path().join("data");
    let arguments = ["--data-dir", data.to_str().unwrap()];
    let mut first = Running::start(&arguments);
    execute(first.url(), "CREATE TABLE kept AS SELECT 'kept' AS word").await;

    // PostgreSQL ends with the process that started it, even one that is killed; the next start waits for that.
    let postgres = first.postgres();
    first.kill();
    let second = Running::start(&arguments);
    assert!(!runs(postgres));
    assert_eq!(text(second.url(), "SELECT word FROM kept").await, "kept");
    let bin = second.ready["bin"].as_str().unwrap().to_owned();
    assert!(second.close().success());

    // One that did not end is stopped.
    let mut left = leftover(&data, &bin);
    let third = Running::start(&arguments);
    assert!(left.wait().unwrap().success(), "it was shut down in order");
    assert_eq!(text(third.url(), "SELECT word FROM kept").await, "kept");
}

#[test]
fn a_throwaway_leaves_nothing_when_its_parent_is_killed() {
    let top = folder();
    // Stands for a test process: it alone holds the other end of the throwaway's standard input.
    let mut parent = Command::new("sleep").arg("600").stdout(Stdio::piped()).spawn().unwrap();
    let mut command = server(&["dev-postgres", "--throwaway"]);
    command.env("TMPDIR", top.path()).stdin(parent.stdout.take().unwrap());
    let mut throwaway = Running::of(command);
    assert!(!is_empty(top.path()));

    parent.kill().unwrap();
    parent.wait().unwrap();
    assert!(throwaway.wait().success());
    assert!(!runs(throwaway.postgres()));
    assert!(is_empty(top.path()));
}

#[test]
fn a_throwaway_that_is_ended_early_leaves_nothing() {
    let top = folder();
    for delay in [0, 100, 400, 1000] {
        let mut command = server(&["dev-postgres", "--throwaway"]);
        let mut child = command.env("TMPDIR", top.path()).spawn().unwrap();
        sleep(Duration::from_millis(delay));
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        assert!(is_empty(top.path()), "closed after {delay} ms");
    }
}

#[test]
fn what_a_killed_throwaway_leaves_is_swept_by_the_next() {
    let top = folder();
    let start = || {
        let mut command = server(&["dev-postgres", "--throwaway"]);
        command.env("TMPDIR", top.path());
        Running::of(command)
    };
    let mut killed = start();
    killed.kill();
    eventually("its PostgreSQL ends", || !runs(killed.postgres()));
    let left: Vec<PathBuf> =
        fs::read_dir(top.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left.len(), 1);

    let long_ago = SystemTime::now() - Duration::from_secs(600);
    File::open(&left[0]).unwrap().set_modified(long_ago).unwrap();
    let next = start();
    assert!(!left[0].exists());
    assert!(next.close().success());
    assert!(is_empty(top.path()));
}

#[tokio::test]
async fn a_killed_postgres_is_noticed_or_started_again() {
    let top = folder();
    let data = top.path().join("data");
    let arguments = ["--data-dir", data.to_str().unwrap()];
    let mut alone = Running::start(&arguments);
    execute(alone.url(), "CREATE TABLE kept AS SELECT 'kept' AS word").await;
    kill(alone.postgres(), Signal::SIGKILL).unwrap();
    assert_eq!(alone.wait().code(), Some(1));

    let mut again = Running::start(&[&arguments[..], &["--restart"]].concat());
    let (url, before) = (again.url().to_owned(), again.postgres());
    kill(before, Signal::SIGKILL).unwrap();
    again.next_line();
    assert_eq!(again.url(), url);
    assert_ne!(again.postgres(), before);
    assert_eq!(text(&url, "SELECT word FROM kept").await, "kept");
}

#[test]
fn programs_that_cannot_be_used_are_explained() {
    let empty = folder();
    let said =
        sentence(&["dev-postgres", "--throwaway", "--pg-bin", empty.path().to_str().unwrap()]);
    assert!(
        said.contains("holds no postgres") && said.contains("PostgreSQL 16 to 18 with pgvector"),
        "{said}"
    );

    for program in ["postgres", "initdb"] {
        let path = empty.path().join(program);
        fs::write(&path, "#!/bin/sh\necho 'postgres (PostgreSQL) 15.7'\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }
    let said =
        sentence(&["dev-postgres", "--throwaway", "--pg-bin", empty.path().to_str().unwrap()]);
    assert!(said.contains("it is PostgreSQL 15.7, and AgentFS supports 16 to 18"), "{said}");
}

#[test]
fn data_of_another_major_version_is_refused() {
    let top = folder();
    let data = top.path().join("data");
    let arguments = ["--data-dir", data.to_str().unwrap()];
    assert!(Running::start(&arguments).close().success());
    fs::write(data.join("pgdata/PG_VERSION"), "15\n").unwrap();
    let said = sentence(&["dev-postgres", arguments[0], arguments[1]]);
    assert!(said.contains("was made by PostgreSQL 15"), "{said}");
}

#[test]
fn a_killed_initdb_harms_nothing() {
    let top = folder();
    let data = top.path().join("data");
    fs::create_dir_all(data.join("pgdata.new/base")).unwrap();
    fs::write(data.join("pgdata.new/PG_VERSION"), "1").unwrap();
    for path in [data.clone(), data.join("pgdata.new")] {
        fs::set_permissions(path, Permissions::from_mode(0o711)).unwrap();
    }
    let running = Running::start(&["--data-dir", data.to_str().unwrap()]);
    assert!(running.close().success());
    assert!(!data.join("pgdata.new").exists());
}

#[test]
fn root_is_told_which_folder_is_closed() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root runs PostgreSQL as another user");
        return;
    }
    let top = folder();
    let closed = top.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    let data = closed.join("inner/data");

    let said = sentence(&["dev-postgres", "--data-dir", data.to_str().unwrap()]);
    assert!(
        said.contains(&format!("because {} is closed", closed.canonicalize().unwrap().display())),
        "{said}"
    );
    assert!(said.contains("Use another --data-dir"), "{said}");
    assert_eq!(fs::metadata(&closed).unwrap().mode() & 0o777, 0o700, "nothing is opened");
    assert!(is_empty(&closed));
}

/// A running `agentfs-server dev` in a folder of its own.
struct Dev {
    child: Child,
    /// What it said until it was ready.
    said: Vec<String>,
}

impl Dev {
    fn start(folder: &Path) -> Self {
        let mut command = server(&["dev", "--data-dir", "data", "--listen", "127.0.0.1:0"]);
        let mut child = command.current_dir(folder).stderr(Stdio::inherit()).spawn().unwrap();
        let mut said = Vec::new();
        for line in BufReader::new(child.stdout.as_mut().unwrap()).lines() {
            said.push(line.unwrap());
            if said.last().is_some_and(|line| line.starts_with("Try:")) {
                return Self { child, said };
            }
        }
        panic!("it ended before it was ready: {said:?}")
    }

    fn line(&self, beginning: &str) -> &str {
        self.said.iter().find(|line| line.starts_with(beginning)).unwrap()
    }

    fn stop(mut self) {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Runs a line in a shell and reads JSON from it.
fn shell(folder: &Path, line: &str) -> Value {
    let output = Command::new("sh").args(["-c", line]).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{line}: {error} {said}"))
}

#[test]
fn dev_prints_a_line_that_works_and_keeps_what_it_wrote() {
    let top = folder();
    let dev = Dev::start(top.path());
    assert!(dev.line("PostgreSQL").contains("data in data/"), "{:?}", dev.said);
    assert!(dev.line("migrations").ends_with("applied"), "{:?}", dev.said);
    let put = shell(top.path(), dev.line("Try:").trim_start_matches("Try:"));
    assert_eq!(put["ok"], true, "{put}");
    let file = top.path().join("data/dev.env");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let keys = || {
        let text = fs::read_to_string(&file).unwrap();
        text.lines().filter(|line| line.contains("_KEY=")).map(str::to_owned).collect::<Vec<_>>()
    };
    let before = keys();
    assert_eq!(before.len(), 2);
    dev.stop();

    let dev = Dev::start(top.path());
    assert_eq!(keys(), before, "the keys stay");
    let get = r#". data/dev.env; curl -s "$AGENTFS_URL/v1/get" -H "Authorization: Bearer $AGENTFS_API_KEY" \
        -H 'Content-Type: application/json' -d '{"agent_id":"ada","path":"/notes/lunch"}'"#;
    assert_eq!(shell(top.path(), get)["version_id"], put["version_id"]);
    let key = r#". data/dev.env; curl -s "$AGENTFS_URL/v1/admin/create-key" -H "Authorization: Bearer $AGENTFS_ADMIN_KEY" \
        -H 'Content-Type: application/json' -d '{"label":"test"}'"#;
    assert!(shell(top.path(), key).to_string().contains("agfs_live_"));
    dev.stop();
}
