//! The port of probes and metrics: it answers whatever happens on the API's, and has nothing else.

use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::support::api::{Client, new_key};
use crate::support::database::{Database, Gate};
use crate::support::eventually::eventually;
use crate::support::process::{Process, free_port};
use crate::support::raw::{Raw, head, post};

/// Status and body of a route; nothing takes so long but what hangs.
async fn asked(url: &str, route: &str) -> (u16, String) {
    let client = Client::new(url.to_owned(), String::new());
    let asked = client.http.get(format!("{url}{route}")).timeout(Duration::from_secs(10));
    let answer = asked.send().await.unwrap_or_else(|error| panic!("{route}: {error:?}"));
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn it_has_probes_and_metrics_and_nothing_else() {
    let database = Database::migrated().await;
    let settings = [("DATABASE_URL", database.url.as_str()), ("MONITORING_ON_PORT", "false")];
    let server = Process::start(&settings);
    server.wait_until_ready().await;
    let (port, operations) = (server.url(), server.operations_url());
    for route in ["/livez", "/readyz", "/healthz"] {
        for url in [&port, &operations] {
            assert_eq!(asked(url, route).await, (200, r#"{"ok":true}"#.to_owned()), "{route}");
        }
    }
    let (status, text) = asked(&operations, "/metrics").await;
    assert!(status == 200 && text.contains("agentfs_http_requests_total{"), "{text}");
    assert_eq!(asked(&port, "/metrics").await.0, 404);
    for route in ["/openapi.json", "/v1/get", "/"] {
        let (status, text) = asked(&operations, route).await;
        let body: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, body["error"]["code"].as_str()), (404, Some("NOT_FOUND")), "{route}");
    }
}

#[tokio::test]
async fn metrics_stay_on_the_apis_port_with_a_token_and_for_one_release_without() {
    let database = Database::migrated().await;
    let token = "0123456789abcdef0123456789abcdef";
    let with = |settings: &[(&str, &str)]| {
        let database = ("DATABASE_URL", database.url.as_str());
        Process::start(&[&[database], settings].concat())
    };
    let as_before = with(&[]);
    let guarded = with(&[("METRICS_TOKEN", token), ("MONITORING_ON_PORT", "false")]);
    let off = with(&[("ENABLE_METRICS", "false")]);
    for server in [&as_before, &guarded, &off] {
        server.wait_until_ready().await;
    }
    assert_eq!(asked(&as_before.url(), "/metrics").await.0, 200);
    assert_eq!(asked(&guarded.operations_url(), "/metrics").await.0, 401, "the token is for both");
    for url in [guarded.url(), guarded.operations_url()] {
        let client = Client::new(url, String::new());
        let asked = client.http.get(format!("{}/metrics", client.url)).bearer_auth(token);
        assert_eq!(asked.send().await.unwrap().status(), 200);
    }
    for url in [off.url(), off.operations_url()] {
        assert_eq!(asked(&url, "/metrics").await.0, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_while_the_apis_connections_are_all_taken() {
    let database = Database::migrated().await;
    let limit = ("MAX_CONNECTIONS", "10");
    let server = Process::start(&[("DATABASE_URL", &database.url), limit]);
    server.wait_until_ready().await;
    let client = Client::new(server.url(), new_key(&database, &[]).await);
    // Requests under way, which no new connection ends: their bodies do not come.
    let mut flood = Vec::new();
    for _ in 0..30 {
        let mut raw = Raw::connect(&client.url).await;
        raw.send(head(&client, "/v1/put", "Content-Length: 1000\r\n")).await;
        flood.push(raw);
    }
    for route in ["/livez", "/readyz", "/healthz", "/metrics"] {
        assert_eq!(asked(&server.operations_url(), route).await.0, 200, "{route}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_own_idle_and_slow_connections_give_way() {
    let database = Database::migrated().await;
    let server = Process::start(&[("DATABASE_URL", &database.url)]);
    server.wait_until_ready().await;
    let url = server.operations_url();
    let mut held = Vec::new();
    for n in 0..150 {
        let mut raw = Raw::connect(&url).await;
        match n % 3 {
            0 => {}
            1 => drop(raw.send("GET /livez HTTP/1.1\r\nHost:").await),
            _ => drop(raw.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await),
        }
        held.push(raw);
    }
    let look = async || asked(&url, "/livez").await.0;
    eventually("the next one is answered", look, |status| *status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_answering_while_the_api_drains() {
    let database = Database::migrated().await;
    let mut server = Process::start(&[("DATABASE_URL", &database.url)]);
    server.wait_until_ready().await;
    let client = Client::new(server.url(), new_key(&database, &[]).await);
    let gate = Gate::close(&database).await;
    let mut under_way = Raw::connect(&client.url).await;
    let put = r#"{"agent_id":"ada","path":"/x","value":1}"#;
    under_way.send(post(&client, "/v1/put", put)).await;
    let sent = r#"agentfs_batch_rows_count{queue="writes"} 1"#;
    let look = async || asked(&server.operations_url(), "/metrics").await.1;
    eventually("the put is under way", look, |text| text.contains(sent)).await;
    server.terminate();
    let look = async || asked(&server.operations_url(), "/readyz").await;
    let (_, text) = eventually("it drains", look, |(status, _)| *status == 503).await;
    assert!(text.contains("Draining"), "{text}");
    assert_eq!(asked(&server.operations_url(), "/livez").await.0, 200);
    gate.open().await;
    assert_eq!(under_way.answer().await.unwrap().status, 200);
    assert!(server.ended().await.success(), "{}", server.log());
}

#[tokio::test]
async fn a_worker_answers_there_and_for_one_release_on_its_port() {
    let database = Database::migrated().await;
    let url = ("DATABASE_URL", database.url.as_str());
    let worker = Process::start_command("worker", free_port(), &[url]);
    let taken = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    // Its PORT is of no importance, so one in use is none.
    let next = Process::start_command("worker", port, &[url, ("MONITORING_ON_PORT", "false")]);
    for url in [worker.operations_url(), worker.url(), next.operations_url()] {
        let client = Client::new(url, String::new());
        for route in ["/readyz", "/metrics"] {
            let look = async || {
                let asked = client.http.get(format!("{}{route}", client.url)).send().await;
                asked.map(|answer| answer.status().as_u16()).map_err(|error| error.to_string())
            };
            eventually(route, look, |status| *status == Ok(200)).await.unwrap();
        }
    }
}

#[tokio::test]
async fn whoever_asks_for_health_waits_for_no_database() {
    let database = Database::migrated().await;
    let server = Process::start(&[("DATABASE_URL", &database.url)]);
    server.wait_until_ready().await;
    // Whoever looks at the schema waits from now on, and so does the look once a second.
    let mut holder = database.connect().await;
    let lock = "BEGIN; LOCK TABLE schema_version";
    sqlx::raw_sql(lock).execute(&mut holder).await.unwrap();
    let url = server.url();
    let answers = join_all((0..100).map(|_| asked(&url, "/healthz"))).await;
    assert!(answers.iter().all(|(status, _)| [200, 503].contains(status)), "{answers:?}");
}
