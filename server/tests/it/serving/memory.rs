//! What requests and answers keep in memory is bounded, whoever sends them and does not take them; and others are served meanwhile.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use futures::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use crate::support::api::{Api, Client, new_key};
use crate::support::cgroup::Cgroup;
use crate::support::cli::admin_json;
use crate::support::database::{Database, Gate};
use crate::support::eventually::eventually;
use crate::support::process::Process;
use crate::support::raw::{Raw, head, post};

/// Whoever waits longer than this hangs.
const HANGS: Duration = Duration::from_secs(10);
const MIB: usize = 1 << 20;
const USED: &str = r#"agentfs_memory_budget_bytes{state="used"}"#;
const DUMP: &str = r#"{"agent_id":"ada"}"#;

fn value(bytes: usize) -> Value {
    json!("v".repeat(bytes))
}

/// A value of nearly a MiB, as large as one may be.
fn large() -> Value {
    value(MIB - 1024)
}

fn put(path: &str, value: &Value) -> String {
    json!({"agent_id": "ada", "path": path, "value": value}).to_string()
}

/// A page of values that is as large as one may be.
async fn fill_page(client: &Client) {
    for number in 0..10 {
        client.put(&format!("/large/{number}"), large()).await;
    }
}

fn key_of_another_tenant(database: &Database) -> String {
    let made = admin_json(database, &["create-tenant", "another"]);
    let id = made["tenant_id"].as_str().unwrap();
    let made = admin_json(database, &["create-key", "--tenant", id]);
    made["api_key"].as_str().unwrap().to_owned()
}

/// Asks, reads the head of the answer, and takes nothing of its body. The answer's status is in its head.
async fn stalled(client: &Client, route: &str, body: &str) -> (Raw, String) {
    let mut raw = Raw::connect(&client.url).await;
    raw.send(post(client, route, body)).await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(raw.stream.read_u8().await.expect("an answer"));
    }
    (raw, String::from_utf8(head).unwrap().to_ascii_lowercase())
}

/// The bytes of the budget that are taken.
async fn used(client: &Client) -> usize {
    let text = client.http.get(format!("{}/metrics", client.url)).send().await.unwrap();
    let text = text.text().await.unwrap();
    let used = text.lines().find_map(|line| line.strip_prefix(USED)).expect(USED);
    used.trim().parse().unwrap()
}

/// Puts, gets and reads a page, all within the time of one that does not hang.
async fn is_served(client: &Client) {
    let served = async {
        client.put("/x", value(100_000)).await;
        assert_eq!(client.get("/x").await["found"], true);
        client.ok("/v1/dump", json!({"agent_id": "ada"})).await;
        client.ok("/v1/list", json!({"agent_id": "ada", "prefix": "/"})).await;
    };
    timeout(HANGS, served).await.expect("others are served");
}

#[tokio::test]
async fn answers_that_nobody_takes_are_bounded() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &[], &[("MEMORY_BUDGET_MIB", "64")]).await;
    let other = api.client.with_key(&key_of_another_tenant(&database));
    fill_page(&api.client).await;
    let gets: Vec<Value> = (0..10)
        .map(|number| json!({"op": "get", "agent_id": "ada", "path": format!("/large/{number}")}))
        .collect();
    let one_by_one = json!({"operations": gets}).to_string();
    let at_once = json!({"operations": gets, "atomic": true}).to_string();
    for (route, body) in [("/v1/dump", DUMP), ("/v1/batch", &one_by_one), ("/v1/batch", &at_once)] {
        let asked = (0..30).map(|_| stalled(&api.client, route, body));
        let stalled = timeout(HANGS, join_all(asked)).await.expect("answers");
        let refused: Vec<&String> =
            stalled.iter().map(|(_, head)| head).filter(|head| !head.contains(" 200 ")).collect();
        // Of gets one by one each is refused by itself.
        let are_refused = body != one_by_one;
        assert_eq!(refused.is_empty(), !are_refused, "{route}");
        assert!(refused.len() < 30, "{route}");
        for head in refused {
            assert!(head.contains(" 503 ") && head.contains("\r\nretry-after: 1\r\n"), "{head}");
        }
        let taken = used(&api.client).await;
        assert!((MIB..=32 * MIB).contains(&taken), "{route}: {taken}");
        is_served(&other).await;
        drop(stalled);
        api.until_metric(USED, |used| used == 0.0).await;
    }
    let denied = r#"agentfs_memory_budget_denials_total{type="answer"}"#;
    api.until_metric(denied, |denied| denied > 0.0).await;
    is_served(&api.client).await;
}

