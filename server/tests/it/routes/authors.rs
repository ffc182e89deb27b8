//! Who wrote a version, and what its value is: keys, sizes and sums.

use serde_json::{Value, json};

use crate::support::api::{Api, new_key};

fn entry(path: &str) -> Value {
    json!({"agent_id": "ada", "path": path})
}

#[tokio::test]
async fn a_version_knows_its_key_and_a_value_its_sum() {
    // SHA-256 of [1.0,1e2], the bytes as they come back.
    const SUM: &str = "8cc703472eb76e525972b704682c687ff338dd271d164198702ac9c4b446eb94";
    let (api, db) = Api::start().await;
    let first = api.client.clone();
    let second = first.with_key(&new_key(&db, &[]).await);
    let id = |key: &str| key.split_once('.').expect("a key").0.to_owned();
    let raw = r#"{"agent_id":"ada","path":"/x","value":[1.0, 1e2]}"#;
    assert_eq!(first.request("/v1/put", raw).send().await.expect("an answer").status(), 200);
    let batch = json!({"atomic": true, "operations": [{"op": "put", "agent_id": "ada", "path": "/x", "value": "é"}]});
    second.ok("/v1/batch", batch).await;
    db.execute("UPDATE api_keys SET label = 'the planner' WHERE created_at = (SELECT max(created_at) FROM api_keys)").await;
    second.delete("/x").await;
    first.put("/x", json!(1)).await;
    db.execute("UPDATE entry_versions SET author = NULL WHERE version = 4").await;
    let history = first.ok("/v1/history", entry("/x")).await["versions"].clone();
    let of = |n: usize, field: &str| history[n][field].clone();
    assert_eq!(of(0, "author"), Value::Null, "of an earlier release");
    let planner = json!({"key_id": id(&second.key), "label": "the planner"});
    assert_eq!([of(1, "author"), of(2, "author")], [planner.clone(), planner]);
    assert_eq!(
        [of(1, "size"), of(1, "sha256")],
        [Value::Null, Value::Null],
        "a tombstone has no value"
    );
    assert_eq!(of(2, "size"), 4, "in UTF-8, with its quotes");
    assert_eq!(of(3, "author"), json!({"key_id": id(&first.key), "label": "test"}));
    assert_eq!([of(3, "size"), of(3, "sha256")], [json!(9), json!(SUM)]);

    first.request("/v1/put", raw).send().await.expect("an answer");
    let mut past = entry("/x");
    past["as_of"] = first.get("/x").await["created_at"].clone();
    let mut operation = entry("/x");
    operation["op"] = json!("get");
    let in_batch =
        first.ok("/v1/batch", json!({"operations": [operation]})).await["results"][0].clone();
    for got in [first.get("/x").await, first.ok("/v1/get", past).await, in_batch] {
        assert_eq!([&got["size"], &got["sha256"]], [&json!(9), &json!(SUM)], "{got}");
    }
}

#[tokio::test]
async fn a_write_is_made_when_the_value_is_the_expected_one() {
    let (api, db) = Api::start().await;
    let client = &api.client;
    let put = |value: i64, sum: &Value| json!({"agent_id": "ada", "path": "/x", "value": value, "if_sha256": sum});
    client.ok("/v1/put", put(1, &Value::Null)).await;
    let sum = client.get("/x").await["sha256"].clone();
    client.put("/x", json!(5)).await;
    let (status, code, message) = client.error("/v1/put", put(2, &sum)).await;
    assert_eq!((status, code.as_str()), (409, "VERSION_CONFLICT"), "{message}");
    client.put("/x", json!(1)).await;
    client.ok("/v1/put", put(2, &sum)).await;
    let delete = json!({"agent_id": "ada", "path": "/x", "if_sha256": sum});
    assert_eq!(client.error("/v1/delete", delete).await.0, 409);
    let now = client.get("/x").await;
    let delete = json!({"agent_id": "ada", "path": "/x", "if_sha256": now["sha256"]});
    assert_eq!(client.ok("/v1/delete", delete.clone()).await["deleted"], true);
    assert_eq!(client.error("/v1/delete", delete).await.0, 409, "a tombstone has no value");
    // Of one batch, whose changes see each other.
    let operations = json!([
        {"op": "put", "agent_id": "ada", "path": "/x", "value": 1},
        {"op": "put", "agent_id": "ada", "path": "/x", "value": 2, "if_sha256": sum},
    ]);
    client.ok("/v1/batch", json!({"atomic": true, "operations": operations})).await;
    assert_eq!(client.get("/x").await["value"], 2);
    let mut both = put(3, &sum);
    both["if_version"] = Value::Null;
    let (status, _, message) = client.error("/v1/put", both).await;
    assert_eq!(status, 400);
    assert!(message.contains("if_version or if_sha256, not both"), "{message}");
    let (status, _, message) = client.error("/v1/put", put(3, &json!("abc"))).await;
    assert_eq!(status, 400);
    assert!(message.contains("64 hexadecimal digits"), "{message}");
    assert_eq!(db.number("SELECT writes FROM quota_usage").await, 7);
}
