//! `agentfs-server export` and `import`, as they are called from a shell, on a running API.

mod door;
mod interrupted;
mod lines;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::api::Client;
use crate::support::cli::{Said, agentfs};

/// Runs a command on an API.
fn run(client: &Client, arguments: &[&str]) -> Said {
    agentfs(arguments, &[("AGENTFS_URL", &client.url), ("AGENTFS_API_KEY", &client.key)])
}

/// Writes lines, one for each number.
fn write(file: &Path, numbers: std::ops::RangeInclusive<u32>, line: impl Fn(u32) -> Value) {
    let lines: Vec<String> = numbers.map(|number| line(number).to_string()).collect();
    fs::write(file, lines.join("\n")).unwrap();
}

/// The line of a note.
fn note(number: u32) -> Value {
    json!({"path": format!("/notes/{number}"), "value": {"number": number}, "tags": ["note"]})
}

/// How many versions there are, and at how many paths.
const VERSIONS: &str = "SELECT count(*) FROM entry_versions";
const PATHS: &str = "SELECT count(DISTINCT (agent_id, path)) FROM entry_versions";