#[tokio::test]
async fn queued_writes_keep_their_bytes_though_their_clients_are_gone() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &[], &[("MEMORY_BUDGET_MIB", "32")]).await;
    api.until_served().await;
    let gate = Gate::close(&database).await;
    let mut writing = Vec::new();
    for number in 0..40 {
        let mut raw = Raw::connect(&api.client.url).await;
        raw.send(post(&api.client, "/v1/put", &put(&format!("/{number}"), &large()))).await;
        writing.push(raw);
    }
    let denied = r#"agentfs_memory_budget_denials_total{type="body"}"#;
    api.until_metric(denied, |denied| denied >= 20.0).await;
    // Their clients do not wait for the answers.
    drop(writing);
    api.until_metric("agentfs_http_connections", |open| open <= 1.0).await;
    let taken = used(&api.client).await;
    assert!((10 * MIB..=16 * MIB).contains(&taken), "{taken}");
    gate.open().await;
    api.until_metric(USED, |used| used == 0.0).await;
    let written = database.number("SELECT count(*) FROM entry_versions").await;
    assert!((10..=20).contains(&written), "{written}");
    api.client.put("/x", large()).await;
}

#[tokio::test]
async fn bodies_that_do_not_come_are_bounded_whether_they_are_announced_or_not() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &[], &[("MEMORY_BUDGET_MIB", "32")]).await;
    api.until_served().await;
    let other = api.client.with_key(&key_of_another_tenant(&database));
    let half = " ".repeat(MIB / 2);
    let announced = format!("Content-Length: {MIB}\r\n");
    let chunk = format!("{:x}\r\n{half}\r\n", half.len());
    for (headers, part) in [(announced.as_str(), &half), ("Transfer-Encoding: chunked\r\n", &chunk)]
    {
        let mut bodies = Vec::new();
        for _ in 0..40 {
            let mut raw = Raw::connect(&api.client.url).await;
            raw.send(head(&api.client, "/v1/put", headers)).await;
            raw.send(part).await;
            bodies.push(raw);
        }
        eventually(headers, async || used(&api.client).await, |used| *used > 14 * MIB).await;
        is_served(&other).await;
        assert!(used(&api.client).await <= 16 * MIB);
        drop(bodies);
        api.until_metric(USED, |used| used == 0.0).await;
    }
}

#[tokio::test]
async fn items_beyond_the_most_cost_no_memory() {
    let database = Database::migrated().await;
    let process = Process::start(&[("DATABASE_URL", &database.url)]);
    process.wait_until_ready().await;
    let client = Client::new(
        process.url(),
        new_key(&database, &["search:read", "memory:read", "memory:write"]).await,
    );
    client.get("/x").await;
    let before = process.peak_memory();
    let operations = json!({"operations": vec![0; 500_000]});
    let tags = vec!["t"; 200_000];
    let put = json!({"agent_id": "ada", "path": "/x", "value": 1, "tags": tags});
    let search = json!({"agent_id": "ada", "query": "x", "tags_any": tags});
    for (route, body, sentence) in [
        ("/v1/batch", operations, "operations has 500000 items; it must have between 1 and 100"),
        ("/v1/put", put, "tags has 200000 items; at most 20 are allowed"),
        ("/v1/search", search, "tags_any: tags has 200000 items; at most 20 are allowed"),
    ] {
        let (status, code, message) = client.error(route, body).await;
        assert_eq!((status, code.as_str(), message.as_str()), (400, "VALIDATION_ERROR", sentence));
    }
    let grown = process.peak_memory() - before;
    println!("many items: {} KiB more memory", grown >> 10);
    assert!(grown < 12 << 20, "{grown}");
}

