//! Every route is asked the dearest question that it accepts, over and over, while another tenant puts and gets, and while
//! somebody looks whether the process lives.

use std::thread;
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Map, Value, json};
use sqlx::Executor as _;
use tokio::runtime::Runtime;

use crate::support::api::Client;
use crate::support::cli::admin_json;
use crate::support::database::Database;
use crate::support::process::Process;

/// Longer than anything takes that does not hang.
const HANGS: Duration = Duration::from_secs(10);

/// How often the other tenant puts, gets and looks while nobody else asks.
const ROUNDS: usize = 200;

/// Much of everything, as an agent may have written it: names of characters under the slash, a long history, large values,
/// and many words.
const MUCH: &str = "
    INSERT INTO entry_versions (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at)
    SELECT '00000000-0000-0000-0000-000000000000', gen_random_uuid(), 'ada', '/' || lpad(i::text, 4, '0') || repeat('-', 400), 1,
           to_json(repeat('x', 20000)), '{}', 0, true, now() - interval '1 hour'
      FROM generate_series(1, 2000) i;
    INSERT INTO entry_versions (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at)
    SELECT '00000000-0000-0000-0000-000000000000', gen_random_uuid(), 'ada', '/hot', i, to_json(repeat('x', 20000)), '{}', 0, false,
           now() - interval '1 hour' + i * interval '1 ms'
      FROM generate_series(1, 1000) i;
    INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at)
    SELECT DISTINCT ON (path) tenant_id, agent_id, path, id, version, created_at FROM entry_versions ORDER BY path, version DESC;
    INSERT INTO search_documents (tenant_id, agent_id, path, version_id, document, form, form_version_id)
    SELECT tenant_id, agent_id, path, latest_version_id, words.document, 1, latest_version_id
      FROM entries
     CROSS JOIN (SELECT to_tsvector('english', string_agg('w' || i, ' ')) AS document FROM generate_series(1, 8000) i) words
     WHERE path <> '/hot'
     LIMIT 300";

/// The dearest question to each route.
fn questions() -> Vec<(&'static str, Value)> {
    let past = "2026-01-01T00:00:00Z";
    let words: Vec<String> = (1..=64).map(|n| format!("w{n}")).collect();
    let nested = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let nested: Value = serde_json::from_str(&nested).unwrap();
    let many: Vec<Value> =
        (0..20_000).map(|n| json!(format!("word{n} \u{6771}\u{4eac}"))).collect();
    let puts = |n: usize| {
        json!({"op": "put", "agent_id": "ada", "path": format!("/b/{n}"), "value": many[..400], "searchable": true,
               "idempotency_key": format!("k{n}")})
    };
    let gets = |n: usize| json!({"op": "get", "agent_id": "ada", "path": if n == 0 { "/hot" } else { "/b/1" }});
    let batch = |operations: Vec<Value>, atomic: bool| {
        ("/v1/batch", json!({"operations": operations, "atomic": atomic}))
    };
    let stars = format!("/{}", "*-".repeat(250));
    let classes = format!("/**{}[!a-z]", "?".repeat(400));
    // Of members that are not there, each of which must be looked for.
    let deep = vec!["a"; 128].join(".");
    let conditions: Value =
        (0..16).map(|n| (format!("{deep}{n}"), json!({"$ne": n}))).collect::<Map<_, _>>().into();
    vec![
        ("/v1/list", json!({"agent_id": "ada", "prefix": "/", "limit": 1000})),
        ("/v1/list", json!({"agent_id": "ada", "prefix": "/", "limit": 1000, "as_of": past})),
        ("/v1/list", json!({"agent_id": "ada", "prefix": "/", "depth": 64, "details": true})),
        ("/v1/dump", json!({"agent_id": "ada", "filter": conditions})),
        ("/v1/dump", json!({"agent_id": "ada", "filter": conditions, "order": "newest"})),
        ("/v1/glob", json!({"agent_id": "ada", "pattern": stars})),
        ("/v1/glob", json!({"agent_id": "ada", "pattern": classes, "as_of": past})),
        ("/v1/dump", json!({"agent_id": "ada", "limit": 500})),
        ("/v1/dump", json!({"agent_id": "ada", "limit": 500, "as_of": past})),
        ("/v1/history", json!({"agent_id": "ada", "path": "/hot", "limit": 100})),
        ("/v1/agents", json!({"limit": 1000})),
        ("/v1/search", json!({"agent_id": "ada", "query": words.join(" "), "limit": 50})),
        ("/v1/get", json!({"agent_id": "ada", "path": "/hot", "as_of": past})),
        (
            "/v1/put",
            json!({"agent_id": "ada", "path": "/large", "value": many, "searchable": true}),
        ),
        (
            "/v1/put",
            json!({"agent_id": "ada", "path": "/nested", "value": nested, "searchable": true}),
        ),
        batch((0..100).map(puts).collect(), true),
        batch((0..100).map(puts).collect(), false),
        batch((0..100).map(gets).collect(), true),
    ]
}

