//! Put, get and delete.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::api::Api;

#[tokio::test]
async fn what_is_put_is_got() {
    let (api, _db) = Api::start().await;
    let put = api
        .client
        .ok("/v1/put", json!({"agent_id": "ada", "path": "//notes//lunch/", "value": {"a": [1, null]}, "tags": ["x", "a,\"b\\"]}))
        .await;
    assert_eq!(put["ok"], true);
    let got = api.client.get("/notes/lunch").await;
    assert_eq!(got["found"], true);
    assert_eq!(got["path"], "/notes/lunch");
    assert_eq!(got["value"], json!({"a": [1, null]}));
    assert_eq!(got["version_id"], put["version_id"]);
    assert_eq!(got["created_at"], put["created_at"]);
    assert_eq!(got["expires_at"], Value::Null);
    assert_eq!(got["tags"], json!(["x", "a,\"b\\"]));
    assert_eq!(api.client.get("/notes").await, json!({"found": false}));
}

#[tokio::test]
async fn values_come_back_byte_for_byte() {
    let (api, _db) = Api::start().await;
    let long = format!("\"{}\"", "ä".repeat(200_000));
    for value in [
        "null",
        "false",
        "1.0",
        "1e2",
        "-0",
        "12345678901234567890.10",
        r#""\u00e9é\ud83d\ude00""#,
        "{}",
        &long,
    ] {
        let body = format!(r#"{{"agent_id":"ada","path":"/v","value": {value} }}"#);
        let put = api.client.request("/v1/put", &body).send().await.unwrap();
        assert_eq!(put.status(), 200, "{}", put.text().await.unwrap());
        let got = api
            .client
            .request("/v1/get", r#"{"agent_id":"ada","path":"/v"}"#)
            .send()
            .await
            .unwrap();
        let text = got.text().await.unwrap();
        assert!(text.contains(&format!("\"value\":{value},")), "{value} came back as {text}");
    }
}

#[tokio::test]
async fn an_overwrite_makes_a_new_version_and_keeps_the_old() {
    let (api, db) = Api::start().await;
    let first = api.client.put("/x", json!(1)).await;
    let second = api.client.put("/x", json!(2)).await;
    assert_ne!(first["version_id"], second["version_id"]);
    assert!(first["created_at"].as_str() < second["created_at"].as_str());
    assert_eq!(api.client.get("/x").await["value"], 2);
    assert_eq!(db.number("SELECT count(*) FROM entry_versions WHERE path = '/x'").await, 2);
    assert_eq!(db.number("SELECT version FROM entries WHERE path = '/x'").await, 2);
}

#[tokio::test]
async fn a_delete_is_a_version_and_a_delete_of_nothing_is_none() {
    let (api, db) = Api::start().await;
    let nothing = json!({"ok": true, "deleted": false, "version_id": null, "created_at": null, "deleted_entries": 0});
    assert_eq!(api.client.delete("/x").await, nothing);
    api.client.put("/x", json!(1)).await;
    let deleted = api.client.delete("/x").await;
    assert_eq!(deleted["deleted"], true);
    assert!(deleted["version_id"].is_string() && deleted["created_at"].is_string());
    assert_eq!(api.client.get("/x").await, json!({"found": false}));
    assert_eq!(api.client.delete("/x").await, nothing);
    api.client.put("/x", json!(2)).await;
    assert_eq!(api.client.get("/x").await["value"], 2);
    assert_eq!(db.number("SELECT version FROM entries WHERE path = '/x'").await, 3);
    assert_eq!(
        db.number("SELECT count(*) FROM entry_versions WHERE deleted_at IS NOT NULL").await,
        1
    );
    assert_eq!(db.number("SELECT writes FROM quota_usage").await, 3);
}

#[tokio::test]
async fn an_expired_value_is_gone() {
    let (api, db) = Api::start().await;
    let body = json!({"agent_id": "ada", "path": "/soon/gone", "value": 1, "ttl_seconds": 60});
    let put = api.client.ok("/v1/put", body).await;
    let got = api.client.get("/soon/gone").await;
    let at = |v: &Value| v.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(at(&got["expires_at"]), at(&put["created_at"]) + Duration::from_mins(1));
    db.execute(
        "UPDATE entries SET expires_at = now(); UPDATE entry_versions SET expires_at = now()",
    )
    .await;
    assert_eq!(api.client.get("/soon/gone").await, json!({"found": false}));
    let listed = api.client.ok("/v1/list", json!({"agent_id": "ada", "prefix": "/"})).await;
    assert_eq!(listed["items"], json!([]));
    assert_eq!(api.client.delete("/soon/gone").await["deleted"], false);
    // Written again without a ttl it stays.
    api.client.put("/soon/gone", json!(2)).await;
    assert_eq!(api.client.get("/soon/gone").await["expires_at"], Value::Null);
}

#[tokio::test]
async fn agents_do_not_see_each_other() {
    let (api, _db) = Api::start().await;
    api.client.put("/x", json!("ada's")).await;
    let other = api.client.ok("/v1/get", json!({"agent_id": "bob", "path": "/x"})).await;
    assert_eq!(other, json!({"found": false}));
    let listed = api.client.ok("/v1/list", json!({"agent_id": "bob", "prefix": "/"})).await;
    assert_eq!(listed["items"], json!([]));
}
