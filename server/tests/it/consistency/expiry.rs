//! Expiry, and the sweeper that turns what has expired into tombstones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agentfs_server::maintenance::sweeper::Swept;
use agentfs_server::maintenance::sweeper::sweep_once;
use agentfs_server::store::StoreError;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::api::{Api, Client};
use crate::support::database::Database;

/// Expires all that has a ttl, in both tables.
/// Takes the tenants' quota rows first, as every writer does: then it waits for writers, and they for it, and nobody crosswise.
const EXPIRE: &str = "
    SELECT FROM quota_usage FOR UPDATE;
    WITH heads AS (UPDATE entries SET expires_at = now() - interval '1 second' WHERE expires_at IS NOT NULL)
    UPDATE entry_versions SET expires_at = now() - interval '1 second' WHERE expires_at IS NOT NULL AND deleted_at IS NULL";

/// The same in a second, which leaves time to take hold of what will have expired.
const EXPIRE_SOON: &str = "
    UPDATE entries SET expires_at = now() + interval '1 second' WHERE expires_at IS NOT NULL;
    UPDATE entry_versions SET expires_at = now() + interval '1 second' WHERE expires_at IS NOT NULL AND deleted_at IS NULL";

async fn put_for(client: &Client, path: &str, value: Value, ttl: i32) -> Value {
    let body =
        json!({"agent_id": "ada", "path": path, "value": value, "ttl_seconds": ttl, "tags": ["t"]});
    client.ok("/v1/put", body).await
}

/// What every route answers, now and as of `moment`.
async fn answers(client: &Client, moment: &Value) -> Vec<Value> {
    let mut answers = Vec::new();
    for as_of in [&Value::Null, moment] {
        for (route, mut body) in [
            ("/v1/get", json!({"path": "/short"})),
            ("/v1/get", json!({"path": "/short/then/long"})),
            ("/v1/get", json!({"path": "/stays"})),
            ("/v1/list", json!({"prefix": "/"})),
            ("/v1/list", json!({"prefix": "/short"})),
            ("/v1/glob", json!({"pattern": "/**"})),
            ("/v1/dump", json!({})),
            ("/v1/history", json!({"path": "/short"})),
            ("/v1/history", json!({"path": "/short/then/long"})),
            ("/v1/history", json!({"path": "/deleted"})),
            ("/v1/agents", json!({})),
        ] {
            if route != "/v1/agents" {
                body["agent_id"] = json!("ada");
            }
            if !["/v1/history", "/v1/agents"].contains(&route) {
                body["as_of"] = as_of.clone();
            }
            answers.push(client.ok(route, body).await);
        }
    }
    answers
}

/// Sweeps until nothing is left to sweep: the server's own sweeper may hold some of it for a moment.
async fn sweep_all(db: &Database) {
    let left =
        "SELECT count(*) FROM entry_versions WHERE expires_at <= now() AND deleted_at IS NULL";
    let pool = db.address().pool(1);
    for _ in 0..100 {
        sweep_once(&pool).await.unwrap();
        if db.number(left).await == 0 {
            return;
        }
    }
    panic!("expired versions are left");
}

