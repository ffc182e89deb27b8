//! MCP over standard input and output, for programs that start their servers themselves. Each message is passed on to the /mcp of an API,
//! so that both have the same tools, whatever versions of the protocol they speak.

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::thread;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hyper::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinSet;

use crate::transfer::{Client, Refusal};

const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// From this version on, requests over HTTP say in their heads what they are.
const WITH_HEADERS: &str = "2026-07-28";
/// Where a request says its version, from then on.
const VERSION_OF_REQUEST: &str = "/params/_meta/io.modelcontextprotocol~1protocolVersion";

/// Messages and answers that may wait to be passed on.
const WAITING: usize = 16;

/// What JSON-RPC calls a text that is no JSON, one that is no message, and a failure of the server.
const NO_JSON: i64 = -32700;
const NO_MESSAGE: i64 = -32600;
const FAILED: i64 = -32000;

/// Passes messages on for one agent.
#[derive(Debug)]
pub struct Bridge {
    client: Client,
    route: String,
}

/// A message of the client, and the version that the handshake has agreed on, if there was one.
struct Message {
    json: Value,
    agreed: Option<String>,
}

impl Bridge {
    /// For an agent of an API.
    pub fn new(client: Client, agent: &str) -> Self {
        let route = format!("/mcp/{}", utf8_percent_encode(agent, NON_ALPHANUMERIC));
        Self { client, route }
    }

    /// Passes on what comes from `input` until its end, and what is answered to `output`, both one message a line.
    pub async fn run(
        self,
        input: impl BufRead + Send + 'static,
        mut output: impl Write,
    ) -> io::Result<()> {
        let (answers, mut waiting) = mpsc::channel(WAITING);
        let pass_on = Arc::new(self).pass_on(lines(input), answers);
        let write = async {
            while let Some(answer) = waiting.recv().await {
                let line: String = answer + "\n";
                output.write_all(line.as_bytes())?;
                output.flush()?;
            }
            Ok(())
        };
        tokio::try_join!(pass_on, write).map(|((), ())| ())
    }

    async fn pass_on(
        self: Arc<Self>,
        mut lines: Receiver<io::Result<String>>,
        answers: Sender<String>,
    ) -> io::Result<()> {
        let mut agreed = None;
        let mut under_way = JoinSet::new();
        while let Some(line) = lines.recv().await.transpose()? {
            while under_way.try_join_next().is_some() {}
            if line.trim().is_empty() {
                continue;
            }
            let json = match message(&line) {
                Ok(json) => json,
                Err(error) => {
                    send(&answers, Some(error)).await;
                    continue;
                }
            };
            let message = Message { json, agreed: agreed.clone() };
            if message.method() == Some("initialize") {
                // What follows is sent with the version that it agrees on.
                let answer = self.answer(&message, line).await;
                agreed = answer.as_deref().and_then(version_agreed_on).or(agreed);
                send(&answers, answer).await;
                continue;
            }
            let (bridge, answers) = (self.clone(), answers.clone());
            under_way.spawn(async move {
                let answer = bridge.answer(&message, line).await;
                send(&answers, answer).await;
            });
        }
        under_way.join_all().await;
        Ok(())
    }

    /// The answer to a message; none to a notification.
    async fn answer(&self, message: &Message, line: String) -> Option<String> {
        let answered = self.client.send(&self.route, message.headers(), line).await;
        let failure = match answered.map(|answer| said(&answer)) {
            Ok(Ok(answer)) => return answer,
            Ok(Err(failure)) | Err(failure) => failure,
        };
        eprintln!("{failure}");
        let id = message.json.get("id")?;
        Some(error(id, FAILED, &failure))
    }
}

