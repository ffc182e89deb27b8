//! Moves and deletes of subtrees whose connection is lost while their COMMIT is carried out.

use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::database::{Database, Gate};
use crate::support::proxy::Proxy;

fn request() -> Value {
    json!({"agent_id": "ada", "from": "/a", "to": "/b"})
}

/// An API behind a proxy, with two entries below `/a`.
async fn proxied() -> (Api, Database, Proxy) {
    let database = Database::migrated().await;
    let proxy = Proxy::before(&database.url).await;
    let by_proxy = Database { url: proxy.url(&database.url), ..database.clone() };
    let api = Api::start_with(&by_proxy, &[], &[]).await;
    api.until_served().await;
    for path in ["/a/1", "/a/2"] {
        api.client.put(path, json!(path)).await;
    }
    (api, database, proxy)
}

async fn moved(database: &Database) -> i64 {
    let moved = "SELECT count(*) FROM entries WHERE path LIKE '/b/%' AND deleted_at IS NULL";
    database.number(moved).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_committed_is_acknowledged() {
    let (api, database, proxy) = proxied().await;
    let gate = Gate::close_at_commit(&database).await;
    let client = api.client.clone();
    let moving = tokio::spawn(async move { client.post("/v1/move", request()).await });
    database.until(Gate::WAITING, 1).await;
    proxy.reset().await;
    gate.open().await;
    let (status, answer) = moving.await.unwrap();
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["moved"], 2);
    assert_eq!(api.client.get("/b/1").await["version_id"], answer["version_id"]);
    assert_eq!(moved(&database).await, 2);
    assert_eq!(database.number("SELECT count(*) FROM entry_versions").await, 6, "and once");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_not_may_or_may_not_have_happened_and_a_repetition_does_it() {
    let (api, database, _proxy) = proxied().await;
    let gate = Gate::close_at_commit(&database).await;
    let client = api.client.clone();
    let moving = tokio::spawn(async move { client.post_once("k", "/v1/move", request()).await });
    database.until(Gate::WAITING, 1).await;
    database.end_sessions().await;
    let (status, answer) = moving.await.unwrap();
    assert_eq!((status.as_u16(), &answer["error"]["code"]), (503, &json!("UNAVAILABLE")));
    assert!(
        answer["error"]["message"].as_str().unwrap().contains("may or may not have happened"),
        "{answer}"
    );
    assert_eq!(moved(&database).await, 0);
    gate.open().await;
    let (status, answer) = api.client.post_once("k", "/v1/move", request()).await;
    assert_eq!((status.as_u16(), &answer["moved"]), (200, &json!(2)));
    assert_eq!(moved(&database).await, 2);
    assert_eq!(database.number("SELECT count(*) FROM entry_versions").await, 6);
}
