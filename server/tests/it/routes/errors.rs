//! What wrong requests are told.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::api::Api;

#[tokio::test]
async fn wrong_fields_are_named() {
    let (api, db) = Api::start().await;
    let cases = [
        (
            json!({"path": "notes/lunch"}),
            400,
            "INVALID_PATH",
            "path must start with '/', got \"notes/lunch\"",
        ),
        (json!({"path": "/sys/x"}), 403, "RESERVED_PATH", "reserved"),
        (json!({"path": "/"}), 400, "INVALID_PATH", "root"),
        (json!({"agent_id": ""}), 400, "VALIDATION_ERROR", "agent_id must not be empty"),
        (json!({"ttl_seconds": 0}), 400, "VALIDATION_ERROR", "ttl_seconds is 0"),
        (json!({"importance": 2}), 400, "VALIDATION_ERROR", "importance is 2"),
        (json!({"tags": vec!["x"; 21]}), 400, "VALIDATION_ERROR", "tags has 21 items"),
        (json!({"tags": "x"}), 400, "VALIDATION_ERROR", "expected a list"),
        (json!({"value": "a\0b"}), 400, "VALIDATION_ERROR", "\\u0000"),
        (
            json!({"tags": {}}),
            400,
            "VALIDATION_ERROR",
            "`tags`: invalid type: map, expected a list",
        ),
        (json!({"searchable": "yes"}), 400, "VALIDATION_ERROR", "`searchable`: invalid type"),
        (
            json!({"if_version": "5"}),
            400,
            "VALIDATION_ERROR",
            "`if_version`: not a version (give the version_id that get, put or history answered",
        ),
        (
            json!({"agent_id": 7}),
            400,
            "VALIDATION_ERROR",
            "invalid type: integer `7`, expected a string",
        ),
    ];
    for (change, status, code, sentence) in cases {
        let mut body = json!({"agent_id": "ada", "path": "/x", "value": 1});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let (got_status, got_code, message) = api.client.error("/v1/put", body).await;
        assert_eq!((got_status, got_code.as_str()), (status, code), "{message}");
        assert!(message.contains(sentence), "{message:?} lacks {sentence:?}");
    }
    let (_, code, message) =
        api.client.error("/v1/put", json!({"agent_id": "ada", "path": "/x"})).await;
    assert_eq!(
        (code.as_str(), message.contains("missing field `value`")),
        ("VALIDATION_ERROR", true),
        "{message}"
    );
    for (body, told) in [
        ("", "the body is empty; send a JSON object"),
        (
            r#"{"path":none}"#,
            "expected true, false or null at line 1 column 10; text takes double quotes",
        ),
    ] {
        let answer = api.client.request("/v1/put", body).send().await.unwrap();
        assert_eq!(answer.status(), 400);
        let answer: Value = answer.json().await.unwrap();
        assert!(answer["error"]["message"].as_str().unwrap().contains(told), "{answer}");
    }
    assert_eq!(db.number("SELECT count(*) FROM entry_versions").await, 0);
}

