//! List.

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
