//! MCP at /mcp, as its clients speak it, with a handshake and without one, and on standard input and output.

mod access;
mod edits;
mod protocol;
mod resources;
mod stdio;
mod tools;

use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::support::api::{Api, Client};

/// A version of the protocol that begins with a handshake, and the one that has none.
const OLD: &str = "2025-11-25";
const NEW: &str = "2026-07-28";

/// Speaks MCP with an API.
#[derive(Clone)]
struct Mcp {
    client: Client,
    route: String,
    version: &'static str,
}

impl Mcp {
    /// For one agent, in the version without a handshake.
    fn of(api: &Api, agent: &str) -> Self {
        Self { client: api.client.clone(), route: format!("/mcp/{agent}"), version: NEW }
    }

    fn with_key(&self, key: &str) -> Self {
        Self { client: self.client.with_key(key), ..self.clone() }
    }

    /// A message as a client of the version makes it.
    fn message(&self, method: &str, params: Value) -> Value {
        let mut params = params;
        if self.version == NEW {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": NEW,
                "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {},
            });
        }
        json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
    }

    /// The request of a message, with the headers of the version.
    fn request(&self, message: &Value) -> RequestBuilder {
        let request = self
            .client
            .request(&self.route, &message.to_string())
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", self.version);
        if self.version != NEW {
            return request;
        }
        let request = request.header("mcp-method", message["method"].as_str().unwrap());
        let params = &message["params"];
        match params["name"].as_str().or(params["uri"].as_str()) {
            Some(name) => request.header("mcp-name", name),
            None => request,
        }
    }

    /// Status and body of what is answered to a request.
    async fn answer(&self, method: &str, params: Value) -> (StatusCode, Value) {
        let request = self.request(&self.message(method, params));
        let response = request.send().await.expect("an answer");
        (response.status(), response.json().await.expect("JSON"))
    }

    /// The result of a request that must have one.
    async fn result(&self, method: &str, params: Value) -> Value {
        let (status, mut answer) = self.answer(method, params).await;
        assert_eq!(status, 200, "{method}: {answer}");
        assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(7)), "{answer}");
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].take()
    }

    /// The texts that a tool answers, and whether they are an error.
    async fn called(&self, tool: &str, arguments: Value) -> (Vec<String>, bool) {
        let params = json!({"name": tool, "arguments": arguments});
        let result = self.result("tools/call", params).await;
        let text = |content: &Value| content["text"].as_str().expect("a text").to_owned();
        let texts = result["content"].as_array().expect("content").iter().map(text).collect();
        (texts, result["isError"].as_bool().unwrap_or_default())
    }

    /// The texts of a call that must succeed.
    async fn texts(&self, tool: &str, arguments: Value) -> Vec<String> {
        let (texts, is_error) = self.called(tool, arguments).await;
        assert!(!is_error, "{tool}: {texts:?}");
        texts
    }

    /// The JSON of a call that must succeed.
    async fn ok(&self, tool: &str, arguments: Value) -> Value {
        let texts = self.texts(tool, arguments).await;
        serde_json::from_str(texts.last().expect("a text")).expect("JSON")
    }

    /// The sentence of a call that must fail.
    async fn error(&self, tool: &str, arguments: Value) -> String {
        let (texts, is_error) = self.called(tool, arguments).await;
        assert!(is_error, "{tool}: {texts:?}");
        texts.concat()
    }

    /// The names of the tools that are listed.
    async fn tools(&self) -> Vec<String> {
        let listed = self.result("tools/list", json!({})).await;
        let name = |tool: &Value| tool["name"].as_str().expect("a name").to_owned();
        listed["tools"].as_array().expect("tools").iter().map(name).collect()
    }
}
