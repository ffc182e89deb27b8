//! The commands of docs/OPERATIONS.md for Kubernetes, typed as they stand.

use std::process::Stdio;

use agentfs_documents::Examples;
use agentfs_e2e::Failure;
use agentfs_e2e::agent::Agent;
use agentfs_e2e::kubectl::eventually;
use agentfs_e2e::namespace::Namespace;
use serde_json::{Value, json};
use tokio::process::Command;

const SPEC: &str = "
  database: {embedded: {storage: {size: 1Gi}}}
  api: {replicas: 2}
  backup: {volume: {size: 1Gi}}
";

/// Longest time for all of it.
const TIMEOUT: &str = "1500";

#[tokio::test]
#[ignore = "needs a cluster: make test-all"]
async fn the_commands_of_the_operations_page_do_what_it_says() -> Result<(), Failure> {
    let namespace = Namespace::with_memory(SPEC).await?;
    let mut agent = Agent::of(&namespace, "memory").await?;
    agent.put("/notes/lunch", &json!("peanuts")).await?;

    let examples = Examples::of(include_str!("../../../../docs/OPERATIONS.md"), "kubernetes");
    assert!(examples.len() > 20, "only {} examples were found", examples.len());
    let folder = tempfile::tempdir()?;
    // With the plugin, which tests/e2e/run builds beside this program.
    let program = std::env::current_exe()?;
    let built = program.parent().and_then(|deps| deps.parent()).ok_or("no folder")?;
    let path = std::env::var("PATH")?;
    let output = Command::new("timeout")
        .args([TIMEOUT, "bash", "-c", examples.script()])
        .current_dir(&folder)
        .env("PATH", format!("{}:{path}", built.display()))
        .env("NAMESPACE", namespace.name())
        .env("AGENTFS", "memory")
        .stdin(Stdio::null())
        .output()
        .await?;
    examples.check(&output);
    // The pods of before, which the way from here led to, are gone, and so is the admin key.
    let mut agent = Agent::of(&namespace, "memory").await?;
    let memory = async || agent.get("/notes/lunch").await;
    let there = |value: &Option<Value>| *value == Some(json!("peanuts"));
    eventually("the memory is there again", memory, there).await.map(drop)
}
