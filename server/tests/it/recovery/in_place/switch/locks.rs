//! The order in which writers lock tables, by the statements that they send.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use agentfs_server::domain::memory::agent_id::AgentId;
use agentfs_server::domain::memory::change::{Action, Change, NewValue};
use agentfs_server::domain::memory::idempotency::{Idempotency, IdempotencyKey};
use agentfs_server::domain::memory::path::EntryPath;
use agentfs_server::domain::memory::tags::Tags;
use agentfs_server::domain::memory::usage::WriteLimits;
use agentfs_server::domain::memory::value::JsonText;
use agentfs_server::domain::search::lexical_text::LexicalText;
use agentfs_server::domain::{DEFAULT_TENANT, EntryKey};
use agentfs_server::store::connection::pool::Pool;
use agentfs_server::store::embeddings::jobs::{Claim, Round, Wanted, claim};
use agentfs_server::store::embeddings::{JobOutcome, finish};
use agentfs_server::store::entries::{fast_put, locked_write};
use agentfs_server::store::in_place::MOVING;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};
use uuid::Uuid;

use crate::support::database::Database;

/// Somebody who writes one entry after the other, on one connection.
pub struct Writer {
    connection: PgConnection,
    /// With an Idempotency-Key.
    is_locked: bool,
    written: usize,
}

impl Writer {
    pub async fn fast(database: &Database) -> Self {
        let connection = database.address().connect_unlimited().await.unwrap();
        Self { connection, is_locked: false, written: 0 }
    }

    pub async fn locked(database: &Database) -> Self {
        Self { is_locked: true, ..Self::fast(database).await }
    }

    /// Writes a version, and returns its id.
    pub async fn write(&mut self) -> Uuid {
        self.written += 1;
        let value = JsonText::stored(r#""some words""#);
        let new = NewValue {
            words: Some(LexicalText::of_value(&value)),
            value,
            tags: Tags::default(),
            importance: 0.5,
            ttl_seconds: None,
        };
        let path = format!("/{}/{}", Uuid::new_v4(), self.written);
        let key = EntryKey {
            tenant: DEFAULT_TENANT,
            agent: AgentId::parse("ada").unwrap(),
            path: EntryPath::parse(&path).unwrap(),
        };
        let mut change = Change::new(key, Action::Put(new.clone()));
        // A quota of stored bytes costs a writer one table more.
        let limits = WriteLimits { stored_bytes: Some(i64::MAX), ..WriteLimits::default() };
        if self.is_locked {
            let key = IdempotencyKey::parse(&Uuid::new_v4().to_string()).unwrap();
            change.idempotency = Some(Idempotency { key, request_hash: [0; 32] });
            locked_write::write(&mut self.connection, &[&[&change]], &limits).await.unwrap();
        } else {
            let put = fast_put::Put { change: &change, new: &new };
            let moments = fast_put::put(&mut self.connection, &[put], &limits).await.unwrap();
            assert!(moments[0].is_some());
        }
        change.version_id
    }
}

/// A worker's session.
struct Worker(Pool);

impl Worker {
    async fn claim(&self) -> Option<Claim> {
        let lease = Duration::from_mins(1);
        let wanted =
            Wanted { model: 1, name: "m", limit: 1, lease, tokens_per_day: None, without: &[] };
        claim(&self.0, wanted, &mut Round::default()).await.ok()?
    }

    async fn finish(&self, claim: &Claim) -> bool {
        let vectors = vec![vec![1.0, 2.0, 3.0]; 2];
        let outcomes = [JobOutcome::Embedded { vectors, is_cut: false, tokens: 0 }];
        finish(&self.0, 1, claim, &outcomes).await.is_ok()
    }
}

/// Tables that move which the session has locked that waits for `$1`.
const LOCKED: &str = "
SELECT held.relation::regclass::text
  FROM pg_locks waits JOIN pg_locks held ON held.pid = waits.pid AND held.granted AND held.locktype = 'relation'
 WHERE NOT waits.granted AND waits.relation = $1::regclass AND held.relation = ANY ($2::regclass[])
UNION ALL
SELECT '' FROM pg_locks WHERE NOT granted AND relation = $1::regclass";

/// Lets `write` run into a table that somebody has. Returns which it has locked by then, and none where it does not need the table.
async fn locked_before<T>(
    database: &Database,
    table: &str,
    write: impl Future<Output = T>,
) -> Option<BTreeSet<String>> {
    let (mut holder, mut other) = (database.connect().await, database.connect().await);
    let hold = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
    holder.execute(AssertSqlSafe(hold)).await.unwrap();
    let mut write = pin!(write);
    loop {
        let look = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let look = sqlx::query_scalar(LOCKED).bind(table).bind(MOVING.as_slice());
            look.fetch_all(&mut other).await.unwrap()
        };
        let seen: Vec<String> = tokio::select! {
            _ = &mut write => return None,
            seen = look => seen,
        };
        if !seen.is_empty() {
            holder.execute("ROLLBACK").await.unwrap();
            write.await;
            return Some(seen.into_iter().filter(|table| !table.is_empty()).collect());
        }
    }
}

/// Asserts that whoever waits for one of the tables has locked none that comes after it.
fn is_in_order(who: &str, table: &str, locked: &BTreeSet<String>) {
    let place = |table: &str| MOVING.iter().position(|moving| *moving == table);
    for before in locked {
        assert!(place(before) < place(table), "{who} locks {before} before {table}");
    }
}

#[tokio::test]
async fn tables_are_locked_in_the_order_of_writers() {
    let database = Database::migrated().await;
    let model = "INSERT INTO embedding_models (name, dimensions, state) VALUES ('m', 3, 'serving')";
    database.execute(model).await;
    let (mut fast, mut locked) = (Writer::fast(&database).await, Writer::locked(&database).await);
    let worker = Worker(database.address().pool(1));
    // The first use of a statement on a connection has another order.
    for _ in 0..2 {
        fast.write().await;
        locked.write().await;
        let claim = worker.claim().await.unwrap();
        assert!(worker.finish(&claim).await);
    }
    let mut seen = [const { Vec::new() }; 4];
    for table in MOVING {
        let before = [
            ("a put", locked_before(&database, table, fast.write()).await),
            ("a put with a key", locked_before(&database, table, locked.write()).await),
            ("a claim", locked_before(&database, table, worker.claim()).await),
            ("an outcome", {
                let claim = worker.claim().await.unwrap();
                locked_before(&database, table, worker.finish(&claim)).await
            }),
        ];
        for ((who, locked), seen) in before.iter().zip(&mut seen) {
            if let Some(locked) = locked {
                is_in_order(who, table, locked);
                seen.push(table);
            }
        }
    }
    let put = [
        "storage_usage",
        "entries",
        "entry_versions",
        "search_documents",
        "embedding_jobs",
        "embedding_models",
    ];
    let [of_put, of_locked, of_claim, of_outcome] = seen;
    assert_eq!(of_put, put);
    assert_eq!(of_locked, [&["storage_usage", "idempotency_keys"], &put[1..]].concat());
    assert_eq!(of_claim, ["entries", "entry_versions", "embedding_jobs", "embedding_models"]);
    let outcome =
        ["entries", "embedding_jobs", "embeddings", "embedding_models", "embedding_chunks"];
    assert_eq!(of_outcome, outcome);
}
