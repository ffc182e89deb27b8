//! The previous release goes on serving after this one has migrated, and both write the same entries.

mod long_values;

use std::path::{Path, PathBuf};
use std::process::Command;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::api::{Client, new_key};
use crate::support::cli::admin;
use crate::support::database::Database;
use crate::support::process::{Process, free_port};
use crate::support::stored::{UNBOOKED_BYTES, history};

const PATHS: usize = 5;

/// The earlier program that tests/compatibility/run has built, by its variable.
fn program(variable: &str) -> PathBuf {
    PathBuf::from(std::env::var_os(variable).expect(variable))
}

/// A database that an earlier program has migrated, and a key that it has made.
async fn begun_by(program: &Path) -> (Database, String) {
    let database = Database::empty().await;
    let run = |arguments: &[&str]| {
        let command =
            Command::new(program).args(arguments).env("DATABASE_URL", &database.url).output();
        let output = command.unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    run(&["migrate"]);
    let key = run(&["admin", "create-key"]);
    (database, key)
}

/// Puts and deletes on a few paths, through one release after the other; how many versions were made.
async fn write(clients: [Client; 2], writer: usize) -> i64 {
    let mut written = 0;
    for n in 0..25 {
        let client = &clients[(writer + n) % 2];
        let path = format!("/shared/{}", (writer * 7 + n * 3) % PATHS);
        if (writer + n).is_multiple_of(4) {
            written += i64::from(client.delete(&path).await["deleted"] == true);
        } else {
            client.put(&path, json!({"writer": writer, "n": n})).await;
            written += 1;
        }
    }
    written
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the previous release, which tests/compatibility/run builds"]
async fn the_previous_release_and_this_one_serve_at_once() {
    let previous = program("AGENTFS_PREVIOUS");
    let (database, old_key) = begun_by(&previous).await;
    let url = [("DATABASE_URL", database.url.as_str())];
    let old_server = Process::start_program(&previous, "serve", free_port(), &url);
    old_server.wait_until_ready().await;
    let old = Client::new(old_server.url(), old_key.clone());
    old.put("/before", json!("the upgrade")).await;

    // The database goes ahead under the previous release.
    database.migrate().await;
    old_server.wait_until_ready().await;
    old.put("/after", json!("the upgrade")).await;
    let new_server = Process::start(&url);
    new_server.wait_until_ready().await;
    let new = Client::new(new_server.url(), new_key(&database, &[]).await);
    for (path, client) in [("/before", &new), ("/after", &new), ("/before", &old)] {
        assert_eq!(client.get(path).await["value"], "the upgrade");
    }
    let crossed = [new.with_key(&old_key), old.with_key(&new.key)];
    for client in &crossed {
        client.get("/before").await;
    }

    let writers = (0..8).map(|writer| tokio::spawn(write([old.clone(), new.clone()], writer)));
    let written: i64 = join_all(writers).await.into_iter().map(Result::unwrap).sum();
    let mut stored = 0;
    for path in (0..PATHS).map(|n| format!("/shared/{n}")) {
        let versions = history(&database, &path).await;
        stored += versions.len() as i64;
        assert!(versions.iter().zip(1..).all(|(v, n)| v.version == n), "{path}: 1, 2, 3 …");
        assert!(versions.is_sorted_by(|a, b| a.created_at < b.created_at));
        let (by_old, by_new) = (old.get(&path).await, new.get(&path).await);
        // A release may add fields to an answer, never change or remove one.
        for (field, value) in by_old.as_object().unwrap() {
            assert_eq!(by_new.get(field), Some(value), "{path}: {field}");
        }
        match &versions.last().unwrap().value {
            Value::Null => assert_eq!(by_new, json!({"found": false})),
            value => assert_eq!(&by_new["value"], value),
        }
    }
    assert_eq!(stored, written);
    let counted =
        "SELECT (sum(q.writes) - (SELECT count(*) FROM entry_versions))::bigint FROM quota_usage q";
    assert_eq!(database.number(counted).await, 0, "both have counted what they wrote");
    admin(&database, &["quota", "recount"]).text();
    assert_eq!(database.number(UNBOOKED_BYTES).await, 0);
    let list = json!({"agent_id": "ada", "prefix": "/"});
    let listed = [old.ok("/v1/list", list.clone()).await, new.ok("/v1/list", list).await];
    assert_eq!(listed[0], listed[1]);
}
