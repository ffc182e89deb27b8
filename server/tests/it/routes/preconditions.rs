//! if_version: writes that are made only when the entry is what the client believes it is.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::api::{Api, Client};

async fn put_if(client: &Client, path: &str, value: i64, if_version: &Value) -> (u16, Value) {
    let body = json!({"agent_id": "ada", "path": path, "value": value, "if_version": if_version});
    let (status, answer) = client.post("/v1/put", body).await;
    (status.as_u16(), answer)
}

#[tokio::test]
async fn a_write_is_made_when_the_latest_version_is_the_expected_one() {
    let (api, db) = Api::start().await;
    let client = &api.client;
    let (status, first) = put_if(client, "/x", 1, &Value::Null).await;
    assert_eq!(status, 200, "null: there must be none, and there is none");
    let (status, second) = put_if(client, "/x", 2, &first["version_id"]).await;
    assert_eq!(status, 200);
    for stale in [&first["version_id"], &Value::Null] {
        let (status, answer) = put_if(client, "/x", 3, stale).await;
        assert_eq!((status, &answer["error"]["code"]), (409, &json!("VERSION_CONFLICT")));
        assert_eq!(answer["error"]["current_version_id"], second["version_id"]);
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains("nothing was written"), "{message}");
    }
    let stale = json!({"agent_id": "ada", "path": "/x", "if_version": first["version_id"]});
    assert_eq!(client.error("/v1/delete", stale).await.1, "VERSION_CONFLICT");
    let right = json!({"agent_id": "ada", "path": "/x", "if_version": second["version_id"]});
    assert_eq!(client.ok("/v1/delete", right.clone()).await["deleted"], true);
    let (status, gone) = client.post("/v1/delete", right).await;
    assert_eq!((status.as_u16(), &gone["error"]["current_version_id"]), (409, &Value::Null));
    assert_eq!(put_if(client, "/x", 4, &Value::Null).await.0, 200, "a tombstone is none");
    assert_eq!(db.number("SELECT writes FROM quota_usage").await, 4, "conflicts cost nothing");
    assert_eq!(db.number("SELECT count(*) FROM entry_versions").await, 4);
}

#[tokio::test]
async fn an_expired_version_is_none_and_a_wrong_id_is_named() {
    let (api, db) = Api::start().await;
    let body = json!({"agent_id": "ada", "path": "/x", "value": 1, "ttl_seconds": 60});
    let put = api.client.ok("/v1/put", body).await;
    db.execute(
        "UPDATE entries SET expires_at = now(); UPDATE entry_versions SET expires_at = now()",
    )
    .await;
    let (status, answer) = put_if(&api.client, "/x", 2, &put["version_id"]).await;
    assert_eq!((status, &answer["error"]["current_version_id"]), (409, &Value::Null));
    assert_eq!(put_if(&api.client, "/x", 2, &Value::Null).await.0, 200);
    let (status, answer) = put_if(&api.client, "/x", 2, &json!("seven")).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("VALIDATION_ERROR")));
}

/// Compare and set is what counters and locks are made of: none may be lost.
#[tokio::test(flavor = "multi_thread")]
async fn increments_through_three_replicas_are_all_counted() {
    const EACH: i64 = 8;
    let (first, db) = Api::start().await;
    let apis = [first.replica(&db, &[]).await, first.replica(&db, &[]).await, first];
    let counters = (0..12).map(|n| {
        let client = apis[n % 3].client.clone();
        tokio::spawn(async move {
            for _ in 0..EACH {
                loop {
                    let now = client.get("/counter").await;
                    let expected = &now.get("version_id").cloned().unwrap_or_default();
                    let next = now["value"].as_i64().unwrap_or(0) + 1;
                    match put_if(&client, "/counter", next, expected).await.0 {
                        200 => break,
                        409 => {}
                        other => panic!("answered {other}"),
                    }
                }
            }
        })
    });
    join_all(counters).await.into_iter().for_each(Result::unwrap);
    assert_eq!(apis[0].client.get("/counter").await["value"], 12 * EACH);
    assert_eq!(db.number("SELECT max(version) FROM entry_versions").await, 12 * EACH);
}
