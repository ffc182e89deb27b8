//! Glob.

use serde_json::json;

use crate::support::api::{Api, Client};

async fn glob(client: &Client, pattern: &str, limit: usize) -> Vec<String> {
    let body = json!({"agent_id": "ada", "pattern": pattern, "limit": limit});
    let pages = client.pages("/v1/glob", body, "paths").await;
    assert!(pages.iter().all(|page| page.len() <= limit));
    pages.concat().iter().map(|path| path.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn patterns_find_live_paths_sorted_and_pages_join_without_seam() {
    let (api, _db) = Api::start().await;
    for path in ["/n/b", "/n/a", "/n/a/deep", "/n/é", "/n-/a", "/n/gone", "/na", "/%", "/x_"] {
        api.client.put(path, json!(0)).await;
    }
    api.client.delete("/n/gone").await;
    for limit in [1, 2, 1000] {
        assert_eq!(glob(&api.client, "/n/*", limit).await, ["/n/a", "/n/b", "/n/é"], "{limit}");
        assert_eq!(
            glob(&api.client, "/**/a*", limit).await,
            ["/n-/a", "/n/a"],
            "a segment that begins with a, limit {limit}"
        );
        assert_eq!(glob(&api.client, "/**", limit).await.len(), 8);
    }
    assert_eq!(glob(&api.client, "/n/a", 9).await, ["/n/a"]);
    assert_eq!(glob(&api.client, "/[%x]*", 9).await, ["/%", "/x_"]);
    assert_eq!(glob(&api.client, "/_", 9).await, [""; 0]);
    assert_eq!(glob(&api.client, "/", 9).await, [""; 0]);
}

#[tokio::test]
async fn wrong_patterns_limits_and_cursors_are_refused_with_a_sentence() {
    let (api, _db) = Api::start().await;
    for (body, code, sentence) in [
        (json!({"pattern": "n/*"}), "INVALID_GLOB", "must start with '/'"),
        (json!({"pattern": "/[a"}), "INVALID_GLOB", "without its ']'"),
        (json!({"pattern": "/a/../b*"}), "INVALID_GLOB", "the segment \"..\""),
        (json!({"pattern": "/./*"}), "INVALID_GLOB", "the segment \".\""),
        (json!({"pattern": "/*", "limit": 0}), "VALIDATION_ERROR", "between 1 and 1000"),
        (json!({"pattern": "/*", "cursor": "%"}), "VALIDATION_ERROR", "start without it"),
        // "/m", which no glob of "/n" gives.
        (json!({"pattern": "/n*", "cursor": "L20"}), "VALIDATION_ERROR", "start without it"),
    ] {
        let mut whole = body.clone();
        whole["agent_id"] = json!("ada");
        let (status, got, message) = api.client.error("/v1/glob", whole).await;
        assert_eq!((status, got.as_str()), (400, code), "{body}: {message}");
        assert!(message.contains(sentence), "{body}: {message}");
    }
}

#[tokio::test]
async fn a_glob_that_finds_little_in_much_goes_on_with_its_cursor() {
    let (api, db) = Api::start().await;
    db.execute(
        "INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at)
         SELECT '00000000-0000-0000-0000-000000000000', 'ada', '/d/' || i, gen_random_uuid(), 1, now()
           FROM generate_series(1, 120000) i",
    )
    .await;
    assert_eq!(glob(&api.client, "/**/99999", 1000).await, ["/d/99999"]);
    assert_eq!(glob(&api.client, "/d/1*", 1000).await.len(), 31_112);
}
