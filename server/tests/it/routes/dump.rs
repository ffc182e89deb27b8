//! Dump.

use serde_json::{Value, json};

use crate::support::api::Api;

#[tokio::test]
async fn live_entries_come_whole_in_path_order_and_pages_join_without_seam() {
    let (api, _db) = Api::start().await;
    for path in ["/b", "/a", "/a/b", "/a-b", "/é", "/gone"] {
        api.client.put(path, json!(path)).await;
    }
    api.client.delete("/gone").await;
    let body = json!({"agent_id": "ada", "path": "/all", "value": null, "tags": ["t", "u"],
        "importance": 0.3, "searchable": true, "ttl_seconds": 1000});
    let put = api.client.ok("/v1/put", body).await;
    api.client.ok("/v1/put", json!({"agent_id": "bob", "path": "/x", "value": 1})).await;
    for limit in [1, 2, 6, 500] {
        let body = json!({"agent_id": "ada", "limit": limit});
        let pages = api.client.pages("/v1/dump", body, "entries").await;
        assert!(pages.iter().all(|page| page.len() <= limit && !page.is_empty()), "{limit}");
        let entries = pages.concat();
        let paths: Vec<_> = entries.iter().map(|entry| &entry["path"]).collect();
        assert_eq!(paths, ["/a", "/a-b", "/a/b", "/all", "/b", "/é"]);
        assert!(entries.iter().all(|e| e["path"] == "/all" || e["value"] == e["path"]));
        let all = &entries[3];
        assert_eq!(
            *all,
            json!({"path": "/all", "value": null, "tags": ["t", "u"], "importance": 0.3, "searchable": true,
                "version_id": put["version_id"], "created_at": put["created_at"], "expires_at": all["expires_at"]})
        );
        assert!(all["expires_at"].is_string());
    }
    let page = api.client.ok("/v1/dump", json!({"agent_id": "ada", "limit": 4})).await;
    assert_eq!(page["count"], 4);
    assert_eq!(
        api.client.ok("/v1/dump", json!({"agent_id": "nobody"})).await,
        json!({"entries": [], "count": 0})
    );
}

#[tokio::test]
async fn a_page_ends_early_where_values_are_large() {
    let (api, _db) = Api::start().await;
    let large = "x".repeat(1_000_000);
    for i in 0..12 {
        api.client.put(&format!("/{i:02}"), json!(large)).await;
    }
    api.client.put("/small", json!(1)).await;
    for limit in [10, 500] {
        let body = json!({"agent_id": "ada", "limit": limit});
        let pages = api.client.pages("/v1/dump", body, "entries").await;
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [9, 4], "limit {limit}");
        assert_eq!(pages.concat()[12]["path"], "/small");
    }
}

#[tokio::test]
async fn many_deleted_entries_take_several_requests_and_nothing_is_lost() {
    let (api, db) = Api::start().await;
    api.client.put("/a", json!(1)).await;
    api.client.put("/z", json!(2)).await;
    db.execute(
        "INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at, deleted_at)
         SELECT '00000000-0000-0000-0000-000000000000', 'ada', '/d/' || i, gen_random_uuid(), 1, now(), now()
           FROM generate_series(1, 120000) i",
    )
    .await;
    let pages = api.client.pages("/v1/dump", json!({"agent_id": "ada"}), "entries").await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
    let now = jiff::Timestamp::now().to_string();
    let body = json!({"agent_id": "ada", "as_of": now});
    let pages = api.client.pages("/v1/dump", body, "entries").await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [1, 0, 0, 0, 0, 0, 1]);
}

