//! `agentfs-server mcp --stdio`, started as desktop clients start it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::{Mcp, OLD};
use crate::support::api::{Api, Client};
use crate::support::cli::agentfs;

/// A client's end of the program.
struct Desktop {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Desktop {
    fn start(client: &Client) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_agentfs-server"))
            .args(["mcp", "--stdio", "--url", &client.url, "--agent", "ada"])
            .env("AGENTFS_API_KEY", &client.key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, input, output }
    }

    fn send(&mut self, message: &Value) {
        self.line(&message.to_string());
    }

    fn line(&mut self, line: &str) {
        writeln!(self.input.as_mut().expect("open"), "{line}").expect("it reads");
    }

    /// The next message.
    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// Closes its input; what it still says, and whether it ends well.
    fn end(mut self) -> (Vec<String>, bool) {
        drop(self.input.take());
        let rest = self.output.by_ref().lines().map(|line| line.expect("text")).collect();
        (rest, self.child.wait().expect("its end").success())
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        self.child.kill().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_all_versions_have_the_same_tools_by_standard_input() {
    let (api, _db) = Api::start().await;
    let mcp = Mcp::of(&api, "ada");
    let mut desktop = Desktop::start(&api.client);
    let begin = json!({
        "protocolVersion": OLD, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"},
    });
    desktop.send(&json!({"jsonrpc": "2.0", "id": "a", "method": "initialize", "params": begin}));
    let agreed = desktop.next();
    assert_eq!((&agreed["id"], &agreed["result"]["protocolVersion"]), (&json!("a"), &json!(OLD)));
    desktop.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    let write = json!({"name": "memory_write", "arguments": {"path": "/é", "text": "line\nline"}});
    desktop.send(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": write}));
    assert_eq!(desktop.next()["result"]["isError"], false);
    assert_eq!(mcp.texts("memory_read", json!({"path": "/é"})).await[0], "line\nline");

    // Without a handshake, by a URI that no header can hold as it is.
    let message = mcp.message("resources/read", json!({"uri": "agentfs://ada/é"}));
    desktop.send(&message);
    assert_eq!(desktop.next()["result"]["contents"][0]["text"], "line\nline");
    desktop.line("");
    desktop.line("{");
    assert_eq!(desktop.next()["error"]["code"], -32700);
    desktop.line("[]");
    assert_eq!(desktop.next()["error"]["code"], -32600);

    // What is asked is still answered after the end of the input.
    for id in 0..20 {
        let mut message =
            mcp.message("tools/call", json!({"name": "memory_list", "arguments": {}}));
        message["id"] = json!(id);
        desktop.send(&message);
    }
    let (rest, ends_well) = desktop.end();
    let mut ids: Vec<i64> = rest
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_i64().unwrap())
        .collect();
    ids.sort_unstable();
    assert_eq!((ids, ends_well), ((0..20).collect(), true));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_is_an_error_of_the_protocol() {
    let (api, _db) = Api::start().await;
    let message = Mcp::of(&api, "ada").message("tools/list", json!({}));
    let mut stranger = Desktop::start(&api.client.with_key("agfs_live_none.none"));
    stranger.send(&message);
    let answer = stranger.next();
    assert_eq!(answer["id"], message["id"]);
    let sentence = answer["error"]["message"].as_str().unwrap();
    assert!(sentence.contains("UNAUTHORIZED"), "{sentence}");
    let nowhere = Client { url: "http://127.0.0.1:9".to_owned(), ..api.client.clone() };
    let mut alone = Desktop::start(&nowhere);
    alone.send(&message);
    let answer = alone.next();
    assert!(answer["error"]["message"].as_str().unwrap().contains("127.0.0.1:9"), "{answer}");
    let keyless = agentfs(&["mcp", "--stdio", "--url", &api.client.url, "--agent", "ada"], &[]);
    assert!(keyless.failure().contains("AGENTFS_API_KEY"));
}
