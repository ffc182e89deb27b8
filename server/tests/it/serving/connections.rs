//! Clients that are slow, broken or hostile: nothing hangs, nobody else notices, and no answer is a 5xx.

use std::time::Duration;

use agentfs_server::listen::{Limits, Times};
use serde_json::json;

use crate::support::api::Api;
use crate::support::database::{Database, Gate};
use crate::support::raw::{Raw, head, post};

const SHORT: Duration = Duration::from_millis(300);
const GET: &str = r#"{"agent_id":"ada","path":"/x"}"#;

async fn start_within(times: Times) -> (Api, Database) {
    let database = Database::migrated().await;
    let limit = |limits: &mut Limits| limits.times = times;
    (Api::start_within(&database, limit).await, database)
}

#[tokio::test]
async fn slow_heads_and_idle_connections_are_closed() {
    let (api, _db) = start_within(Times { head: SHORT, ..Times::default() }).await;
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut raw = Raw::connect(&api.client.url).await;
        raw.send("POST /v1/get HTTP/1.1\r\n").await;
        slow.push(tokio::spawn(async move {
            // One header after another, for ever.
            while raw.send("X-Slow: 1\r\n").await {
                tokio::time::sleep(SHORT / 10).await;
            }
        }));
    }
    api.client.get("/x").await;
    for dribbler in slow {
        dribbler.await.unwrap();
    }

    let (api, _db) = start_within(Times { keep_alive: SHORT, ..Times::default() }).await;
    let mut raw = Raw::connect(&api.client.url).await;
    raw.closed().await;
    let mut raw = Raw::connect(&api.client.url).await;
    // Both at once: a pause between them may be too long on a busy machine.
    raw.send(post(&api.client, "/v1/get", GET).repeat(2)).await;
    for _ in 0..2 {
        assert_eq!(raw.answer().await.unwrap().status, 200);
    }
    raw.closed().await;
}

#[tokio::test]
async fn a_body_that_dribbles_is_answered_with_400() {
    let (api, db) = start_within(Times { body: SHORT, ..Times::default() }).await;
    let mut raw = Raw::connect(&api.client.url).await;
    raw.send(head(&api.client, "/v1/put", "Content-Length: 100000\r\n")).await;
    let answer = loop {
        raw.send(" ").await;
        tokio::select! {
            answer = raw.answer() => break answer.unwrap(),
            () = tokio::time::sleep(SHORT / 10) => {}
        }
    };
    assert_eq!((answer.status, answer.code().as_str()), (400, "VALIDATION_ERROR"));
    assert!(String::from_utf8_lossy(&answer.body).contains("not received within"));
    raw.closed().await;
    // Who has no key may not even begin.
    let mut raw = Raw::connect(&api.client.url).await;
    let stranger = api.client.with_key("nonsense");
    raw.send(head(&stranger, "/v1/put", "Content-Length: 100000\r\n")).await;
    assert_eq!(raw.answer().await.unwrap().status, 401);
    raw.closed().await;
    assert_eq!(db.number("SELECT count(*) FROM entry_versions").await, 0);
}

