//! History.

use serde_json::{Value, json};

use crate::support::api::{Api, Client};

async fn history(client: &Client, path: &str, limit: usize) -> Vec<Value> {
    let body = json!({"agent_id": "ada", "path": path, "limit": limit});
    let pages = client.pages("/v1/history", body, "versions").await;
    assert!(pages.iter().all(|page| page.len() <= limit));
    pages.concat()
}

#[tokio::test]
async fn every_version_is_there_newest_first_and_pages_join_without_seam() {
    let (api, _db) = Api::start().await;
    let mut written = Vec::new();
    for i in 0..3 {
        written.push((api.client.put("/x", json!({"i": i})).await, json!({"i": i})));
    }
    written.push((api.client.delete("/x").await, Value::Null));
    let body = json!({"agent_id": "ada", "path": "/x", "value": 7, "ttl_seconds": 1000});
    written.push((api.client.ok("/v1/put", body).await, json!(7)));
    api.client.put("/x/y", json!("another entry")).await;
    for limit in [1, 2, 5, 100] {
        let versions = history(&api.client, "/x", limit).await;
        assert_eq!(versions.len(), 5);
        for (version, (answer, value)) in versions.iter().zip(written.iter().rev()) {
            assert_eq!(version["version_id"], answer["version_id"]);
            assert_eq!(version["created_at"], answer["created_at"]);
            assert_eq!(version["value"], *value);
            let deleted = answer["deleted"] == true;
            let deleted_at = if deleted { &answer["created_at"] } else { &Value::Null };
            assert_eq!(version["deleted_at"], *deleted_at);
            assert_eq!(version["expires_at"].is_string(), *value == json!(7));
            assert_eq!(version.as_object().unwrap().len(), 11);
        }
    }
    assert_eq!(history(&api.client, "/never", 9).await, [Value::Null; 0]);
}

#[tokio::test]
async fn twenty_versions_are_a_page_unless_a_request_says_otherwise() {
    let (api, _db) = Api::start().await;
    for i in 0..21 {
        api.client.put("/x", json!(i)).await;
    }
    let body = json!({"agent_id": "ada", "path": "/x"});
    let pages = api.client.pages("/v1/history", body, "versions").await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [20, 1]);
    let all = history(&api.client, "/x", 21).await;
    assert_eq!(all[20]["value"], 0);
    let body = json!({"agent_id": "ada", "path": "/x", "limit": 21});
    assert!(api.client.ok("/v1/history", body).await.get("next_cursor").is_none());
}

#[tokio::test]
async fn a_page_ends_early_where_values_are_large_and_they_come_byte_for_byte() {
    let (api, _db) = Api::start().await;
    let large = "x".repeat(1_000_000);
    for i in 0..12 {
        api.client.put("/x", json!(format!("{i}{large}"))).await;
    }
    let body = json!({"agent_id": "ada", "path": "/x", "limit": 100});
    let pages = api.client.pages("/v1/history", body, "versions").await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [9, 3]);
    api.client
        .request("/v1/put", r#"{"agent_id":"ada","path":"/n","value": [1.0, 1e2]}"#)
        .send()
        .await
        .unwrap();
    let answer = api.client.request("/v1/history", r#"{"agent_id":"ada","path":"/n"}"#);
    let text = answer.send().await.unwrap().text().await.unwrap();
    assert!(text.starts_with(r#"{"versions":[{"value":[1.0,1e2],"version_id":""#), "{text}");
}

#[tokio::test]
async fn wrong_requests_are_told_what_is_wrong() {
    let (api, _db) = Api::start().await;
    for (body, status, code, sentence) in [
        (json!({"path": "x"}), 400, "INVALID_PATH", "must start with '/'"),
        (json!({"path": "/sys/x"}), 403, "RESERVED_PATH", "reserved"),
        (json!({"path": "/x", "limit": 101}), 400, "VALIDATION_ERROR", "between 1 and 100"),
        (json!({"path": "/x", "limit": -1}), 400, "VALIDATION_ERROR", "limit is -1"),
        (json!({"path": "/x", "cursor": "MA"}), 400, "VALIDATION_ERROR", "start without it"),
        (json!({}), 400, "VALIDATION_ERROR", "missing field `path`"),
    ] {
        let mut whole = body.clone();
        whole["agent_id"] = json!("ada");
        let (got_status, got, message) = api.client.error("/v1/history", whole).await;
        assert_eq!((got_status, got.as_str()), (status, code), "{body}: {message}");
        assert!(message.contains(sentence), "{body}: {message}");
    }
}

/// Tags and the like are put anew with the value: who reads it to change it must see them.
#[tokio::test]
async fn all_that_was_put_with_a_value_comes_with_it() {
    let (api, _db) = Api::start().await;
    let client = &api.client;
    let put = json!({"agent_id": "ada", "path": "/x", "value": "a red bicycle", "tags": ["dear"],
        "importance": 0.75, "searchable": true, "ttl_seconds": 1000});
    client.ok("/v1/put", put).await;
    let entry = json!({"agent_id": "ada", "path": "/x"});
    let moment = client.get("/x").await["created_at"].clone();
    let mut past = entry.clone();
    past["as_of"] = moment;
    let mut operation = entry.clone();
    operation["op"] = json!("get");
    let search = json!({"agent_id": "ada", "query": "bicycle"});
    let dump = client.ok("/v1/dump", json!({"agent_id": "ada"})).await["entries"][0].clone();
    assert_eq!(dump["importance"], 0.75);
    for (route, got) in [
        ("get", client.get("/x").await),
        ("get of the past", client.ok("/v1/get", past).await),
        ("batch", client.ok("/v1/batch", json!({"operations": [operation.clone()]})).await["results"][0].clone()),
        ("atomic", client.ok("/v1/batch", json!({"operations": [operation], "atomic": true})).await["results"][0].clone()),
        ("history", client.ok("/v1/history", entry).await["versions"][0].clone()),
        ("search", client.ok("/v1/search", search).await["results"][0].clone()),
    ] {
        for field in ["value", "tags", "importance", "searchable", "expires_at", "version_id", "created_at"] {
            assert_eq!(got[field], dump[field], "{field} of {route}: {got}");
        }
    }
}
