//! An old snapshot, which keeps every version of the rows that each write updates.

use std::collections::BTreeMap;

use agentfs_server::domain::DEFAULT_TENANT;
use agentfs_server::store::access::quota::{count_tokens, may_search};
use agentfs_server::store::entries::newest_day::plan_anew;
use futures::future::join_all;
use serde_json::json;
use sqlx::{Executor as _, PgConnection};

use crate::support::api::Api;
use crate::support::database::Database;
use crate::support::eventually::eventually;
use crate::support::stored::UNBOOKED_BYTES;

/// Versions of the day's row, as a minute of writes makes.
const VERSIONS: &str = "
DO $$ DECLARE place tid; BEGIN
    SELECT ctid INTO place FROM quota_usage;
    FOR n IN 1 .. 20000 LOOP
        UPDATE quota_usage SET searches = n WHERE ctid = place RETURNING ctid INTO place;
    END LOOP;
END $$";

async fn snapshot(database: &Database) -> PgConnection {
    let mut reader = database.connect().await;
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM tenants";
    reader.execute(begin).await.unwrap();
    reader
}

/// Waits until PostgreSQL has counted so many updates of quota rows; returns how often pages of theirs were looked at.
async fn looked_at(database: &Database, updates: i64) -> i64 {
    let counted = "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'quota_usage'";
    let number = async || database.number(counted).await;
    eventually("updates are counted", number, |number| *number >= updates).await;
    database
        .number("SELECT heap_blks_hit + heap_blks_read FROM pg_statio_user_tables WHERE relname = 'quota_usage'")
        .await
}

/// Has `count` done again and again, which counts once in quota rows, before and while a snapshot is open.
async fn passes_no_versions(database: &Database, count: impl AsyncFn(usize), each: i64) {
    // So many that the plans are made which are kept.
    for n in 0..20 {
        count(n).await;
    }
    // It looks at every page.
    database.execute("ALTER TABLE quota_usage SET (autovacuum_enabled = off)").await;
    let _reader = snapshot(database).await;
    database.execute(VERSIONS).await;
    let pages = database.number("SELECT pg_relation_size('quota_usage') / 8192").await;
    assert!(pages > 100, "{pages} pages");
    plan_anew(&mut database.connect().await).await.unwrap();
    // The first count of all has inserted the row.
    let before = looked_at(database, 20_000 + 20 * each - 1).await;
    for n in 20..40 {
        count(n).await;
    }
    let after = looked_at(database, 20_000 + 40 * each - 1).await;
    // The sweeper adds up stored bytes meanwhile.
    assert!(after - before < 20 * pages, "{} looks at {pages} pages", after - before);
}

#[tokio::test]
async fn a_write_does_not_pass_all_versions_of_its_tenants_quota_row() {
    let (api, database) = Api::start().await;
    let write = async |n: usize| {
        api.client.put("/a", json!(n)).await;
        let body = json!({"agent_id": "ada", "path": "/b", "value": n});
        let (status, answer) = api.client.post_once(&n.to_string(), "/v1/put", body).await;
        assert_eq!(status, 200, "{answer}");
    };
    passes_no_versions(&database, write, 2).await;
    assert_eq!(database.number("SELECT writes FROM quota_usage").await, 80);
    assert_eq!(database.number("SELECT searches FROM quota_usage").await, 20_000);
}

#[tokio::test]
async fn a_search_does_not_pass_all_versions_of_its_tenants_quota_row() {
    let limit = [("SEARCH_QUOTA_PER_DAY", "20020")];
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &[], &limit).await;
    let body = json!({"agent_id": "ada", "query": "peanuts", "mode": "text"});
    let search = async |_: usize| drop(api.client.ok("/v1/search", body.clone()).await);
    passes_no_versions(&database, search, 1).await;
    assert_eq!(database.number("SELECT searches FROM quota_usage").await, 20_020);
    assert_eq!(api.client.error("/v1/search", body).await.1, "QUOTA_SEARCHES");
}

#[tokio::test]
async fn tokens_are_counted_without_passing_all_versions_of_the_quota_row() {
    let database = Database::migrated().await;
    let tokens = BTreeMap::from([(DEFAULT_TENANT, 7)]);
    let connection = tokio::sync::Mutex::new(database.connect().await);
    let count = async |_: usize| {
        let mut connection = connection.lock().await;
        let may = may_search(&mut *connection, DEFAULT_TENANT, None).await.unwrap();
        count_tokens(&mut *connection, &tokens).await.unwrap();
        let sum = may_search(&mut *connection, DEFAULT_TENANT, Some(20_001)).await.unwrap();
        assert_eq!(sum, may.map(|before| before + 7));
    };
    passes_no_versions(&database, count, 1).await;
    assert_eq!(database.number("SELECT embed_tokens FROM quota_usage").await, 280);
    let mut connection = connection.into_inner();
    let may = may_search(&mut connection, DEFAULT_TENANT, Some(20_000)).await;
    assert_eq!(may.unwrap(), None, "20,000 searches are used up");
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_stay_exact_for_two_processes_while_a_snapshot_is_open() {
    let limit = [("WRITE_QUOTA_PER_DAY", "1000")];
    let database = Database::migrated().await;
    let first = Api::start_with(&database, &[], &limit).await;
    let second = first.replica(&database, &limit).await;
    let _reader = snapshot(&database).await;
    let writers = (0..16).map(|writer| {
        let client = if writer % 2 == 0 { first.client.clone() } else { second.client.clone() };
        tokio::spawn(async move {
            let mut written = 0;
            for n in 0..75 {
                let body = json!({"agent_id": "ada", "path": format!("/{}", n % 5), "value": n});
                let status = match n % 3 {
                    0 => client.post_once(&format!("{writer}-{n}"), "/v1/put", body).await.0,
                    _ => client.post("/v1/put", body).await.0,
                };
                assert!([200, 429].contains(&status.as_u16()), "{status}");
                written += i64::from(status == 200);
            }
            written
        })
    });
    let written: i64 = join_all(writers).await.into_iter().map(Result::unwrap).sum();
    assert_eq!(written, 1000);
    assert_eq!(database.number("SELECT count(*) FROM entry_versions").await, 1000);
    assert_eq!(database.number("SELECT writes FROM quota_usage").await, 1000);
    assert_eq!(database.number(UNBOOKED_BYTES).await, 0);
    // The runbook's reset, by hand.
    let put = json!({"agent_id": "ada", "path": "/more", "value": 1});
    assert_eq!(second.client.error("/v1/put", put.clone()).await.1, "QUOTA_WRITES_PER_DAY");
    database.execute("UPDATE quota_usage SET writes = 0 WHERE day = CURRENT_DATE").await;
    second.client.ok("/v1/put", put).await;
    assert_eq!(database.number("SELECT writes FROM quota_usage").await, 1);
}