#[tokio::test]
async fn a_prefix_keeps_what_is_at_it_or_below_it_segment_by_segment() {
    let (api, _db) = Api::start().await;
    let paths = [
        "/acme",
        "/acme!",
        "/acme-corp/x",
        "/acme/a",
        "/acme/b/c",
        "/acme0",
        "/a%/x",
        "/a_/x",
        "/a\\/x",
        "/ab/x",
        "/é/x",
    ];
    for path in paths {
        api.client.put(path, json!(path)).await;
    }
    api.client.put("/gone", json!(0)).await;
    api.client.put("/gone/not", json!(0)).await;
    api.client.delete("/gone").await;
    let now = api.client.put("/z", json!(0)).await["created_at"].clone();
    for (prefix, expected) in [
        ("/acme", &["/acme", "/acme/a", "/acme/b/c"][..]),
        ("/acme/", &["/acme", "/acme/a", "/acme/b/c"]),
        ("/acme/b", &["/acme/b/c"]),
        ("/acme/b/c", &["/acme/b/c"]),
        ("/a%", &["/a%/x"]),
        ("/a_", &["/a_/x"]),
        ("/a\\", &["/a\\/x"]),
        ("/é", &["/é/x"]),
        ("/gone", &["/gone/not"]),
        ("/acm", &[]),
    ] {
        for limit in [1, 2, 3, 500] {
            for as_of in [Value::Null, now.clone()] {
                let body =
                    json!({"agent_id": "ada", "prefix": prefix, "limit": limit, "as_of": as_of});
                let pages = api.client.pages("/v1/dump", body, "entries").await;
                assert!(pages.iter().all(|page| page.len() <= limit), "{prefix}, {limit}");
                let entries = pages.concat();
                let paths: Vec<_> = entries.iter().map(|entry| &entry["path"]).collect();
                assert_eq!(paths, expected, "{prefix}, {limit}, {as_of}");
            }
        }
    }
    let all = api.client.ok("/v1/dump", json!({"agent_id": "ada"})).await;
    let root = api.client.ok("/v1/dump", json!({"agent_id": "ada", "prefix": "/"})).await;
    assert_eq!(all, root);
    assert_eq!(all["count"], 13);
}

#[tokio::test]
async fn a_prefix_passes_over_what_only_begins_like_it() {
    let (api, db) = Api::start().await;
    api.client.put("/d", json!(1)).await;
    api.client.put("/d/z", json!(2)).await;
    // More than one request looks at, between an entry and those below it.
    db.execute(
        "INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at)
         SELECT '00000000-0000-0000-0000-000000000000', 'ada', '/d-' || i, gen_random_uuid(), 1, now()
           FROM generate_series(1, 120000) i",
    )
    .await;
    let dumped = api.client.ok("/v1/dump", json!({"agent_id": "ada", "prefix": "/d"})).await;
    assert_eq!(dumped["count"], 2);
    assert!(dumped.get("next_cursor").is_none());
}

#[tokio::test]
async fn wrong_requests_are_told_what_is_wrong() {
    let (api, _db) = Api::start().await;
    for (body, sentence) in [
        (json!({"agent_id": ""}), "agent_id must not be empty"),
        (json!({"agent_id": "ada", "limit": 501}), "between 1 and 500"),
        // "x", which is no path.
        (json!({"agent_id": "ada", "cursor": "eA"}), "start without it"),
        (
            json!({"agent_id": "ada", "limit": "7"}),
            "invalid type: string \"7\", expected a whole number",
        ),
        // "/a", which is not below the prefix.
        (json!({"agent_id": "ada", "prefix": "/b", "cursor": "L2E"}), "start without it"),
        (Value::Null, "the body is not what this route takes"),
    ] {
        let (status, code, message) = api.client.error("/v1/dump", body.clone()).await;
        assert_eq!((status, code.as_str()), (400, "VALIDATION_ERROR"), "{body}: {message}");
        assert!(message.contains(sentence), "{body}: {message}");
    }
}

#[tokio::test]
async fn a_prefix_must_be_a_path() {
    let (api, _db) = Api::start().await;
    for (prefix, code) in
        [("notes", "INVALID_PATH"), ("/a/../b", "INVALID_PATH"), ("/sys", "RESERVED_PATH")]
    {
        let body = json!({"agent_id": "ada", "prefix": prefix});
        assert_eq!(api.client.error("/v1/dump", body).await.1, code, "{prefix}");
    }
}
