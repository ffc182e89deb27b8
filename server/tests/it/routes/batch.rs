//! Batches.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::database::Database;

fn op(op: &str, path: &str) -> Value {
    json!({"op": op, "agent_id": "ada", "path": path})
}

fn put(path: &str, value: impl Into<Value>) -> Value {
    json!({"op": "put", "agent_id": "ada", "path": path, "value": value.into()})
}

#[tokio::test]
async fn operations_happen_in_order_and_each_is_answered_as_by_its_own_route() {
    let (api, _db) = Api::start().await;
    for atomic in [false, true] {
        let operations = [
            op("get", "/x"),
            put("/x", 1),
            op("get", "/x"),
            put("//x", 2),
            op("delete", "/x"),
            op("get", "/x"),
            op("delete", "/x"),
            put("/y", "kept"),
        ];
        let body = json!({"operations": operations, "atomic": atomic});
        let answer = api.client.ok("/v1/batch", body).await;
        let results = answer["results"].as_array().unwrap();
        assert_eq!(results.len(), 8);
        assert_eq!(results[0], json!({"found": false}));
        assert_eq!(results[2]["value"], 1, "{answer}");
        assert_eq!(results[2]["version_id"], results[1]["version_id"]);
        assert_eq!(results[2]["created_at"], results[1]["created_at"]);
        assert_eq!(results[4]["deleted"], true);
        assert_eq!(results[5], json!({"found": false}));
        assert_eq!(results[6]["deleted"], false);
        assert_eq!(api.client.get("/y").await["version_id"], results[7]["version_id"]);
    }
}

#[tokio::test]
async fn one_by_one_what_fails_fails_alone() {
    let (api, db) = Api::start().await;
    api.client.put("/there", json!(0)).await;
    let mut conflict = put("/there", 1);
    conflict["if_version"] = Value::Null;
    let body = json!({"operations": [put("/a", 1), conflict, put("/b", 2)]});
    let answer = api.client.ok("/v1/batch", body).await;
    assert_eq!(answer["results"][1]["error"]["code"], "VERSION_CONFLICT");
    assert_eq!(answer["results"][0]["ok"], true);
    assert_eq!(answer["results"][2]["ok"], true);
    assert_eq!(db.number("SELECT count(*) FROM entry_versions").await, 3);
}

#[tokio::test]
async fn an_atomic_batch_is_made_whole_or_not_at_all() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &[], &[("WRITE_QUOTA_PER_DAY", "5")]).await;
    let client = &api.client;
    client.put("/there", json!(0)).await;
    let mut conflict = op("delete", "/there");
    conflict["if_version"] = json!("00000000-0000-0000-0000-000000000001");
    let body = json!({"operations": [put("/a", 1), conflict, put("/b", 2)], "atomic": true});
    let (status, code, message) = client.error("/v1/batch", body).await;
    assert_eq!((status, code.as_str()), (409, "VERSION_CONFLICT"));
    assert!(message.starts_with("operations[1]: "), "{message}");
    // Five writes are granted, one is used.
    let five: Vec<Value> = (0..5).map(|i| put(&format!("/five/{i}"), i)).collect();
    let body = json!({"operations": five, "atomic": true});
    let (status, code, message) = client.error("/v1/batch", body).await;
    assert_eq!((status, code.as_str()), (429, "QUOTA_WRITES_PER_DAY"));
    assert!(message.starts_with("operations[4]: "), "{message}");
    assert_eq!(database.number("SELECT count(*) FROM entry_versions").await, 1);
    assert_eq!(database.number("SELECT writes FROM quota_usage").await, 1);
    let body = json!({"operations": five[..4], "atomic": true});
    client.ok("/v1/batch", body).await;
    assert_eq!(database.number("SELECT writes FROM quota_usage").await, 5);
}

#[tokio::test]
async fn repetitions_within_a_batch_are_known() {
    let (api, db) = Api::start().await;
    let keyed = |path: &str, key: &str| {
        let mut put = put(path, 1);
        put["idempotency_key"] = json!(key);
        put
    };
    let body = json!({"operations": [keyed("/a", "a"), keyed("/b", "b")], "atomic": true});
    let first = api.client.ok("/v1/batch", body.clone()).await;
    assert_eq!(api.client.ok("/v1/batch", body).await, first);
    let (_, alone) = api
        .client
        .post_once("a", "/v1/put", json!({"agent_id": "ada", "path": "/a", "value": 1}))
        .await;
    assert_eq!(alone, first["results"][0], "keys are the tenant's, whatever the route");
    let body = json!({"operations": [keyed("/c", "c"), keyed("/b", "a")], "atomic": true});
    assert_eq!(api.client.error("/v1/batch", body).await.1, "IDEMPOTENCY_KEY_MISMATCH");
    assert_eq!(db.number("SELECT count(*) FROM entry_versions").await, 2);
    assert_eq!(db.number("SELECT count(*) FROM idempotency_keys").await, 2);
}

