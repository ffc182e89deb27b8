//! Fields that a route does not know.

use serde_json::{Value, json};

use crate::support::api::{Api, new_key};
use crate::support::database::Database;

const WARN: (&str, &str) = ("UNKNOWN_FIELDS", "warn");

#[tokio::test]
async fn a_field_that_a_route_does_not_know_is_refused_and_the_nearest_known_one_named() {
    let (api, db) = Api::start().await;
    let entry = json!({"agent_id": "ada", "path": "/x"});
    let put = json!({"agent_id": "ada", "path": "/x", "value": {"ttl": 1}});
    let batch = |op: &str, field: &str| {
        json!({"operations": [
            {"op": "get", "agent_id": "ada", "path": "/x"},
            {"op": op, "agent_id": "ada", "path": "/x", "value": {"ttl": 1}, field: null},
        ]})
    };
    let cases = [
        ("/v1/put", with(&put, "ttl"), "`ttl` is not known; did you mean `ttl_seconds`?"),
        (
            "/v1/put",
            with(&put, "Searchable"),
            "`Searchable` is not known; did you mean `searchable`?",
        ),
        (
            "/v1/put",
            with(&put, "colour"),
            "`colour` is not known; known are `agent_id`, `path`, `value`,",
        ),
        (
            "/v1/put",
            json!({"agentId": "ada", "path": "/x"}),
            "`agentId` is not known; did you mean `agent_id`?",
        ),
        ("/v1/get", with(&entry, "asof"), "`asof` is not known; did you mean `as_of`?"),
        (
            "/v1/get",
            with(&entry, "min_versoin"),
            "`min_versoin` is not known; did you mean `min_version`?",
        ),
        (
            "/v1/delete",
            with(&entry, "version"),
            "`version` is not known; did you mean `if_version`?",
        ),
        ("/v1/history", with(&entry, "limits"), "`limits` is not known; did you mean `limit`?"),
        (
            "/v1/list",
            json!({"agent_id": "ada", "prefix": "/", "path": "/"}),
            "`path` is not known; did you mean `prefix`?",
        ),
        ("/v1/search", json!({"agent_id": "ada", "q": "x"}), "did you mean `query`?"),
        ("/v1/batch", json!({"ops": []}), "`ops` is not known; did you mean `operations`?"),
        (
            "/v1/glob",
            json!({"agent_id": "ada", "pattern": "/*", "Cursor": ""}),
            "did you mean `cursor`?",
        ),
        (
            "/v1/dump",
            json!({"agent_id": "ada", "limti": 1}),
            "`limti` is not known; did you mean `limit`?",
        ),
        (
            "/v1/agents",
            json!({"agent_id": "ada"}),
            "`agent_id` is not known; known are `limit`, `cursor`",
        ),
        (
            "/v1/search",
            json!({"agent_id": "ada", "query": "x", "path_prefx": "/a"}),
            "did you mean `path_prefix`?",
        ),
        (
            "/v1/batch",
            json!({"operations": [], "atomik": true}),
            "`atomik` is not known; did you mean `atomic`?",
        ),
        ("/v1/batch", batch("put", "ttl"), "operations[1]: the field `ttl` is not known"),
        (
            "/v1/batch",
            batch("delete", "if_versions"),
            "operations[1]: the fields `if_versions`, `value` are not known; known are",
        ),
    ];
    for (route, body, sentence) in cases {
        let (status, code, message) = api.client.error(route, body).await;
        assert_eq!((status, code.as_str()), (400, "VALIDATION_ERROR"), "{route}: {message}");
        assert!(message.contains(sentence), "{route}: {message:?} lacks {sentence:?}");
    }
    assert_eq!(db.number("SELECT count(*) FROM entry_versions").await, 0);
    api.client.ok("/v1/put", put).await;
    let known =
        json!({"op": "put", "agent_id": "ada", "path": "/x", "value": 1, "idempotency_key": "k"});
    api.client.ok("/v1/batch", json!({"operations": [known]})).await;
}

