//! A client program that runs: its streams, what it complains of, and its end.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::complaints::Complaints;
use crate::exec;
use crate::process::{Process, describe};

/// Most bytes of a line of standard error that are looked at.
const LINE: u64 = 8 << 10;
/// How long a program may take to end when it is asked to.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// Which standard streams of a program are pipes; the others are empty. Standard error is read here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pipes {
    /// Standard input is written by the caller.
    pub stdin: bool,
    /// Standard output is read by the caller.
    pub stdout: bool,
}

/// A client program that runs. It ends when the value is dropped, and when this process ends, however that does: it is sent
/// SIGTERM, at which `pg_dump` and `pg_restore` cancel what the server does for them.
#[derive(Debug)]
pub struct Client {
    /// Its standard input, where it is a pipe. Dropping it is the end of the input.
    pub stdin: Option<ChildStdin>,
    /// Its standard output, where it is a pipe. Unless it is read, the program waits.
    pub stdout: Option<ChildStdout>,
    process: Process,
    complaints: JoinHandle<Complaints>,
}

impl Client {
    /// Starts `program` in the environment of this process and `variables`. Everybody on the machine can read an argument
    /// list, so nothing secret may be in it.
    ///
    /// `tolerant`: the program is a `pg_restore` that meets a server older than itself, see [`Client::ended`].
    pub fn start(
        program: &Path,
        variables: &[(&'static str, String)],
        arguments: &[&OsStr],
        pipes: Pipes,
        tolerant: bool,
    ) -> io::Result<Self> {
        let stream = |wanted| if wanted { Stdio::piped() } else { Stdio::null() };
        let mut command = exec::command(program, Signal::SIGTERM, Vec::<OsString>::new());
        command
            .args(arguments)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(stream(pipes.stdin))
            .stdout(stream(pipes.stdout))
            .stderr(Stdio::piped());
        let (process, streams) = Process::start(command, Signal::SIGTERM)?;
        let stderr = streams.stderr.map(ChildStderr::from_std).transpose()?;
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self {
            stdin: streams.stdin.map(ChildStdin::from_std).transpose()?,
            stdout: streams.stdout.map(ChildStdout::from_std).transpose()?,
            process,
            complaints: tokio::spawn(heard(stderr, Complaints::of(&name, tolerant))),
        })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.process.id()
    }

    /// Waits for its end. A failure is its complaints in one line, without the statements and rows that it shows with them.
    ///
    /// A tolerant one fails, at once, at every error but that of an older server which does not know the setting
    /// `transaction_timeout`.
    pub async fn ended(mut self) -> Result<(), String> {
        // Its standard error closes at its end, or at the first error that is not tolerated.
        let complaints = (&mut self.complaints).await.map_err(|error| error.to_string())?;
        if complaints.is_final() {
            self.end().await;
            return Err(complaints.into_sentence());
        }
        let status = self.process.ended().await;
        if status.is_some_and(|status| succeeded(status, &complaints)) {
            return Ok(());
        }
        let said = complaints.into_sentence();
        Err(if said.is_empty() { describe(status) } else { said })
    }

    /// Asks it to end, and kills it with its own children where it does not.
    async fn end(&mut self) {
        self.process.signal(Signal::SIGTERM);
        if timeout(ENDS_WITHIN, self.process.ended()).await.is_err() {
            self.process.signal_group(Signal::SIGKILL);
        }
    }
}

fn succeeded(status: ExitStatus, complaints: &Complaints) -> bool {
    status.success() || status.code() == Some(1) && complaints.are_tolerated()
}

/// Reads standard error to its end, or to the first error that is not tolerated.
async fn heard(stderr: Option<ChildStderr>, mut complaints: Complaints) -> Complaints {
    let Some(stderr) = stderr else { return complaints };
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut stderr).take(LINE).read_until(b'\n', &mut line).await;
        if !matches!(read, Ok(1..)) {
            complaints.end();
            return complaints;
        }
        complaints.hear(String::from_utf8_lossy(&line).trim_end());
        if complaints.is_final() {
            return complaints;
        }
    }
}
