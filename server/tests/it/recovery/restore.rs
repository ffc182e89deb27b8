//! Dumps and restores with PostgreSQL's own programs, as the runbook has them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agentfs_server::maintenance::stored_bytes::settle;
use agentfs_server::store::StoreError;
use agentfs_server::store::connection::address::Link;
use futures::future::join_all;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::support::api::{Api, Client};
use crate::support::database::{Database, shared};
use crate::support::eventually::eventually;
use crate::support::minute::early_in_the_minute;
use crate::support::provider::Provider;
use crate::support::shell::Shell;
use crate::support::stored::UNBOOKED_BYTES;
use crate::support::worker::{EMBEDDED, Worker, until};

/// The runbook's partial backup.
const DUMP_ENTRIES: &str =
    "pg_dump -Fc -t tenants -t api_keys -t entries -t entry_versions -f backup.dump";
const DUMP_ALL: &str = "pg_dump -Fc -f backup.dump";

/// An API with a tenant of its own beside the default one, and some memory; and a folder for its dump.
async fn with_memory() -> (Api, Database, TempDir) {
    let (api, database) = Api::start().await;
    database.execute("INSERT INTO tenants (id, name) VALUES (gen_random_uuid(), 'acme')").await;
    for n in 0..3 {
        api.client.put("/notes/lunch", json!({"n": n})).await;
    }
    api.client.put("/gone", json!(1)).await;
    api.client.delete("/gone").await;
    (api, database, TempDir::new().unwrap())
}

async fn remembers(api: &Api) {
    assert_eq!(api.client.get("/notes/lunch").await["value"], json!({"n": 2}));
    assert_eq!(api.client.get("/gone").await, json!({"found": false}));
    let listed = api.client.ok("/v1/list", json!({"agent_id": "ada", "prefix": "/notes"})).await;
    assert_eq!(listed["items"], json!([{"path": "/notes/lunch", "type": "file"}]));
}

async fn works_as_before(api: &Api) {
    remembers(api).await;
    api.client.put("/notes/lunch", json!({"n": 3})).await;
    assert_eq!(api.client.get("/notes/lunch").await["value"], json!({"n": 3}));
}

const COUNTS: &str = "SELECT (SELECT count(*) FROM tenants) * 1000 + (SELECT count(*) FROM api_keys) * 100
                           + (SELECT count(*) FROM entries) * 10 + (SELECT count(*) FROM entry_versions)";
const LAST_VERSION: &str = "SELECT max(version) FROM entry_versions WHERE path = '/notes/lunch'";

