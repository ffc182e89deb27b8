//! Filters on values, of dump and search, and the order of a dump.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::api::{Api, Client};

/// Values by the path of their entry. Some numbers are no f64.
const VALUES: [(&str, &str); 12] = [
    ("/a", r#"{"n": 1, "s": "Z", "o": {"x": {"y": 1.0}, "l": [1, 2]}, "b": true, "z": null}"#),
    ("/b", r#"{"n": 1.0, "s": "a", "o": {"l": [1, 2], "x": {"y": 1}}}"#),
    ("/c", r#"{"n": 10, "s": "é", "o": {"x": {"y": "1"}, "l": [2, 1]}, "b": false}"#),
    ("/d", r#"{"n": 12345678901234567890, "s": "\ud83d\ude00"}"#),
    ("/e", r#"{"n": 12345678901234567891, "s": "10"}"#),
    ("/f", r#"{"n": 0.1, "s": "9"}"#),
    ("/g", r#"{"n": 1e-1, "s": ""}"#),
    ("/h", r#"{"n": "1", "s": 1}"#),
    ("/i", r#"{"n": -1e300, "a\"b\\": 1, "$gt": 1, "o": [{"x": 1}]}"#),
    ("/j", r#"[{"n": 1}]"#),
    ("/k", r#""n""#),
    ("/l", "null"),
];

async fn fill(client: &Client) {
    for (path, value) in VALUES {
        let body = format!(
            r#"{{"agent_id": "ada", "path": "{path}", "value": {value}, "searchable": true}}"#
        );
        let answer = client.request("/v1/put", &body).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
}

fn paths(entries: &[Value]) -> String {
    let path = |entry: &Value| entry["path"].as_str().unwrap()[1..].to_owned();
    entries.iter().map(path).collect::<Vec<_>>().concat()
}

/// The request as text, since not every number is one of `Value`.
async fn dump(client: &Client, filter: &str) -> String {
    let body = format!(r#"{{"agent_id": "ada", "filter": {filter}}}"#);
    let answer = client.request("/v1/dump", &body).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    assert!(answer["entries"].is_array(), "{filter}: {answer}");
    assert!(answer.get("next_cursor").is_none(), "{filter}");
    paths(answer["entries"].as_array().unwrap())
}

#[tokio::test]
async fn members_are_compared_by_value_and_by_type() {
    let (api, _db) = Api::start().await;
    fill(&api.client).await;
    for (filter, expected) in [
        ("{}", "abcdefghijkl"),
        ("null", "abcdefghijkl"),
        (r#"{"n": 1}"#, "ab"),
        (r#"{"n": 1.00}"#, "ab"),
        (r#"{"n": "1"}"#, "h"),
        (r#"{"n": 0.1}"#, "fg"),
        (r#"{"n": 0.10000000000000000001}"#, ""),
        (r#"{"n": 12345678901234567890}"#, "d"),
        (r#"{"n": {"$gt": 12345678901234567890}}"#, "e"),
        (r#"{"n": {"$gte": 12345678901234567890}}"#, "de"),
        (r#"{"n": {"$gt": 9}}"#, "cde"),
        (r#"{"n": {"$gte": 0.1, "$lt": 10}}"#, "abfg"),
        (r#"{"n": {"$lte": -1}}"#, "i"),
        (r#"{"n": {"$lt": "2"}}"#, "h"),
        (r#"{"s": {"$gt": "a"}}"#, "cd"),
        (r#"{"s": {"$lte": "Z"}}"#, "aefg"),
        (r#"{"s": {"$gt": "10"}}"#, "abcdf"),
        (r#"{"s": {"$gt": 0}}"#, "h"),
        (r#"{"b": true}"#, "a"),
        (r#"{"z": null}"#, "a"),
        (r#"{"b": {"$ne": true}}"#, "bcdefghijkl"),
        (r#"{"z": {"$ne": null}}"#, "bcdefghijkl"),
        (r#"{"n": {"$ne": 1.0}, "s": {"$ne": "é"}}"#, "defghijkl"),
        (r#"{"o.x.y": 1}"#, "ab"),
        (r#"{"o.x": {"y": 1}}"#, "ab"),
        (r#"{"o": {"l": [1, 2], "x": {"y": 1}}}"#, "ab"),
        (r#"{"o.l": [2, 1]}"#, "c"),
        (r#"{"o.l.0": 1}"#, ""),
        (r#"{"o.0.x": 1}"#, ""),
        (r#"{"o.x": 1}"#, ""),
        (r#"{"a\"b\\": 1}"#, "i"),
        (r#"{"$gt": 1}"#, "i"),
        (r#"{"\" || true || \"": 1}"#, ""),
        (r#"{"n": {"$eq": 1}, "s": "a"}"#, "b"),
        (r#"{"n": {}}"#, ""),
    ] {
        assert_eq!(dump(&api.client, filter).await, expected, "{filter}");
    }
    let one = r#"{"agent_id": "ada", "path": "/m", "value": {"e": {}}}"#;
    api.client.request("/v1/put", one).send().await.unwrap();
    assert_eq!(dump(&api.client, r#"{"e": {}}"#).await, "m");
}

#[tokio::test]
async fn what_is_no_filter_is_refused_with_a_sentence() {
    let (api, _db) = Api::start().await;
    let nested = format!(r#"{{"n": {}1{}}}"#, "[".repeat(200), "]".repeat(200));
    let deep = format!(r#"{{"{}": 1}}"#, vec!["a"; 1000].join("."));
    for (filter, sentence) in [
        ("[]", "filter must be an object"),
        ("\"n\"", "filter must be an object"),
        (
            r#"{"n": {"$in": [1]}}"#,
            r#""n" has the unknown operator "$in"; known are $eq, $ne, $gt, $gte, $lt, $lte"#,
        ),
        (r#"{"n": {"$gt": 1, "m": 2}}"#, r#"the unknown operator "m""#),
        (r#"{"n": {"$gt": null}}"#, "must be a number or a string"),
        (r#"{"a..b": 1}"#, "empty name"),
        (r#"{"n": 1e999}"#, "exponent"),
        (nested.as_str(), "nested deeper"),
        (deep.as_str(), "more than 128 names"),
    ] {
        for (route, query) in [("/v1/dump", ""), ("/v1/search", r#", "query": "x""#)] {
            let body = format!(r#"{{"agent_id": "ada"{query}, "filter": {filter}}}"#);
            let answer = api.client.request(route, &body).send().await.unwrap();
            assert_eq!(answer.status(), 400, "{route} {filter}");
            let answer: Value = answer.json().await.unwrap();
            let message = answer["error"]["message"].as_str().unwrap();
            assert!(message.contains(sentence), "{route} {filter}: {message}");
        }
    }
}

/// 25,000 entries, of which the last one is kept, and a large value in each of 40 others.
const MANY: &str = "
    INSERT INTO entry_versions (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at)
    SELECT '00000000-0000-0000-0000-000000000000'::uuid, gen_random_uuid(), 'ada', '/many/' || lpad(i::text, 5, '0'), 1,
           json_build_object('n', i), '{}'::text[], 0, false, now() - interval '1 hour' - i * interval '1 ms'
      FROM generate_series(1, 25000) i
    UNION ALL
    SELECT '00000000-0000-0000-0000-000000000000'::uuid, gen_random_uuid(), 'ada', '/large/' || i, 1,
           json_build_object('n', i, 'text', repeat('x', 1000000)), '{}'::text[], 0, false, now() - interval '1 hour'
      FROM generate_series(1, 40) i";

const HEADS: &str = "
    INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at)
    SELECT tenant_id, agent_id, path, id, version, created_at FROM entry_versions";

#[tokio::test]
async fn a_filter_looks_at_so_much_a_request_and_goes_on_with_its_cursor() {
    let (api, db) = Api::start().await;
    db.execute(MANY).await;
    db.execute(HEADS).await;
    for order in ["path", "newest"] {
        let pages = async |prefix: &str, filter: Value, limit: usize| {
            let body = json!({"agent_id": "ada", "prefix": prefix, "filter": filter, "order": order, "limit": limit});
            let pages = api.client.pages("/v1/dump", body, "entries").await;
            assert!(pages.iter().all(|page| page.len() <= limit), "{order}");
            pages
        };
        // About 10,000 in a request, and fewer where that takes long.
        let found = pages("/many", json!({"n": 25_000}), 10).await;
        assert!((3..=25).contains(&found.len()), "{order}: {} pages", found.len());
        assert_eq!(found.concat().len(), 1, "{order}");
        let all = pages("/many", json!({"n": {"$lte": 1200}}), 500).await.concat();
        assert_eq!(all.len(), 1200, "{order}");
        assert!(all.is_sorted_by(|a, b| a["value"]["n"].as_u64() < b["value"]["n"].as_u64()));
        // About 32 MiB in a request.
        let large = pages("/large", json!({"n": {"$gt": 100}}), 10).await;
        assert!((2..=10).contains(&large.len()), "{order}: {} pages", large.len());
        assert_eq!(large.concat().len(), 0, "{order}");
    }
}

#[tokio::test]
async fn the_newest_come_first_and_pages_join_without_seam() {
    let (api, db) = Api::start().await;
    for path in ["/a", "/t/b", "/t", "/t/c", "/t-x", "/t/gone", "/t/a"] {
        api.client.put(path, json!({"kind": &path[..2]})).await;
    }
    api.client.put("/t/b", json!({"kind": "/t", "again": true})).await;
    api.client.delete("/t/gone").await;
    // Written at one moment: by path.
    db.execute(
        "UPDATE entries SET updated_at = now() - interval '1 day' WHERE path IN ('/t', '/t/c')",
    )
    .await;
    for (fields, expected) in [
        (json!({}), vec!["/t/b", "/t/a", "/t-x", "/a", "/t", "/t/c"]),
        (json!({"prefix": "/t"}), vec!["/t/b", "/t/a", "/t", "/t/c"]),
        (json!({"filter": {"kind": "/t"}}), vec!["/t/b", "/t/a", "/t-x", "/t", "/t/c"]),
        (json!({"filter": {"again": {"$ne": true}}, "prefix": "/t"}), vec!["/t/a", "/t", "/t/c"]),
    ] {
        for limit in [1, 2, 4, 500] {
            let mut body = json!({"agent_id": "ada", "order": "newest", "limit": limit});
            body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            let pages = api.client.pages("/v1/dump", body, "entries").await;
            assert!(pages.iter().all(|page| page.len() <= limit));
            let entries = pages.concat();
            let paths: Vec<_> = entries.iter().map(|entry| &entry["path"]).collect();
            assert_eq!(paths, expected, "{fields}, {limit}");
        }
    }
    // What is written meanwhile goes to the front, and the rest stays where it was.
    let mut body = json!({"agent_id": "ada", "order": "newest", "limit": 2});
    let first = api.client.ok("/v1/dump", body.clone()).await;
    api.client.put("/new", json!(0)).await;
    api.client.put("/t/c", json!(0)).await;
    body["cursor"] = first["next_cursor"].clone();
    let rest = api.client.pages("/v1/dump", body, "entries").await.concat();
    let rest: Vec<_> = rest.iter().map(|entry| &entry["path"]).collect();
    assert_eq!(rest, ["/t-x", "/a", "/t"]);
}

#[tokio::test]
async fn an_order_that_cannot_be_is_refused_with_a_sentence() {
    let (api, db) = Api::start().await;
    let put = api.client.put("/x", json!(1)).await;
    let path_cursor = "L3g";
    for (fields, sentence) in [
        (
            json!({"order": "newest", "as_of": put["created_at"]}),
            "the past is dumped by path alone",
        ),
        (json!({"order": "oldest"}), "unknown variant `oldest`"),
        (json!({"order": "newest", "cursor": path_cursor}), "start without it"),
    ] {
        let mut body = json!({"agent_id": "ada"});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let (status, _, message) = api.client.error("/v1/dump", body).await;
        assert!(status == 400 && message.contains(sentence), "{fields}: {message}");
    }
    db.execute(
        "INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at)
         SELECT '00000000-0000-0000-0000-000000000000', 'ada', '/many/' || i, gen_random_uuid(), 1, now() - interval '1 day'
           FROM generate_series(1, 100001) i",
    )
    .await;
    let mut body = json!({"agent_id": "ada", "order": "newest"});
    let (status, code, message) = api.client.error("/v1/dump", body.clone()).await;
    assert_eq!((status, code.as_str()), (413, "ANSWER_TOO_LARGE"), "{message}");
    assert!(message.contains("at most 100000") && message.contains("prefix"), "{message}");
    // Deleted ones do not count.
    db.execute("UPDATE entries SET deleted_at = now() WHERE path IN ('/many/1', '/many/100')")
        .await;
    body["limit"] = json!(1);
    let page = api.client.ok("/v1/dump", body.clone()).await;
    assert_eq!(page["entries"][0]["path"], "/x");
    body["prefix"] = json!("/x");
    assert_eq!(api.client.ok("/v1/dump", body).await["count"], 1);
}

#[tokio::test]
async fn a_filter_of_a_search_never_costs_results() {
    let (api, _db) = Api::start().await;
    fill(&api.client).await;
    for batch in 0..4 {
        let operations: Vec<Value> = (0..100)
            .map(|i| {
                let n = batch * 100 + i;
                // The best matches by their words are not those that are kept.
                let text = if n % 20 == 0 { "a note on something else" } else { "note" };
                json!({"op": "put", "agent_id": "ada", "path": format!("/notes/{n}"), "searchable": true,
                       "tags": [if n % 3 == 0 { "three" } else { "other" }], "value": {"n": n, "text": text}})
            })
            .collect();
        api.client.ok("/v1/batch", json!({"operations": operations})).await;
    }
    for (filters, expected) in [
        (json!({"filter": null}), 50),
        (json!({"filter": {}}), 50),
        (json!({"filter": {"text": "a note on something else"}}), 20),
        (json!({"filter": {"n": {"$gte": 390}}}), 10),
        (json!({"filter": {"n": {"$gte": 390}}, "tags_any": ["three"]}), 4),
        (json!({"filter": {"n": {"$lt": 0}}}), 0),
        (json!({"filter": {"n": "7"}}), 0),
        (json!({"filter": {"n": 7}, "path_prefix": "/notes"}), 1),
        (json!({"filter": {"n": 7}, "path_prefix": "/other"}), 0),
    ] {
        let mut body = json!({"agent_id": "ada", "query": "note", "limit": 50, "mode": "text"});
        body.as_object_mut().unwrap().extend(filters.as_object().unwrap().clone());
        let answer = api.client.ok("/v1/search", body).await;
        assert_eq!(answer["results"].as_array().unwrap().len(), expected, "{filters}");
    }
}

#[tokio::test]
async fn dumps_by_filter_stay_whole_while_others_write() {
    let (api, _db) = Api::start().await;
    for n in 0..40 {
        api.client.put(&format!("/n/{n:02}"), json!({"stays": n % 2 == 0})).await;
    }
    let other = api.client.clone();
    let writing = tokio::spawn(async move {
        for round in 0.. {
            let n = round % 20 * 2 + 1;
            other.put(&format!("/n/{n:02}"), json!({"stays": false, "round": round})).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    for order in ["path", "newest"] {
        for limit in [1, 3, 500] {
            let body = json!({"agent_id": "ada", "filter": {"stays": true}, "order": order, "limit": limit});
            let entries = api.client.pages("/v1/dump", body, "entries").await.concat();
            let mut expected: Vec<String> =
                (0..40).step_by(2).map(|n| format!("/n/{n:02}")).collect();
            if order == "newest" {
                expected.reverse();
            }
            let paths: Vec<&str> =
                entries.iter().map(|entry| entry["path"].as_str().unwrap()).collect();
            assert_eq!(paths, expected, "{order}, {limit}");
        }
    }
    writing.abort();
}
