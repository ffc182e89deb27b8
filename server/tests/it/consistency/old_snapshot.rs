//! An old snapshot, which keeps every version of the rows that each write updates.

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

#[tokio::test]
async fn a_write_does_not_pass_all_versions_of_its_tenants_quota_row() {
    let (api, database) = Api::start().await;
    let write = async |n: usize| {
        api.client.put("/a", json!(n)).await;
        let body = json!({"agent_id": "ada", "path": "/b", "value": n});
        let (status, answer) = api.client.post_once(&n.to_string(), "/v1/put", body).await;
        assert_eq!(status, 200, "{answer}");
    };
    // So many that the plans are made which are kept.
    for n in 0..20 {
        write(n).await;
    }
    // It looks at every page.
    database.execute("ALTER TABLE quota_usage SET (autovacuum_enabled = off)").await;
    let _reader = snapshot(&database).await;
    database.execute(VERSIONS).await;
    let pages = database.number("SELECT pg_relation_size('quota_usage') / 8192").await;
    assert!(pages > 100, "{pages} pages");
    plan_anew(&mut database.connect().await).await.unwrap();
    // The first write of all has inserted the row.
    let before = looked_at(&database, 20_000 + 39).await;
    for n in 20..40 {
        write(n).await;
    }
    let after = looked_at(&database, 20_000 + 79).await;
    // The sweeper adds up stored bytes meanwhile.
    assert!(after - before < 20 * pages, "{} looks at {pages} pages", after - before);
    assert_eq!(database.number("SELECT writes FROM quota_usage").await, 80);
    assert_eq!(database.number("SELECT searches FROM quota_usage").await, 20_000);
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
