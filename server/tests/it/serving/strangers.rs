//! Clients without a key: whatever they send, or do not, they keep nobody from the API.

use std::time::Duration;

use agentfs_server::listen::{Limits, Times};
use serde_json::json;
use tokio::time::timeout;

use crate::support::api::{Api, Client, new_key};
use crate::support::database::Database;
use crate::support::raw::{Raw, head, post};
use crate::support::strangers::{ELSEWHERE, Kind};

/// Whoever waits longer hangs.
const PATIENCE: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_hours(1);
const TOKEN: &str = "first light over the harbour, no wind";
const BOOTSTRAP: (&str, &str) = ("ADMIN_BOOTSTRAP_TOKEN", TOKEN);
const PUT: &str = r#"{"agent_id":"ada","path":"/x","value":1}"#;
const LIVEZ: &str = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
const CREATE_TENANT: &str = "/v1/admin/create-tenant";

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
    let most = |limits: &mut Limits| {
        limits.connections = 640;
        limits.times.head = LONG;
    };
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

#[tokio::test]
async fn of_a_stranger_a_small_token_is_read_and_not_for_long() {
    let database = Database::migrated().await;
    let times = Times { body: LONG, unauthenticated_body: SHORT, ..Times::default() };
    let api = Api::start_within_with(&database, &[BOOTSTRAP], |limits| limits.times = times).await;
    let cluster = api.client.with_key(&new_key(&database, &["admin"]).await);
    // No bearer is told of an empty one.
    let (nobody, stranger) = (api.client.with_key(""), api.client.with_key("nonsense"));
    let bearer = api.client.with_key(TOKEN);
    let body = format!(r#"{{"name":"x","token":"{TOKEN}"}}"#);
    let (begin, end) = body.split_at(3);
    let half = |client: &Client, length: usize| {
        head(client, CREATE_TENANT, &format!("Content-Length: {length}\r\n")) + begin
    };
    for (request, status, code) in [
        (half(&nobody, body.len()), 400, "VALIDATION_ERROR"),
        (half(&nobody, 20_000), 413, "BODY_TOO_LARGE"),
        (half(&stranger, body.len()), 401, "UNAUTHORIZED"),
        (half(&stranger, 20_000), 401, "UNAUTHORIZED"),
        (half(&api.client, body.len()), 403, "FORBIDDEN"),
        (half(&cluster, 20_000), 413, "BODY_TOO_LARGE"),
    ] {
        let mut raw = Raw::connect(&api.client.url).await;
        raw.send(&request).await;
        let answer = timeout(PATIENCE, raw.answer()).await.expect("no hang").unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{request}");
    }
    // Administrators have the time that everybody has.
    for client in [&cluster, &bearer] {
        let mut raw = Raw::connect(&api.client.url).await;
        raw.send(half(client, body.len())).await;
        assert!(timeout(3 * SHORT, raw.answer()).await.is_err());
        raw.send(end).await;
        assert_eq!(raw.answer().await.unwrap().status, 200);
    }
    // The token in the body counts, whatever the bearer is.
    for client in [&cluster, &bearer, &api.client, &nobody, &stranger] {
        client.ok(CREATE_TENANT, json!({"name": "x", "token": TOKEN})).await;
        let wrong = client.error(CREATE_TENANT, json!({"name": "x", "token": "wrong"})).await;
        assert_eq!((wrong.0, wrong.1.as_str()), (401, "UNAUTHORIZED"));
    }
}

#[tokio::test]
async fn no_body_of_a_stranger_is_asked_for() {
    let (api, _database) = Api::start().await;
    let stranger = api.client.with_key("nonsense");
    let described = agentfs_server::http::description();
    let posts = described.paths.paths.iter().filter(|(_, item)| item.post.is_some());
    let posts: Vec<&String> = posts.map(|(route, _)| route).collect();
    assert!(posts.len() > 10, "{posts:?}");
    for route in posts {
        // Who waits for `100 Continue` is told when its body is wanted.
        let mut raw = Raw::connect(&api.client.url).await;
        let expects = "Content-Length: 10\r\nExpect: 100-continue\r\n";
        raw.send(head(&stranger, route, expects)).await;
        assert_eq!(raw.answer().await.unwrap().status, 401, "{route}");
    }
}

#[tokio::test]
async fn a_key_that_may_not_administer_is_refused_before_its_body() {
    let database = Database::migrated().await;
    let api = Api::start_within(&database, |limits| limits.times.body = LONG).await;
    let mut slow = Raw::connect(&api.client.url).await;
    slow.send(head(&api.client, CREATE_TENANT, "Content-Length: 1000\r\n")).await;
    let answer = timeout(PATIENCE, slow.answer()).await.expect("no hang").unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (403, "FORBIDDEN"));
}