#[tokio::test]
async fn the_partial_backup_needs_nothing_but_itself() {
    let (_api, database, folder) = with_memory().await;
    Shell::of_owner(&database, folder.path()).line(DUMP_ENTRIES).await;
    let bare = shared().bare_database().await;
    let shell = Shell::of_owner(&bare, folder.path());
    shell.line(r#"pg_restore --exit-on-error -d "$PGDATABASE" backup.dump"#).await;
    assert_eq!(bare.number(COUNTS).await, database.number(COUNTS).await);
}

#[tokio::test]
async fn the_partial_backup_becomes_a_working_database() {
    let (api, database, folder) = with_memory().await;
    Shell::of_owner(&database, folder.path()).line(DUMP_ENTRIES).await;
    let new = Database::migrated().await;
    let shell = Shell::of_owner(&new, folder.path());
    // The tenant that the migration made comes with the dump too, and keys refer to tenants, so those go in first.
    shell.line(r#"psql -c "DELETE FROM tenants""#).await;
    for tables in ["-t tenants", "-t api_keys -t entries -t entry_versions"] {
        let line = format!(
            r#"pg_restore --data-only --exit-on-error {tables} -d "$PGDATABASE" backup.dump"#
        );
        shell.line(&line).await;
    }
    assert_eq!(new.number(COUNTS).await, database.number(COUNTS).await);
    assert_ne!(new.number(UNBOOKED_BYTES).await, 0, "no books come with those tables");
    let restored = api.replica(&new, &[]).await;
    works_as_before(&restored).await;
    assert_eq!(new.number(LAST_VERSION).await, 4);
    new.until(UNBOOKED_BYTES, 0).await;

    let live = shell.run(r#"psql -c "DELETE FROM tenants""#).await;
    assert!(live.err.contains("violates foreign key"), "not where there are keys: {live:?}");
}

#[tokio::test]
async fn a_full_backup_restores_into_a_new_database() {
    let (api, database, folder) = with_memory().await;
    Shell::of_owner(&database, folder.path()).line(DUMP_ALL).await;

    // By a superuser, as it stands in the runbook.
    let new = shared().bare_database().await;
    let shell = Shell::of_superuser(&new, folder.path());
    shell.line(r#"pg_restore -d "$PGDATABASE" backup.dump"#).await;
    works_as_before(&api.replica(&new, &[]).await).await;

    // By the owner, whom nobody lets create an extension or comment on it: the superuser has made it before.
    let new = Database::empty().await;
    let shell = Shell::of_owner(&new, folder.path());
    shell.line(r#"pg_restore --no-comments --exit-on-error -d "$PGDATABASE" backup.dump"#).await;
    works_as_before(&api.replica(&new, &[]).await).await;
    assert_eq!(new.number("SELECT count(*) FROM embeddings").await, 0);
    assert_eq!(new.number(UNBOOKED_BYTES).await, 0);
}

#[tokio::test]
async fn a_restore_has_stored_bytes_counted_anew() {
    let (_api, database, folder) = with_memory().await;
    let shell = Shell::of_owner(&database, folder.path());
    let pool = database.address().pool(1);
    settle(&pool).await.unwrap();
    // Wrong in the dump, as a release that does not know the books leaves them.
    database
        .execute("UPDATE storage_usage SET bytes = bytes + 1000 WHERE tenant_id = '00000000-0000-0000-0000-000000000000'")
        .await;
    settle(&pool).await.unwrap();
    assert_eq!(database.number(UNBOOKED_BYTES).await, -1000, "nothing tells that they are wrong");
    shell.line(DUMP_ALL).await;
    let new = Database::empty().await;
    let restore = r#"pg_restore --no-comments --exit-on-error -d "$PGDATABASE" backup.dump"#;
    Shell::of_owner(&new, folder.path()).line(restore).await;
    assert_eq!(new.number(UNBOOKED_BYTES).await, -1000);
    let pool = new.address().pool(1);
    settle(&pool).await.unwrap();
    assert_eq!(new.number(UNBOOKED_BYTES).await, 0);
    let uncounted = "SELECT count(*) FROM tenants t LEFT JOIN storage_usage s ON s.tenant_id = t.id
          WHERE s.counted_for IS DISTINCT FROM t.xmin";
    assert_eq!(new.number(uncounted).await, 0, "and not again and again");
}

#[tokio::test]
async fn a_restore_brings_no_counts_of_the_minute() {
    let (api, database, folder) = with_memory().await;
    let limit = [("RATE_LIMIT_REQUESTS_PER_MINUTE", "3")];
    early_in_the_minute().await;
    let limited = api.replica(&database, &limit).await;
    let get = json!({"agent_id": "ada", "path": "/notes/lunch"});
    let statuses = async |api: &Api| {
        let mut statuses = Vec::new();
        for _ in 0..4 {
            statuses.push(api.client.post("/v1/get", get.clone()).await.0.as_u16());
        }
        statuses
    };
    assert_eq!(statuses(&limited).await, [200, 200, 200, 429]);
    Shell::of_owner(&database, folder.path()).line(DUMP_ALL).await;
    let new = Database::empty().await;
    let restore = r#"pg_restore --no-comments --exit-on-error -d "$PGDATABASE" backup.dump"#;
    Shell::of_owner(&new, folder.path()).line(restore).await;
    let restored = api.replica(&new, &limit).await;
    assert_eq!(statuses(&restored).await[..3], [200, 200, 200]);
}

/// Agents at work: how often each route was answered with which status.
struct Agents {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<BTreeMap<u16, usize>>>,
}

impl Agents {
    fn start(clients: &[&Client]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let requests = |n: usize| {
            [
                ("/v1/put", json!({"agent_id": "ada", "path": format!("/work/{n}"), "value": n})),
                ("/v1/get", json!({"agent_id": "ada", "path": "/notes/lunch"})),
                ("/v1/list", json!({"agent_id": "ada", "prefix": "/"})),
                ("/v1/delete", json!({"agent_id": "ada", "path": format!("/work/{n}")})),
            ]
        };
        let of_client = |(n, client): (usize, &Client)| {
            requests(n).map(|(route, body)| {
                let (client, stop) = (client.clone(), stop.clone());
                tokio::spawn(async move {
                    let mut statuses = BTreeMap::new();
                    while !stop.load(Ordering::Relaxed) {
                        let status = client.post(route, body.clone()).await.0.as_u16();
                        *statuses.entry(status).or_default() += 1;
                        sleep(Duration::from_millis(5)).await;
                    }
                    statuses
                })
            })
        };
        let tasks = clients.iter().copied().enumerate().flat_map(of_client).collect();
        Self { stop, tasks }
    }

    /// Ends them; each was served, and told to come again while that could not be.
    async fn well(self) {
        self.stop.store(true, Ordering::Relaxed);
        for statuses in join_all(self.tasks).await {
            let statuses = statuses.unwrap();
            assert!(statuses.contains_key(&200), "{statuses:?}");
            assert!(statuses.keys().all(|status| [200, 503].contains(status)), "{statuses:?}");
        }
    }
}

async fn eventually_serves(client: &Client) {
    let url = format!("{}/readyz", client.url);
    let look = async || client.http.get(&url).send().await.unwrap().status();
    eventually("the server is ready", look, |status| *status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_backup_restores_over_a_live_database() {
    let (api, database, folder) = with_memory().await;
    let replica = api.replica(&database, &[("DATABASE_WRITERS", "2")]).await;
    Shell::of_owner(&database, folder.path()).line(DUMP_ALL).await;
    let agents = Agents::start(&[&api.client, &replica.client]);
    let restore = r#"pg_restore --clean --if-exists -d "$PGDATABASE" backup.dump"#;
    for _ in 0..3 {
        sleep(Duration::from_millis(300)).await;
        api.client.put("/after", json!("the backup")).await;
        // A superuser's restore drops the extension too, so its types are others afterwards.
        Shell::of_superuser(&database, folder.path()).line(restore).await;
        for api in [&api, &replica] {
            eventually_serves(&api.client).await;
            assert_eq!(api.client.get("/after").await, json!({"found": false}));
            remembers(api).await;
        }
        works_as_before(&api).await;
    }
    // The owner's restore says that it leaves the extension as it is, and does all else.
    let said = Shell::of_owner(&database, folder.path()).run(restore).await;
    assert_eq!(said.code, Some(1));
    let errors: Vec<&str> = said.err.lines().filter(|line| line.contains("ERROR")).collect();
    let harmless = |error: &&str| error.contains("must be owner of extension vector");
    assert!(errors.len() == 2 && errors.iter().all(harmless), "{said:?}");
    eventually_serves(&api.client).await;
    works_as_before(&api).await;
    agents.well().await;
    let broken =
        "SELECT count(*) FROM entries e LEFT JOIN entry_versions v ON v.id = e.latest_version_id
          WHERE v.id IS NULL OR v.version <> e.version";
    assert_eq!(database.number(broken).await, 0);
}

/// Puts a searchable text at each of the paths.
async fn put_searchable(api: &Api, paths: &[&str], text: &str) {
    for path in paths {
        let body = json!({"agent_id": "ada", "path": path, "value": text, "searchable": true});
        api.client.ok("/v1/put", body).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_goes_on_after_a_restore_whatever_its_model_was_then() {
    let (api, database, folder) = with_memory().await;
    let shell = Shell::of_superuser(&database, folder.path());
    let provider = Provider::start().await;
    // Of a time when nothing was embedded, and of one when something was.
    shell.line("pg_dump -Fc -f before.dump").await;
    let worker = Worker::start(&database, &provider, &[]);
    put_searchable(&api, &["/a", "/b"], "lunch").await;
    until(&database, EMBEDDED, 2).await;
    shell.line("pg_dump -Fc -f after.dump").await;

    for (dump, embedded) in [("after", 2), ("before", 0), ("after", 2)] {
        put_searchable(&api, &["/later"], "gone with the restore").await;
        let restore = format!(r#"pg_restore --clean --if-exists -d "$PGDATABASE" {dump}.dump"#);
        shell.line(&restore).await;
        eventually_serves(&api.client).await;
        remembers(&api).await;
        put_searchable(&api, &["/c", "/d", "/e"], "written after it").await;
        until(&database, EMBEDDED, embedded + 3).await;
    }
    worker.stop().await;
}

#[tokio::test]
async fn connections_that_know_types_of_before_are_replaced() {
    let database = Database::migrated().await;
    let pool = database.address().pool(3);
    let query = async |connection: &mut PgConnection| {
        sqlx::query("SELECT embedding FROM embeddings").fetch_all(connection).await
    };
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut connection = pool.acquire().await.unwrap();
        query(&mut connection).await.unwrap();
        held.push(connection);
    }
    for connection in &mut held {
        connection.return_to_pool().await;
    }
    let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
    let replace = "DROP EXTENSION vector CASCADE; CREATE EXTENSION vector;
                   ALTER TABLE embeddings ADD COLUMN embedding halfvec NOT NULL";
    sqlx::raw_sql(replace).execute(&mut superuser).await.unwrap();

    let mut fresh = 0;
    let look = async || {
        let looked = async { Ok(query(&mut *pool.acquire().await?).await?) };
        match pool.noting(looked).await {
            Ok(_) => fresh += 1,
            Err(error) => {
                assert!(matches!(error, StoreError::Replaced(_)), "{error}");
                fresh = 0;
            }
        }
        fresh
    };
    eventually("they heal", look, |fresh| *fresh == 6).await;
}

#[tokio::test]
async fn an_outdated_connection_invalidates_those_of_its_own_database_alone() {
    let (one, other) = (Database::migrated().await, Database::migrated().await);
    let (one, other) = (one.address(), other.address());
    let (pool, of_other) = (one.clone().pool(1), other.pool(1));
    let mut link = Link::new(one);
    let sessions = async |link: &mut Link| {
        let session = || sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()");
        [
            session().fetch_one(&pool).await.unwrap(),
            session().fetch_one(link.connection().await.unwrap()).await.unwrap(),
            session().fetch_one(&of_other).await.unwrap(),
        ]
    };
    let before = sessions(&mut link).await;
    assert_eq!(sessions(&mut link).await, before);
    let outdated = "DO $$BEGIN RAISE EXCEPTION 'cache lookup failed for type 1' USING ERRCODE = 'XX000'; END$$";
    sqlx::query(outdated).execute(&pool).await.unwrap_err();
    let after = sessions(&mut link).await;
    assert!(after[0] != before[0] && after[1] != before[1], "{before:?} {after:?}");
    assert_eq!(after[2], before[2]);
}
