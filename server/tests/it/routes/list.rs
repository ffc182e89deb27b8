//! List.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::support::api::{Api, Client};

async fn list(client: &Client, prefix: &str, limit: usize) -> Vec<(String, String)> {
    let body = json!({"agent_id": "ada", "prefix": prefix, "limit": limit});
    let pages = client.pages("/v1/list", body, "items").await;
    assert!(pages.iter().all(|page| page.len() <= limit));
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    pages.concat().iter().map(|item| (text(&item["path"]), text(&item["type"]))).collect()
}

#[tokio::test]
async fn direct_children_are_sorted_and_pages_join_without_seam() {
    let (api, _db) = Api::start().await;
    let paths = [
        "/a",
        "/a/x",
        "/a/x/y",
        "/a-b",
        "/a.c/d",
        "/a0",
        "/b/c/d",
        "/b/e",
        "/é",
        "/a\u{1}z/q",
        "/100%",
        "/100_/x",
    ];
    for path in paths {
        api.client.put(path, json!(0)).await;
    }
    let expected: Vec<(String, String)> = [
        ("/100%", "file"),
        ("/100_", "dir"),
        ("/a", "file"),
        ("/a", "dir"),
        ("/a\u{1}z", "dir"),
        ("/a-b", "file"),
        ("/a.c", "dir"),
        ("/a0", "file"),
        ("/b", "dir"),
        ("/é", "file"),
    ]
    .map(|(path, kind)| (path.to_owned(), kind.to_owned()))
    .to_vec();
    for limit in [1, 2, 3, 1000] {
        assert_eq!(list(&api.client, "/", limit).await, expected, "limit {limit}");
    }
    let below_a: Vec<_> =
        [("/a/x", "file"), ("/a/x", "dir")].map(|(p, k)| (p.to_owned(), k.to_owned())).to_vec();
    assert_eq!(list(&api.client, "/a", 1).await, below_a);
    assert_eq!(list(&api.client, "/b/", 9).await.len(), 2);
    assert_eq!(list(&api.client, "/a-b", 9).await, []);
    assert_eq!(list(&api.client, "/nowhere", 9).await, []);
}

#[tokio::test]
async fn what_is_deleted_leaves_the_list() {
    let (api, _db) = Api::start().await;
    api.client.put("/d/one", json!(1)).await;
    api.client.put("/d/two", json!(2)).await;
    api.client.delete("/d/one").await;
    assert_eq!(list(&api.client, "/d", 9).await, [("/d/two".to_owned(), "file".to_owned())]);
    api.client.delete("/d/two").await;
    assert_eq!(list(&api.client, "/", 9).await, []);
}

#[tokio::test]
async fn a_directory_of_many_entries_costs_a_step_a_child() {
    let (api, db) = Api::start().await;
    db.execute(
        "INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at)
         SELECT '00000000-0000-0000-0000-000000000000', 'ada', '/d' || i % 3 || '/' || i, gen_random_uuid(), 1, now()
           FROM generate_series(1, 30000) i",
    )
    .await;
    let listed = list(&api.client, "/", 1000).await;
    assert_eq!(listed, ["/d0", "/d1", "/d2"].map(|d| (d.to_owned(), "dir".to_owned())));
    assert_eq!(list(&api.client, "/d1", 1000).await.len(), 10_000);
}

/// What is in a directory down to a depth, by the rule: sorted by segments, an entry before the directory of its name.
fn tree(paths: &[String], prefix: &str, depth: usize) -> Vec<Value> {
    let mut items = BTreeSet::new();
    for path in paths {
        let Some(below) = path.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')) else {
            continue;
        };
        let segments: Vec<&str> = below.split('/').collect();
        for depth in 1..=depth.min(segments.len()) {
            items.insert((segments[..depth].to_vec(), depth < segments.len()));
        }
    }
    let kind = |is_directory: bool| if is_directory { "dir" } else { "file" };
    let item = |(segments, is_directory): &(Vec<&str>, bool)| json!({"path": format!("{prefix}/{}", segments.join("/")), "type": kind(*is_directory)});
    items.iter().map(item).collect()
}

