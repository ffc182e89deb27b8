//! Migrations while an API serves from the same database.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agentfs_server::store::schema::{MigrationError, MigrationReport, apply};
use serde_json::json;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Executor as _, SqlSafeStr as _};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::support::api::{Api, Client};
use crate::support::database::Database;
use crate::support::eventually::eventually;

/// A migration of a test's own.
fn migration(sql: &'static str, no_transaction: bool) -> Migrator {
    Migrator::with_migrations(vec![Migration::new(
        1000,
        "test".into(),
        MigrationType::Simple,
        sql.into_sql_str(),
        no_transaction,
    )])
}

fn start(
    database: &Database,
    migrator: Migrator,
) -> JoinHandle<Result<MigrationReport, MigrationError>> {
    let address = database.address();
    // The driver's future of a migration is not known to be Send, so a thread of its own drives it.
    tokio::task::spawn_blocking(move || Handle::current().block_on(apply(&address, &migrator)))
}

/// Agents at work: what they were answered.
struct Agents {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<BTreeSet<u16>>>,
}

impl Agents {
    fn start(client: &Client) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let requests = [
            ("/v1/put", json!({"agent_id": "ada", "path": "/x", "value": 1})),
            ("/v1/get", json!({"agent_id": "ada", "path": "/x"})),
            ("/v1/list", json!({"agent_id": "ada", "prefix": "/"})),
            ("/v1/delete", json!({"agent_id": "ada", "path": "/x"})),
        ];
        let tasks = requests.map(|(route, body)| {
            let (client, stop) = (client.clone(), stop.clone());
            tokio::spawn(async move {
                let mut statuses = BTreeSet::new();
                while !stop.load(Ordering::Relaxed) {
                    statuses.insert(client.post(route, body.clone()).await.0.as_u16());
                    sleep(Duration::from_millis(10)).await;
                }
                statuses
            })
        });
        Self { stop, tasks: tasks.into() }
    }

    /// Ends them and checks what became of them.
    async fn well(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            let statuses = task.await.unwrap();
            assert!(statuses.contains(&200), "{statuses:?}");
            assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
        }
    }
}

/// How many are waiting to have the table for themselves.
const WAITING: &str = "SELECT count(*) FROM pg_locks
      WHERE NOT granted AND mode = 'AccessExclusiveLock' AND relation = 'entries'::regclass";

#[tokio::test(flavor = "multi_thread")]
async fn one_that_has_to_wait_for_a_dump_lets_the_api_go_on() {
    let (api, database) = Api::start().await;
    // What pg_dump does first, and holds until its end.
    let mut dump = database.connect().await;
    dump.execute("BEGIN; LOCK TABLE entries, entry_versions, quota_usage IN ACCESS SHARE MODE")
        .await
        .unwrap();
    let agents = Agents::start(&api.client);
    let alter = "ALTER TABLE entries ADD COLUMN probe integer";
    let migrating = start(&database, migration(alter, false));

    let (mut tries, mut waited) = (0, false);
    let look = async || {
        let waiting = database.number(WAITING).await > 0;
        if waited && !waiting {
            tries += 1;
            // It has stepped back, so that writes go through, whatever the dump does.
            let put = json!({"agent_id": "ada", "path": "/between", "value": tries});
            api.client.ok("/v1/put", put).await;
        }
        waited = waiting;
        assert!(!migrating.is_finished(), "the dump still holds its lock");
        tries
    };
    eventually("it has stepped back three times", look, |tries| *tries == 3).await;
    dump.execute("COMMIT").await.unwrap();
    assert_eq!(migrating.await.unwrap().unwrap().applied, 1);
    agents.well().await;
    database.execute("SELECT probe FROM entries").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_holds_a_lock_for_too_long_is_interrupted() {
    let (api, database) = Api::start().await;
    api.client.put("/x", json!(1)).await;
    database.execute("CREATE TABLE pace (seconds integer NOT NULL)").await;
    database.execute("INSERT INTO pace VALUES (3600)").await;
    let agents = Agents::start(&api.client);
    let slow = "LOCK TABLE entries IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(seconds) FROM pace";
    let migrating = start(&database, migration(slow, false));
    let sleeping = "SELECT count(*) FROM pg_stat_activity
         WHERE wait_event = 'PgSleep' AND datname = current_database()";
    database.until(sleeping, 1).await;
    // The first try sleeps for an hour all the same, unless somebody ends it.
    database.execute("UPDATE pace SET seconds = 0").await;
    assert_eq!(migrating.await.unwrap().unwrap().applied, 1);
    agents.well().await;
}

const BUILDING: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%' AND state = 'active'
        AND datname = current_database() AND clock_timestamp() - query_start > interval '2.5 seconds'";
const BY_VALIDITY: &str =
    "SELECT count(*) FILTER (WHERE indisvalid) * 10 + count(*) FILTER (WHERE NOT indisvalid)
       FROM pg_index WHERE indexrelid = to_regclass('entries_probe')";

#[tokio::test(flavor = "multi_thread")]
async fn an_index_whose_builder_was_killed_is_built_anew() {
    const INDEX: &str =
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS entries_probe ON entries (updated_at)";
    let (api, database) = Api::start().await;
    api.client.put("/x", json!(1)).await;
    let mut writer = database.connect().await;
    writer.execute("BEGIN; UPDATE entries SET updated_at = updated_at").await.unwrap();
    let migrating = start(&database, migration(INDEX, true));
    // The build waits for that writer, for longer than any lock_timeout of ours, and nobody waits for the build.
    database.until(BUILDING, 1).await;
    api.client.put("/y", json!(1)).await;
    api.client.get("/x").await;

    database
        .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%' AND datname = current_database() AND pid <> pg_backend_pid()")
        .await;
    migrating.await.unwrap().unwrap_err();
    assert_eq!(database.number(BY_VALIDITY).await, 1, "there is an invalid index");
    writer.execute("COMMIT").await.unwrap();

    let report = apply(&database.address(), &migration(INDEX, true)).await.unwrap();
    assert_eq!((report.applied, database.number(BY_VALIDITY).await), (1, 10));
}
