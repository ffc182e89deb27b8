//! Clients without a key: whatever they send, or do not, they keep nobody from the API.

use std::time::Duration;

use agentfs_server::listen::Limits;
use serde_json::json;
use tokio::time::timeout;

use crate::support::api::{Api, Client};
use crate::support::database::Database;
use crate::support::raw::{Raw, head, post};
use crate::support::strangers::{ELSEWHERE, Kind};

/// Whoever waits longer hangs.
const PATIENCE: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_hours(1);
const TOKEN: &str = "first light over the harbour, no wind";
const BOOTSTRAP: (&str, &str) = ("ADMIN_BOOTSTRAP_TOKEN", TOKEN);
const PUT: &str = r#"{"agent_id":"ada","path":"/x","value":1}"#;
const LIVEZ: &str = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";

async fn livez(client: &Client) {
    let asked = client.http.get(format!("{}/livez", client.url)).send();
    let answer = timeout(PATIENCE, asked).await.expect("no hang");
    assert_eq!(answer.unwrap().status(), 200);
}

#[tokio::test]
async fn strangers_who_take_all_connections_give_way() {
    for kind in Kind::ALL {
        let database = Database::migrated().await;
        let api = Api::start_within_with(&database, &[BOOTSTRAP], |limits| {
            limits.connections = 10;
        })
        .await;
        // Twenty times as many as there is room for.
        let _strangers = kind.many(200, &api.client.url).await;
        let client = api.client.unpooled();
        livez(&client).await;
        timeout(PATIENCE, client.put("/x", json!(1))).await.expect("no hang");
    }
}

#[tokio::test]
async fn whoever_has_a_key_is_not_cut_for_strangers() {
    let database = Database::migrated().await;
    let api = Api::start_within(&database, |limits| limits.connections = 10).await;
    let (begin, end) = PUT.split_at(10);
    let mut slow = Raw::connect(&api.client.url).await;
    let length = format!("Content-Length: {}\r\n", PUT.len());
    slow.send(head(&api.client, "/v1/put", &length) + begin).await;
    for kind in Kind::ALL {
        drop(kind.many(100, &api.client.url).await);
    }
    slow.send(end).await;
    assert_eq!(slow.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn strangers_of_one_address_give_way_to_each_other_alone() {
    let database = Database::migrated().await;
    // 64 of them may be from one address.
    let most = |limits: &mut Limits| limits.connections = 640;
    let api = Api::start_within(&database, most).await;
    let url = &api.client.url;
    let mut known = Raw::connect_from(ELSEWHERE, url).await.unwrap();
    known.send(post(&api.client, "/v1/put", PUT)).await;
    assert_eq!(known.answer().await.unwrap().status, 200);
    let mut silent = Raw::connect(url).await;
    let mut strangers = Kind::HalfHead.many(1, url).await;
    strangers.extend(Kind::HalfHead.many(200, url).await);
    strangers[0].closed().await;
    api.until_metric("agentfs_http_connections", |open| open <= 70.0).await;
    // The last one to come is let in, and so are those who were there with a key, or from elsewhere.
    let mut last = Kind::HalfHead.one(url).await.unwrap();
    last.send("\r\n\r\n").await;
    assert_eq!(last.answer().await.unwrap().status, 401);
    known.send(post(&api.client, "/v1/put", PUT)).await;
    assert_eq!(known.answer().await.unwrap().status, 200);
    silent.send(LIVEZ).await;
    assert_eq!(silent.answer().await.unwrap().status, 200);

    // Behind a proxy that is trusted there are many clients.
    let proxy = [("TRUST_PROXY", "127.0.0.2")];
    let api = Api::start_within_with(&database, &proxy, most).await;
    let strangers = Kind::HalfHead.many(200, &api.client.url).await;
    api.until_metric("agentfs_http_connections", |open| open >= 200.0).await;
    for mut stranger in strangers {
        stranger.send("\r\n\r\n").await;
        assert_eq!(stranger.answer().await.unwrap().status, 401);
    }
}

#[tokio::test]
async fn an_unread_rest_is_waited_for_only_where_there_is_room() {
    let database = Database::migrated().await;
    let api = Api::start_within(&database, |limits| {
        limits.connections = 10;
        limits.times.linger = LONG;
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..7 {
        silent.push(Raw::connect(&api.client.url).await);
    }
    api.until_metric("agentfs_http_connections", |open| open >= 8.0).await;
    let mut stranger = Kind::UnreadRest.one(&api.client.url).await.unwrap();
    let answer = stranger.answer().await.unwrap();
    assert!(answer.status == 200 && answer.closes(), "{}", answer.head);
    api.until_metric("agentfs_http_connections", |open| open <= 8.0).await;
}