async fn envelope(response: reqwest::Response) -> (u16, String) {
    let status = response.status().as_u16();
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"]["request_id"], id);
    (status, body["error"]["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn every_failure_has_the_envelope() {
    let (api, _db) = Api::start().await;
    let client = &api.client;
    let send =
        |request: reqwest::RequestBuilder| async { envelope(request.send().await.unwrap()).await };
    let url = |route: &str| format!("{}{route}", client.url);
    assert_eq!(send(client.http.get(url("/nowhere"))).await, (404, "NOT_FOUND".into()));
    for (path, told) in [
        ("/v1/serch", "did you mean /v1/search?"),
        ("/put", "did you mean /v1/put?"),
        ("/v1/admin/create_key/", "did you mean /v1/admin/create-key?"),
        ("/nowhere", "no such route; GET /docs shows all routes"),
    ] {
        let answer = client.http.post(url(path)).send().await.unwrap().text().await.unwrap();
        assert!(answer.contains(told), "{path}: {answer}");
    }
    let wrong_method = client.http.request(Method::GET, url("/v1/put")).send().await.unwrap();
    assert_eq!(wrong_method.headers()["allow"], "POST");
    assert_eq!(envelope(wrong_method).await, (405, "METHOD_NOT_ALLOWED".into()));
    assert_eq!(
        send(client.http.post(url("/v1/put")).bearer_auth(&client.key).body("{}")).await,
        (415, "UNSUPPORTED_MEDIA_TYPE".into())
    );
    assert_eq!(send(client.request("/v1/put", "{")).await, (400, "VALIDATION_ERROR".into()));
    assert_eq!(send(client.request("/v1/put", "")).await, (400, "VALIDATION_ERROR".into()));
    let large = format!(r#"{{"agent_id":"a","path":"/x","value":"{}"}}"#, "x".repeat(1 << 20));
    assert_eq!(send(client.request("/v1/put", &large)).await, (413, "BODY_TOO_LARGE".into()));
    let deep = format!(
        r#"{{"agent_id":"a","path":"/x","value":{}1{}}}"#,
        "[".repeat(50_000),
        "]".repeat(50_000)
    );
    assert_eq!(send(client.request("/v1/put", &deep)).await, (400, "VALIDATION_ERROR".into()));
    let cursor = r#"{"agent_id":"a","prefix":"/","cursor":"bad"}"#;
    assert_eq!(send(client.request("/v1/list", cursor)).await, (400, "VALIDATION_ERROR".into()));
}

#[tokio::test]
async fn request_ids_are_echoed_or_made() {
    let (api, _db) = Api::start().await;
    let get = |id: &'static str| {
        api.client
            .request("/v1/get", r#"{"agent_id":"a","path":"/x"}"#)
            .header("x-request-id", id)
            .send()
    };
    assert_eq!(get("my-id-1").await.unwrap().headers()["x-request-id"], "my-id-1");
    assert_ne!(get("not ok!").await.unwrap().headers()["x-request-id"], "not ok!");
}

#[tokio::test]
async fn a_list_is_no_object() {
    let (api, _db) = Api::start().await;
    for (route, body) in [
        ("/v1/get", json!(["ada", "/x"])),
        ("/v1/agents", json!([null, null])),
        ("/v1/batch", json!({"operations": [["get", null]]})),
    ] {
        let (_, code, message) = api.client.error(route, body).await;
        assert!(code == "VALIDATION_ERROR" && message.contains("found a list"), "{message}");
    }
}

#[tokio::test]
async fn a_byte_order_mark_is_skipped() {
    let (api, _db) = Api::start().await;
    let body = r#"{"agent_id":"ada","path":"/x","value":1}"#;
    let put = api.client.request("/v1/put", &format!("\u{feff}{body}")).send().await.unwrap();
    assert_eq!(put.status(), 200, "{}", put.text().await.unwrap());
    // It is no body.
    assert_eq!(api.client.request("/v1/agents", "\u{feff}").send().await.unwrap().status(), 200);
    assert_eq!(
        api.client.request("/v1/put", "\u{feff}\u{feff}{}").send().await.unwrap().status(),
        400
    );
}

#[tokio::test]
async fn a_coding_of_the_body_is_refused() {
    let (api, db) = Api::start().await;
    let body = r#"{"agent_id":"ada","path":"/x","value":1}"#;
    for (coding, wanted) in
        [("gzip", 415), ("identity, br", 415), ("identity", 200), ("Identity", 200)]
    {
        let request = api.client.request("/v1/put", body).header("content-encoding", coding);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), wanted, "{coding}");
        if wanted == 415 {
            let answer: Value = answer.json().await.unwrap();
            assert_eq!(answer["error"]["code"], "UNSUPPORTED_MEDIA_TYPE");
            let message = answer["error"]["message"].as_str().unwrap();
            assert!(message.contains("Content-Encoding"), "{message}");
        }
    }
    assert_eq!(db.number("SELECT count(*) FROM entry_versions").await, 2);
}

#[tokio::test]
async fn what_cannot_go_well_the_next_time_says_that_to_clients_that_send_again() {
    let (api, _db) = Api::start().await;
    api.client.put("/x", json!(1)).await;
    let conflict = r#"{"agent_id":"ada","path":"/x","value":1,"if_version":null}"#;
    let semantic = r#"{"agent_id":"ada","query":"x","mode":"semantic"}"#;
    for (route, body, status, wanted) in [
        ("/v1/put", conflict, 409, Some("false")),
        ("/v1/search", semantic, 503, Some("false")),
        ("/v1/put", "{}", 400, None),
    ] {
        let answer = api.client.request(route, body).send().await.unwrap();
        assert_eq!(answer.status(), status);
        let told = answer.headers().get("x-should-retry").map(|told| told.to_str().unwrap());
        assert_eq!(told, wanted, "{route}");
    }
}
