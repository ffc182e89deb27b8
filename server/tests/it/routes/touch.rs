//! /v1/touch: an entry expires later, without a new version.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::api::Api;

fn touch(path: &str, ttl: &Value) -> Value {
    json!({"agent_id": "ada", "path": path, "ttl_seconds": ttl})
}

#[tokio::test]
async fn a_touch_sets_the_expiry_and_writes_no_version() {
    let (api, db) = Api::start().await;
    let client = &api.client;
    let body = json!({"agent_id": "ada", "path": "/x", "value": 1, "ttl_seconds": 60});
    let put = client.ok("/v1/put", body).await;
    let before = client.get("/x").await;
    let touched = client.ok("/v1/touch", touch("//x/", &json!(3600))).await;
    let after = client.get("/x").await;
    assert_eq!(
        touched,
        json!({"ok": true, "touched": true, "version_id": put["version_id"], "expires_at": after["expires_at"]})
    );
    assert!(after["expires_at"].as_str() > before["expires_at"].as_str());
    for same in ["value", "version_id", "created_at", "tags", "sha256"] {
        assert_eq!(after[same], before[same], "{same}");
    }
    let history = client.ok("/v1/history", json!({"agent_id": "ada", "path": "/x"})).await;
    assert_eq!(history["versions"].as_array().map(Vec::len), Some(1));
    assert_eq!(history["versions"][0]["expires_at"], after["expires_at"]);
    let shorter = client.ok("/v1/touch", touch("/x", &json!(1000))).await;
    assert!(shorter["expires_at"].as_str() < after["expires_at"].as_str());
    client.ok("/v1/touch", touch("/x", &Value::Null)).await;
    assert_eq!(client.get("/x").await["expires_at"], Value::Null);
    let same = "SELECT count(*) FROM entries e JOIN entry_versions v ON v.id = e.latest_version_id
                 WHERE v.expires_at IS NOT DISTINCT FROM e.expires_at";
    assert_eq!(db.number(same).await, 1);
    client.ok("/v1/touch", touch("/x", &json!(60))).await;
    assert_eq!(db.number(same).await, 1, "the sweeper goes by the version, readers by the head");
    assert_eq!(db.number("SELECT writes FROM quota_usage").await, 1, "no write");
}

#[tokio::test]
async fn what_is_not_live_is_not_touched_and_wrong_times_are_refused() {
    let (api, db) = Api::start().await;
    let client = &api.client;
    let nothing = json!({"ok": true, "touched": false, "version_id": null, "expires_at": null});
    assert_eq!(client.ok("/v1/touch", touch("/x", &json!(60))).await, nothing);
    client.put("/x", json!(1)).await;
    client.delete("/x").await;
    assert_eq!(client.ok("/v1/touch", touch("/x", &json!(60))).await, nothing);
    let body = json!({"agent_id": "ada", "path": "/x", "value": 1, "ttl_seconds": 60});
    client.ok("/v1/put", body).await;
    db.execute(
        "UPDATE entries SET expires_at = now(); UPDATE entry_versions SET expires_at = now() WHERE deleted_at IS NULL",
    )
    .await;
    assert_eq!(client.ok("/v1/touch", touch("/x", &json!(60))).await, nothing, "expired");
    for (ttl, says) in [(json!(0), "ttl_seconds is 0"), (json!(-5), "ttl_seconds is -5")] {
        let (status, _, message) = client.error("/v1/touch", touch("/x", &ttl)).await;
        assert_eq!(status, 400);
        assert!(message.contains(says), "{message}");
    }
    let (status, _, message) =
        client.error("/v1/touch", json!({"agent_id": "ada", "path": "/x"})).await;
    assert_eq!(status, 400, "never is asked for with null, not by leaving it out");
    assert!(message.contains("ttl_seconds"), "{message}");
    let batch =
        json!({"operations": [{"op": "touch", "agent_id": "ada", "path": "/x", "ttl_seconds": 1}]});
    let (status, _, message) = client.error("/v1/batch", batch).await;
    assert_eq!(status, 400);
    assert!(message.contains("/v1/touch"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn touches_and_puts_at_once_leave_head_and_version_alike() {
    let (api, db) = Api::start().await;
    let tasks = (0..16).map(|n| {
        let client = api.client.clone();
        tokio::spawn(async move {
            for ttl in 1..=20 {
                if n % 2 == 0 {
                    let body = json!({"agent_id": "ada", "path": "/x", "value": n, "ttl_seconds": 100 * ttl});
                    client.ok("/v1/put", body).await;
                } else {
                    let (status, answer) =
                        client.post("/v1/touch", touch("/x", &json!(10_000 + ttl))).await;
                    // Not told apart from what happened: it was tried five times against the puts.
                    assert!([200, 503].contains(&status.as_u16()), "{answer}");
                }
            }
        })
    });
    join_all(tasks).await.into_iter().for_each(Result::unwrap);
    let differ =
        "SELECT count(*) FROM entries e JOIN entry_versions v ON v.id = e.latest_version_id
                   WHERE v.expires_at IS DISTINCT FROM e.expires_at";
    assert_eq!(db.number(differ).await, 0);
    assert_eq!(db.number("SELECT count(*) FROM entry_versions").await, 160);
}
