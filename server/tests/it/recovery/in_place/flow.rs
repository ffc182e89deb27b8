//! What a restore in place and its undoing bring back, keep and tell.

use std::future::pending;
use std::sync::mpsc;
use std::time::Duration;

use agentfs_server::domain::access::api_key::ApiKey;
use agentfs_server::recovery::catalogue::Selector;
use agentfs_server::recovery::restore::in_place::{
    self, InPlaceError, InPlaceOptions, Plan, Switched, UndoOptions, drop_previous,
};
use agentfs_server::recovery::restore::{RestoreError, RestoreOptions, Source};
use agentfs_server::recovery::{Location, RecoveryError};
use agentfs_server::settings::DatabaseUrl;
use agentfs_server::store::in_place::security::Security;
use agentfs_server::store::schema::{SCHEMA_VERSION, migrate_to};
use serde_json::json;
use sqlx::{Connection as _, Executor as _};
use tokio::runtime::Handle;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::block_in_place;
use uuid::Uuid;

use crate::support::api::{Api, Client, new_key, tenants_key};
use crate::support::backups::Backups;
use crate::support::cli::admin;
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

fn url(database: &Database) -> DatabaseUrl {
    DatabaseUrl::parse(&database.url.clone().into()).unwrap()
}

fn options(backups: &Backups, database: &Database) -> InPlaceOptions {
    InPlaceOptions {
        of: RestoreOptions {
            url: url(database),
            copy: None,
            source: Source::Backup {
                location: Location::parse(backups.path().to_str().unwrap()).unwrap(),
                backup: Selector::Latest,
            },
            name: String::new(),
            template: None,
            builds_indexes: true,
            index_memory: None,
            allow_foreign: false,
            force: false,
            identities: None,
            pg_bin: Some(shared().programs().to_owned()),
        },
        security: Security::Live,
        keep_previous: Duration::from_hours(1),
        switch_patience: Duration::from_mins(1),
        jobs: 2,
        max_rate: None,
        free_space: Some(1 << 40),
    }
}

async fn restore_with(options: &InPlaceOptions) -> Result<Switched, RecoveryError> {
    Box::pin(in_place::restore(options, |_| true, &|_| {}, pending())).await
}

async fn restore(backups: &Backups, database: &Database) -> Switched {
    restore_with(&options(backups, database)).await.unwrap()
}

