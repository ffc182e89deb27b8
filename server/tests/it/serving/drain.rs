//! The end of a server: what is under way is answered, and nothing is begun that is not finished.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use uuid::Uuid;

use crate::support::api::{Api, Client, new_key};
use crate::support::database::{Database, Gate};
use crate::support::eventually::eventually;
use crate::support::process::Process;
use crate::support::raw::{Raw, post};

const PUT: &str = r#"{"agent_id":"ada","path":"/x","value":1}"#;
const GET: &str = r#"{"agent_id":"ada","path":"/x"}"#;

/// Puts one after another on kept connections until the server refuses a new one; the versions that were acknowledged.
async fn put_until_refused(
    client: Client,
    writer: usize,
    acknowledged: Arc<AtomicUsize>,
) -> Vec<Uuid> {
    let mut versions = Vec::new();
    for n in 0.. {
        let body = json!({"agent_id": "ada", "path": format!("/p/{writer}"), "value": n});
        match client.try_post("/v1/put", body).await {
            Ok((status, answer)) => {
                assert_eq!(status, 200, "{answer}");
                versions.push(answer["version_id"].as_str().unwrap().parse().unwrap());
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) if error.is_connect() => break,
            Err(error) => panic!("a request was accepted and not answered: {error:?}"),
        }
    }
    versions
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_every_accepted_request_is_answered() {
    let database = Database::migrated().await;
    let mut server = Process::start(&[("DATABASE_URL", &database.url)]);
    let client = Client::new(server.url(), new_key(&database, &[]).await);
    server.wait_until_ready().await;
    let acknowledged = Arc::<AtomicUsize>::default();
    let writers: Vec<_> = (0..32)
        .map(|writer| tokio::spawn(put_until_refused(client.clone(), writer, acknowledged.clone())))
        .collect();
    let count = async || acknowledged.load(Ordering::Relaxed);
    eventually("enough is acknowledged", count, |count| *count >= 500).await;
    server.terminate();
    let versions = join_all(writers).await.into_iter().flat_map(Result::unwrap);
    let acknowledged: HashSet<Uuid> = versions.collect();
    assert!(server.ended().await.success(), "{}", server.log());
    let stored: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM entry_versions")
        .fetch_all(&mut database.connect().await)
        .await
        .unwrap();
    assert_eq!(stored.into_iter().collect::<HashSet<_>>(), acknowledged);
}

#[tokio::test]
async fn what_is_under_way_is_answered_and_what_is_idle_is_closed() {
    let (mut api, database) = Api::start().await;
    api.until_served().await;
    let gate = Gate::close(&database).await;
    let mut idle = Raw::connect(&api.client.url).await;
    let mut kept = Raw::connect(&api.client.url).await;
    kept.send(post(&api.client, "/v1/get", GET)).await;
    assert!(!kept.answer().await.unwrap().closes());
    let mut under_way = Raw::connect(&api.client.url).await;
    under_way.send(post(&api.client, "/v1/put", PUT)).await;
    api.until_metric(r#"agentfs_batch_rows_count{queue="writes"}"#, |count| count >= 1.0).await;

    api.announce_end();
    // Its client may have sent this before it could know.
    kept.send("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let answer = kept.answer().await.unwrap();
    assert!(answer.status == 503 && answer.closes(), "{}", answer.head);
    assert!(String::from_utf8_lossy(&answer.body).contains("Draining"));
    kept.closed().await;
    idle.closed().await;
    assert!(api.client.request("/v1/get", GET).send().await.unwrap_err().is_connect());

    gate.open().await;
    let answer = under_way.answer().await.unwrap();
    assert!(answer.status == 200 && answer.closes(), "{}", answer.head);
    api.ended().await;
    assert_eq!(database.number("SELECT count(*) FROM entry_versions").await, 1);
}

#[tokio::test]
async fn what_takes_too_long_is_cut_off() {
    let database = Database::migrated().await;
    let drain = Duration::from_millis(300);
    let mut api = Api::start_within(&database, |limits| limits.times.drain = drain).await;
    let _gate = Gate::close(&database).await;
    let mut under_way = Raw::connect(&api.client.url).await;
    under_way.send(post(&api.client, "/v1/put", PUT)).await;
    api.until_metric(r#"agentfs_batch_rows_count{queue="writes"}"#, |count| count >= 1.0).await;
    api.announce_end();
    api.ended().await;
    under_way.closed().await;
}
