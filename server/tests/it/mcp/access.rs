//! Who may do what by MCP, and what is counted and logged.

use std::time::Duration;

use serde_json::{Value, json};

use super::Mcp;
use crate::support::api::{Api, new_key, tenants_key};
use crate::support::database::Database;
use crate::support::minute::early_in_the_minute;

#[tokio::test]
async fn only_valid_keys_are_let_in() {
    let (api, database) = Api::start().await;
    let mcp = Mcp::of(&api, "ada");
    let stranger = mcp.with_key("nonsense");
    let refused = stranger.request(&mcp.message("tools/list", json!({}))).send().await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["www-authenticate"]),
        (401, &"Bearer".parse().unwrap())
    );
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["error"]["code"], "UNAUTHORIZED");

    mcp.ok("memory_write", json!({"path": "/x", "text": "ours"})).await;
    let others = mcp.with_key(&tenants_key(&database).await);
    assert!(others.error("memory_read", json!({"path": "/x"})).await.starts_with("NOT_FOUND"));
    database.execute("UPDATE api_keys SET revoked_at = now()").await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(mcp.answer("tools/list", json!({})).await.0, 401);
}

#[tokio::test]
async fn a_key_is_offered_what_its_scopes_allow() {
    let (api, database) = Api::start().await;
    let mcp = Mcp::of(&api, "ada");
    let all = [
        "memory_search",
        "memory_list",
        "memory_read",
        "memory_write",
        "memory_edit",
        "memory_move",
        "memory_delete",
        "memory_history",
    ];
    assert_eq!(mcp.tools().await, all);
    for (scopes, offered) in [
        (vec!["memory:read"], vec!["memory_list", "memory_read", "memory_history"]),
        (vec!["memory:write"], vec!["memory_write", "memory_move", "memory_delete"]),
        (vec!["search:read"], vec!["memory_search"]),
        (vec!["admin"], all.to_vec()),
    ] {
        let mcp = mcp.with_key(&new_key(&database, &scopes).await);
        assert_eq!(mcp.tools().await, offered, "{scopes:?}");
        let prompts = mcp.result("prompts/list", json!({})).await;
        let searches = offered.contains(&"memory_search");
        assert_eq!(prompts["prompts"].as_array().unwrap().len(), usize::from(searches));
    }
    let reader = mcp.with_key(&new_key(&database, &["memory:read"]).await);
    for (tool, arguments) in [
        ("memory_write", json!({"path": "/x", "text": "1"})),
        ("memory_edit", json!({"path": "/x", "old_text": "1", "new_text": "2"})),
        ("memory_move", json!({"from": "/x", "to": "/y"})),
        ("memory_delete", json!({"path": "/x"})),
        ("memory_search", json!({"query": "x"})),
    ] {
        let sentence = reader.error(tool, arguments).await;
        assert!(
            sentence.starts_with("FORBIDDEN") && sentence.contains("lacks the scope"),
            "{sentence}"
        );
    }
    assert_eq!(database.number("SELECT count(*) FROM entry_versions").await, 0);
}

#[tokio::test]
async fn limits_and_quotas_hold_and_are_counted() {
    let database = Database::migrated().await;
    let limits = [("WRITE_QUOTA_PER_DAY", "1"), ("SEARCH_RATE_LIMIT_PER_MINUTE", "1")];
    let api = Api::start_with(&database, &[], &limits).await;
    let mcp = Mcp::of(&api, "ada");
    early_in_the_minute().await;
    mcp.ok("memory_write", json!({"path": "/x", "text": "needle"})).await;
    let used_up = mcp.error("memory_write", json!({"path": "/y", "text": "b"})).await;
    assert!(
        used_up.starts_with("QUOTA_WRITES_PER_DAY") && used_up.contains("try again after"),
        "{used_up}"
    );
    mcp.ok("memory_search", json!({"query": "needle"})).await;
    let used_up = mcp.error("memory_search", json!({"query": "needle"})).await;
    assert!(used_up.starts_with("RATE_LIMIT_EXCEEDED"), "{used_up}");
    let metrics = api.metrics().await;
    for line in [
        r#"agentfs_mcp_calls_total{call="memory_write",outcome="ok"} 1"#,
        r#"agentfs_mcp_calls_total{call="memory_write",outcome="QUOTA_WRITES_PER_DAY"} 1"#,
        r#"agentfs_mcp_calls_total{call="memory_search",outcome="RATE_LIMIT_EXCEEDED"} 1"#,
        r#"agentfs_quota_denials_total{type="writes"} 1"#,
        r#"agentfs_rate_limit_denials_total{type="searches"} 1"#,
        r#"agentfs_http_requests_total{method="POST",route="/mcp/{agent_id}",status="200"} 4"#,
    ] {
        assert!(metrics.lines().any(|of| of == line), "no {line} in:\n{metrics}");
    }

    let few = api.replica(&database, &[("RATE_LIMIT_REQUESTS_PER_MINUTE", "2")]).await;
    let mcp = Mcp::of(&few, "ada");
    early_in_the_minute().await;
    for status in [200, 200, 429] {
        assert_eq!(mcp.answer("tools/list", json!({})).await.0, status);
    }
}

#[tokio::test]
async fn web_pages_are_refused_unless_their_origin_is_allowed() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &[], &[]).await;
    let status = async |api: &Api, name: &'static str, value: &str| {
        let mcp = Mcp::of(api, "ada");
        let request = mcp.request(&mcp.message("tools/list", json!({}))).header(name, value);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let body: Value = response.json().await.unwrap();
        (status, body["error"]["message"].as_str().unwrap_or_default().to_owned())
    };
    let (refused, sentence) = status(&api, "origin", "https://evil.example").await;
    assert!(refused == 403 && sentence.contains("MCP_ALLOWED_ORIGINS"), "{refused} {sentence}");
    assert_eq!(status(&api, "origin", "null").await.0, 403);
    assert_eq!(status(&api, "host", "agentfs.agents.svc").await.0, 200);

    let some = [
        ("MCP_ALLOWED_HOSTS", "agentfs.example.com"),
        ("MCP_ALLOWED_ORIGINS", "https://good.example"),
    ];
    let careful = api.replica(&database, &some).await;
    let host = "agentfs.example.com";
    assert_eq!(status(&careful, "host", host).await.0, 200);
    assert_eq!(status(&careful, "host", "evil.example").await.0, 403);
    let mcp = Mcp::of(&careful, "ada");
    for (origin, expected) in [
        ("https://good.example", 200),
        ("https://good.example:8443", 403),
        ("http://good.example", 403),
        ("https://good.example.evil.example", 403),
    ] {
        let request = mcp.request(&mcp.message("tools/list", json!({})));
        let answer = request.header("host", host).header("origin", origin).send().await.unwrap();
        assert_eq!(answer.status(), expected, "{origin}");
    }
}

#[tokio::test]
async fn it_can_be_turned_off() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &[], &[("ENABLE_MCP", "false")]).await;
    let (status, answer) = Mcp::of(&api, "ada").answer("tools/list", json!({})).await;
    assert_eq!((status.as_u16(), &answer["error"]["code"]), (404, &json!("NOT_FOUND")));
    assert!(answer["error"]["message"].as_str().unwrap().contains("ENABLE_MCP"), "{answer}");
}
