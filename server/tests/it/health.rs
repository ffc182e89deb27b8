//! The health routes.

use std::time::Duration;

use serde_json::{Value, json};

use crate::api::{Api, Client};
use crate::database::{Database, Postgres};

async fn health(client: &Client, route: &str) -> (u16, Value) {
    let response = client.http.get(format!("{}{route}", client.url)).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn eventually(client: &Client, route: &str, status: u16) -> Value {
    for _ in 0..100 {
        let (got, body) = health(client, route).await;
        if got == status {
            return body;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{route} never answered {status}; now {:?}", health(client, route).await);
}

#[tokio::test]
async fn an_unmigrated_database_is_not_ready_and_becomes_so() {
    let migrated = Database::migrated().await;
    let api = Api::start_with(&migrated, &[], &[]).await;
    let database = Database::empty().await;
    let early = api.replica(&database, &[]).await;
    assert_eq!(health(&early.client, "/livez").await.0, 200);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (status, body) = health(&early.client, "/readyz").await;
    assert_eq!((status, body["reason"].as_str()), (503, Some("SchemaTooOld")), "{body}");
    assert_eq!(health(&early.client, "/healthz").await.0, 503);
    database.migrate().await;
    eventually(&early.client, "/readyz", 200).await;
    assert_eq!(health(&early.client, "/healthz").await.0, 200);
    database.execute("UPDATE schema_version SET version = 99, min_compatible = 99").await;
    let body = eventually(&early.client, "/readyz", 503).await;
    assert_eq!(body["reason"], "SchemaTooNew");
}

#[tokio::test]
async fn the_server_starts_before_its_database() {
    let migrated = Database::migrated().await;
    let api = Api::start_with(&migrated, &[], &[]).await;
    let nowhere =
        Database { url: "postgres://u:hunter2@127.0.0.1:1/d".into(), ..Database::default() };
    let early = api.replica(&nowhere, &[]).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (status, body) = health(&early.client, "/readyz").await;
    assert_eq!((status, body["reason"].as_str()), (503, Some("DatabaseUnreachable")));
    let message = body["message"].as_str().unwrap();
    assert!(
        message.contains("127.0.0.1:1")
            && message.contains("refused")
            && !message.contains("hunter2"),
        "{message}"
    );
    let (status, code, _) =
        early.client.error("/v1/get", json!({"agent_id": "a", "path": "/x"})).await;
    assert_eq!((status, code.as_str()), (503, "UNAVAILABLE"));
}

#[tokio::test]
async fn a_short_loss_of_the_database_answers_503_and_heals_by_itself() {
    let postgres = Postgres::start(&["--restart"]);
    let database = postgres.database().await;
    database.migrate().await;
    let api = Api::start_with(&database, &[], &[]).await;
    api.client.put("/x", json!(1)).await;
    eventually(&api.client, "/readyz", 200).await;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(postgres.pid()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    let get = || api.client.post("/v1/get", json!({"agent_id": "ada", "path": "/x"}));
    let mut answers = Vec::new();
    // The sessions of a killed postmaster live on for a moment: go on until the loss was seen and is over.
    while !answers.ends_with(&[200; 5]) || !answers.contains(&503) {
        let (status, answer) = get().await;
        answers.push(status.as_u16());
        assert!(answers.len() < 600, "not healed: {answer}");
        assert_eq!(health(&api.client, "/readyz").await.0, 200, "a short loss takes no pod out");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(answers.iter().all(|s| [200, 503].contains(s)), "{answers:?}");
    assert_eq!(get().await.1["value"], 1);
}
