//! Bodies that no client should send, by the thousands: refused with the envelope, never a 5xx, and nothing written.

use futures::StreamExt as _;
use futures::stream;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::database::Database;

/// Right requests, from which wrong ones are made.
fn seeds() -> Vec<(&'static str, String)> {
    let at = json!({"agent_id": "ada", "path": "/h/x"});
    let put = json!({"agent_id": "ada", "path": "/h/é", "value": {"a": [1, 2.50, "x\\u00e9"]},
        "ttl_seconds": 60, "tags": ["t"], "importance": 0.5, "searchable": true});
    let first = json!({"agent_id": "ada", "path": "/h/z", "value": 1, "if_version": null});
    let operations = json!({"operations": [
        {"op": "put", "agent_id": "ada", "path": "/h/y", "value": null},
        {"op": "get", "agent_id": "ada", "path": "/h/y"},
        {"op": "delete", "agent_id": "ada", "path": "/h/y"}], "atomic": true});
    let list = json!({"agent_id": "ada", "prefix": "/h", "limit": 5, "cursor": "ZC9oL3g"});
    let glob =
        json!({"agent_id": "ada", "pattern": "/h/**/[a-z]*\\?", "limit": 5, "cursor": "L2g"});
    let history = json!({"agent_id": "ada", "path": "/h/z", "limit": 5, "cursor": "MTA"});
    let dump =
        json!({"agent_id": "ada", "limit": 5, "cursor": "L2g", "as_of": "2026-01-01T00:00:00Z"});
    let search = json!({"agent_id": "ada", "query": "x (é) & y's", "limit": 5, "path_prefix": "/h",
        "tags_any": ["t"], "mode": "text"});
    let seeds = [
        ("/v1/history", history),
        ("/v1/dump", dump),
        ("/v1/agents", json!({"limit": 5, "cursor": "YQ"})),
        ("/v1/put", put),
        ("/v1/put", first),
        ("/v1/get", at.clone()),
        ("/v1/delete", at),
        ("/v1/batch", operations),
        ("/v1/list", list),
        ("/v1/glob", glob),
        ("/v1/search", search),
    ];
    seeds.into_iter().map(|(route, body)| (route, body.to_string())).collect()
}

/// What breaks parsers, stores and those who count characters as bytes.
const TOKENS: [&str; 28] = [
    "\0",
    "\\u0000",
    "\\ud800",
    "\\udc00\\ud800",
    "\u{feff}",
    "\u{202e}",
    "\u{10ffff}",
    "é",
    "'",
    "\"",
    "\\",
    "%00",
    "..",
    "/../",
    "//",
    "-0",
    "1e400",
    "1e-999999999",
    "999999999999999999999999",
    "NaN",
    "null",
    "[]",
    "{}",
    "true",
    "\"\"",
    "'; DROP TABLE entries; --",
    "\n",
    "\u{1}",
];

fn mutated(body: &str, rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = body.as_bytes().to_vec();
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..=bytes.len());
        match rng.random_range(0..8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.splice(at..at, [rng.random::<u8>()])),
            2 if at < bytes.len() => bytes[at] = rng.random(),
            3 if at < bytes.len() => drop(bytes.remove(at)),
            4 => {
                let end = rng.random_range(at..=bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            5 => {
                let long = TOKENS.choose(rng).expect("some").repeat(rng.random_range(1..600));
                bytes.splice(at..at, long.into_bytes());
            }
            6 => {
                let (open, close) = *[("[", "]"), ("{\"a\":", "}")].choose(rng).expect("some");
                let depth = rng.random_range(1..5000);
                bytes = [open.repeat(depth).into_bytes(), bytes, close.repeat(depth).into_bytes()]
                    .concat();
            }
            _ => drop(bytes.splice(at..at, TOKENS.choose(rng).expect("some").bytes())),
        }
    }
    bytes
}

/// A right request with one of its fields replaced by something else.
fn misfit(body: &str, rng: &mut StdRng) -> Vec<u8> {
    let mut body: Value = serde_json::from_str(body).expect("a seed is right");
    let fields = body.as_object_mut().expect("an object");
    let names: Vec<String> = fields.keys().cloned().collect();
    let other = match rng.random_range(0..10) {
        0 => Value::Null,
        1 => json!(rng.random::<i64>()),
        2 => json!(rng.random::<f64>() * 1e300),
        3 => json!(vec![TOKENS.choose(rng).expect("some"); 25]),
        4 => json!({"a": {"b": []}}),
        5 => json!("/".repeat(rng.random_range(0..2000))),
        6 => json!("/é".repeat(rng.random_range(0..400))),
        _ => json!(format!(
            "/{}",
            TOKENS.choose(rng).expect("some").repeat(rng.random_range(0..300))
        )),
    };
    fields.insert(names.choose(rng).expect("some").clone(), other);
    body.to_string().into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_wrong_bodies_are_refused_and_leave_nothing() {
    let db = Database::migrated().await;
    // A field that is not known is to be no reason to look at nothing else.
    let api = Api::start_with(&db, &[], &[("UNKNOWN_FIELDS", "warn")]).await;
    let mut rng = StdRng::seed_from_u64(0x5eed);
    let seeds = seeds();
    let requests: Vec<(&str, Vec<u8>)> = (0..6000)
        .map(|n| {
            let (route, body) = seeds.choose(&mut rng).expect("some");
            let body = if n % 2 == 0 { mutated(body, &mut rng) } else { misfit(body, &mut rng) };
            (*route, body)
        })
        .collect();
    let answers = stream::iter(requests).map(|(route, body)| {
        let request = api.client.request(route, "").body(body.clone());
        async move {
            let response = request.send().await.expect("an answer");
            let status = response.status().as_u16();
            let text = response.text().await.expect("a whole answer");
            let shown = || String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
            assert!(status < 500, "{route} {}: {status} {text}", shown());
            let answer: Value = serde_json::from_str(&text).expect("JSON");
            assert!(
                status == 200 || answer["error"]["code"].is_string(),
                "{route} {}: {status} {text}",
                shown()
            );
            made(&answer)
        }
    });
    let made: Vec<usize> = answers.buffer_unordered(16).collect().await;
    let made: usize = made.iter().sum();
    assert!(made > 100, "{made} requests came through: the test looked at parsers alone");
    let there = db.number("SELECT count(*) FROM entry_versions").await;
    assert_eq!(there, i64::try_from(made).unwrap(), "what was refused has left nothing");
    assert_eq!(db.number("SELECT writes FROM quota_usage").await, there);
}

/// How many versions an answer says were made: those of puts and deletes.
fn made(answer: &Value) -> usize {
    let one =
        |answer: &Value| usize::from(answer["ok"] == true && answer["version_id"].is_string());
    answer["results"].as_array().map_or(one(answer), |all| all.iter().map(one).sum())
}
