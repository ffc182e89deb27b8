//! Searches of the past.

use std::collections::BTreeMap;
use std::time::Duration;

use agentfs_server::maintenance::search_repair::repair_search;
use agentfs_server::maintenance::sweeper::sweep_once;
use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::support::api::{Api, Client, tenants_key};
use crate::support::semantic::start;
use crate::support::worker::{OPEN, Worker, until};

fn with(mut body: Value, more: &Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// Puts a searchable value; says when.
async fn put(client: &Client, path: &str, value: Value, tags: &[&str]) -> Value {
    let body =
        json!({"agent_id": "ada", "path": path, "value": value, "tags": tags, "searchable": true});
    client.ok("/v1/put", body).await["created_at"].clone()
}

async fn search(client: &Client, query: &str, more: Value) -> Value {
    client.ok("/v1/search", with(json!({"agent_id": "ada", "query": query}), &more)).await
}

fn paths(answer: &Value) -> Vec<&str> {
    let results = answer["results"].as_array().expect("results").iter();
    results.map(|result| result["path"].as_str().expect("a path")).collect()
}

fn sorted(answer: &Value) -> Vec<&str> {
    let mut paths = paths(answer);
    paths.sort_unstable();
    paths
}

fn note(answer: &Value) -> &str {
    answer["note"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn the_past_is_searched_as_it_was_then() {
    let (api, database) = Api::start().await;
    let other = api.client.with_key(&tenants_key(&database).await);
    let client = &api.client;
    put(client, "/stays", json!("peanuts, walnuts and PEANUTS"), &[]).await;
    put(client, "/notes/a", json!({"text": "peanuts in the soup", "state": "open"}), &["food"])
        .await;
    put(client, "/notes/b", json!({"text": "the red peanuts", "state": "done"}), &["food"]).await;
    put(client, "/notes/c", json!("walnuts with rice"), &["food", "dear"]).await;
    put(client, "/notes-more", json!("peanuts again, in a box"), &[]).await;
    client.put("/silent", json!("peanuts that nobody may find")).await;
    for body in [
        json!({"agent_id": "bob", "path": "/notes/a", "value": "peanuts of bob", "searchable": true}),
        json!({"agent_id": "ada", "path": "/notes/a", "value": "peanuts of another tenant", "searchable": true}),
    ] {
        let client = if body["agent_id"] == "bob" { client } else { &other };
        client.ok("/v1/put", body).await;
    }
    let moment = put(client, "/tea", json!("peanuts with tea"), &[]).await;
    let asked = [
        json!({}),
        json!({"limit": 2}),
        json!({"path_prefix": "/notes"}),
        json!({"path_prefix": "/notes/b"}),
        json!({"tags_any": ["food"]}),
        json!({"tags_any": ["dear", "none"]}),
        json!({"filter": {"state": "open"}}),
        json!({"filter": {"state": {"$ne": "open"}}, "path_prefix": "/notes", "tags_any": ["food"]}),
    ];
    let queries = ["peanuts", "red peanuts in soup", "WALNUTS", "rice nobody"];
    let mut then = Vec::new();
    for (query, more) in queries.iter().flat_map(|query| asked.iter().map(move |a| (query, a))) {
        let more = with(json!({"mode": "text"}), more);
        then.push((query, more.clone(), search(client, query, more).await));
    }

    put(client, "/notes/a", json!({"text": "cashews", "state": "done"}), &["other"]).await;
    put(client, "/notes/b", json!("walnuts and cashews"), &[]).await;
    client.put("/notes/b", json!("no longer searchable")).await;
    client.delete("/notes/c").await;
    client.delete("/tea").await;
    put(client, "/tea", json!("rooibos"), &[]).await;
    put(client, "/notes-more", json!("peanuts again, in a bag"), &["food"]).await;
    put(client, "/silent", json!("peanuts that may be found now"), &["food"]).await;
    put(client, "/new", json!("peanuts that were not there"), &["food"]).await;
    for client in [client, &other] {
        client.ok("/v1/delete", json!({"agent_id": "bob", "path": "/notes/a"})).await;
    }
    other.delete("/notes/a").await;

    for repaired in [false, true] {
        if repaired {
            repair_search(&database.address().pool(1)).await.unwrap();
        }
        for (query, more, expected) in &then {
            let more = with(more.clone(), &json!({"as_of": moment}));
            let answer = search(client, query, more.clone()).await;
            assert_eq!(answer["results"], expected["results"], "{query} {more}");
        }
        let unknown = search(client, "cashews rooibos", json!({"as_of": moment})).await;
        assert_eq!(paths(&unknown), [""; 0]);
        let now = search(client, "cashews rooibos", json!({})).await;
        assert_eq!(sorted(&now), ["/notes/a", "/tea"]);
    }
    let with_version =
        json!({"as_of": moment, "min_version": then[0].2["results"][0]["version_id"]});
    assert_eq!(paths(&search(client, "walnuts rice", with_version).await)[0], "/notes/c");
}

const PATHS: [&str; 8] = ["/a", "/a-b", "/a/b", "/a/b/c", "/a!/c", "/b", "/b/a", "/é"];

/// What became of a path, and when.
struct Written {
    at: Timestamp,
    path: &'static str,
    /// The number and the version, if a search may find it.
    found: Option<(usize, Value)>,
}

async fn write(client: &Client, rng: &mut StdRng, count: usize) -> Vec<Written> {
    let mut written = Vec::new();
    for number in 0..count {
        let path = PATHS[rng.random_range(0..PATHS.len())];
        let mut body = json!({"agent_id": "ada", "path": path});
        let kind = rng.random_range(0..10);
        let route = if kind < 7 { "/v1/put" } else { "/v1/delete" };
        if route == "/v1/put" {
            let more = json!({
                "value": {"text": "peanuts", "number": number},
                "tags": [if number % 2 == 0 { "even" } else { "odd" }],
                "searchable": kind != 0,
                "ttl_seconds": (kind == 1).then_some(1),
            });
            body = with(body, &more);
        }
        let answer = client.ok(route, body).await;
        if answer["deleted"] == false {
            continue;
        }
        let at = answer["created_at"].as_str().unwrap().parse().unwrap();
        let found = (2..7).contains(&kind).then(|| (number, answer["version_id"].clone()));
        written.push(Written { at, path, found });
    }
    written
}

#[tokio::test]
async fn a_search_finds_the_versions_of_the_moment_and_no_others() {
    let (api, database) = Api::start().await;
    let client = &api.client;
    let pool = database.address().pool(1);
    for seed in 0..3 {
        database.execute("TRUNCATE entries, entry_versions, search_documents").await;
        let mut rng = StdRng::seed_from_u64(seed);
        let written = write(client, &mut rng, 80).await;
        tokio::time::sleep(Duration::from_millis(1100)).await;
        for round in 0..24 {
            let shift = [0, -1, 1, rng.random_range(-3_000..3_000)][round % 4];
            let moment =
                written[rng.random_range(0..written.len())].at + SignedDuration::from_micros(shift);
            let mut tree = BTreeMap::new();
            for write in written.iter().filter(|write| write.at <= moment) {
                tree.insert(write.path, &write.found);
            }
            let least = rng.random_range(0..80);
            for (more, keeps) in [
                (json!({}), [true, true, true]),
                (json!({"path_prefix": "/a"}), [false, true, true]),
                (json!({"tags_any": ["even"]}), [true, false, true]),
                (json!({"filter": {"number": {"$gte": least}}}), [true, true, false]),
            ] {
                let mut expected: Vec<(&str, Value)> = Vec::new();
                for (path, found) in &tree {
                    let Some((number, version)) = found else { continue };
                    let is_kept = (keeps[0] || *path == "/a" || path.starts_with("/a/"))
                        && (keeps[1] || number % 2 == 0)
                        && (keeps[2] || *number >= least);
                    if is_kept {
                        expected.push((*path, version.clone()));
                    }
                }
                let more = with(more, &json!({"as_of": moment.to_string(), "limit": 50}));
                let answer = search(client, "peanuts", more.clone()).await;
                let mut found: Vec<(&str, Value)> = Vec::new();
                for result in answer["results"].as_array().unwrap() {
                    found.push((result["path"].as_str().unwrap(), result["version_id"].clone()));
                }
                found.sort_by_key(|(path, _)| *path);
                assert_eq!(found, expected, "seed {seed}, {more}");
            }
            if round == 8 {
                sweep_once(&pool).await.unwrap();
                repair_search(&pool).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_moment_at_which_nothing_could_be_found_says_so() {
    let (api, _database) = Api::start().await;
    let client = &api.client;
    let none = "at as_of there was no searchable entry";
    let first = client.put("/silent", json!("peanuts")).await["created_at"].clone();
    let moment = put(client, "/a", json!("peanuts"), &["food"]).await;
    let ask = async |more: Value| search(client, "peanuts", more).await;
    for as_of in [&json!("2001-01-01T00:00:00Z"), &first] {
        let before = ask(json!({"as_of": as_of})).await;
        assert!(paths(&before).is_empty() && note(&before).contains(none), "{before}");
    }
    let tagged = ask(json!({"as_of": moment, "tags_any": ["other"]})).await;
    assert!(note(&tagged).contains(none), "{tagged}");
    for deleted in [false, true] {
        if deleted {
            client.delete("/a").await;
        }
        assert_eq!(paths(&ask(json!({"as_of": moment})).await), ["/a"]);
        let other = search(client, "walnuts", json!({"as_of": moment})).await;
        assert!(paths(&other).is_empty() && !note(&other).contains(none), "{other}");
    }
}

/// One entry more than a search of the past looks at, each deleted since.
const MANY: &str = "
    WITH many AS (
        SELECT CASE WHEN i <= 300 THEN '/few/' ELSE '/many/' END || i AS path, i FROM generate_series(1, 10001) i
    ), versions AS (
        INSERT INTO entry_versions (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at)
        SELECT '00000000-0000-0000-0000-000000000000', gen_random_uuid(), 'ada', path, 1, to_json('peanuts number' || i), '{}', 0,
               true, '2020-01-01T00:00:00Z'
          FROM many
    )
    INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at, deleted_at)
    SELECT '00000000-0000-0000-0000-000000000000', 'ada', path, gen_random_uuid(), 2, now(), now() FROM many";

#[tokio::test]
async fn so_many_that_were_written_since_are_looked_at_and_no_more() {
    let (api, database) = Api::start().await;
    database.execute(MANY).await;
    let body = |more: Value| {
        let body = json!({"agent_id": "ada", "query": "peanuts number77", "limit": 50, "as_of": "2021-01-01T00:00:00Z"});
        with(body, &more)
    };
    let (status, code, message) = api.client.error("/v1/search", body(json!({}))).await;
    assert_eq!((status, code.as_str()), (413, "ANSWER_TOO_LARGE"), "{message}");
    assert!(message.contains("no more than 10000 entries"), "{message}");
    let few = api.client.ok("/v1/search", body(json!({"path_prefix": "/few"}))).await;
    assert_eq!((paths(&few)[0], paths(&few).len()), ("/few/77", 50));
    // Nothing was written after this moment.
    let now =
        api.client.ok("/v1/search", body(json!({"as_of": Timestamp::now().to_string()}))).await;
    assert_eq!(paths(&now), [""; 0]);
}

#[tokio::test]
async fn so_many_bytes_that_were_written_since_are_looked_at_and_no_more() {
    let (api, _database) = Api::start().await;
    let client = &api.client;
    let large = json!(format!("peanuts {}", "x".repeat(990_000)));
    for n in 0..9 {
        put(client, &format!("/large/{n}"), large.clone(), &[]).await;
    }
    let moment = put(client, "/small", json!("peanuts"), &[]).await;
    let text = json!({"mode": "text", "as_of": moment, "limit": 2});
    assert_eq!(paths(&search(client, "peanuts", text.clone()).await).len(), 2, "none has changed");
    for n in 0..9 {
        client.delete(&format!("/large/{n}")).await;
    }
    let body = with(json!({"agent_id": "ada", "query": "peanuts"}), &text);
    let (status, code, message) = client.error("/v1/search", body.clone()).await;
    assert_eq!((status, code.as_str()), (413, "ANSWER_TOO_LARGE"), "{message}");
    assert!(message.contains("at 8 MiB of what they were"), "{message}");
    let narrow = with(body, &json!({"path_prefix": "/large/7"}));
    assert_eq!(paths(&client.ok("/v1/search", narrow).await), ["/large/7"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_changed_is_found_by_its_words_and_the_rest_by_meaning() {
    let (api, database, provider) = start(&[]).await;
    let client = &api.client;
    let embed_all = async || {
        let worker = Worker::start(&database, &provider, &[]);
        until(&database, "SELECT count(*) FROM embedding_models WHERE state = 'serving'", 1).await;
        until(&database, OPEN, 0).await;
        worker.stop().await;
    };
    for (path, text) in [
        ("/a", "Ada is allergic to peanuts"),
        ("/b", "the red bicycle stands in the cellar"),
        ("/c/d", "invoice 4711 was paid in May"),
        ("/c/e", "~~~~~~~~"),
    ] {
        put(client, path, json!(text), &[]).await;
    }
    embed_all().await;
    let moment = put(client, "/waits", json!("a zeppelin over the lake"), &[]).await;
    database.execute("UPDATE embedding_jobs SET status = 'failed' WHERE status = 'queued'").await;
    let query = "peanuts bicycle zeppelin";
    let modes = [Value::Null, json!("hybrid"), json!("semantic"), json!("text")];
    let ask =
        async |mode: &Value| search(client, query, json!({"mode": mode, "as_of": moment})).await;
    // As long as nothing was written since, the past is as the present.
    for mode in &modes {
        let now = search(client, query, json!({"mode": mode})).await;
        let then = ask(mode).await;
        assert_eq!(then, now, "{mode}");
    }

    put(client, "/a", json!("the red bicycle stands in the cellar"), &[]).await;
    client.delete("/b").await;
    put(client, "/new", json!("peanuts and a zeppelin"), &[]).await;
    // What was written is embedded anew, and the embedding of what was deleted is removed.
    embed_all().await;
    repair_search(&database.address().pool(1)).await.unwrap();
    let since = "2 entries written or deleted after as_of can be found by full-text search only";
    for mode in &modes {
        let answer = ask(mode).await;
        let expected: &[&str] = match mode.as_str() {
            Some("text") => &["/a", "/b", "/waits"],
            Some("semantic") => &["/c/d", "/c/e"],
            _ => &["/a", "/b", "/c/d", "/c/e", "/waits"],
        };
        assert_eq!(sorted(&answer), expected, "{mode}: {answer}");
        assert_eq!(note(&answer).contains(since), mode != "text", "{mode}: {answer}");
        assert_eq!(
            note(&answer).contains("1 entry has no embedding yet"),
            mode != "text",
            "{answer}"
        );
        for result in answer["results"].as_array().unwrap() {
            if result["path"] == "/a" {
                assert_eq!(result["value"], "Ada is allergic to peanuts");
            }
        }
    }
    // A name that only a former version has.
    put(client, "/c/d", json!("nothing of interest"), &[]).await;
    let named = search(client, "what was 4711 about?", json!({"as_of": moment, "limit": 3})).await;
    assert_eq!(paths(&named), ["/c/d", "/c/e"], "a name comes first: {named}");
    let now = search(client, query, json!({})).await;
    assert!(!note(&now).contains("as_of"), "{now}");
}