#[tokio::test]
async fn a_deep_list_tells_every_directory_and_entry_down_to_its_depth_once() {
    let (api, _db) = Api::start().await;
    let mut rng = StdRng::seed_from_u64(24);
    let mut segment = || -> String {
        (0..rng.random_range(1..3))
            .map(|_| ['a', '-', '%', '\u{1}', 'é'][rng.random_range(0..5)])
            .collect()
    };
    let mut paths = BTreeSet::new();
    for i in 0..150 {
        let path: String = (0..=i % 6).flat_map(|_| ["/".to_owned(), segment()]).collect();
        api.client.put(&path, json!(0)).await;
        paths.insert(path);
    }
    for path in paths.iter().step_by(4) {
        api.client.delete(path).await;
    }
    let live: Vec<String> = paths
        .iter()
        .enumerate()
        .filter(|(i, _)| i % 4 != 0)
        .map(|(_, path)| path.clone())
        .collect();
    for (depth, limit) in [(1, 2), (2, 1), (2, 1000), (3, 2), (3, 7), (5, 1), (6, 3), (64, 1000)] {
        for prefix in ["", "/a", "/-", "/a/-", "/nowhere"] {
            let body = json!({"agent_id": "ada", "prefix": format!("{prefix}/"), "depth": depth, "limit": limit});
            let pages = api.client.pages("/v1/list", body, "items").await;
            let (last, others) = pages.split_last().unwrap();
            assert!(others.iter().all(|page| page.len() == limit) && last.len() <= limit);
            let told = format!("depth {depth}, limit {limit}, {prefix:?}");
            assert_eq!(pages.concat(), tree(&live, prefix, depth), "{told}");
        }
    }
}

#[tokio::test]
async fn details_of_entries_come_with_the_list_and_those_of_the_past_with_a_list_of_the_past() {
    let (api, _db) = Api::start().await;
    let first = api.client.put("/d/x", json!("first")).await;
    let body = json!({"agent_id": "ada", "path": "/d/x", "value": {"é": [1.0, "two"]}, "tags": ["t", "u"],
        "importance": 0.5, "searchable": true, "ttl_seconds": 1000});
    let second = api.client.ok("/v1/put", body).await;
    let large = api.client.put("/d/large", json!("x".repeat(100_000))).await;
    api.client.put("/d/x/below", json!(1)).await;
    let gone = api.client.put("/d/anew", json!(1)).await;
    api.client.delete("/d/anew").await;
    let anew = api.client.put("/d/anew", json!(null)).await;
    let of = |fields: Value| {
        let mut body = json!({"agent_id": "ada", "prefix": "/d", "details": true});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        body
    };
    let plain = |path: &str, size: usize, put: &Value, first: &Value| {
        json!({"path": path, "type": "file", "size": size, "version_id": put["version_id"], "created_at": first["created_at"],
            "updated_at": put["created_at"], "expires_at": null, "tags": [], "importance": 0.0, "searchable": false})
    };
    let listed = api.client.ok("/v1/list", of(json!({}))).await;
    let expires = listed["items"][2]["expires_at"].clone();
    assert!(expires.is_string());
    let size = r#"{"é":[1.0,"two"]}"#.len();
    let x = json!({"path": "/d/x", "type": "file", "size": size, "version_id": second["version_id"],
        "created_at": first["created_at"], "updated_at": second["created_at"], "expires_at": expires, "tags": ["t", "u"],
        "importance": 0.5, "searchable": true});
    let expected = [
        plain("/d/anew", 4, &anew, &gone),
        plain("/d/large", 100_002, &large, &large),
        x,
        json!({"path": "/d/x", "type": "dir"}),
    ];
    assert_eq!(listed, json!({"items": expected}));
    for limit in [1, 3] {
        let pages = api.client.pages("/v1/list", of(json!({"limit": limit})), "items").await;
        assert_eq!(pages.concat(), expected, "{limit}");
    }
    // Of the past: the version that was the latest then.
    let past = api.client.ok("/v1/list", of(json!({"as_of": first["created_at"]}))).await;
    assert_eq!(past, json!({"items": [plain("/d/x", 7, &first, &first)]}));
    let deep = of(json!({"prefix": "/", "depth": 2}));
    let deep = api.client.ok("/v1/list", deep).await["items"].clone();
    assert_eq!(deep[0], json!({"path": "/d", "type": "dir"}));
    assert_eq!(deep.as_array().unwrap()[1..], expected);
    let without = api.client.ok("/v1/list", of(json!({"details": false}))).await;
    assert_eq!(without["items"][0], json!({"path": "/d/anew", "type": "file"}));
}

async fn with_details(client: &Client) -> Value {
    let body = json!({"agent_id": "ada", "prefix": "/", "details": true});
    client.ok("/v1/list", body).await["items"].clone()
}

