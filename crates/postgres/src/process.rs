//! One child process that is a program of PostgreSQL's, tied to this process: it ends when this process does, however that ends.
//!
//! The kernel sends the parent-death signal when the *thread* that started the child ends, not the process. Each child is
//! therefore started by a thread of its own, which then waits for the child: it lives exactly as long as the child, or
//! until this process dies. No thread of a runtime, which may end at any time, is involved.

use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::{io, thread};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tokio::sync::watch;

/// A running child. Dropping it sends `end`, which asks it to end and does not wait.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    end: Signal,
    /// Whether the pid is given back to the system, so that it may mean another process.
    reaped: Arc<Mutex<bool>>,
    status: watch::Receiver<Option<ExitStatus>>,
}

impl Process {
    /// Starts a command of [`exec::command`](crate::exec::command), whose signal at this process's death is `end`.
    pub(crate) fn start(mut command: Command, end: Signal) -> io::Result<(Self, Streams)> {
        // A Ctrl-C in the terminal is for this process alone, which ends its children in order.
        command.process_group(0);
        let reaped = Arc::new(Mutex::new(false));
        let (status_sender, status) = watch::channel(None);
        let (started_sender, started) = mpsc::channel();
        let keeper_reaped = Arc::clone(&reaped);
        thread::Builder::new().name("postgres-keeper".into()).spawn(move || {
            match command.spawn() {
                Ok(mut child) => {
                    let _ = started_sender.send(Ok((pid_of(&child), Streams::of(&mut child))));
                    let _ = status_sender.send(keep(child, &keeper_reaped).ok());
                }
                Err(error) => {
                    let _ = started_sender.send(Err(error));
                }
            }
        })?;
        let started = started.recv();
        let (pid, streams) =
            started.unwrap_or_else(|_| Err(io::Error::other("its thread ended")))?;
        Ok((Self { pid, end, reaped, status }, streams))
    }

    /// The child's process id.
    pub(crate) fn id(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Sends a signal to the child, unless it has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        self.unless_reaped(|pid| kill(pid, signal));
    }

    /// Sends a signal to the child and its own children, unless it has ended.
    pub(crate) fn signal_group(&self, signal: Signal) {
        self.unless_reaped(|pid| killpg(pid, signal));
    }

    /// Waits until the child has ended; may be called again afterwards.
    pub(crate) async fn ended(&mut self) -> Option<ExitStatus> {
        // An error means that the keeper could not learn the status; the child is gone all the same.
        self.status.wait_for(Option::is_some).await.ok().and_then(|status| *status)
    }

    fn unless_reaped(&self, send: impl FnOnce(Pid) -> nix::Result<()>) {
        let reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if !*reaped {
            // Fails only for a child that just ended by itself.
            let _ = send(self.pid);
        }
    }
}

/// Those of a child's streams that are piped.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: Option<ChildStdout>,
    pub(crate) stderr: Option<ChildStderr>,
}

impl Streams {
    fn of(child: &mut Child) -> Self {
        Self { stdin: child.stdin.take(), stdout: child.stdout.take(), stderr: child.stderr.take() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(self.end);
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// Waits for the child's end without giving its pid back, then marks the pid as unusable, then gives it back.
fn keep(mut child: Child, reaped: &Mutex<bool>) -> io::Result<ExitStatus> {
    let pid = pid_of(&child);
    while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
    let mut reaped = reaped.lock().unwrap_or_else(PoisonError::into_inner);
    *reaped = true;
    child.wait()
}

/// A sentence's words for how a process ended.
pub(crate) fn describe(status: Option<ExitStatus>) -> String {
    status.map_or_else(|| "it is gone".to_owned(), |status| status.to_string())
}
