//! Idempotency-Key: a request that is sent again is not made again.

use std::collections::HashSet;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::api::Api;

fn put(value: &Value) -> Value {
    json!({"agent_id": "ada", "path": "/x", "value": value})
}

#[tokio::test]
async fn a_repetition_is_answered_as_the_first_time_and_writes_nothing() {
    let (api, db) = Api::start().await;
    let client = &api.client;
    let (_, first) = client.post_once("k", "/v1/put", put(&json!({"a": 1, "b": [2]}))).await;
    client.put("/x", json!("something later")).await;
    let body = r#"{"value":{ "b":[2], "\u0061":1 }, "path":"//x/", "agent_id":"ada"}"#;
    let again = client.request("/v1/put", body).header("Idempotency-Key", "k").send().await;
    assert_eq!(again.unwrap().json::<Value>().await.unwrap(), first, "however it is written");
    let (status, other) = client.post_once("k", "/v1/put", put(&json!({"a": 1.0, "b": [2]}))).await;
    assert_eq!(status.as_u16(), 422);
    assert_eq!(other["error"]["code"], "IDEMPOTENCY_KEY_MISMATCH");
    let delete = json!({"agent_id": "ada", "path": "/x"});
    assert_eq!(client.post_once("k", "/v1/delete", delete.clone()).await.0.as_u16(), 422);
    assert_eq!(db.number("SELECT count(*) FROM entry_versions").await, 2);
    assert_eq!(db.number("SELECT writes FROM quota_usage").await, 2);

    let (_, deleted) = client.post_once("d", "/v1/delete", delete.clone()).await;
    assert_eq!(deleted["deleted"], true);
    client.put("/x", json!(3)).await;
    assert_eq!(client.post_once("d", "/v1/delete", delete.clone()).await.1, deleted);
    assert_eq!(client.get("/x").await["value"], 3, "not deleted again");
    let nothing = json!({"agent_id": "ada", "path": "/nothing"});
    let (_, first) = client.post_once("n", "/v1/delete", nothing.clone()).await;
    client.put("/nothing", json!(1)).await;
    assert_eq!(client.post_once("n", "/v1/delete", nothing).await.1, first);
    assert_eq!(client.get("/nothing").await["found"], true);
}

#[tokio::test]
async fn what_was_refused_may_be_sent_again_and_wrong_keys_are_named() {
    let (api, db) = Api::start().await;
    let client = &api.client;
    client.put("/x", json!(0)).await;
    let mut body = put(&json!(1));
    body["if_version"] = Value::Null;
    assert_eq!(client.post_once("k", "/v1/put", body.clone()).await.0.as_u16(), 409);
    assert_eq!(db.number("SELECT count(*) FROM idempotency_keys").await, 0);
    client.delete("/x").await;
    assert_eq!(client.post_once("k", "/v1/put", body).await.0.as_u16(), 200);
    for key in ["", "a b", "ä", &"x".repeat(129)] {
        let request = client.request("/v1/put", &put(&json!(1)).to_string());
        let answer = request.header("idempotency-key", key).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{key:?}");
        assert!(answer.text().await.unwrap().contains("INVALID_IDEMPOTENCY_KEY"));
    }
    let request = client.request("/v1/put", &put(&json!(1)).to_string());
    let twice = request.header("idempotency-key", "a").header("idempotency-key", "b").send().await;
    assert_eq!(twice.unwrap().status(), 400);
}

#[tokio::test]
async fn after_a_day_a_key_is_a_new_one() {
    let (api, db) = Api::start().await;
    let (_, first) = api.client.post_once("k", "/v1/put", put(&json!(1))).await;
    db.execute("UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 second'")
        .await;
    let (status, second) = api.client.post_once("k", "/v1/put", put(&json!(2))).await;
    assert_eq!(status.as_u16(), 200, "{second}");
    assert_ne!(first["version_id"], second["version_id"]);
    assert_eq!(api.client.post_once("k", "/v1/put", put(&json!(2))).await.1, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_at_once_on_three_replicas_are_one_version_and_fifty_equal_answers() {
    let (first, db) = Api::start().await;
    let apis = [first.replica(&db, &[]).await, first.replica(&db, &[]).await, first];
    for key in ["a", "b"] {
        let requests = (0..50).map(|n| {
            let client = apis[n % 3].client.clone();
            tokio::spawn(async move { client.post_once(key, "/v1/put", put(&json!(1))).await })
        });
        let answers: Vec<_> = join_all(requests).await.into_iter().map(Result::unwrap).collect();
        assert!(answers.iter().all(|(status, _)| status.as_u16() == 200), "{answers:?}");
        let different: HashSet<String> = answers.iter().map(|(_, a)| a.to_string()).collect();
        assert_eq!(different.len(), 1);
    }
    assert_eq!(db.number("SELECT count(*) FROM entry_versions").await, 2);
    assert_eq!(db.number("SELECT writes FROM quota_usage").await, 2);
}