/// What MAX_CONNECTIONS is derived from.
#[tokio::test]
async fn connections_take_no_more_than_their_share_of_memory() {
    const MANY: u64 = 400;
    const SHARE: u64 = 80 << 10;
    let database = Database::migrated().await;
    let header = format!("X-Long: {}\r\n", "x".repeat(500));
    let half_head = format!("POST /v1/put HTTP/1.1\r\nHost: x\r\n{}", header.repeat(60));
    let stranger = Client::new(String::new(), "nonsense".to_owned());
    let refused = post(&stranger, "/v1/put", &" ".repeat(MIB));
    for (what, sent, is_answered) in
        [("half a head", half_head, false), ("the buffers of a large body", refused, true)]
    {
        let process = Process::start(&[("DATABASE_URL", &database.url)]);
        process.wait_until_ready().await;
        let before = process.peak_memory();
        let mut connections = Vec::new();
        for _ in 0..MANY {
            let mut raw = Raw::connect(&process.url()).await;
            raw.send(&sent).await;
            if is_answered {
                assert_eq!(raw.answer().await.unwrap().status, 401);
            }
            connections.push(raw);
        }
        // Whoever is served now comes after all of them.
        process.wait_until_ready().await;
        let each = (process.peak_memory() - before) / MANY;
        println!("{what}: {} KiB a connection", each >> 10);
        assert!(each <= SHARE, "{what}: {each}");
    }
}

/// Half of a gigabyte is what the operator gives an API.
#[tokio::test]
async fn a_small_container_survives_what_is_not_taken_and_what_does_not_come() {
    let group = match Cgroup::with_memory(512 << 20) {
        Ok(group) => group,
        Err(why) => {
            return println!("skipped: no control group with a limit of memory can be made: {why}");
        }
    };
    let database = Database::migrated().await;
    let process = Process::start_within(&group, &[("DATABASE_URL", &database.url)]);
    process.wait_until_ready().await;
    let room = "room for 2184 connections (MAX_CONNECTIONS) and 170 MiB";
    assert!(process.log().contains(room), "{}", process.log());
    let client = Client::new(process.url(), new_key(&database, &[]).await);
    let other = client.with_key(&key_of_another_tenant(&database));
    fill_page(&client).await;
    is_served(&other).await;

    // No more at once than there are connections to the database for.
    let dumps = stream::iter(0..100).map(|_| stalled(&client, "/v1/dump", DUMP));
    let dumps: Vec<_> = dumps.buffer_unordered(10).collect().await;
    let nobody = client.with_key("nonsense");
    let half: Arc<str> = " ".repeat(MIB / 2).into();
    let mut bodies = Vec::new();
    for number in 0..480 {
        let (client, route) = match number % 4 {
            0 | 1 => (&client, "/v1/put"),
            2 => (&nobody, "/v1/put"),
            _ => (&nobody, "/v1/admin/create-key"),
        };
        let mut raw = Raw::connect(&client.url).await;
        raw.send(head(client, route, &format!("Content-Length: {MIB}\r\n"))).await;
        let half = half.clone();
        bodies.push(tokio::spawn(async move {
            raw.send(half.as_bytes()).await;
            raw
        }));
    }
    eventually("much is kept", async || used(&client).await, |used| *used > 60 * MIB).await;
    let alive = async {
        let asked = client.http.get(format!("{}/livez", client.url)).send().await;
        assert_eq!(asked.unwrap().status(), 200);
        other.put("/y", json!(1)).await;
    };
    timeout(HANGS, alive).await.expect("others are served");
    is_served(&other).await;
    println!(
        "memory at most: {} MiB of the process, {} MiB of its group",
        process.peak_memory() >> 20,
        group.peak() >> 20
    );
    for body in bodies {
        drop(body.await);
    }
    drop(dumps);
    eventually("all is given back", async || used(&client).await, |used| *used == 0).await;
    is_served(&client).await;
    assert!(process.peak_memory() < 480 << 20);
}