#[tokio::test]
async fn endless_and_truncated_bodies() {
    let (api, db) = Api::start().await;
    let mut raw = Raw::connect(&api.client.url).await;
    raw.send(head(&api.client, "/v1/put", "Transfer-Encoding: chunked\r\n")).await;
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let mut sent = 0;
    while sent < 1000 && raw.send(&chunk).await {
        sent += 1;
    }
    assert!(sent < 1000, "the server took 64 MiB");

    let mut raw = Raw::connect(&api.client.url).await;
    raw.send(head(&api.client, "/v1/put", "Content-Length: 100\r\n")).await;
    raw.send(r#"{"agent_id":"ada","path":"/x","value":1}"#).await;
    tokio::io::AsyncWriteExt::shutdown(&mut raw.stream).await.unwrap();
    assert!(raw.answer().await.is_none_or(|answer| answer.status == 400));

    let mut raw = Raw::connect(&api.client.url).await;
    raw.send(head(&api.client, "/v1/put", "Transfer-Encoding: chunked\r\n")).await;
    raw.send("not a chunk\r\n").await;
    assert!(raw.answer().await.is_none_or(|answer| answer.status == 400));
    api.client.get("/x").await;
    assert_eq!(db.number("SELECT count(*) FROM entry_versions").await, 0);
}

#[tokio::test]
async fn who_sends_all_before_it_reads_still_reads_why_it_was_refused() {
    let (api, _db) = Api::start().await;
    let stranger = api.client.with_key("nonsense");
    for (client, bytes, status, code) in [
        (&api.client, (1 << 20) + 1, 413, "BODY_TOO_LARGE"),
        (&api.client, 3 << 20, 413, "BODY_TOO_LARGE"),
        (&stranger, 1 << 20, 401, "UNAUTHORIZED"),
    ] {
        let mut raw = Raw::connect(&api.client.url).await;
        for _ in 0..2 {
            assert!(raw.send(post(client, "/v1/put", &" ".repeat(bytes))).await);
            let answer = raw.answer().await.expect("an answer on a connection that goes on");
            assert_eq!((answer.status, answer.code().as_str()), (status, code));
        }
    }
    // Who asks first is told at once, and sends nothing.
    let mut raw = Raw::connect(&api.client.url).await;
    raw.send(head(&stranger, "/v1/put", "Content-Length: 1000\r\nExpect: 100-continue\r\n")).await;
    assert_eq!(raw.answer().await.unwrap().status, 401);
    raw.closed().await;
    let body = r#"{"agent_id":"ada","path":"/x","value":1}"#;
    let headers = format!("Content-Length: {}\r\nExpect: 100-continue\r\n", body.len());
    let mut raw = Raw::connect(&api.client.url).await;
    raw.send(head(&api.client, "/v1/put", &headers)).await;
    assert_eq!(raw.answer().await.unwrap().status, 100);
    raw.send(body).await;
    assert_eq!(raw.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn heads_are_bounded_and_garbage_is_refused() {
    let (api, _db) = Api::start().await;
    let many = "X-Many: 1\r\n".repeat(1000);
    let huge = format!("X-Huge: {}\r\n", "x".repeat(1 << 20));
    let long = format!("/{}", "x".repeat(1 << 20));
    let garbage: Vec<u8> = (0..4096_u32).map(|n| (n * 7 % 256) as u8).collect();
    let cases: &[(&str, Vec<u8>, &[u16])] = &[
        ("1000 headers", head(&api.client, "/v1/get", &many).into(), &[431]),
        ("a huge header", head(&api.client, "/v1/get", &huge).into(), &[431]),
        ("a long target", head(&api.client, &long, "").into(), &[414, 431]),
        ("garbage", garbage, &[400]),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".into(), &[400]),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), &[400]),
        ("no such version", b"GET / HTTP/9.9\r\n\r\n".into(), &[400]),
        (
            "two lengths",
            head(&api.client, "/v1/get", "Content-Length: 1\r\nContent-Length: 2\r\n").into(),
            &[400],
        ),
        (
            "length and chunks",
            head(&api.client, "/v1/get", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n")
                .into(),
            &[400],
        ),
    ];
    for (what, bytes, statuses) in cases {
        let mut raw = Raw::connect(&api.client.url).await;
        raw.send(bytes).await;
        // A connection that is closed on unread bytes may be reset before its answer is read.
        if let Some(answer) = raw.answer().await {
            assert!(statuses.contains(&answer.status), "{what}: {}", answer.head);
        }
        api.client.get("/x").await;
    }
}

#[tokio::test]
async fn requests_sent_ahead_are_answered_in_order() {
    let (api, _db) = Api::start().await;
    for n in 0..10 {
        api.client.put(&format!("/p/{n}"), json!(n)).await;
    }
    let all: String = (0..50)
        .map(|n| {
            post(&api.client, "/v1/get", &format!(r#"{{"agent_id":"ada","path":"/p/{}"}}"#, n % 10))
        })
        .collect();
    let mut raw = Raw::connect(&api.client.url).await;
    raw.send(all).await;
    for n in 0..50 {
        let answer = raw.answer().await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["value"], n % 10);
    }
}

#[tokio::test]
async fn a_client_that_takes_no_answer_is_cut_off() {
    let (api, _db) = start_within(Times { write: SHORT, ..Times::default() }).await;
    api.client.put("/large", json!("x".repeat(1_000_000))).await;
    let mut raw = Raw::connect(&api.client.url).await;
    let get = post(&api.client, "/v1/get", r#"{"agent_id":"ada","path":"/large"}"#);
    // More than all buffers on the way hold.
    raw.send(get.repeat(60)).await;
    api.until_metric("agentfs_http_connections", |open| open <= 1.0).await;
    api.client.get("/large").await;
}

#[tokio::test]
async fn a_full_house_makes_room_for_new_clients() {
    let database = Database::migrated().await;
    let api = Api::start_within(&database, |limits| limits.connections = 10).await;
    let mut idle = Vec::new();
    for n in 0..10 {
        let mut raw = Raw::connect(&api.client.url).await;
        // Some say nothing, some have begun to.
        raw.send(if n % 2 == 0 { "" } else { "POST /v1/get HTTP/1.1\r\n" }).await;
        idle.push(raw);
    }
    api.client.get("/x").await;
    // Not all of them had to leave for that.
    let closed = idle.iter_mut().map(|raw| Box::pin(raw.closed()));
    futures::future::select_all(closed).await;
    api.until_metric("agentfs_http_connections", |open| open <= 10.0).await;
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered_and_its_write_is_not_cut() {
    let (api, db) = start_within(Times { request: SHORT, ..Times::default() }).await;
    let gate = Gate::close(&db).await;
    let body = json!({"agent_id": "ada", "path": "/slow", "value": 1});
    let (status, code, message) = api.client.error("/v1/put", body).await;
    assert_eq!((status, code.as_str()), (503, "UNAVAILABLE"));
    assert!(message.contains("may or may not have happened"), "{message}");
    gate.open().await;
    db.until("SELECT count(*) FROM entry_versions", 1).await;
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_take_its_write_with_it() {
    let (api, db) = Api::start().await;
    api.until_served().await;
    let gate = Gate::close(&db).await;
    let mut raw = Raw::connect(&api.client.url).await;
    raw.send(post(&api.client, "/v1/put", r#"{"agent_id":"ada","path":"/left","value":1}"#)).await;
    api.until_metric(r#"agentfs_batch_rows_count{queue="writes"}"#, |count| count >= 1.0).await;
    drop(raw);
    api.until_metric("agentfs_http_connections", |open| open <= 1.0).await;
    gate.open().await;
    db.until("SELECT count(*) FROM entry_versions", 1).await;
}

/// Some clients, Node's `fetch` among them, write all of a request before they read an answer.
#[tokio::test]
async fn an_answer_to_a_body_that_is_far_too_large_is_read_after_the_body_was_sent() {
    let (api, _db) = Api::start().await;
    let stranger = api.client.with_key("nonsense");
    for (client, status, code) in
        [(&stranger, 401, "UNAUTHORIZED"), (&api.client, 413, "BODY_TOO_LARGE")]
    {
        // More than is read before the answer, and less than is read in all.
        let length = 7 << 20;
        let mut raw = Raw::connect(&api.client.url).await;
        raw.send(head(client, "/v1/put", &format!("Content-Length: {length}\r\n"))).await;
        let part = " ".repeat(1 << 20);
        for sent in 0..length >> 20 {
            assert!(raw.send(&part).await, "{status}: the connection broke after {sent} MiB");
        }
        let answer = raw.answer().await.expect("an answer");
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
        assert!(answer.closes(), "{}", answer.head);
        raw.closed().await;
    }
}

#[tokio::test]
async fn who_asks_before_it_sends_is_refused_at_once_for_what_the_head_shows() {
    let (api, _db) = Api::start().await;
    let stranger = api.client.with_key("nonsense");
    let json = "Content-Type: application/json\r\n";
    let large = "Content-Length: 1048577\r\n";
    let small = "Content-Length: 100\r\n";
    let cases = [
        (&api.client, "/v1/put", format!("{json}{large}"), 413),
        (&api.client, "/v1/agents", format!("{json}{large}"), 413),
        (&api.client, "/v1/admin/create-key", format!("{json}{large}"), 403),
        (&api.client, "/v1/put", small.to_owned(), 415),
        (&api.client, "/v1/agents", small.to_owned(), 415),
        (&stranger, "/v1/admin/create-key", small.to_owned(), 401),
        (&api.client, "/v1/put", format!("{json}{small}Content-Encoding: gzip\r\n"), 415),
        (&api.client, "/v1/put", format!("{json}{small}Idempotency-Key: ?\r\n"), 400),
        (&api.client, "/v1/batch", format!("{json}{small}Idempotency-Key: k\r\n"), 400),
        (&api.client, "/v1/put?ttl=1", format!("{json}{small}"), 400),
        (&api.client, "/nowhere", format!("{json}{small}"), 404),
    ];
    for (client, route, headers, status) in cases {
        let mut raw = Raw::connect(&api.client.url).await;
        let head = format!(
            "POST {route} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nExpect: 100-continue\r\n{headers}\r\n",
            client.key
        );
        raw.send(head).await;
        assert_eq!(raw.answer().await.unwrap().status, status, "{route} {headers}");
        raw.closed().await;
    }
}
