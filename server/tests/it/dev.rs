//! The embedded PostgreSQL of one machine, and the command that runs the API on it.

mod command;
mod data_folder;
mod throwaway;

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::unistd::Pid;
use serde_json::Value;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_mins(2);

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
    let mut child = server(arguments).spawn().unwrap();
    // Its closing would end the command with success.
    let _stdin = child.stdin.take();
    let output = child.wait_with_output().unwrap();
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
