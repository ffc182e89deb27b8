//! Imports that do not go through at once: killed, limited, or over a quota.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::door::{Door, Fate};
use super::{PATHS, VERSIONS, note, run, write};
use crate::support::api::{Api, Client};
use crate::support::database::Database;
use crate::support::eventually::eventually;

/// A new `agentfs-server import` of a file.
fn start(client: &Client, file: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_agentfs-server"))
        .args(["import", "--agent", "ada", "--file"])
        .arg(file)
        .env("AGENTFS_URL", &client.url)
        .env("AGENTFS_API_KEY", &client.key)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_killed_goes_on_and_puts_every_line_once() {
    let (api, db) = Api::start().await;
    let door = Door::before(&api.client, &[Fate::Pass, Fate::Pass, Fate::Hold]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.jsonl");
    let expires_at = Timestamp::now() + SignedDuration::from_hours(1);
    // Some have less time to live when they are sent again.
    let line = |number: u32| -> Value {
        let mut line = note(number);
        if number.is_multiple_of(3) {
            line["expires_at"] = json!(expires_at.to_string());
        }
        line
    };
    write(&file, 1..=350, line);
    let mut import = start(&door.client, &file);
    // The third batch is committed, and nobody has heard of it.
    eventually("the third batch is done", async || door.done(), |done| *done == 3).await;
    let another =
        run(&door.client, &["import", "--agent", "ada", "--file", file.to_str().unwrap()]);
    assert!(another.code == Some(75) && another.err.contains("by another process"), "{another:?}");
    import.kill().unwrap();
    import.wait().unwrap();
    assert_eq!(db.number(VERSIONS).await, 300);
    assert!(folder.path().join("notes.jsonl.import").exists());

    tokio::time::sleep(Duration::from_millis(1100)).await;
    let said = run(&door.client, &["import", "--agent", "ada", "--file", file.to_str().unwrap()]);
    assert!(said.err.contains("resuming after line 200"), "{said:?}");
    assert_eq!(said.text(), "350 entries imported");
    assert_eq!((db.number(VERSIONS).await, db.number(PATHS).await), (350, 350));
    assert!(!folder.path().join("notes.jsonl.import").exists());
    // Another import of the same file is one: its keys are others.
    run(&door.client, &["import", "--agent", "ada", "--file", file.to_str().unwrap()]).text();
    assert_eq!((db.number(VERSIONS).await, db.number(PATHS).await), (700, 350));
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_waited_for_and_lost_answers_double_nothing() {
    let (api, db) = Api::start().await;
    let fates = [Fate::Limit, Fate::Lose, Fate::Pass, Fate::Lose];
    let door = Door::before(&api.client, &fates).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.jsonl");
    write(&file, 1..=250, note);
    let said = run(&door.client, &["import", "--agent", "ada", "--file", file.to_str().unwrap()]);
    assert!(
        said.err.contains("slow down (RATE_LIMIT_EXCEEDED); trying again in 1.0 s"),
        "{said:?}"
    );
    assert!(said.err.contains("cannot be reached (502 Bad Gateway); trying again in"), "{said:?}");
    assert_eq!(said.text(), "250 entries imported");
    assert_eq!((db.number(VERSIONS).await, db.number(PATHS).await), (250, 250));
    assert_eq!(door.done(), 5, "three batches, two of them twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_a_quota_stops_goes_on_where_it_stopped() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &[], &[("WRITE_QUOTA_PER_DAY", "150")]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.jsonl");
    let path = file.to_str().unwrap();
    write(&file, 1..=250, note);
    let import = |agent: &str| run(&api.client, &["import", "--agent", agent, "--file", path]);
    let stopped = import("ada");
    assert_eq!((stopped.code, stopped.out.as_str()), (Some(75), ""), "{stopped:?}");
    for said in [
        "line 151: this tenant has used up its writes of today",
        "(QUOTA_WRITES_PER_DAY); imported so far: 150 entries, up to line 150; run the same command again",
    ] {
        assert!(stopped.err.contains(said), "{stopped:?}");
    }
    assert!(import("bob").failure().contains("belongs to an import with --agent \"ada\""));
    let lines = fs::read_to_string(&file).unwrap();
    fs::write(&file, lines.replacen("/notes/1\"", "/notes/one\"", 1)).unwrap();
    assert!(import("ada").failure().contains("the first 150 lines have changed"));

    // What comes after them may change.
    fs::write(&file, lines.replace("/notes/151\"", "/notes/first\"")).unwrap();
    database.execute("UPDATE quota_usage SET writes = 0").await;
    assert_eq!(import("ada").text(), "250 entries imported");
    assert_eq!((database.number(VERSIONS).await, database.number(PATHS).await), (250, 250));
    assert_eq!(api.client.get("/notes/first").await["value"], json!({"number": 151}));
}
