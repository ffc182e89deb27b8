//! Long values: each chunk has a vector, and is found by it.

use agentfs_server::maintenance::search_repair::repair_search;
use agentfs_server::store::embeddings::models::{FillCursor, fill};
use serde_json::{Value, json};

use crate::support::api::Client;
use crate::support::cli::admin_json;
use crate::support::database::Database;
use crate::support::provider::{KEY, POISON, Provider, REFUSED};
use crate::support::semantic::{chunks_of, long, put, start};
use crate::support::worker::{EMBEDDED, OPEN, Worker, until};

const CHUNKS: &str = "SELECT count(*) FROM embedding_chunks";

async fn embed_all(database: &Database, provider: &Provider, more: &[(&str, &str)]) {
    let worker = Worker::start(database, provider, more);
    until(database, "SELECT count(*) FROM embedding_models WHERE state = 'serving'", 1).await;
    until(database, OPEN, 0).await;
    worker.stop().await;
}

/// The first result by meaning, as its path and whether it is as like the query as can be.
async fn first(client: &Client, query: &str, more: &Value) -> (String, bool) {
    let mut body = json!({"agent_id": "ada", "query": query, "mode": "semantic"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = client.ok("/v1/search", body).await;
    let result = &answer["results"][0];
    let similarity = result["similarity"].as_f64().unwrap_or_default();
    (result["path"].as_str().unwrap_or_default().to_owned(), similarity > 0.99)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_value_is_found_by_each_of_its_chunks_and_nothing_is_left_of_it() {
    let (api, database, provider) = start(&[]).await;
    let client = &api.client;
    let text = long("peanuts ", "! ! ! z ");
    let tagged = json!({"agent_id": "ada", "path": "/a/long", "value": text, "searchable": true, "tags": ["minutes"]});
    client.ok("/v1/put", tagged.clone()).await;
    for n in 0..5 {
        put(client, &format!("/b/{n}"), &format!("a short note, number {n}")).await;
    }
    // Fewer texts a request than the value has chunks.
    let small = [("EMBED_BATCH_SIZE", "3")];
    embed_all(&database, &provider, &small).await;
    let parts = chunks_of(&text);
    assert_eq!(parts.len(), 5, "{parts:?}");
    assert_eq!(database.number(CHUNKS).await, 4, "the first one is among the embeddings");
    assert!(provider.requests().iter().all(|texts| texts.len() <= 3));
    for part in &parts {
        // Words that repeat make chunks that are alike.
        let alike = parts.iter().filter(|other| *other == part).count();
        assert_eq!(provider.sent(part), alike);
    }
    let words = |text: &String| text.split_whitespace().count();
    let tokens: usize = provider.requests().iter().flatten().map(words).sum();
    let counted = database.number("SELECT embed_tokens FROM quota_usage").await;
    assert_eq!(counted, tokens as i64);
    let status = admin_json(&database, &["embeddings", "status"]);
    assert_eq!(
        (&status["models"][0]["embedded"], &status["models"][0]["chunks"]),
        (&json!(6), &json!(4))
    );

    let found = ("/a/long".to_owned(), true);
    for part in &parts {
        for more in [
            json!({}),
            json!({"mode": null}),
            json!({"tags_any": ["minutes"]}),
            json!({"path_prefix": "/a"}),
        ] {
            assert_eq!(first(client, part, &more).await, found, "{more}: {part}");
        }
        for more in [json!({"tags_any": ["others"]}), json!({"path_prefix": "/a/longer"})] {
            assert_eq!(first(client, part, &more).await.0, "", "{more}");
        }
    }

    // A shorter one leaves less, a short one nothing.
    let last = parts[4];
    put(client, "/a/long", &long("peanuts ", "x")[..1500]).await;
    assert_ne!(first(client, last, &json!({"path_prefix": "/a"})).await, found, "no longer so");
    embed_all(&database, &provider, &small).await;
    assert_eq!(database.number(CHUNKS).await, 1);
    put(client, "/a/long", "a short one").await;
    embed_all(&database, &provider, &small).await;
    assert_eq!(database.number(CHUNKS).await, 0);

    client.ok("/v1/put", tagged).await;
    embed_all(&database, &provider, &small).await;
    assert_eq!((database.number(CHUNKS).await, first(client, last, &json!({})).await), (4, found));
    client.delete("/a/long").await;
    assert_eq!(first(client, last, &json!({"path_prefix": "/a"})).await.0, "");
    // The server's own walk may be under way.
    repair_search(&database.address().pool(1)).await.unwrap();
    until(&database, CHUNKS, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_value_that_was_embedded_without_chunks_gets_them() {
    let (api, database, provider) = start(&[]).await;
    let client = &api.client;
    let (before, after) = (long("peanuts ", "! ! ! z "), long("walnuts ", "z ! ! ! "));
    put(client, "/long", &before).await;
    put(client, "/short", "a short note").await;
    embed_all(&database, &provider, &[]).await;
    assert_eq!(database.number(CHUNKS).await, 4);

    // What a worker that knows no chunks does, first for a value that has some already.
    put(client, "/long", &after).await;
    put(client, "/other", &before).await;
    database
        .execute(
            "INSERT INTO embeddings AS m (tenant_id, agent_id, path, model_id, version_id, embedding)
             SELECT e.tenant_id, e.agent_id, e.path, 1, e.latest_version_id, '[1,0,0,0,0,0,0,0]' FROM entries e WHERE path <> '/short'
             ON CONFLICT (tenant_id, agent_id, path, model_id) DO UPDATE
                SET version_id = excluded.version_id, embedding = excluded.embedding, created_at = excluded.created_at;
             UPDATE embedding_jobs SET status = 'succeeded', finished_at = now()",
        )
        .await;
    let (of_before, of_after) = (chunks_of(&before), chunks_of(&after));
    let none = first(client, of_before[4], &json!({})).await;
    assert!(!none.1, "chunks of a version that is no longer the latest count for nothing");

    let worker = Worker::start(&database, &provider, &[]);
    until(&database, OF_LATEST, 8).await;
    worker.stop().await;
    assert_eq!(first(client, of_after[4], &json!({})).await, ("/long".to_owned(), true));
    assert_eq!(first(client, of_before[4], &json!({})).await, ("/other".to_owned(), true));
    assert_eq!(database.number(CHUNKS).await, 8, "those of before are replaced");
    assert_eq!(provider.sent("a short note"), 1);
    let mut connection = database.connect().await;
    let again = fill(&mut connection, 1, &FillCursor::default()).await.unwrap();
    assert_eq!(again.jobs, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_tells_how_many_values_are_longer_than_their_chunks_reach() {
    let (api, database, provider) = start(&[]).await;
    let client = &api.client;
    // 64 KiB of a text are looked at.
    let (too_long, whole) = ("peanuts ".repeat(9_000), "walnuts ".repeat(8_000));
    for (path, text) in [("/a", &too_long), ("/a/b", &too_long), ("/a/c", &whole), ("/d", &whole)] {
        put(client, path, text).await;
    }
    put(client, "/short", "a short note").await;
    embed_all(&database, &provider, &[]).await;
    let note = async |more: Value| {
        let mut body = json!({"agent_id": "ada", "query": "peanuts"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        client.ok("/v1/search", body).await["note"].as_str().unwrap_or_default().to_owned()
    };
    let two = "2 values are too long to be found by meaning to their ends; split them into several entries";
    for mode in [json!(null), json!("hybrid"), json!("semantic")] {
        assert_eq!(note(json!({"mode": mode})).await, two, "{mode}");
    }
    assert_eq!(note(json!({"mode": "text"})).await, "");
    for path in ["/a/c", "/d", "/short"] {
        assert_eq!(note(json!({"path_prefix": path})).await, "", "{path}");
    }
    let one = "1 value is too long to be found by meaning to its end";
    let then = client.delete("/a/b").await["created_at"].clone();
    assert!(note(json!({})).await.starts_with(one));
    put(client, "/a", &whole).await;
    assert!(!note(json!({})).await.contains("too long"), "a version that is not the latest");
    embed_all(&database, &provider, &[]).await;
    assert_eq!(note(json!({})).await, "");
    put(client, "/d", &too_long).await;
    embed_all(&database, &provider, &[]).await;
    assert!(note(json!({})).await.starts_with(one));
    let before = note(json!({"as_of": then, "path_prefix": "/d"})).await;
    assert!(!before.contains("too long"), "written since: {before}");
}

const OF_LATEST: &str =
    "SELECT count(*) FROM embedding_chunks c JOIN entries e USING (tenant_id, agent_id, path)
      WHERE c.version_id = e.latest_version_id";

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_chunk_fails_its_value_alone() {
    let (api, database, provider) = start(&[]).await;
    for (path, bad) in [("/refused", REFUSED), ("/poisoned", POISON)] {
        put(&api.client, path, &long("peanuts ", &format!("{bad} "))).await;
    }
    put(&api.client, "/good", &long("peanuts ", "! ! ! z ")).await;
    let worker = Worker::start(&database, &provider, &[]);
    until(&database, EMBEDDED, 1).await;
    until(&database, "SELECT count(*) FROM embedding_jobs WHERE status = 'failed'", 2).await;
    until(&database, OPEN, 0).await;
    worker.stop().await;
    assert_eq!(database.number(CHUNKS).await, 4);
    let attempts = "SELECT sum(attempts) FROM embedding_jobs WHERE status = 'failed'";
    assert_eq!(database.number(attempts).await, 10, "each failed five times");
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_go_with_their_model() {
    let (api, database, old) = start(&[]).await;
    let new = Provider::with_dimensions(4).await;
    put(&api.client, "/long", &long("peanuts ", "! ! ! z ")).await;
    embed_all(&database, &old, &[]).await;
    let next = [
        ("NEXT_OPENAI_API_KEY", KEY),
        ("NEXT_OPENAI_BASE_URL", new.url.as_str()),
        ("NEXT_OPENAI_EMBED_MODEL", "fake"),
        ("NEXT_OPENAI_EMBED_DIMENSIONS", "4"),
    ];
    let both = Worker::start(&database, &old, &next);
    until(&database, EMBEDDED, 2).await;
    until(&database, OPEN, 0).await;
    both.stop().await;
    let chunks = async || {
        let status = admin_json(&database, &["embeddings", "status"]);
        let models = status["models"].as_array().unwrap();
        models.iter().map(|model| model["chunks"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(chunks().await, [4, 4]);
    admin_json(&database, &["embeddings", "switch", "fake/4"]);
    admin_json(&database, &["embeddings", "drop", "fake/8"]);
    assert_eq!(chunks().await, [4]);
    assert_eq!(database.number(CHUNKS).await, 4);
}