#[tokio::test]
async fn administrators_and_query_strings_are_told_too() {
    let database = Database::migrated().await;
    let api = Api::start_with(
        &database,
        &[],
        &[("ADMIN_BOOTSTRAP_TOKEN", "t0ken-of-more-than-thirty-two-characters")],
    )
    .await;
    let admin = api.client.with_key(&new_key(&database, &["admin"]).await);
    for (route, body, sentence) in [
        (
            "/v1/admin/create-key",
            json!({"tenant": null}),
            "`tenant` is not known; did you mean `tenant_id`?",
        ),
        (
            "/v1/admin/create-tenant",
            json!({"name": "x", "label": "y"}),
            "`label` is not known; known are `name`",
        ),
        (
            "/v1/admin/embeddings/requeue",
            json!({"status": "failed", "tenant_id": null}),
            "`tenant_id` is not known; known are `status`, `limit`",
        ),
    ] {
        let (status, _, message) = admin.error(route, body).await;
        assert!(status == 400 && message.contains(sentence), "{route}: {message}");
    }
    // Who asks comes before what is asked.
    let stranger = api.client.with_key("nonsense");
    assert_eq!(stranger.error("/v1/admin/create-key", json!({"tenant": null})).await.0, 401);
    assert_eq!(stranger.error("/v1/get?limit=1", json!({"ttl": null})).await.0, 401);
    admin
        .ok("/v1/admin/create-key", json!({"token": "t0ken-of-more-than-thirty-two-characters"}))
        .await;

    let list = json!({"agent_id": "ada", "prefix": "/"});
    let (status, code, message) = api.client.error("/v1/list?limit=1", list.clone()).await;
    assert_eq!((status, code.as_str()), (400, "VALIDATION_ERROR"));
    assert!(message.contains("`limit`") && message.contains("query string"), "{message}");
    api.client.ok("/v1/list?", list).await;
}

#[tokio::test]
async fn where_it_is_only_warned_the_answer_names_what_was_ignored() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &[], &[WARN]).await;
    let ask = async |route: &str, body: Value| {
        let answer = api.client.request(route, &body.to_string()).send().await.unwrap();
        let ignored = answer.headers().get("x-ignored-fields");
        let ignored = ignored.map(|names| names.to_str().unwrap().to_owned());
        (answer.status().as_u16(), ignored.unwrap_or_default())
    };
    let put = json!({"agent_id": "ada", "path": "/x", "value": {"ttl": 1}});
    assert_eq!(ask("/v1/put", put.clone()).await, (200, String::new()));
    assert_eq!(ask("/v1/put", with(&put, "ttl")).await, (200, "ttl".into()));
    assert_eq!(ask("/v1/put", with(&put, "a\r\n,é%")).await, (200, "a%0D%0A%2C%C3%A9%25".into()));
    assert_eq!(ask("/v1/put?ttl=1", with(&put, "tag")).await, (200, "?ttl, tag".into()));
    assert_eq!(ask("/v1/put", json!({"ttl": 1})).await, (400, "ttl".into()));
    let operation =
        |field: &str| with(&json!({"op": "get", "agent_id": "ada", "path": "/x"}), field);
    let batch = json!({"operations": [operation("as_of"), operation("tag")], "note": 1});
    assert_eq!(ask("/v1/batch", batch).await, (200, "note, operations[1].tag".into()));
    let many: serde_json::Map<String, Value> =
        (0..1000).map(|n| (format!("{n:0>200}"), json!(n))).collect();
    let (status, ignored) = ask("/v1/agents", many.into()).await;
    assert!(status == 200 && ignored.len() < 4096, "{status} {ignored}");
}

fn with(body: &Value, field: &str) -> Value {
    let mut body = body.clone();
    body[field] = Value::Null;
    body
}