#[tokio::test]
async fn what_has_expired_is_served_by_no_route_swept_or_not() {
    let (api, db) = Api::start().await;
    let client = &api.client;
    client.put("/stays", json!(0)).await;
    put_for(client, "/short", json!(1), 1000).await;
    put_for(client, "/short/then/long", json!(2), 1000).await;
    put_for(client, "/deleted", json!(3), 1000).await;
    let moment = client.put("/stays", json!(4)).await["created_at"].clone();
    client.put("/short/then/long", json!(5)).await;
    client.delete("/deleted").await;
    db.execute(EXPIRE_SOON).await;

    // Heads that a writer holds are not swept: so this is what is answered before.
    let mut writer = db.connect().await;
    sqlx::raw_sql("BEGIN; SELECT FROM entries FOR UPDATE; SELECT FROM entry_versions FOR UPDATE")
        .execute(&mut writer)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let before = answers(client, &moment).await;
    let pool = db.address().pool(1);
    assert_eq!(sweep_once(&pool).await.unwrap(), Swept::default());
    sqlx::raw_sql("ROLLBACK").execute(&mut writer).await.unwrap();
    sweep_all(&db).await;
    assert_eq!(
        db.number("SELECT count(*) FROM entry_versions WHERE deleted_at = expires_at").await,
        3
    );
    let after = answers(client, &moment).await;
    assert_eq!(before, after);

    let [
        short,
        long,
        stays,
        root,
        below,
        glob,
        dump,
        history,
        history_long,
        history_deleted,
        agents,
    ] = &before[..11]
    else {
        panic!("eleven answers")
    };
    assert_eq!(*short, json!({"found": false}));
    assert_eq!((&long["value"], &stays["value"]), (&json!(5), &json!(4)));
    let dir = |path: &str| json!({"path": path, "type": "dir"});
    assert_eq!(root["items"], json!([dir("/short"), {"path": "/stays", "type": "file"}]));
    assert_eq!(below["items"], json!([dir("/short/then")]));
    assert_eq!(glob["paths"], json!(["/short/then/long", "/stays"]));
    assert_eq!(dump["count"], 2);
    assert_eq!(agents["agents"], json!([{"id": "ada", "memory_count": 2}]));
    let gone = &history["versions"][0];
    assert_eq!((&gone["value"], &gone["tags"]), (&Value::Null, &json!([])));
    assert!(gone["expires_at"].is_string());
    assert_eq!(gone["deleted_at"], gone["expires_at"]);
    let values: Vec<_> =
        history_long["versions"].as_array().unwrap().iter().map(|v| &v["value"]).collect();
    assert_eq!(values, [&json!(5), &Value::Null]);
    let deleted = &history_deleted["versions"];
    assert_eq!(deleted[0]["deleted_at"], deleted[0]["created_at"]);
    assert_eq!(deleted[1]["deleted_at"], deleted[1]["expires_at"]);

    // Before its expiry, but asked after: not found.
    let [short, long, stays, root] = &before[11..15] else { panic!("eleven answers more") };
    assert_eq!((short, long), (&json!({"found": false}), &json!({"found": false})));
    assert_eq!(stays["value"], 4);
    assert_eq!(root["items"], json!([{"path": "/stays", "type": "file"}]));
}

#[tokio::test]
async fn the_sweeper_writes_tombstones_as_of_the_expiry_and_lets_live_heads_be() {
    let (api, db) = Api::start().await;
    put_for(&api.client, "/gone", json!("secret"), 1000).await;
    put_for(&api.client, "/over", json!("secret"), 1000).await;
    api.client.put("/over", json!(1)).await;
    put_for(&api.client, "/lives", json!(2), 1000).await;
    db.execute("UPDATE entry_versions SET expires_at = now() WHERE path <> '/lives' AND expires_at IS NOT NULL").await;
    db.execute("UPDATE entries SET expires_at = now() WHERE path = '/gone'").await;
    sweep_all(&db).await;
    for (sql, expected) in [
        ("SELECT count(*) FROM entry_versions WHERE value IS NULL AND deleted_at = expires_at", 2),
        ("SELECT count(*) FROM entry_versions WHERE value IS NOT NULL AND deleted_at IS NULL", 2),
        ("SELECT count(*) FROM entries WHERE path = '/gone' AND deleted_at = expires_at", 1),
        ("SELECT count(*) FROM entries WHERE path <> '/gone' AND deleted_at IS NULL", 2),
        ("SELECT version FROM entries WHERE path = '/gone'", 1),
    ] {
        assert_eq!(db.number(sql).await, expected, "{sql}");
    }
    // A swept entry is written and deleted as any other.
    assert_eq!(api.client.delete("/gone").await["deleted"], false);
    api.client.put("/gone", json!(3)).await;
    assert_eq!(api.client.get("/gone").await["value"], 3);
    assert_eq!(api.client.delete("/gone").await["deleted"], true);
}

#[tokio::test]
async fn the_server_sweeps_by_itself() {
    let (api, db) = Api::start().await;
    put_for(&api.client, "/x", json!(1), 1000).await;
    db.execute(EXPIRE).await;
    // The first sweep comes soon after the start, the next one a minute later.
    let _other = api.replica(&db, &[]).await;
    db.until("SELECT count(*) FROM entries WHERE deleted_at IS NOT NULL", 1).await;
}

#[tokio::test]
async fn old_idempotency_keys_and_counts_of_past_minutes_go() {
    let db = Database::migrated().await;
    db.execute(
        "INSERT INTO idempotency_keys (tenant_id, key, request_hash, created_at)
         SELECT gen_random_uuid(), 'k', '', now() - i * interval '1 hour' FROM generate_series(1, 1300) i",
    )
    .await;
    db.execute(
        "INSERT INTO rate_limits (bucket, minute, leased)
         SELECT 'requests:' || i, floor(extract(epoch FROM now()) / 60)::bigint - i, 1 FROM generate_series(0, 600) i",
    )
    .await;
    let pools = [db.address().pool(1), db.address().pool(1)];
    let swept = join_all(pools.iter().map(sweep_once)).await;
    let keys: usize = swept.iter().map(|s| s.as_ref().unwrap().idempotency_keys).sum();
    assert_eq!(keys, 1277, "a key of just 24 hours may go or stay");
    assert_eq!(db.number("SELECT count(*) FROM idempotency_keys").await, 23);
    assert_eq!(db.number("SELECT count(*) FROM rate_limits").await, 11);
}