#[tokio::test]
async fn wrong_batches_are_refused_before_anything_is_done() {
    let (api, db) = Api::start().await;
    let many: Vec<Value> = (0..101).map(|i| put(&format!("/{i}"), i)).collect();
    for (operations, code, sentence) in [
        (json!([]), "VALIDATION_ERROR", "operations has 0 items"),
        (json!(many), "VALIDATION_ERROR", "operations has 101 items"),
        (json!([put("/a", 1), op("get", "a")]), "INVALID_PATH", "operations[1]: path must start"),
        (json!([put("/a", 1), op("list", "/a")]), "VALIDATION_ERROR", "operations[1]: not an op"),
        (json!([op("move", "/a")]), "VALIDATION_ERROR", "send it to /v1/move"),
        (json!([put("/a", 1), op("put", "/a")]), "VALIDATION_ERROR", "missing field `value`"),
        (json!([put("/a", 1), put("/sys", 1)]), "RESERVED_PATH", "operations[1]: "),
        (json!([put("/a", 1), 7]), "VALIDATION_ERROR", "operations[1]: "),
    ] {
        for atomic in [false, true] {
            let body = json!({"operations": operations, "atomic": atomic});
            let (_, got, message) = api.client.error("/v1/batch", body).await;
            assert!(got == code && message.contains(sentence), "{got}: {message}");
        }
    }
    let mut past = op("get", "/a");
    past["as_of"] = json!("2026-01-01T00:00:00Z");
    let body = json!({"operations": [past]});
    assert!(api.client.error("/v1/batch", body).await.2.contains("give as_of to /v1/get"));
    let body = json!({"operations": [put("/a", 1)]});
    let (status, answer) = api.client.post_once("k", "/v1/batch", body).await;
    assert_eq!(status.as_u16(), 400, "{answer}");
    assert_eq!(answer["error"]["code"], "INVALID_IDEMPOTENCY_KEY");
    assert_eq!(db.number("SELECT count(*) FROM entry_versions").await, 0);
}

#[tokio::test]
async fn scopes_hold_for_each_operation() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &["memory:read"], &[]).await;
    let read = json!({"operations": [op("get", "/a"), op("get", "/b")]});
    api.client.ok("/v1/batch", read).await;
    let write = json!({"operations": [op("get", "/a"), put("/b", 1)]});
    let (status, _, message) = api.client.error("/v1/batch", write).await;
    assert_eq!(status, 403);
    assert!(message.starts_with("operations[1]: this key lacks"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn gets_of_a_batch_share_statements() {
    let (api, _db) = Api::start().await;
    let puts: Vec<Value> = (0..100).map(|n| put(&format!("/{n}"), n)).collect();
    api.client.ok("/v1/batch", json!({"operations": puts})).await;
    let gets: Vec<Value> = (0..100).map(|n| op("get", &format!("/{n}"))).collect();
    let answer = api.client.ok("/v1/batch", json!({"operations": gets})).await;
    for (n, result) in answer["results"].as_array().unwrap().iter().enumerate() {
        assert_eq!(result["value"], n, "{answer}");
    }
    // The first ones show how large values are.
    let metrics = api.metrics().await;
    for series in [
        r#"agentfs_batch_rows_count{queue="reads"} 2"#,
        r#"agentfs_batch_rows_sum{queue="reads"} 100"#,
        r#"agentfs_batch_rows_count{queue="writes"} 1"#,
    ] {
        assert!(metrics.lines().any(|line| line == series), "{series}: {metrics}");
    }
}

#[tokio::test]
async fn an_answer_that_would_be_too_large_says_so() {
    let (api, _db) = Api::start().await;
    let big = "x".repeat(900_000);
    for i in 0..3 {
        api.client.put(&format!("/big/{i}"), json!(big)).await;
    }
    for atomic in [false, true] {
        let gets: Vec<Value> = (0..30).map(|i| op("get", &format!("/big/{}", i % 3))).collect();
        let body = json!({"operations": gets, "atomic": atomic});
        let answer = api.client.ok("/v1/batch", body).await;
        let results = answer["results"].as_array().unwrap();
        let found = results.iter().filter(|r| r["value"] == json!(big)).count();
        let too_large = results.iter().filter(|r| r["error"]["code"] == "ANSWER_TOO_LARGE").count();
        assert!((8..=12).contains(&found) && found + too_large == 30, "{found}, {too_large}");
    }
}

/// Money moves between accounts in atomic batches, and gets of one batch see one moment: the sum never changes.
#[tokio::test(flavor = "multi_thread")]
async fn gets_of_an_atomic_batch_see_one_moment() {
    let (first, db) = Api::start().await;
    let second = first.replica(&db, &[]).await;
    let start = json!({"operations": [put("/a", 100), put("/b", 100)], "atomic": true});
    first.client.ok("/v1/batch", start).await;
    let movers = (0..4).map(|n| {
        let client = if n % 2 == 0 { first.client.clone() } else { second.client.clone() };
        tokio::spawn(async move {
            for i in 0..40 {
                let a = 100 - (i * 7 + n) % 50;
                let set = [put("/a", a), put("/b", 200 - a)];
                client.ok("/v1/batch", json!({"operations": set, "atomic": true})).await;
            }
        })
    });
    let readers = (0..4).map(|n| {
        let client = if n % 2 == 0 { second.client.clone() } else { first.client.clone() };
        tokio::spawn(async move {
            for i in 0..40 {
                let mut gets = vec![op("get", "/a"), op("get", "/b")];
                // With a write beside them they are part of its transaction.
                gets.extend((i % 2 == 0).then(|| put("/seen", i)));
                let body = json!({"operations": gets, "atomic": true});
                let answer = client.ok("/v1/batch", body).await;
                let value = |i: usize| answer["results"][i]["value"].as_i64().unwrap();
                assert_eq!(value(0) + value(1), 200);
            }
        })
    });
    join_all(movers.chain(readers)).await.into_iter().for_each(Result::unwrap);
}
