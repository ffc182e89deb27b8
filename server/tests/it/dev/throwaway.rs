//! A PostgreSQL for tests leaves nothing behind.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use super::{Running, eventually, folder, is_empty, runs, server};

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
fn whatever_the_umask_is_a_throwaway_starts() {
    let top = folder();
    let program = server(&[]).get_program().to_owned();
    let mut command = Command::new("sh");
    command.args(["-c", "umask 077; exec \"$0\" dev-postgres --throwaway"]).arg(program);
    command.env("TMPDIR", top.path()).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    assert!(Running::of(command).close().success());
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

    let next = start();
    assert!(!left[0].exists());
    assert!(next.close().success());
    assert!(is_empty(top.path()));
}
