//! /v1/delete with recursive: an entry and all below it, at once.

use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::stored::UNBOOKED_BYTES;

fn delete(path: &str) -> Value {
    json!({"agent_id": "ada", "path": path, "recursive": true})
}

#[tokio::test]
async fn a_subtree_is_deleted_and_nothing_beside_it() {
    let (api, db) = Api::start().await;
    let client = &api.client;
    for path in ["/a", "/a/b", "/a/b/c", "/ab", "/a-b", "/a/d"] {
        client.put(path, json!(path)).await;
    }
    client.delete("/a/d").await;
    let others = json!({"agent_id": "bob", "path": "/a", "value": 1});
    client.ok("/v1/put", others).await;
    let deleted = client.ok("/v1/delete", delete("/a/")).await;
    assert_eq!([&deleted["deleted"], &deleted["deleted_entries"]], [&json!(true), &json!(3)]);
    let history = client.ok("/v1/history", json!({"agent_id": "ada", "path": "/a"})).await;
    assert_eq!(history["versions"][0]["version_id"], deleted["version_id"], "the first one's");
    assert_eq!(history["versions"][0]["created_at"], deleted["created_at"]);
    let left = client.ok("/v1/glob", json!({"agent_id": "ada", "pattern": "/**"})).await;
    assert_eq!(left["paths"], json!(["/a-b", "/ab"]));
    assert_eq!(client.get("/a/b/c").await, json!({"found": false}));
    let again = client.ok("/v1/delete", delete("/a")).await;
    assert_eq!(
        again,
        json!({"ok": true, "deleted": false, "version_id": null, "created_at": null, "deleted_entries": 0})
    );
    assert_eq!(db.number("SELECT writes FROM quota_usage").await, 8 + 3);
    assert_eq!(db.number(UNBOOKED_BYTES).await, 0);
    let wrong = "SELECT count(*) FROM entries e JOIN entry_versions v ON v.id = e.latest_version_id
                  WHERE (e.version, e.updated_at, e.deleted_at) IS DISTINCT FROM (v.version, v.created_at, v.deleted_at)";
    assert_eq!(db.number(wrong).await, 0);
    client.put("/a/b", json!("again")).await;
    assert_eq!(client.get("/a/b").await["value"], "again");
}

#[tokio::test]
async fn who_deletes_a_directory_alone_is_told_of_what_is_below() {
    let (api, db) = Api::start().await;
    let client = &api.client;
    for path in ["/a/b/c", "/ab"] {
        client.put(path, json!(path)).await;
    }
    let nothing = json!({"ok": true, "deleted": false, "version_id": null, "created_at": null, "deleted_entries": 0});
    let told = client.delete("/a").await;
    let note =
        "no entry is at this path, but some are below it: send \"recursive\":true to delete those";
    let mut expected = nothing.clone();
    expected["note"] = json!(note);
    assert_eq!(told, expected);
    let deleted = client.delete("/a/b/c").await;
    assert!(deleted["deleted"] == true && deleted["note"].is_null(), "{deleted}");
    // Of what is gone, or beside it, nothing is told.
    assert_eq!(client.delete("/a").await, nothing);
    assert_eq!(db.number("SELECT writes FROM quota_usage").await, 3);
}

#[tokio::test]
async fn a_repetition_gets_the_first_answer_and_wrong_requests_are_refused() {
    let (api, _db) = Api::start().await;
    let client = &api.client;
    client.put("/a/1", json!(1)).await;
    client.put("/a/2", json!(2)).await;
    let (_, first) = client.post_once("k", "/v1/delete", delete("/a")).await;
    assert_eq!(first["deleted_entries"], 2);
    client.put("/a/1", json!(1)).await;
    assert_eq!(client.post_once("k", "/v1/delete", delete("/a")).await.1, first);
    assert_eq!(client.get("/a/1").await["found"], true, "not deleted again");
    let plain = json!({"agent_id": "ada", "path": "/a"});
    assert_eq!(client.post_once("k", "/v1/delete", plain).await.0.as_u16(), 422);
    let (_, nothing) = client.post_once("n", "/v1/delete", delete("/none")).await;
    client.put("/none", json!(1)).await;
    assert_eq!(client.post_once("n", "/v1/delete", delete("/none")).await.1, nothing);

    assert_eq!(client.error("/v1/delete", delete("/")).await.1, "INVALID_PATH");
    let mut conditional = delete("/a");
    conditional["if_version"] = Value::Null;
    let (status, _, message) = client.error("/v1/delete", conditional).await;
    assert_eq!(status, 400);
    assert!(message.contains("leave them out"), "{message}");
    let operations = json!([{"op": "delete", "agent_id": "ada", "path": "/a", "recursive": true}]);
    let (status, _, message) = client.error("/v1/batch", json!({"operations": operations})).await;
    assert_eq!(status, 400);
    assert!(message.contains("operations[0]: a recursive delete"), "{message}");
    assert_eq!(client.get("/a/1").await["found"], true);
}
