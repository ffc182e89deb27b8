//! What a run that was interrupted has left, where something else is in the way of its end.

use std::process::{Command, Stdio};

use agentfs_server::store::in_place::MOVING;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::support::api::Api;
use crate::support::backups::{Backups, ended};
use crate::support::cli::{Said, agentfs};
use crate::support::database::{Database, shared};

const SCHEMAS: &str =
    "SELECT count(*) FROM pg_namespace WHERE nspname IN ('agentfs_new', 'agentfs_old')";
const UNFINISHED: &str =
    "SELECT count(*) FROM agentfs_meta.restores WHERE phase IN ('staging', 'switched')";
/// As where a run was killed right after its switch, and a model has to be indexed yet.
const KILLED: &str = "
INSERT INTO embedding_models (name, dimensions, state) VALUES ('small', 3, 'filling');
UPDATE agentfs_meta.restores SET phase = 'switched', models = (SELECT array_agg(id) FROM embedding_models WHERE name = 'small')";
const BUILD: &str = "agentfs-server admin embeddings index small";
/// Autovacuum is off tables.
const OFF: &str =
    "SELECT count(*) FROM pg_class WHERE reloptions::text LIKE '%autovacuum_enabled%'";
const KEPT_OFF: &str = "
INSERT INTO agentfs_meta.autovacuum_off (relation) VALUES ('entries'::regclass);
ALTER TABLE entries SET (autovacuum_enabled = off)";

fn restore(database: &Database, arguments: &[&str]) -> Said {
    agentfs(&[&["restore"], arguments].concat(), &[("DATABASE_URL", &database.url)])
}

