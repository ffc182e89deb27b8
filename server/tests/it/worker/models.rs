//! What searches by meaning need of operators: the change of model without a stop, and the end of what is left over.

use agentfs_server::maintenance::search_repair::repair_search;
use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::cli::{admin, admin_json};
use crate::support::database::Database;
use crate::support::provider::{KEY, Provider};
use crate::support::semantic::{put, start};
use crate::support::worker::{EMBEDDED, OPEN, Worker, until, variables};

async fn find(api: &Api, query: &str) -> Value {
    api.client.ok("/v1/search", json!({"agent_id": "ada", "query": query, "limit": 50})).await
}

/// Each note is found, whatever becomes of models meanwhile.
async fn all_are_found(api: &Api, count: usize) {
    let answer = find(api, "note").await;
    assert_eq!(answer["results"].as_array().unwrap().len(), count, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_changed_without_a_stop() {
    let (old, new) = (Provider::start().await, Provider::with_dimensions(4).await);
    let database = Database::migrated().await;
    let next = [
        ("NEXT_OPENAI_BASE_URL", new.url.as_str()),
        ("NEXT_OPENAI_API_KEY", KEY),
        ("NEXT_OPENAI_EMBED_MODEL", "fake"),
        ("NEXT_OPENAI_EMBED_DIMENSIONS", "4"),
    ];
    let api = Api::start_with(&database, &[], &variables(&old, &next)).await;
    for n in 0..5 {
        put(&api.client, &format!("/{n}"), &format!("note {n}")).await;
    }
    let first = Worker::start(&database, &old, &[]);
    until(&database, "SELECT count(*) FROM embedding_models WHERE state = 'serving'", 1).await;
    until(&database, EMBEDDED, 5).await;
    first.stop().await;
    all_are_found(&api, 5).await;

    let none = admin(&database, &["embeddings", "switch", "fake/4"]).failure();
    assert!(none.contains("no embedding model fake/4"), "{none}");
    let both = Worker::start(&database, &old, &next);
    until(&database, EMBEDDED, 10).await;
    put(&api.client, "/5", "note 5").await;
    until(&database, EMBEDDED, 12).await;
    until(&database, OPEN, 0).await;
    both.stop().await;
    put(&api.client, "/6", "note 6").await;
    let status = admin_json(&database, &["embeddings", "status"]);
    let model = |dimensions: i32, state: &str, waiting: i64| {
        json!({"name": format!("fake/{dimensions}"), "dimensions": dimensions, "state": state, "entries": 7,
               "embedded": 7 - waiting, "chunks": 0, "waiting": waiting, "failed": 0, "not_queued": 0, "index": "none"})
    };
    assert_eq!(status["models"], json!([model(8, "serving", 1), model(4, "filling", 1)]));
    all_are_found(&api, 7).await;

    let early = admin(&database, &["embeddings", "switch", "fake/4"]).failure();
    assert!(early.contains("1 entries have no embedding of fake/4 yet"), "{early}");
    let used = admin(&database, &["embeddings", "drop", "fake/8"]).failure();
    assert!(used.contains("searches use fake/8"), "{used}");
    admin_json(&database, &["embeddings", "switch", "fake/4", "--force"]);
    let asked = new.requests().len();
    all_are_found(&api, 7).await;
    assert_eq!(new.requests().len(), asked + 1, "the first query goes to the new model");
    // A worker that still has both leaves the old one alone.
    let both = Worker::start(&database, &old, &next);
    let left = "SELECT count(*) FROM embedding_jobs WHERE status <> 'succeeded'";
    until(&database, left, 1).await;
    both.stop().await;
    let switched = admin_json(&database, &["embeddings", "status"]);
    assert_eq!(switched["models"], json!([model(8, "retired", 1), model(4, "serving", 0)]));
    let retired = admin(&database, &["embeddings", "switch", "fake/8"]).failure();
    assert!(retired.contains("retired"), "{retired}");

    admin_json(&database, &["embeddings", "drop", "fake/8"]);
    let left = admin_json(&database, &["embeddings", "status"]);
    assert_eq!(left["models"], json!([model(4, "serving", 0)]));
    assert_eq!(database.number("SELECT count(*) FROM embeddings").await, 7);
    all_are_found(&api, 7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn embeddings_that_do_not_count_any_more_are_removed() {
    let (api, database, provider) = start(&[]).await;
    for n in 0..6 {
        put(&api.client, &format!("/{n}"), &format!("note {n}")).await;
    }
    let worker = Worker::start(&database, &provider, &[]);
    until(&database, EMBEDDED, 6).await;
    worker.stop().await;
    api.client.delete("/0").await;
    put(&api.client, "/1", "anew").await;
    api.client.put("/2", json!("not searchable")).await;
    database.execute("UPDATE entries SET expires_at = now() WHERE path = '/3'").await;
    // The server's own walk may be under way.
    repair_search(&database.address().pool(1)).await.unwrap();
    let left = "SELECT count(*) FROM embeddings WHERE path IN ('/4', '/5')";
    until(&database, left, 2).await;
    until(&database, "SELECT count(*) FROM embeddings", 2).await;
}
