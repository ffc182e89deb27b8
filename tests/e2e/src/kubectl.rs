//! kubectl, as a user has it.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::Failure;

/// How long the cluster may take to come to a state.
pub const PATIENCE: Duration = Duration::from_mins(3);
const POLL: Duration = Duration::from_millis(300);

/// Runs `kubectl arguments` and gives what it printed; an error holds what it complained of.
pub async fn kubectl(arguments: &[&str]) -> Result<String, Failure> {
    with_input(arguments, "").await
}

/// The same with `input` on its standard input.
pub async fn with_input(arguments: &[&str], input: &str) -> Result<String, Failure> {
    let mut child = Command::new("kubectl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).await?;
    }
    let output = child.wait_with_output().await?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("kubectl {}: {}", arguments.join(" "), complaint.trim()).into())
}

/// Asks again and again until `done` is content with the answer. An answer that fails counts as one that is not there yet.
pub async fn eventually<T>(
    what: &str,
    mut ask: impl AsyncFnMut() -> Result<T, Failure>,
    done: impl Fn(&T) -> bool,
) -> Result<T, Failure>
where
    T: std::fmt::Debug,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask().await;
        match answer {
            Ok(answer) if done(&answer) => return Ok(answer),
            _ if Instant::now() < deadline => sleep(POLL).await,
            last => {
                return Err(format!(
                    "{what}: not within {} s; last seen: {last:?}",
                    PATIENCE.as_secs()
                )
                .into());
            }
        }
    }
}

/// kubectl at the end of a test, where nothing can be waited for; `left` is what there is to say when it does not run.
pub fn at_last(arguments: &[&str], left: &str) {
    if let Err(error) = std::process::Command::new("kubectl").args(arguments).output() {
        eprintln!("{left}: {error}");
    }
}

/// Whether the status of an object is that of its present generation.
pub fn is_current(object: &Value) -> bool {
    object["status"]["observedGeneration"] == object["metadata"]["generation"]
}

/// The status of the condition `kind` of an object, or nothing.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    object["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == kind)?["status"]
        .as_str()
}