/// The arguments of a restore in place of the newest backup, and more.
fn in_place<'a>(backups: &'a Backups, more: &[&'a str]) -> Vec<&'a str> {
    let from = backups.path().to_str().unwrap();
    let programs = shared().programs().to_str().unwrap();
    let fixed = ["--in-place", "--from", from, "--backup", "latest", "--yes"];
    [&fixed[..], &["--free-space", "1TB", "--pg-bin", programs], more].concat()
}

/// A database whose newest backup was restored in place; `/kept` is 1 in that, and was 2 before.
async fn restored() -> (Api, Database, Backups) {
    let (api, database) = Api::start().await;
    api.client.put("/kept", json!(1)).await;
    let backups = Backups::new();
    backups.make(&database, &[]);
    api.client.put("/kept", json!(2)).await;
    restore(&database, &in_place(&backups, &[])).text();
    assert_eq!(api.client.get("/kept").await["value"], json!(1));
    (api, database, backups)
}

#[tokio::test(flavor = "multi_thread")]
async fn previous_tables_that_somebody_took_away_keep_it_from_nothing() {
    let (api, database, backups) = restored().await;
    database.execute(KILLED).await;
    database.execute("ALTER SCHEMA agentfs_old RENAME TO by_hand").await;
    let ended = restore(&database, &in_place(&backups, &["--output", "json"])).json();
    assert_eq!((&ended["had_switched"], &ended["lost"]), (&json!(true), &json!([])), "{ended}");
    assert!(ended["notes"].to_string().contains("not known what was lost"), "{ended}");
    assert_eq!(database.number(UNFINISHED).await, 0);
    assert_eq!(database.number("SELECT count(*) FROM by_hand.entry_versions").await, 2);
    assert_eq!(api.client.get("/kept").await["value"], json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_switched_comes_to_its_end_with_the_previous_tables() {
    let (api, database, backups) = restored().await;
    database.execute(KILLED).await;
    // Copies of keys go at once, by any backup; what may be undone stays for its time.
    let left = "CREATE SCHEMA agentfs_new; CREATE TABLE agentfs_new.api_keys AS TABLE api_keys;
                UPDATE agentfs_meta.restores SET staging = 'agentfs_new'::regnamespace";
    database.execute(left).await;
    backups.make(&database, &[]);
    assert_eq!((database.number(SCHEMAS).await, database.number(UNFINISHED).await), (1, 1));
    database.execute("UPDATE agentfs_meta.restores SET previous_until = now()").await;
    let said = backups.run(&database, &[]);
    assert!(said.err.contains(BUILD), "{said:?}");
    assert_eq!((database.number(SCHEMAS).await, database.number(UNFINISHED).await), (0, 0));

    let (_api, database, _) = restored().await;
    database.execute(KILLED).await;
    let said = restore(&database, &["--drop-previous", "--yes"]);
    assert!(said.err.contains(BUILD), "{said:?}");
    assert!(said.text().starts_with("Dropped what was live before"));
    assert_eq!((database.number(SCHEMAS).await, database.number(UNFINISHED).await), (0, 0));
    assert_eq!(api.client.get("/kept").await["value"], json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vector_index_without_room_is_left_out_and_named() {
    let (_api, database, backups) = restored().await;
    database.execute(KILLED).await;
    let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
    let full = "CREATE FUNCTION full() RETURNS event_trigger LANGUAGE plpgsql
                AS $$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$;
                CREATE EVENT TRIGGER full_disk ON ddl_command_start WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION full()";
    superuser.execute(full).await.unwrap();
    let told = restore(&database, &in_place(&backups, &[])).text();
    for words in ["not indexed", "No space left", "--drop-previous", BUILD] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert_eq!((database.number(SCHEMAS).await, database.number(UNFINISHED).await), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn autovacuum_is_let_on_again_whatever_else_is_left() {
    let (_api, database, backups) = restored().await;
    database.execute(KEPT_OFF).await;
    backups.make(&database, &[]);
    assert_eq!(database.number(OFF).await, 0, "nothing else was left");

    database.execute(KEPT_OFF).await;
    let others = "CREATE SCHEMA agentfs_new; CREATE TABLE agentfs_new.of_others ();
                  UPDATE agentfs_meta.restores SET phase = 'staging', staging = 'agentfs_new'::regnamespace";
    database.execute(others).await;
    let said = restore(&database, &in_place(&backups, &[]));
    assert!(said.code == Some(1) && said.err.contains("of_others"), "{said:?}");
    assert_eq!((database.number(OFF).await, database.number(UNFINISHED).await), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_loaded_goes_once_nobody_reads_it_any_more() {
    let (api, database, backups) = restored().await;
    restore(&database, &["--drop-previous", "--yes"]).text();
    let mut connection = database.connect().await;
    let mut reader = connection.begin().await.unwrap();
    // The switch waits for it.
    reader.execute("LOCK TABLE entries IN ACCESS SHARE MODE").await.unwrap();
    let restoring = Command::new(env!("CARGO_BIN_EXE_agentfs-server"))
        .arg("restore")
        .args(in_place(&backups, &[]))
        .env("DATABASE_URL", &database.url)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    database.until("SELECT count(*) FROM agentfs_meta.autovacuum_off", MOVING.len() as i64).await;
    reader.execute("LOCK TABLE agentfs_new.entries IN ACCESS SHARE MODE").await.unwrap();
    kill(Pid::from_raw(restoring.id().cast_signed()), Signal::SIGTERM).unwrap();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'DROP TABLE%'";
    // It is waited for, given up, and tried again.
    for is_waited_for in [1, 0, 1] {
        database.until(waiting, is_waited_for).await;
    }
    reader.rollback().await.unwrap();
    let said = ended(restoring);
    assert!(said.code == Some(75) && said.err.contains("nothing was changed"), "{said:?}");
    let staged = "SELECT count(*) FROM pg_namespace WHERE nspname = 'agentfs_new'";
    assert_eq!((database.number(staged).await, database.number(UNFINISHED).await), (0, 0));
    assert_eq!(api.client.get("/kept").await["value"], json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_be_kept_for_no_time_goes_at_once() {
    let (api, database, backups) = restored().await;
    restore(&database, &["--drop-previous", "--yes"]).text();
    api.client.put("/since", json!("lost")).await;
    let file = backups.path().join("lost.jsonl");
    let more = ["--keep-previous", "0s", "--lost-to", file.to_str().unwrap()];
    let told = restore(&database, &in_place(&backups, &more)).text();
    assert!(told.contains("cannot be undone"), "{told}");
    assert_eq!(database.number(SCHEMAS).await, 0);
    assert!(std::fs::read_to_string(file).unwrap().contains("/since"));
}