#[tokio::test]
async fn every_write_stores_the_size_of_its_value_and_when_its_entry_began() {
    let (api, db) = Api::start().await;
    let client = &api.client;
    client.put("/a", json!({"é": "€"})).await;
    client.put("/a", json!("x".repeat(9000))).await;
    let put = |path: &str, fields: Value| {
        let mut body = json!({"op": "put", "agent_id": "ada", "path": path, "value": [1, "é"]});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        body
    };
    let absent = json!({"if_version": null});
    let delete = json!({"op": "delete", "agent_id": "ada", "path": "/b"});
    // An entry that begins with several versions: by one statement, and under locks.
    let together = [put("/a/1", json!({})), put("/a/1", json!({"searchable": true}))];
    client.ok("/v1/batch", json!({"operations": together})).await;
    let locked = [put("/b", absent), put("/b", json!({})), delete, put("/b", json!({}))];
    client.ok("/v1/batch", json!({"atomic": true, "operations": locked})).await;
    client.put("/a", json!("again")).await;
    client.ok("/v1/move", json!({"agent_id": "ada", "from": "/a", "to": "/c"})).await;
    client.put("/c", json!("moved and put")).await;
    let wrong = "SELECT count(*) FROM entry_versions WHERE bytes IS DISTINCT FROM octet_length(value::text)";
    assert_eq!(db.number(wrong).await, 0);
    let wrong = "SELECT count(*) FROM entries e WHERE created_at IS DISTINCT FROM
                 (SELECT min(v.created_at) FROM entry_versions v WHERE (v.agent_id, v.path) = (e.agent_id, e.path))";
    assert_eq!(db.number(wrong).await, 0);
    assert_eq!(db.number("SELECT count(*) FROM entries").await, 5);

    // As a program leaves them that knows neither: the same is told.
    let told = with_details(client).await;
    assert_eq!(told.as_array().unwrap().len(), 3, "{told}");
    db.execute("UPDATE entry_versions SET bytes = NULL; UPDATE entries SET created_at = NULL")
        .await;
    assert_eq!(with_details(client).await, told);
    // What is stored is told, and nothing else is looked at.
    db.execute(
        "UPDATE entry_versions SET bytes = 7; UPDATE entries SET created_at = '2001-02-03 00:00Z'",
    )
    .await;
    for item in
        with_details(client).await.as_array().unwrap().iter().filter(|item| item["type"] == "file")
    {
        assert_eq!(
            (&item["size"], &item["created_at"]),
            (&json!(7), &json!("2001-02-03T00:00:00.000000Z"))
        );
    }
}

#[tokio::test]
async fn an_entry_keeps_its_first_date_where_its_first_version_is_gone() {
    let (api, db) = Api::start().await;
    let first = api.client.put("/x", json!(1)).await;
    let second = api.client.put("/x", json!(2)).await;
    let third = api.client.put("/x", json!(3)).await;
    db.execute("DELETE FROM entry_versions WHERE version = 1").await;
    let item = with_details(&api.client).await[0].clone();
    assert_eq!(item["created_at"], first["created_at"]);
    assert_eq!(item["updated_at"], third["created_at"]);
    let past =
        json!({"agent_id": "ada", "prefix": "/", "details": true, "as_of": second["created_at"]});
    let past = api.client.ok("/v1/list", past).await["items"][0].clone();
    assert_eq!(past["created_at"], first["created_at"]);
    // One whose head does not tell it has the date of the oldest version that is kept.
    db.execute("UPDATE entries SET created_at = NULL").await;
    let item = with_details(&api.client).await[0].clone();
    assert_eq!(item["created_at"], second["created_at"]);
}

#[tokio::test]
async fn a_depth_that_cannot_be_is_refused_with_a_sentence() {
    let (api, _db) = Api::start().await;
    let now = jiff::Timestamp::now().to_string();
    for (fields, sentence) in [
        (json!({"depth": 0}), "depth is 0; it must be between 1 and 64"),
        (json!({"depth": 65}), "depth is 65; it must be between 1 and 64"),
        (json!({"depth": "2"}), "expected a whole number"),
        (json!({"details": 1}), "expected true or false"),
        (json!({"depth": 2, "as_of": now}), "the past is listed one directory at a time"),
    ] {
        let mut body = json!({"agent_id": "ada", "prefix": "/"});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let (status, code, message) = api.client.error("/v1/list", body).await;
        assert_eq!((status, code.as_str()), (400, "VALIDATION_ERROR"), "{fields}: {message}");
        assert!(message.contains(sentence), "{fields}: {message}");
    }
    // One that is asked for is one directory at a time.
    let body = json!({"agent_id": "ada", "prefix": "/", "depth": 1, "as_of": now});
    api.client.ok("/v1/list", body).await;
}