/// 2600 entries that have expired.
async fn insert_expired(db: &Database) {
    db.execute(
        "INSERT INTO entry_versions (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at, expires_at)
         SELECT gen_random_uuid(), gen_random_uuid(), 'ada', '/' || i, 1, '1', '{}', 0, false,
                now() - interval '1 day', now() - interval '1 hour'
           FROM generate_series(1, 2600) i",
    )
    .await;
    db.execute(
        "INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at, expires_at)
         SELECT tenant_id, agent_id, path, id, version, created_at, expires_at FROM entry_versions",
    )
    .await;
}

#[tokio::test]
async fn replicas_that_sweep_at_once_share_the_work() {
    let db = Database::migrated().await;
    insert_expired(&db).await;
    let pools = [(); 3].map(|()| db.address().pool(1));
    let swept = join_all(pools.iter().map(sweep_once)).await;
    let versions: usize = swept.iter().map(|s| s.as_ref().unwrap().versions).sum();
    assert_eq!(versions, 2600);
    for table in [
        "SELECT count(*) FROM entries WHERE deleted_at = expires_at",
        "SELECT count(*) FROM entry_versions WHERE deleted_at = expires_at AND value IS NULL",
    ] {
        assert_eq!(db.number(table).await, 2600);
    }
}

#[tokio::test]
async fn a_head_that_a_writer_holds_is_left_for_the_next_time_with_its_version() {
    let db = Database::migrated().await;
    insert_expired(&db).await;
    let mut writer = db.connect().await;
    sqlx::raw_sql("BEGIN; SELECT FROM entries WHERE path = '/7' FOR UPDATE")
        .execute(&mut writer)
        .await
        .unwrap();
    let pool = db.address().pool(1);
    assert_eq!(sweep_once(&pool).await.unwrap().versions, 2599);
    let waiting =
        "SELECT count(*) FROM entries e JOIN entry_versions v ON v.id = e.latest_version_id
                    WHERE e.path = '/7' AND e.deleted_at IS NULL AND v.deleted_at IS NULL";
    assert_eq!(db.number(waiting).await, 1);
    sqlx::raw_sql("COMMIT").execute(&mut writer).await.unwrap();
    assert_eq!(sweep_once(&pool).await.unwrap().versions, 1);
    assert_eq!(db.number(waiting).await, 0);
}

#[tokio::test]
async fn sweeping_races_overwrites_and_deletes_without_harm() {
    let (api, db) = Api::start().await;
    let other = api.replica(&db, &[]).await;
    // Connections are made before there is much to do.
    api.client.put("/first", json!(1)).await;
    other.client.put("/first", json!(2)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let sweepers: Vec<_> = (0..3)
        .map(|_| {
            let (pool, stop) = (db.address().pool(1), stop.clone());
            tokio::spawn(async move {
                let mut swept = 0;
                while !stop.load(Ordering::Relaxed) {
                    // A connection may come too late on a busy machine; a sweep is tried again, as the server's is.
                    match sweep_once(&pool).await {
                        Ok(done) => swept += done.versions,
                        Err(StoreError::Unreachable(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                swept
            })
        })
        .collect();
    for round in 0..6 {
        let path = |i: usize| format!("/r/{i}");
        join_all((0..150).map(async |i| {
            put_for(&api.client, &path(i), json!(i), 1000).await;
        }))
        .await;
        let writes = join_all((0..150).map(async |i| {
            let client = if i % 2 == 0 { &api.client } else { &other.client };
            // Puts alone are written in another way than puts with deletes among them.
            if round % 2 == 1 && i % 10 == 0 {
                client.delete(&path(i)).await;
            }
            client.put(&path(i), json!([round, i])).await
        }));
        let ((), written) = tokio::join!(db.execute(EXPIRE), writes);
        for (i, put) in written.iter().enumerate() {
            let got = api.client.get(&path(i)).await;
            assert_eq!(
                (&got["value"], &got["version_id"]),
                (&json!([round, i]), &put["version_id"])
            );
        }
    }
    stop.store(true, Ordering::Relaxed);
    let swept: usize = join_all(sweepers).await.into_iter().map(Result::unwrap).sum();
    sweep_all(&db).await;
    let differing =
        "SELECT count(*) FROM entries e JOIN entry_versions v ON v.id = e.latest_version_id
                      WHERE e.deleted_at IS DISTINCT FROM v.deleted_at";
    assert_eq!(db.number(differing).await, 0);
    assert!(swept > 0, "the race took place");
    assert_eq!(db.number("SELECT count(*) FROM entries WHERE deleted_at IS NULL").await, 151);
}
