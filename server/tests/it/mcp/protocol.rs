//! The protocol over HTTP: handshake, discovery, headers, and what is refused before a tool is called.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Mcp, NEW, OLD};
use crate::support::api::Api;

#[tokio::test]
async fn older_clients_begin_with_a_handshake() {
    let (api, _db) = Api::start().await;
    let mcp = Mcp { version: OLD, ..Mcp::of(&api, "ada") };
    let begin = json!({
        "protocolVersion": OLD, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"},
    });
    let agreed = mcp.result("initialize", begin).await;
    assert_eq!(agreed["protocolVersion"], OLD);
    assert_eq!(agreed["serverInfo"]["name"], "agentfs");
    assert_eq!(agreed["serverInfo"]["version"], env!("CARGO_PKG_VERSION"));
    assert!(agreed["instructions"].as_str().unwrap().contains("memory_search"));
    for capability in ["tools", "resources", "prompts"] {
        assert!(agreed["capabilities"][capability].is_object(), "{agreed}");
    }
    let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let noted = mcp.request(&ready).send().await.unwrap();
    assert_eq!(noted.status(), 202);
    assert_eq!(noted.text().await.unwrap(), "");
    assert_eq!(mcp.result("ping", json!({})).await, json!({}));
    assert_eq!(mcp.tools().await.len(), 8);
    // An older version than ours is agreed on, and one that nobody knows is not.
    for (asked, agreed) in [("2025-03-26", "2025-03-26"), ("1999-01-01", OLD)] {
        let mcp = Mcp { version: asked, ..mcp.clone() };
        let begin = json!({
            "protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"},
        });
        assert_eq!(mcp.result("initialize", begin).await["protocolVersion"], agreed, "{asked}");
    }
}

#[tokio::test]
async fn newer_clients_need_none() {
    let (api, _db) = Api::start().await;
    let mcp = Mcp::of(&api, "ada");
    let found = mcp.result("server/discover", json!({})).await;
    let versions = found["supportedVersions"].as_array().unwrap();
    assert!(versions.contains(&json!(NEW)) && versions.contains(&json!(OLD)), "{found}");
    let listed = mcp.result("tools/list", json!({})).await;
    assert_eq!(
        (&listed["resultType"], &listed["cacheScope"]),
        (&json!("complete"), &json!("private"))
    );
    for tool in listed["tools"].as_array().unwrap() {
        let hints = &tool["annotations"];
        let reads = ["memory_search", "memory_list", "memory_read", "memory_history"];
        let name = tool["name"].as_str().unwrap();
        assert_eq!(hints["readOnlyHint"], reads.contains(&name), "{name}");
        assert_eq!(hints["openWorldHint"], false, "{name}");
        assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{name}");
    }
    assert_eq!(mcp.tools().await, mcp.tools().await);
}

#[tokio::test]
async fn requests_whose_heads_and_bodies_differ_are_refused() {
    let (api, _db) = Api::start().await;
    let mcp = Mcp::of(&api, "ada");
    let message = mcp.message("tools/call", json!({"name": "memory_list", "arguments": {}}));
    let code = async |request: reqwest::RequestBuilder| {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let body: Value = response.json().await.unwrap();
        (status, body["error"]["code"].as_i64())
    };
    let bare = |version: &str| {
        mcp.client
            .request(&mcp.route, &message.to_string())
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", version)
    };
    let other = bare(NEW).header("mcp-method", "tools/list").header("mcp-name", "memory_list");
    assert_eq!(code(other).await, (400, Some(-32020)));
    let none = bare(NEW).header("mcp-method", "tools/call");
    assert_eq!(code(none).await, (400, Some(-32020)));
    let older = bare(OLD).header("mcp-method", "tools/call").header("mcp-name", "memory_list");
    assert_eq!(code(older).await, (400, Some(-32020)));
    let (status, answer) = mcp.answer("no/such", json!({})).await;
    assert_eq!((status.as_u16(), &answer["error"]["code"]), (404, &json!(-32601)));
    let params = json!({"name": "no_such_tool", "arguments": {}});
    let (status, answer) = mcp.answer("tools/call", params).await;
    assert_eq!((status.as_u16(), &answer["error"]["code"]), (200, &json!(-32602)), "{answer}");
}

#[tokio::test]
async fn what_is_no_message_gets_an_error_like_all_others() {
    let (api, _db) = Api::start().await;
    let refused = async |request: reqwest::RequestBuilder, status: u16, code: &str| {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status);
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["code"], code, "{body}");
        assert!(body["error"]["request_id"].is_string(), "{body}");
        body["error"]["message"].as_str().unwrap().to_owned()
    };
    let request = |body: &str| {
        let request = api.client.request("/mcp/ada", body);
        request.header("accept", "application/json, text/event-stream")
    };
    refused(request("{"), 400, "VALIDATION_ERROR").await;
    refused(request("[]"), 400, "VALIDATION_ERROR").await;
    refused(api.client.request("/mcp/ada", "{}"), 400, "VALIDATION_ERROR").await;
    let many =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":[{}0]}}"#, "0,".repeat(5000));
    let sentence = refused(request(&many), 400, "VALIDATION_ERROR").await;
    assert!(sentence.contains("4096"), "{sentence}");
    let large = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#, "x".repeat(1 << 20));
    refused(request(&large), 413, "BODY_TOO_LARGE").await;
    refused(request("{}").header("content-encoding", "gzip"), 415, "UNSUPPORTED_MEDIA_TYPE").await;
    refused(
        api.client.request(&format!("/mcp/{}", "x".repeat(129)), "{}"),
        400,
        "VALIDATION_ERROR",
    )
    .await;
    for method in [Method::GET, Method::DELETE] {
        let request = api.client.http.request(method, format!("{}/mcp", api.client.url));
        refused(request.bearer_auth(&api.client.key), 405, "METHOD_NOT_ALLOWED").await;
    }
}