async fn undo(database: &Database) -> Result<Switched, RecoveryError> {
    let options = UndoOptions {
        url: url(database),
        keep_previous: Duration::from_hours(1),
        switch_patience: Duration::from_mins(1),
    };
    Box::pin(in_place::undo(&options, |_| true, &|_| {}, pending())).await
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

    let switched = restore(&backups, &database).await;
    assert!(!switched.had_switched && switched.switch_seconds < 60.0, "{switched:?}");
    assert!(switched.serving_seconds <= switched.indexed_seconds.unwrap(), "{switched:?}");
    assert_eq!(api.client.get("/kept").await["value"], json!(1));
    assert_eq!(api.client.get("/later").await, json!({"found": false}));
    let mut versions: Vec<i64> = switched.lost.iter().map(|lost| lost.versions).collect();
    versions.sort_unstable();
    assert_eq!(versions, [1, 2], "{switched:?}");
    assert_eq!(database.number(used).await, writes, "no quota is refilled");
    assert_eq!(database.number(UNBOOKED_BYTES).await, 0);
    // Made since, and revoked since.
    tenant.put("/own", json!("again")).await;
    until_refused(&revoked).await;
    let (status, told) = api
        .client
        .post(
            "/v1/get",
            json!({"agent_id": "ada", "path": "/kept", "min_version": lost["version_id"]}),
        )
        .await;
    assert_ne!(status, 200, "{told}: it does not pretend to have what is lost");

    valid.put("/with", json!("a key that ends")).await;
    revoke(&database, &valid.key);
    let undone = undo(&database).await.unwrap();
    until_refused(&valid).await;
    until_refused(&revoked).await;
    assert_eq!(undone.lost.iter().map(|lost| lost.versions).sum::<i64>(), 2, "{undone:?}");
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
    restore(&backups, &database).await;
    let restored = text(&database, MEMORY).await;
    assert_ne!(before, restored);
    undo(&database).await.unwrap();
    assert_eq!(text(&database, MEMORY).await, before);
    undo(&database).await.unwrap();
    assert_eq!(text(&database, MEMORY).await, restored);
    assert_eq!(text(&database, SCHEMAS).await, "agentfs_old");
    assert_eq!(api.client.get("/kept").await["value"], json!(1));
    drop_previous(&url(&database)).await.unwrap();
    assert_eq!(text(&database, SCHEMAS).await, "");
    let error = undo(&database).await.unwrap_err();
    assert!(matches!(error, RecoveryError::InPlace(InPlaceError::NothingToUndo(_))), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_sent_again_is_written_once_or_replayed() {
    let (api, database) = Api::start().await;
    let put = |path: &str| json!({"agent_id": "ada", "path": path, "value": 1});
    let (_, kept) = api.client.post_once("kept", "/v1/put", put("/kept")).await;
    let backups = Backups::new();
    backups.make(&database, &[]);
    let (_, lost) = api.client.post_once("lost", "/v1/put", put("/lost")).await;
    restore(&backups, &database).await;
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
    let refused = restore_with(&options(&backups, &empty)).await.unwrap_err();
    assert!(matches!(refused, RecoveryError::Restore(RestoreError::Foreign { .. })), "{refused}");
    assert_eq!(
        text(&empty, "SELECT count(*)::text FROM pg_tables WHERE schemaname = 'public'").await,
        "0"
    );
    let mut options = options(&backups, &empty);
    options.of.allow_foreign = true;
    let switched = restore_with(&options).await.unwrap();
    assert!(switched.notes.iter().any(|note| note.contains("cannot be known")), "{switched:?}");
    assert_eq!(switched.lost, []);
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
    let older = Database::empty().await;
    migrate_to(&older.address(), SCHEMA_VERSION - 1).await.unwrap();
    older.migrate().await;
    let api = Api::start_with(&older, &[], &[]).await;
    api.client.put("/mine", json!("lost")).await;
    let mut options = options(&backups, &older);
    options.of.allow_foreign = true;
    let switched = restore_with(&options).await.unwrap();
    assert!(switched.notes.iter().any(|note| note.contains("left out")), "{switched:?}");
    for key in [&theirs, &other.client.key] {
        until_refused(&api.client.with_key(key)).await;
    }
    assert_eq!(api.client.get("/kept").await["value"], json!(1));
    assert_eq!(older.number("SELECT count(*) FROM tenants").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_of_somebody_else_stops_it_with_the_statements_that_help() {
    let (api, database, backups) = backed_up().await;
    database
        .execute("CREATE SCHEMA reports; CREATE VIEW reports.usage AS SELECT count(*) FROM entries")
        .await;
    let error = restore_with(&options(&backups, &database)).await.unwrap_err();
    let said = error.to_string();
    assert!(said.starts_with("nothing was changed") && !error.is_transient(), "{said}");
    for wanted in ["reports.usage", "DROP VIEW", "CREATE", "VIEW"] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert_eq!(text(&database, SCHEMAS).await, "");
    database.execute("DROP SCHEMA reports CASCADE").await;
    restore(&backups, &database).await;
    assert_eq!(api.client.get("/kept").await["value"], json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_race_one_is_busy_and_who_says_no_changes_nothing() {
    let (api, database, backups) = backed_up().await;
    api.client.put("/kept", json!(2)).await;
    let options = options(&backups, &database);
    let agrees = |plan: &Plan| {
        assert_eq!(plan.lost_versions, 1, "{plan:?}");
        let second = async { restore_with(&options).await.unwrap_err() };
        let busy = block_in_place(|| Handle::current().block_on(second));
        assert!(matches!(busy, RecoveryError::InPlace(InPlaceError::Busy { .. })), "{busy}");
        assert!(busy.is_transient());
        let said = backups.run(&database, &[]);
        assert_eq!(said.code, Some(75), "{said:?}");
        false
    };
    let first = Box::pin(in_place::restore(&options, agrees, &|_| {}, pending()));
    let error = first.await.unwrap_err();
    assert!(matches!(error, RecoveryError::InPlace(InPlaceError::NotAgreed)), "{error}");
    assert_eq!(api.client.get("/kept").await["value"], json!(2));
    assert_eq!(text(&database, SCHEMAS).await, "");
    restore(&backups, &database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_interrupted_is_taken_over_and_nothing_switches_twice() {
    let (api, database, backups) = backed_up().await;
    api.client.put("/kept", json!(2)).await;
    // It ends as a program that is killed: without a word.
    let (loads, mut is_loading) = unbounded_channel();
    let progress = move |update: &in_place::Update| {
        if update.step == "load" {
            loads.send(()).ok();
        }
    };
    let interrupted = options(&backups, &database);
    tokio::select! {
        done = Box::pin(in_place::restore(&interrupted, |_| true, &progress, pending())) => {
            panic!("{done:?}")
        }
        _ = is_loading.recv() => {}
    }
    assert_eq!(api.client.get("/kept").await["value"], json!(2));
    let again = async || restore_with(&options(&backups, &database)).await;
    let is_done = |done: &Result<Switched, RecoveryError>| {
        !matches!(done, Err(RecoveryError::InPlace(InPlaceError::Busy { .. })))
    };
    let switched = eventually("the lost session ends", again, is_done).await.unwrap();
    assert!(switched.notes.iter().any(|note| note.contains("interrupted")), "{switched:?}");
    assert_eq!(api.client.get("/kept").await["value"], json!(1));

    // As where it was killed right after the switch.
    api.client.put("/since", json!("stays")).await;
    database
        .execute("UPDATE agentfs_meta.restores SET phase = 'switched' WHERE phase = 'finished'")
        .await;
    let had = restore(&backups, &database).await;
    assert!(had.had_switched && had.id == switched.id, "{had:?}");
    assert_eq!(had.lost, switched.lost);
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
    let mut reader = connection.begin().await.unwrap();
    reader
        .execute("SET application_name = 'a long report'; LOCK TABLE entries IN ACCESS SHARE MODE")
        .await
        .unwrap();
    let mut impatient = options(&backups, &database);
    impatient.switch_patience = Duration::from_secs(1);
    let error = restore_with(&impatient).await.unwrap_err();
    assert!(error.to_string().contains("a long report") && error.is_transient(), "{error}");
    assert_eq!(text(&database, SCHEMAS).await, "");
    let off = "SELECT count(*) FROM pg_class WHERE array_to_string(reloptions, ' ') LIKE '%autovacuum_enabled%'";
    assert_eq!(database.number(off).await, 0);
    assert_eq!(api.client.get("/kept").await["value"], json!(2));
    reader.rollback().await.unwrap();

    // Ended while it loads.
    let (loads, mut is_loading) = unbounded_channel();
    let progress = move |update: &in_place::Update| {
        if update.step == "load" {
            loads.send(()).ok();
        }
    };
    let ended = async {
        is_loading.recv().await;
        RecoveryError::Interrupted("restore")
    };
    let options = options(&backups, &database);
    let restoring = Box::pin(in_place::restore(&options, |_| true, &progress, ended));
    let error = restoring.await.unwrap_err();
    assert!(error.to_string().contains("nothing was changed") && error.is_transient(), "{error}");
    assert_eq!(text(&database, SCHEMAS).await, "");
    assert_eq!(api.client.get("/kept").await["value"], json!(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn previous_tables_go_by_themselves_and_are_replaced_by_newer_ones() {
    let (api, database, backups) = backed_up().await;
    api.client.put("/kept", json!(2)).await;
    restore(&backups, &database).await;
    let (plans, planned) = mpsc::channel();
    let options = options(&backups, &database);
    let agrees = |plan: &Plan| plans.send(plan.clone()).is_ok();
    let again = Box::pin(in_place::restore(&options, agrees, &|_| {}, pending())).await.unwrap();
    assert!(planned.recv().unwrap().notes.iter().any(|note| note.contains("one step back")));
    assert_eq!(text(&database, SCHEMAS).await, "agentfs_old");
    backups.make(&database, &[]);
    assert_eq!(text(&database, SCHEMAS).await, "agentfs_old", "not before their time");
    database.execute("UPDATE agentfs_meta.restores SET previous_until = now()").await;
    backups.make(&database, &[]);
    assert_eq!(text(&database, SCHEMAS).await, "");
    assert_eq!(again.lost, []);
    assert_eq!(api.client.get("/kept").await["value"], json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_schema_is_migrated_first_and_a_newer_one_refuses() {
    let (_api, source, backups) = backed_up().await;
    let live = Database::empty().await;
    migrate_to(&live.address(), SCHEMA_VERSION - 1).await.unwrap();
    let mut options = options(&backups, &live);
    options.of.allow_foreign = true;
    let switched = restore_with(&options).await.unwrap();
    assert_eq!(
        live.number("SELECT version::bigint FROM schema_version").await,
        i64::from(SCHEMA_VERSION)
    );
    assert_eq!(text(&live, MEMORY).await, text(&source, MEMORY).await);
    assert_eq!(Uuid::parse_str(&switched.id).unwrap().get_version_num(), 7);
    live.execute("UPDATE schema_version SET version = 1000").await;
    let error = restore_with(&options).await.unwrap_err();
    assert!(matches!(error, RecoveryError::InPlace(InPlaceError::NewerLive(1000))), "{error}");
    live.execute(
        "UPDATE schema_version SET version = (SELECT version FROM agentfs_old.schema_version)",
    )
    .await;
    // As where a migration ran since the switch.
    live.execute("UPDATE agentfs_old.schema_version SET version = version - 1").await;
    let error = undo(&live).await.unwrap_err();
    assert!(error.to_string().contains("migrated to"), "{error}");
}
