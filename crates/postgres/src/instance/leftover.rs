//! The PostgreSQL processes that a killed run left on a data folder.
//!
//! Normally the parent-death signal has ended them. This is for the moment in which they still shut down, and for a server
//! process that outlives a killed postmaster. A process is signalled only when its own working folder, which PostgreSQL sets
//! to its data, is ours: a number in a pid file may mean another process by now.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::sleep;

use crate::error::PostgresError;

/// How long a fast shutdown, which writes a checkpoint, may take before it is cut short.
const FAST: Duration = Duration::from_mins(1);
/// How long an immediate shutdown may take.
const IMMEDIATE: Duration = Duration::from_secs(15);
/// How long each of the two signals of [`end`] may take.
const ENDED: Duration = Duration::from_secs(3);

/// Ends the processes that still work on `cluster`, and says whether there were any.
pub async fn stop(cluster: &Path) -> Result<bool, PostgresError> {
    if working_on(cluster).is_empty() {
        return Ok(false);
    }
    if let Some(postmaster) = postmaster_of(cluster) {
        let _ = kill(postmaster, Signal::SIGINT);
        if all_gone(cluster, FAST).await {
            return Ok(true);
        }
    }
    for process in working_on(cluster) {
        let _ = kill(process, Signal::SIGQUIT);
    }
    if all_gone(cluster, IMMEDIATE).await {
        return Ok(true);
    }
    match working_on(cluster).first() {
        Some(pid) => {
            Err(PostgresError::LeftoverStays { pid: pid.as_raw(), path: cluster.to_owned() })
        }
        None => Ok(true),
    }
}

/// Ends them at once and waits for that, where nothing can be awaited.
pub(super) fn end(cluster: &Path) {
    for signal in [Signal::SIGQUIT, Signal::SIGKILL] {
        let deadline = Instant::now() + ENDED;
        for process in working_on(cluster) {
            let _ = kill(process, signal);
        }
        while Instant::now() < deadline {
            if working_on(cluster).is_empty() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

async fn all_gone(cluster: &Path, within: Duration) -> bool {
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        if working_on(cluster).is_empty() {
            return true;
        }
        sleep(Duration::from_millis(50)).await;
    }
    false
}

/// The process that postmaster.pid names, if it works on this cluster.
fn postmaster_of(cluster: &Path) -> Option<Pid> {
    let file = fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
    let pid = Pid::from_raw(file.lines().next()?.trim().parse().ok()?);
    works_on(pid, cluster).then_some(pid)
}

/// All PostgreSQL processes whose data is `cluster`.
fn working_on(cluster: &Path) -> Vec<Pid> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw))
        .filter(|pid| works_on(*pid, cluster))
        .collect()
}

fn works_on(pid: Pid, cluster: &Path) -> bool {
    let of = |name: &str| format!("/proc/{pid}/{name}");
    let is_postgres =
        fs::read_to_string(of("comm")).is_ok_and(|name| name.trim_end() == "postgres");
    is_postgres
        && match fs::read_link(of("cwd")) {
            Ok(folder) => folder == cluster,
            // A container may deny it even to root; the postmaster's arguments are open to all.
            Err(_) => fs::read(of("cmdline")).is_ok_and(|line| names(&line, cluster)),
        }
}

/// Whether a command line of /proc holds `-D cluster`.
fn names(command_line: &[u8], cluster: &Path) -> bool {
    let arguments: Vec<&[u8]> = command_line.split(|byte| *byte == 0).collect();
    let data = cluster.as_os_str().as_encoded_bytes();
    arguments.windows(2).any(|pair| pair == [&b"-D"[..], data])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_data_argument_counts() {
        let cluster = Path::new("/data/pgdata");
        assert!(names(b"/opt/bin/postgres\0-D\0/data/pgdata\0-c\0port=1\0", cluster));
        assert!(!names(b"/opt/bin/postgres\0-D\0/data/pgdata2\0", cluster));
        assert!(!names(b"tail\0-f\0/data/pgdata\0", cluster));
    }

    #[test]
    fn a_process_that_is_no_postgres_is_never_taken_for_one() {
        let here = std::env::current_dir().unwrap();
        assert!(!works_on(nix::unistd::getpid(), &here));
        assert!(!working_on(&here).contains(&nix::unistd::getpid()));
    }
}
