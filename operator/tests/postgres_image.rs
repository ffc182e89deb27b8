//! The entrypoint of the embedded PostgreSQL's image: it makes no empty database in place of one that is expected.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use agentfs_operator::agentfs::database::embedded::loss::REFUSES_TO_START_EMPTY;

const INITDB: i32 = 7;

/// Runs the entrypoint in `folder`, with programs of PostgreSQL that only tell that they were called: its exit code, and what
/// it told Kubernetes.
fn start(folder: &Path) -> (Option<i32>, String) {
    let programs = folder.join("bin");
    fs::create_dir_all(&programs).unwrap();
    for (program, does) in [("initdb", "exit 7"), ("postgres", "echo 'postgres (PostgreSQL) 0'")] {
        let path = programs.join(program);
        fs::write(&path, format!("#!/bin/sh\n{does}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::create_dir_all(folder.join("volume")).unwrap();
    fs::write(folder.join("password"), "secret").unwrap();
    let entrypoint = format!("{}/../images/postgres/entrypoint", env!("CARGO_MANIFEST_DIR"));
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let told = folder.join("told");
    let ended = Command::new("sh")
        .arg(entrypoint)
        .env("PATH", path)
        .env("PGDATA", folder.join("volume/data"))
        .env("POSTGRES_USER", "agentfs")
        .env("POSTGRES_DB", "agentfs")
        .env("POSTGRES_PASSWORD_FILE", folder.join("password"))
        .env("POSTGRES_EXPECTED_DATABASE_FILE", folder.join("expected-database"))
        .env("TERMINATION_LOG", &told)
        .output()
        .unwrap();
    (ended.status.code(), fs::read_to_string(told).unwrap_or_default())
}

#[test]
fn an_empty_volume_becomes_no_database_where_one_is_expected() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert_eq!(start(folder).0, Some(INITDB), "a first start makes a database");

    fs::write(folder.join("expected-database"), "3f2a").unwrap();
    let (code, told) = start(folder);
    assert_eq!(code, Some(REFUSES_TO_START_EMPTY));
    assert!(told.contains("is empty, and the database 3f2a was in it"), "{told}");
    assert!(!folder.join("volume/data").exists());

    // Where it is not known whether one is expected, none is made.
    fs::remove_file(folder.join("expected-database")).unwrap();
    fs::create_dir(folder.join("expected-database")).unwrap();
    let (code, told) = start(folder);
    assert_eq!(code, Some(1));
    assert!(told.contains("expected-database cannot be read. Check the Secret"), "{told}");
    fs::remove_dir(folder.join("expected-database")).unwrap();
    fs::write(folder.join("expected-database"), "3f2a").unwrap();

    // What is left of a cluster is not an empty volume.
    fs::create_dir(folder.join("volume/data")).unwrap();
    fs::write(folder.join("volume/data/base"), "").unwrap();
    assert!(start(folder).1.contains("holds files but no PG_VERSION"));

    // One that is there is used, whatever is expected: here it is of another version.
    fs::write(folder.join("volume/data/PG_VERSION"), "17").unwrap();
    let (code, told) = start(folder);
    assert_eq!(code, Some(1));
    assert!(told.starts_with("The volume holds a cluster of PostgreSQL 17"), "{told}");

    fs::remove_dir_all(folder.join("volume")).unwrap();
    for nothing in [true, false] {
        if nothing {
            fs::write(folder.join("expected-database"), "").unwrap();
        } else {
            fs::remove_file(folder.join("expected-database")).unwrap();
        }
        assert_eq!(start(folder).0, Some(INITDB), "somebody wants an empty one");
    }
}
