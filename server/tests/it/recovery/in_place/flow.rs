//! What a restore in place and its undoing bring back, keep and tell.

use std::process::{Child, Command, Stdio};

use agentfs_server::domain::access::api_key::ApiKey;
use agentfs_server::store::in_place::MOVING;
use agentfs_server::store::schema::{SCHEMA_VERSION, migrate_to};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use sqlx::postgres::Postgres;
use sqlx::{Connection as _, Executor as _, PgConnection, Transaction};

use crate::support::api::{Api, Client, new_key, tenants_key};
use crate::support::backups::{Backups, ended};
use crate::support::cli::{Said, admin, agentfs};
use crate::support::database::{Database, shared};
use crate::support::eventually::eventually;
use crate::support::stored::UNBOOKED_BYTES;

/// What there is of others' schemas, such as those that a restore makes.
const SCHEMAS: &str =
    "SELECT coalesce(string_agg(nspname, ' ' ORDER BY nspname), '') FROM pg_namespace
                        WHERE nspname IN ('agentfs_new', 'agentfs_old')";
/// A sum over all memory.
const MEMORY: &str = "
SELECT md5(concat((SELECT string_agg(e::text, E'\\n' ORDER BY tenant_id, agent_id, path) FROM entries e),
                  (SELECT string_agg(v::text, E'\\n' ORDER BY tenant_id, id) FROM entry_versions v),
                  (SELECT string_agg(i::text, E'\\n' ORDER BY i::text) FROM idempotency_keys i),
                  (SELECT string_agg(d::text, E'\\n' ORDER BY d::text) FROM search_documents d)))";

async fn text(database: &Database, sql: &'static str) -> String {
    sqlx::query_scalar(sql).fetch_one(&mut database.connect().await).await.expect(sql)
}

const RESTORE: [&str; 8] =
    ["restore", "--in-place", "--backup", "latest", "--yes", "--free-space", "1TB", "--pg-bin"];