/// Times of one kind of request.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    async fn of<T>(&mut self, request: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let answer = request.await;
        self.0.push(began.elapsed());
        answer
    }

    fn print(&mut self, what: &str) {
        self.0.sort_unstable();
        let at = |percent: usize| self.0[(self.0.len() - 1) * percent / 100];
        eprintln!("{what}: p50 {:?}, p99 {:?}, longest {:?}", at(50), at(99), at(100));
        assert!(at(100) < HANGS, "{what} hangs");
    }
}

/// What another tenant, and a probe, meet until it is over: everything succeeds.
async fn watch(client: &Client, when: &str, is_over: impl Fn(usize) -> bool) {
    let [mut puts, mut gets, mut looks] = [(); 3].map(|()| Times::default());
    for n in (0..).take_while(|n| !is_over(*n)) {
        let path = format!("/n/{}", n % 1000);
        let put = json!({"agent_id": "bob", "path": path, "value": n});
        puts.of(client.ok("/v1/put", put)).await;
        let got = gets.of(client.ok("/v1/get", json!({"agent_id": "bob", "path": path}))).await;
        assert_eq!(got["value"], n);
        let look = client.http.get(format!("{}/livez", client.url)).send();
        assert_eq!(looks.of(look).await.unwrap().status(), 200);
    }
    puts.print(&format!("puts, {when}"));
    gets.print(&format!("gets, {when}"));
    looks.print(&format!("/livez, {when}"));
}

/// Each of several keys of one tenant asks everything, from its own place on; none of it hangs.
async fn ask_all(keys: &[Client]) -> Times {
    let questions = &questions();
    let asking = keys.iter().enumerate().map(async |(nth, client)| {
        let mut times = Times::default();
        for (route, body) in questions.iter().cycle().skip(nth * 3).take(questions.len()) {
            let answer = times.of(client.try_post(route, body.clone())).await;
            let (status, answer) = answer.unwrap();
            // What is too much, or too much at once, is refused with a sentence.
            let is_expected = [200, 413, 429, 503].contains(&status.as_u16());
            assert!(is_expected, "{route}: {status} {answer}");
        }
        times.0
    });
    Times(join_all(asking).await.concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_question_stops_the_others() {
    let database = Database::migrated().await;
    // In a process of its own, so that what clients compute holds up no answer.
    let server = Process::start(&[("DATABASE_URL", &database.url)]);
    server.wait_until_ready().await;
    database.connect().await.execute(MUCH).await.unwrap();
    let key = |arguments: &[&str]| {
        let made = admin_json(&database, &[&["create-key"], arguments].concat());
        Client::new(server.url(), made["api_key"].as_str().unwrap().to_owned())
    };
    let tenant = admin_json(&database, &["create-tenant", "other"]);
    let other = key(&["--tenant", tenant["tenant_id"].as_str().unwrap()]);
    let keys: Vec<Client> = (0..10).map(|_| key(&[])).collect();
    watch(&other, "quiet", |n| n == ROUNDS).await;
    let asking = thread::spawn(move || Runtime::new().unwrap().block_on(ask_all(&keys)));
    watch(&other, "beside the dearest questions", |_| asking.is_finished()).await;
    asking.join().unwrap().print("the dearest questions");
}
