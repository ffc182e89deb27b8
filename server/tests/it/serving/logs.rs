//! Log lines: what the runbook's commands find in them, and what is never in them.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::api::{Client, new_key};
use crate::support::database::Database;
use crate::support::process::Process;

/// What may be in no log.
const SECRETS: [&str; 6] = [
    "v4lue-s3cret",
    "t4g-s3cret",
    "qu3ry-s3cret",
    "b00tstrap-s3cret-of-many-characters",
    "m3trics-s3cret-of-many-characters",
    "gu3ss-s3cret",
];

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A server that was asked all sorts of things, and its key.
async fn asked(format: &str) -> (Process, String) {
    let database = Database::migrated().await;
    let mut server = Process::start(&[
        ("DATABASE_URL", &database.url),
        ("LOG_FORMAT", format),
        ("LOG_LEVEL", "debug"),
        ("ADMIN_BOOTSTRAP_TOKEN", SECRETS[3]),
        ("METRICS_TOKEN", SECRETS[4]),
    ]);
    let client = Client::new(server.url(), new_key(&database, &[]).await);
    server.wait_until_ready().await;
    let put = json!({"agent_id": "ada", "path": "/x", "value": SECRETS[0], "tags": [SECRETS[1]]});
    client.ok("/v1/put", put).await;
    client.get("/x").await;
    let write = json!({"path": "/x", "text": SECRETS[0], "tags": [SECRETS[1]]});
    let call = json!({"name": "memory_write", "arguments": write});
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call});
    let call = client.request("/mcp/ada", &call.to_string());
    call.header("accept", "application/json, text/event-stream").send().await.unwrap();
    client
        .post(
            "/v1/put",
            json!({"agent_id": "ada", "path": "/x", "value": SECRETS[0], "ttl_seconds": 0}),
        )
        .await;
    client.post("/v1/put", json!({"agent_id": "ada", "value": SECRETS[0]})).await;
    client.request("/v1/put", &format!("{{\"value\": {}", SECRETS[0])).send().await.unwrap();
    client.post(&format!("/v1/search?q={}", SECRETS[2]), json!({"query": SECRETS[2]})).await;
    client.post(&format!("/nowhere/{}", SECRETS[2]), json!({"query": SECRETS[2]})).await;
    client.with_key(SECRETS[5]).post("/v1/get", json!({})).await;
    client.with_key(SECRETS[3]).ok("/v1/admin/create-key", json!({})).await;
    let metrics = client.http.get(format!("{}/metrics", client.url)).bearer_auth(SECRETS[4]);
    metrics.send().await.unwrap();
    // A failure of the database, which is logged with what the driver said.
    database.execute("ALTER TABLE entry_versions RENAME COLUMN value TO elsewhere").await;
    client.post("/v1/put", json!({"agent_id": "ada", "path": "/x", "value": SECRETS[0]})).await;
    let request = client.request("/v1/get", r#"{"agent_id":"ada","path":"/x"}"#);
    let request = request.header("traceparent", TRACEPARENT);
    request.header("x-request-id", "the-last-one").send().await.unwrap();
    server.terminate();
    server.ended().await;
    (server, client.key)
}

fn assert_no_secrets(log: &str, key: &str) {
    let (_, secret) = key.split_once('.').unwrap();
    let password = "postgres://";
    for secret in SECRETS.into_iter().chain([secret, password]) {
        let leak = log.lines().find(|line| line.contains(secret));
        assert!(leak.is_none(), "{secret} in {leak:?}");
    }
    assert!(log.contains("ERROR"), "a failure is in it: {log}");
}

#[tokio::test]
async fn json_lines_say_what_was_answered_and_nothing_secret() {
    let (server, key) = asked("json").await;
    let log = server.log();
    assert_no_secrets(&log, &key);
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let requests: Vec<&Value> = lines
        .iter()
        .filter(|line| line["route"].as_str().is_some_and(|r| r.starts_with("/v1")))
        .collect();
    assert!(requests.len() >= 8, "{log}");
    for line in &requests {
        assert!(line["request_id"].is_string() && line["status"].is_u64(), "{line}");
        assert!(line["responseTime"].as_f64().is_some_and(|ms| ms > 0.0), "{line}");
    }
    let of = |status: u64| requests.iter().find(|line| line["status"] == status).unwrap();
    assert_eq!(of(200)["tenant"], "00000000-0000-0000-0000-000000000000");
    assert!(of(401)["tenant"].is_null() && of(401)["key"].is_null());
    assert_eq!(of(200)["key"], key.split_once('.').unwrap().0);
    for line in &requests {
        assert_eq!(line["client"], "127.0.0.1", "{line}");
    }
    assert_eq!(of(401)["code"], "UNAUTHORIZED");
    let last = requests.iter().find(|line| line["request_id"] == "the-last-one").unwrap();
    assert_eq!((&last["route"], &last["method"]), (&json!("/v1/get"), &json!("POST")));
    assert_eq!(last["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(last["span_id"], "b7ad6b7169203331");
    assert_eq!(of(200).get("trace_id"), None);
    let call = lines.iter().find(|line| line["route"] == "/mcp/{agent_id}").unwrap();
    assert_eq!((&call["tool"], &call["status"]), (&json!("memory_write"), &json!(200)), "{call}");
    let unknown = lines.iter().find(|line| line["route"] == "unknown").unwrap();
    assert_eq!(unknown["status"], 404);
}

/// What a shell prints that is given `input`.
fn shell(command: &str, input: &str) -> String {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[tokio::test]
async fn the_runbooks_commands_find_slow_requests_and_errors_in_text_lines() {
    let (server, key) = asked("text").await;
    let log = server.log();
    assert_no_secrets(&log, &key);
    let requests: Vec<&str> = log.lines().filter(|line| line.contains("responseTime")).collect();
    assert!(requests.len() >= 8, "{log}");
    let id = key.split_once('.').unwrap().0;
    assert!(log.contains(&format!(" key=\"{id}\" client=127.0.0.1 ")), "{log}");
    let slow: Vec<&str> = requests
        .iter()
        .copied()
        .filter(|line| {
            let (_, time) = line.rsplit_once(" responseTime ").expect(line);
            time.parse::<f64>().expect(line) > 1000.0
        })
        .collect();
    // One line more is slow, one nearly so.
    let made = |ms: &str| format!("api-1  | {} {ms}", requests[0].rsplit_once(' ').unwrap().0);
    let log = format!("{log}{}\n{}\n", made("1000.5"), made("999.9"));
    let found = shell(r#"grep "responseTime" | awk '$NF > 1000'"#, &log);
    assert_eq!(found.lines().collect::<Vec<_>>(), [slow, vec![&made("1000.5")]].concat());
    let all = shell(r#"grep "responseTime" | awk '$NF > 0'"#, &log);
    assert_eq!(all.lines().count(), requests.len() + 2);
    assert!(shell("grep -i error", &log).contains("write failed"));
}