/// The lines of `input`, read by a thread of its own: it waits for each.
fn lines(input: impl BufRead + Send + 'static) -> Receiver<io::Result<String>> {
    let (sender, lines) = mpsc::channel(WAITING);
    thread::spawn(move || {
        for line in input.lines() {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    lines
}

/// A line as a message, or the answer to one that is none.
fn message(line: &str) -> Result<Value, String> {
    match serde_json::from_str(line) {
        Ok(json @ Value::Object(_)) => Ok(json),
        Ok(_) => {
            let sentence = "a line must be one JSON-RPC message, which is an object";
            Err(error(&Value::Null, NO_MESSAGE, sentence))
        }
        Err(why) => Err(error(&Value::Null, NO_JSON, &why.to_string())),
    }
}

impl Message {
    fn method(&self) -> Option<&str> {
        self.json.get("method")?.as_str()
    }

    /// The version of the protocol that it is of.
    fn version(&self) -> Option<&str> {
        self.json.pointer(VERSION_OF_REQUEST).and_then(Value::as_str).or(self.agreed.as_deref())
    }

    /// What its method is about.
    fn name(&self) -> Option<&str> {
        let field = match self.method()? {
            "tools/call" | "prompts/get" => "name",
            "resources/read" => "uri",
            _ => return None,
        };
        self.json.get("params")?.get(field)?.as_str()
    }

    fn headers(&self) -> HeaderMap {
        let accepted = HeaderValue::from_static("application/json, text/event-stream");
        let mut headers = HeaderMap::from_iter([(ACCEPT, accepted)]);
        let mut insert = |name: HeaderName, value: Option<&str>| {
            let value = value.and_then(|value| HeaderValue::try_from(header_text(value)).ok());
            headers.extend(value.map(|value| (name, value)));
        };
        if self.method() != Some("initialize") {
            insert(VERSION, self.version());
        }
        if self.version().is_some_and(|version| version >= WITH_HEADERS) {
            insert(METHOD, self.method());
            insert(NAME, self.name());
        }
        headers
    }
}

/// A text as a header holds it: what could not stand there is coded.
fn header_text(text: &str) -> String {
    let stands = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if stands && text.trim() == text && !text.starts_with("=?base64?") {
        text.to_owned()
    } else {
        format!("=?base64?{}?=", BASE64_STANDARD.encode(text))
    }
}

/// What an answer says: a message for the client or none, or why there is none though there should be.
fn said(answer: &Response<Bytes>) -> Result<Option<String>, String> {
    let status = answer.status();
    let text = String::from_utf8_lossy(answer.body());
    if status == StatusCode::ACCEPTED {
        return Ok(None);
    }
    let mut json: Value = serde_json::from_str(&text).unwrap_or_default();
    if json.get("jsonrpc").is_some() {
        // Line ends between its tokens would make several lines of it.
        return Ok(Some(text.replace(['\r', '\n'], " ")));
    }
    let error = json.get_mut("error").map(Value::take).unwrap_or_default();
    match serde_json::from_value::<Refusal>(error) {
        Ok(refusal) => Err(refusal.to_string()),
        Err(_) => Err(format!("what answers is no AgentFS API: it answered with {status}")),
    }
}

async fn send(answers: &Sender<String>, answer: Option<String>) {
    if let Some(answer) = answer {
        // Nobody reads once the client has closed its end.
        answers.send(answer).await.ok();
    }
}

fn version_agreed_on(answer: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(answer).ok()?;
    Some(answer.pointer("/result/protocolVersion")?.as_str()?.to_owned())
}

fn error(id: &Value, code: i64, message: &str) -> String {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(json: Value, agreed: Option<&str>) -> Vec<String> {
        let message = Message { json, agreed: agreed.map(ToOwned::to_owned) };
        let headers = message.headers();
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        [VERSION, METHOD, NAME].into_iter().filter_map(text).collect()
    }

    #[test]
    fn requests_say_in_their_heads_what_their_version_asks_for() {
        let old = json!({"id": 1, "method": "tools/call", "params": {"name": "memory_list"}});
        assert_eq!(headers(old.clone(), Some("2025-11-25")), ["2025-11-25"]);
        assert_eq!(headers(old, None), [""; 0]);
        let begins = json!({"id": 1, "method": "initialize", "params": {}});
        assert_eq!(headers(begins, Some("2025-11-25")), [""; 0]);
        let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28"});
        let uri = "agentfs://ada/é";
        let new =
            json!({"id": 1, "method": "resources/read", "params": {"uri": uri, "_meta": meta}});
        let coded = format!("=?base64?{}?=", BASE64_STANDARD.encode(uri));
        assert_eq!(headers(new, None), ["2026-07-28", "resources/read", &coded]);
    }

    #[test]
    fn answers_are_one_line_and_refusals_become_errors() {
        let answer = |status: u16, body: &'static str| {
            said(&Response::builder().status(status).body(Bytes::from(body)).unwrap())
        };
        let passed = answer(200, "{\"jsonrpc\":\"2.0\",\n\"id\":1,\"result\":{}}");
        assert_eq!(passed, Ok(Some(r#"{"jsonrpc":"2.0", "id":1,"result":{}}"#.to_owned())));
        assert_eq!(answer(202, ""), Ok(None));
        let refused = answer(401, r#"{"error":{"code":"UNAUTHORIZED","message":"no key"}}"#);
        assert_eq!(refused, Err("no key (UNAUTHORIZED)".to_owned()));
        assert!(answer(502, "<html>").unwrap_err().contains("502"));
        assert!(answer(200, "[]").is_err());
    }
}
