//! The examples of docs/API.md, typed as they stand and held against what the document says they print.
//!
//! `sh` blocks are run; in `console` blocks the lines after `$ ` are run and the others are what is printed. JSON is compared
//! as JSON, and a text that ends in `…` stands for all that begin like it.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::api::{Api, new_key};
use crate::database::Database;

const MARK: &str = "--- agentfs example";

struct Example {
    command: String,
    printed: String,
}

/// The script that runs all examples of `document`, and the examples.
fn script(document: &str) -> (String, Vec<Example>) {
    let (mut script, mut examples) = ("set -euo pipefail\n".to_owned(), Vec::new());
    for block in document.split("\n```").skip(1).step_by(2) {
        let (kind, text) = block.split_once('\n').unwrap_or((block, ""));
        match kind {
            "sh" => script.extend([text, "\n"]),
            "console" => {
                let joined = text.replace("\\\n", "\u{1}");
                for line in joined.lines() {
                    let line = line.replace('\u{1}', "\\\n");
                    if let Some(command) = line.strip_prefix("$ ") {
                        script.extend([command, "\nprintf '\\n%s\\n' '", MARK, "'\n"]);
                        examples.push(Example { command: command.into(), printed: String::new() });
                    } else {
                        examples.last_mut().expect("a command first").printed += &line;
                    }
                }
            }
            _ => {}
        }
    }
    (script, examples)
}

fn fits(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::String(expected), Value::String(got)) => {
            expected == got
                || expected.strip_suffix('…').is_some_and(|start| got.starts_with(start))
        }
        (Value::Array(expected), Value::Array(got)) => {
            expected.len() == got.len() && expected.iter().zip(got).all(|(e, g)| fits(e, g))
        }
        (Value::Object(expected), Value::Object(got)) => {
            expected.len() == got.len()
                && expected.iter().all(|(key, e)| got.get(key).is_some_and(|g| fits(e, g)))
        }
        _ => expected == got,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_the_api_page_print_what_it_says() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &[], &[]).await;
    let admin = new_key(&database, &["admin"]).await;
    let (script, examples) = script(include_str!("../../../docs/API.md"));
    assert!(examples.len() > 15, "only {} examples were found", examples.len());
    let output = Command::new("bash")
        .args(["-c", &script])
        .env("AGENTFS_URL", &api.client.url)
        .env("AGENTFS_API_KEY", &api.client.key)
        .env("AGENTFS_ADMIN_KEY", admin)
        .stdin(Stdio::null())
        .output()
        .await
        .expect("bash runs");
    let printed = String::from_utf8(output.stdout).expect("text");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let answers: Vec<&str> = printed.split(MARK).map(str::trim).collect();
    for (example, got) in examples.iter().zip(&answers) {
        let Example { command, printed } = example;
        let parsed = serde_json::from_str(printed).ok().zip(serde_json::from_str(got).ok());
        let fits = match parsed {
            Some((expected, got)) => fits(&expected, &got),
            None => printed == got,
        };
        assert!(fits, "$ {command}\nthe page says: {printed}\nand it prints: {got}\n{errors}");
    }
    assert!(output.status.success(), "{errors}");
}

#[test]
fn dots_stand_for_any_ending_and_nothing_else() {
    let fits = |a: &str, b: &str| {
        fits(&serde_json::from_str(a).unwrap(), &serde_json::from_str(b).unwrap())
    };
    assert!(fits(r#"{"a":["0199…",null]}"#, r#"{"a":["0199abc",null]}"#));
    for other in [r#"{"a":["0188abc",null]}"#, r#"{"a":["0199abc"]}"#, r#"{"a":[],"b":1}"#, "{}"] {
        assert!(!fits(r#"{"a":["0199…",null]}"#, other), "{other}");
    }
}