fn arguments<'a>(backups: &'a Backups, more: &[&'a str]) -> Vec<&'a str> {
    let programs = shared().programs().to_str().unwrap();
    let from = [programs, "--output", "json", "--from", backups.path().to_str().unwrap()];
    [&RESTORE[..], &from, more].concat()
}

fn restore_with(backups: &Backups, database: &Database, more: &[&str]) -> Said {
    agentfs(&arguments(backups, more), &[("DATABASE_URL", &database.url)])
}

fn restore(backups: &Backups, database: &Database) -> Value {
    restore_with(backups, database, &[]).json()
}

/// Starts one that goes on beside this.
fn start(backups: &Backups, database: &Database) -> Child {
    Command::new(env!("CARGO_BIN_EXE_agentfs-server"))
        .args(arguments(backups, &[]))
        .env("DATABASE_URL", &database.url)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn undo(database: &Database) -> Said {
    let undo = ["restore", "--undo", "--yes", "--output", "json"];
    agentfs(&undo, &[("DATABASE_URL", &database.url)])
}

fn notes(restored: &Value) -> String {
    restored["notes"].to_string()
}

/// Somebody who reads a table for so long that nothing can be switched.
async fn reader(connection: &mut PgConnection) -> Transaction<'_, Postgres> {
    let mut reader = connection.begin().await.unwrap();
    let read = "SET application_name = 'a long report'; LOCK TABLE entries IN ACCESS SHARE MODE";
    reader.execute(read).await.unwrap();
    reader
}

/// Waits until a restore has loaded all and tries to switch.
async fn until_it_switches(database: &Database) {
    // It is off what is staged from its making.
    let off = "SELECT count(*) FROM pg_class
                WHERE 'autovacuum_enabled=off' = ANY (reloptions) AND relnamespace = 'public'::regnamespace";
    database.until(off, MOVING.len() as i64).await;
}

/// A database with an API, and a backup of it in which `/kept` is 1.
async fn backed_up() -> (Api, Database, Backups) {
    let (api, database) = Api::start().await;
    api.client.put("/kept", json!(1)).await;
    let backups = Backups::new();
    backups.make(&database, &[]);
    (api, database, backups)
}

fn revoke(database: &Database, key: &str) {
    let key = ApiKey::parse(key).unwrap();
    admin(database, &["revoke-key", key.id().as_str()]).text();
}

async fn until_refused(client: &Client) {
    let get = async || client.post("/v1/get", json!({"agent_id": "ada", "path": "/kept"})).await.0;
    eventually("the key is refused", get, |status| *status == 401).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_comes_back_and_what_may_be_done_stays() {
    let (api, database) = Api::start().await;
    api.client.put("/kept", json!(1)).await;
    let revoked = api.client.with_key(&new_key(&database, &[]).await);
    let valid = api.client.with_key(&new_key(&database, &[]).await);
    let backups = Backups::new();
    backups.make(&database, &[]);
    api.client.put("/kept", json!(2)).await;
    let lost = api.client.put("/later", json!("lost")).await;
    let tenant = api.client.with_key(&tenants_key(&database).await);
    tenant.put("/own", json!("lost too")).await;
    revoke(&database, &revoked.key);
    let used = "SELECT sum(writes)::bigint FROM quota_usage";
    let writes = database.number(used).await;

    let restored = restore(&backups, &database);
    assert_eq!(restored["had_switched"], json!(false));
    assert!(
        restored["serving_seconds"].as_f64() <= restored["indexed_seconds"].as_f64(),
        "{restored}"
    );
    assert_eq!(api.client.get("/kept").await["value"], json!(1));
    assert_eq!(api.client.get("/later").await, json!({"found": false}));
    let lost_of = |lost: &Value| lost["versions"].as_i64().unwrap();
    let mut versions: Vec<i64> = restored["lost"].as_array().unwrap().iter().map(lost_of).collect();
    versions.sort_unstable();
    assert_eq!(versions, [1, 2], "{restored}");
    assert_eq!(database.number(used).await, writes, "no quota is refilled");
    assert_eq!(database.number(UNBOOKED_BYTES).await, 0);
    // Made since, and revoked since.
    tenant.put("/own", json!("again")).await;
    until_refused(&revoked).await;
    let after = json!({"agent_id": "ada", "path": "/kept", "min_version": lost["version_id"]});
    let (status, told) = api.client.post("/v1/get", after).await;
    assert_ne!(status, 200, "{told}: it does not pretend to have what is lost");

    valid.put("/with", json!("a key that ends")).await;
    revoke(&database, &valid.key);
    let undone = undo(&database).json();
    until_refused(&valid).await;
    until_refused(&revoked).await;
    assert_eq!(undone["lost_versions"], json!(2), "{undone}");
    assert_eq!(api.client.get("/kept").await["value"], json!(2));
    assert_eq!(tenant.get("/own").await["value"], json!("lost too"));
    assert_eq!(database.number(UNBOOKED_BYTES).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undoing_is_byte_for_byte_and_can_be_undone() {
    let (api, database, backups) = backed_up().await;
    let body = json!({"agent_id": "ada", "path": "/text", "value": {"b": [1, "é"]}, "searchable": true, "tags": ["x"]});
    api.client.post_once("before", "/v1/put", body).await;
    api.client.delete("/kept").await;
    let before = text(&database, MEMORY).await;
    restore(&backups, &database);
    let restored = text(&database, MEMORY).await;
    assert_ne!(before, restored);
    assert_eq!(undo(&database).json()["done"], json!("undone"));
    assert_eq!(text(&database, MEMORY).await, before);
    assert_eq!(undo(&database).json()["done"], json!("redone"));
    assert_eq!(text(&database, MEMORY).await, restored);
    assert_eq!(text(&database, SCHEMAS).await, "agentfs_old");
    assert_eq!(api.client.get("/kept").await["value"], json!(1));
    let url = [("DATABASE_URL", &*database.url)];
    agentfs(&["restore", "--drop-previous", "--yes"], &url).text();
    assert_eq!(text(&database, SCHEMAS).await, "");
    let said = undo(&database);
    assert!(said.code == Some(1) && said.err.contains("nothing to undo"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_sent_again_is_written_once_or_replayed() {
    let (api, database) = Api::start().await;
    let put = |path: &str| json!({"agent_id": "ada", "path": path, "value": 1});
    let (_, kept) = api.client.post_once("kept", "/v1/put", put("/kept")).await;
    let backups = Backups::new();
    backups.make(&database, &[]);
    let (_, lost) = api.client.post_once("lost", "/v1/put", put("/lost")).await;
    restore(&backups, &database);
    let (_, replayed) = api.client.post_once("kept", "/v1/put", put("/kept")).await;
    assert_eq!(replayed["version_id"], kept["version_id"]);
    let (status, again) = api.client.post_once("lost", "/v1/put", put("/lost")).await;
    assert_eq!(status, 200, "{again}");
    assert_ne!(again["version_id"], lost["version_id"], "an answer names no version that is gone");
    let (_, replayed) = api.client.post_once("lost", "/v1/put", put("/lost")).await;
    assert_eq!(replayed["version_id"], again["version_id"]);
    assert_eq!(database.number("SELECT count(*) FROM entry_versions").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_gets_all_keys_and_says_what_cannot_be_known() {
    let (api, _database, backups) = backed_up().await;
    let empty = Database::empty().await;
    let said = restore_with(&backups, &empty, &[]);
    assert!(said.code == Some(1) && said.err.contains("--allow-foreign"), "{said:?}");
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(empty.number(tables).await, 0);
    let restored = restore_with(&backups, &empty, &["--allow-foreign"]).json();
    assert!(notes(&restored).contains("cannot be known"), "{restored}");
    assert_eq!(restored["lost"], json!([]));
    let replica = api.replica(&empty, &[]).await;
    replica.until_served().await;
    assert_eq!(replica.client.get("/kept").await["value"], json!(1));
    assert_eq!(empty.number(UNBOOKED_BYTES).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_another_database_get_into_no_memory() {
    let (other, source, backups) = backed_up().await;
    let theirs = tenants_key(&source).await;
    other.client.with_key(&theirs).put("/own", json!("of another tenant")).await;
    backups.make(&source, &[]);
    let (api, database) = Api::start().await;
    api.client.put("/mine", json!("lost")).await;
    let restored = restore_with(&backups, &database, &["--allow-foreign"]).json();
    assert!(notes(&restored).contains("left out"), "{restored}");
    for key in [&theirs, &other.client.key] {
        until_refused(&api.client.with_key(key)).await;
    }
    assert_eq!(api.client.get("/kept").await["value"], json!(1));
    assert_eq!(database.number("SELECT count(*) FROM tenants").await, 2);
}

/// Of the live tables, the books may be kept from their owner: those of the backup are made before they are as well.
#[tokio::test(flavor = "multi_thread")]
async fn books_that_nobody_may_write_are_made_before() {
    let (api, database, backups) = backed_up().await;
    let force = "ALTER TABLE storage_usage ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY";
    database.execute(force).await;
    restore(&backups, &database);
    let forced = "SELECT count(*) FROM pg_class WHERE oid = 'storage_usage'::regclass AND relforcerowsecurity";
    assert_eq!(database.number(forced).await, 1);
    database.execute("ALTER TABLE storage_usage NO FORCE ROW LEVEL SECURITY").await;
    assert_eq!(database.number(UNBOOKED_BYTES).await, 0);
    assert_eq!(api.client.get("/kept").await["value"], json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_of_somebody_else_stops_it_with_the_statements_that_help() {
    let (api, database, backups) = backed_up().await;
    let view = "CREATE SCHEMA reports; CREATE VIEW reports.usage AS SELECT count(*) FROM entries";
    database.execute(view).await;
    let said = restore_with(&backups, &database, &[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    for wanted in ["nothing was changed", "reports.usage", "DROP VIEW", "CREATE"] {
        assert!(said.err.contains(wanted), "{wanted}: {said:?}");
    }
    assert_eq!(text(&database, SCHEMAS).await, "");
    database.execute("DROP SCHEMA reports CASCADE").await;
    restore(&backups, &database);
    assert_eq!(api.client.get("/kept").await["value"], json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_race_one_is_busy() {
    let (api, database, backups) = backed_up().await;
    api.client.put("/kept", json!(2)).await;
    let mut connection = database.connect().await;
    let reader = reader(&mut connection).await;
    let first = start(&backups, &database);
    until_it_switches(&database).await;
    for said in
        [restore_with(&backups, &database, &[]), undo(&database), backups.run(&database, &[])]
    {
        assert!(said.code == Some(75) && said.err.contains("under way"), "{said:?}");
    }
    assert_eq!(api.client.get("/kept").await["value"], json!(2));
    reader.rollback().await.unwrap();
    let restored = ended(first).json();
    assert_eq!(restored["lost_versions"], json!(1), "{restored}");
    assert_eq!(api.client.get("/kept").await["value"], json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_interrupted_is_taken_over_and_nothing_switches_twice() {
    let (api, database, backups) = backed_up().await;
    api.client.put("/kept", json!(2)).await;
    let mut connection = database.connect().await;
    let reader = reader(&mut connection).await;
    let mut killed = start(&backups, &database);
    until_it_switches(&database).await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    reader.rollback().await.unwrap();
    assert_eq!(api.client.get("/kept").await["value"], json!(2));
    // Its session ends a moment later.
    let again = async || restore_with(&backups, &database, &[]);
    let said = eventually("the restore", again, |said| said.code != Some(75)).await;
    let restored = said.json();
    assert!(notes(&restored).contains("interrupted"), "{restored}");
    assert_eq!(api.client.get("/kept").await["value"], json!(1));

    // As where it was killed right after the switch.
    api.client.put("/since", json!("stays")).await;
    let killed = "UPDATE agentfs_meta.restores SET phase = 'switched' WHERE phase = 'finished'";
    database.execute(killed).await;
    let had = restore(&backups, &database);
    assert_eq!((&had["had_switched"], &had["id"]), (&json!(true), &restored["id"]));
    assert_eq!(had["lost"], restored["lost"]);
    assert_eq!(api.client.get("/since").await["value"], json!("stays"));
    let unfinished =
        "SELECT count(*) FROM agentfs_meta.restores WHERE phase NOT IN ('finished', 'given up')";
    assert_eq!(database.number(unfinished).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_a_table_is_named_and_nothing_has_changed() {
    let (api, database, backups) = backed_up().await;
    api.client.put("/kept", json!(2)).await;
    let mut connection = database.connect().await;
    let reader = reader(&mut connection).await;
    let said = restore_with(&backups, &database, &["--switch-patience", "1s"]);
    assert!(said.code == Some(75) && said.err.contains("a long report"), "{said:?}");
    // It is told on the way already.
    assert!(said.err.contains("\nswitch waits for session "), "{said:?}");
    let off = "SELECT count(*) FROM pg_class WHERE array_to_string(reloptions, ' ') LIKE '%autovacuum_enabled%'";
    let is_as_before = async || {
        assert_eq!(text(&database, SCHEMAS).await, "");
        assert_eq!(database.number(off).await, 0);
        assert_eq!(api.client.get("/kept").await["value"], json!(2));
    };
    is_as_before().await;
    // Ended by a signal between two tries.
    let stopped = start(&backups, &database);
    until_it_switches(&database).await;
    kill(Pid::from_raw(stopped.id().cast_signed()), Signal::SIGTERM).unwrap();
    let said = ended(stopped);
    assert!(said.code == Some(75) && said.err.contains("nothing was changed"), "{said:?}");
    is_as_before().await;
    reader.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn previous_tables_go_by_themselves_and_are_replaced_by_newer_ones() {
    let (api, database, backups) = backed_up().await;
    api.client.put("/kept", json!(2)).await;
    restore(&backups, &database);
    // Who needs them is told before anything is loaded.
    database.execute("CREATE VIEW report AS SELECT count(*) FROM agentfs_old.entries").await;
    let said = restore_with(&backups, &database, &[]);
    assert!(said.code == Some(1) && said.err.contains("view report"), "{said:?}");
    assert!(!said.err.contains("load"), "{said:?}");
    database.execute("DROP VIEW report").await;
    // Nor does --yes give up what only they have.
    let refused = restore_with(&backups, &database, &[]);
    assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""), "{refused:?}");
    for words in ["one step back", "\n  lost   1 version for good", "1 version that is not live"] {
        assert!(refused.err.contains(words), "{words}: {refused:?}");
    }
    assert!(!refused.err.contains("\nload"), "{refused:?}");
    undo(&database).text();
    assert_eq!(api.client.get("/kept").await["value"], json!(2));
    // What is live has all that they have now.
    let again = restore_with(&backups, &database, &[]);
    assert!(again.err.contains("one step back"), "{again:?}");
    assert_eq!(again.json()["lost_versions"], json!(1));
    assert_eq!(text(&database, SCHEMAS).await, "agentfs_old");
    backups.make(&database, &[]);
    assert_eq!(text(&database, SCHEMAS).await, "agentfs_old", "not before their time");
    database.execute("UPDATE agentfs_meta.restores SET previous_until = now()").await;
    backups.make(&database, &[]);
    assert_eq!(text(&database, SCHEMAS).await, "");
    assert_eq!(api.client.get("/kept").await["value"], json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_schema_is_migrated_first_and_a_newer_one_refuses() {
    let (_api, source, backups) = backed_up().await;
    let live = Database::empty().await;
    migrate_to(&live.address(), SCHEMA_VERSION - 1).await.unwrap();
    restore_with(&backups, &live, &["--allow-foreign"]).text();
    let version = "SELECT version::bigint FROM schema_version";
    assert_eq!(live.number(version).await, i64::from(SCHEMA_VERSION));
    assert_eq!(text(&live, MEMORY).await, text(&source, MEMORY).await);
    // As where a migration ran since the switch.
    live.execute("UPDATE agentfs_old.schema_version SET version = version - 1").await;
    let said = undo(&live).failure();
    assert!(said.contains("was migrated to"), "{said}");
    live.execute("UPDATE schema_version SET version = 1000").await;
    let said = restore_with(&backups, &live, &["--allow-foreign"]).failure();
    assert!(said.contains("the live schema is version 1000"), "{said}");
}
