//! A data folder from start to start, and what can be wrong with it or with the programs.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::geteuid;

use super::{Running, eventually, execute, folder, is_empty, runs, sentence, server, text};

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
    let mut command = server(&["postgres-exec", "--parent", &parent, "--death-signal", "SIGKILL"]);
    if geteuid().is_root() {
        command.args(["--uid", &uid, "--gid", &gid]);
    }
    command.arg("--program").arg(Path::new(bin).join("postgres")).arg("--").arg("-D").arg(&cluster);
    let port = format!("port={}", fs::read_to_string(data.join("port")).unwrap().trim());
    command.args([
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "unix_socket_directories=",
        "-c",
        &port,
    ]);
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
    let (url, bin) = (second.url().to_owned(), second.ready["bin"].as_str().unwrap().to_owned());
    assert!(second.close().success());

    // One that did not end is stopped.
    let mut left = leftover(&data, &bin);
    let third = Running::start(&arguments);
    assert!(left.wait().unwrap().success(), "it was shut down in order");
    assert_eq!(third.url(), url, "the port is free again");
    assert_eq!(text(&url, "SELECT word FROM kept").await, "kept");
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
