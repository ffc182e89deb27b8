//! The commands of docs/OPERATIONS.md for one machine, typed as they stand: the real programs on a PostgreSQL of their own.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use agentfs_documents::{Examples, unexplained};
use reqwest::Url;
use serde_json::json;

use crate::support::api::{Client, new_key};
use crate::support::database::{Database, Postgres, script};
use crate::support::eventually::eventually;
use crate::support::process::{Process, free_port};
use crate::support::server_user::{bash, folder, give};

const PAGE: &str = include_str!("../../../../docs/OPERATIONS.md");

/// Ends the servers that the page starts, where it did not come to their end.
const LEAVE_NOTHING: &str = r#"
trap 'for data in "$BACKUPS"/then "$BACKUPS"/replica; do
          [ ! -e "$data/postmaster.pid" ] || pg_ctl -D "$data" -m immediate stop >/dev/null; done' EXIT
"#;

/// Lines of a .pgpass for both roles of a database.
fn passwords(database: &Database) -> String {
    let line = |url: &str| {
        let url = Url::parse(url).unwrap();
        format!("*:*:*:{}:{}\n", url.username(), url.password().unwrap())
    };
    [&database.url, &database.superuser_url].map(|url| line(url)).concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_operations_page_do_what_it_says() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    fs::set_permissions(place, Permissions::from_mode(0o711)).unwrap();
    let [home, programs, archive] = ["home", "programs", "archive"].map(|name| place.join(name));
    [&home, &programs, &archive].into_iter().for_each(|path| folder(path));
    let program = programs.join("agentfs-server");
    fs::copy(env!("CARGO_BIN_EXE_agentfs-server"), &program).unwrap();

    let archive_command = format!("archive_command=cp %p {}/%f", archive.display());
    let postgres = Postgres::start(&["--set", "archive_mode=on", "--set", &archive_command]);
    let database = postgres.database().await;
    database.migrate().await;
    let key = new_key(&database, &["admin"]).await;
    let api = Process::start(&[("DATABASE_URL", &database.url), ("LOG_FORMAT", "text")]);
    api.wait_until_ready().await;
    let client = Client::new(api.url(), key.clone());
    client.put("/notes/lunch", json!("peanuts")).await;
    // The log is written by a task of its own.
    eventually("requests are logged", async || api.log(), |log| log.contains("/v1/put")).await;
    fs::copy(api.log_path(), place.join("log")).unwrap();

    let pgpass = home.join(".pgpass");
    fs::write(&pgpass, passwords(&database)).unwrap();
    give(&pgpass);
    fs::set_permissions(&pgpass, Permissions::from_mode(0o600)).unwrap();
    let url = Url::parse(&database.url).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    // Those of the tests' PostgreSQL may lack zstd, which dumps are compressed with.
    let client = script("pgclient", 18);
    let folders = [programs.as_path(), &client, postgres.programs()]
        .map(|folder| folder.display().to_string());
    let path = format!("{}:{path}", folders.join(":"));
    let examples = Examples::of(PAGE, "");
    assert!(examples.len() > 50, "only {} examples were found", examples.len());
    let output = bash()
        .args(["-c", &[LEAVE_NOTHING, examples.script()].concat()])
        .current_dir(&home)
        .env("HOME", &home)
        .env("PATH", path)
        .env("PGHOST", url.host_str().unwrap())
        .env("PGPORT", url.port().unwrap().to_string())
        .env("PGUSER", url.username())
        .env("PGDATABASE", url.path().trim_start_matches('/'))
        .env("DATABASE_URL", &database.url)
        .env("AGENTFS_URL", api.url())
        .env("AGENTFS_API_KEY", &key)
        // As after `. dev.env`: `migrate` makes it valid in other databases too.
        .env("AGENTFS_ADMIN_KEY", &key)
        .env("AGENTFS_LOG", place.join("log"))
        .env("BACKUPS", home.join("backups"))
        .env("WAL_ARCHIVE", &archive)
        .env("SPARE_PORT", free_port().to_string())
        .stdin(Stdio::null())
        .output()
        .await
        .expect("bash runs");
    examples.check(&output);
}

#[test]
fn what_no_test_runs_says_why() {
    assert_eq!(unexplained(PAGE), [""; 0]);
}
