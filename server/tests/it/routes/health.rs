//! The health routes.

use serde_json::{Value, json};

use crate::support::api::{Api, Client};
use crate::support::database::{Database, Postgres};
use crate::support::eventually::eventually;

async fn health(client: &Client, route: &str) -> (u16, Value) {
    let response = client.http.get(format!("{}{route}", client.url)).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// Waits until the route answers with the status, and with the reason where one is given.
async fn until(client: &Client, route: &str, status: u16, reason: Option<&str>) -> Value {
    let look = async || health(client, route).await;
    let wanted = |(got, body): &(u16, Value)| *got == status && body["reason"].as_str() == reason;
    eventually(route, look, wanted).await.1
}

#[tokio::test]
async fn an_unmigrated_database_is_not_ready_and_becomes_so() {
    let migrated = Database::migrated().await;
    let api = Api::start_with(&migrated, &[], &[]).await;
    let database = Database::empty().await;
    let early = api.replica(&database, &[]).await;
    assert_eq!(health(&early.client, "/livez").await.0, 200);
    until(&early.client, "/readyz", 503, Some("SchemaTooOld")).await;
    assert_eq!(health(&early.client, "/healthz").await.0, 503);
    database.migrate().await;
    until(&early.client, "/readyz", 200, None).await;
    assert_eq!(health(&early.client, "/healthz").await.0, 200);
    database.execute("UPDATE schema_version SET version = 99, min_compatible = 99").await;
    until(&early.client, "/readyz", 503, Some("SchemaTooNew")).await;
}

#[tokio::test]
async fn the_server_starts_before_its_database() {
    let migrated = Database::migrated().await;
    let api = Api::start_with(&migrated, &[], &[]).await;
    let nowhere =
        Database { url: "postgres://u:hunter2@127.0.0.1:1/d".into(), ..Database::default() };
    let early = api.replica(&nowhere, &[]).await;
    let look = async || health(&early.client, "/readyz").await;
    let refused = |(_, body): &(u16, Value)| body["message"].to_string().contains("refused");
    let (status, body) = eventually("the refusal is told", look, refused).await;
    assert_eq!((status, body["reason"].as_str()), (503, Some("DatabaseUnreachable")));
    let message = body["message"].as_str().unwrap();
    assert!(message.contains("127.0.0.1:1") && !message.contains("hunter2"), "{message}");
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
    until(&api.client, "/readyz", 200, None).await;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(postgres.pid()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    let get = async || api.client.post("/v1/get", json!({"agent_id": "ada", "path": "/x"})).await;
    let mut answers = Vec::new();
    // The sessions of a killed postmaster live on for a moment: go on until the loss was seen and is over.
    let look = async || {
        answers.push(get().await.0.as_u16());
        assert_eq!(health(&api.client, "/readyz").await.0, 200, "a short loss takes no pod out");
        answers.clone()
    };
    let healed = |answers: &Vec<u16>| answers.ends_with(&[200; 5]) && answers.contains(&503);
    let answers = eventually("the loss is seen and over", look, healed).await;
    assert!(answers.iter().all(|status| [200, 503].contains(status)), "{answers:?}");
    assert_eq!(get().await.1["value"], 1);
}
