//! At which step a task is, asked of its pod through the API server as often as it answers, so that short steps are seen as well.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::Failure;
use crate::kubectl::PATIENCE;
use crate::recovery::Task;

const START: Duration = Duration::from_secs(20);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(2);
/// Between two questions.
const POLL: Duration = Duration::from_millis(10);

/// A way to the pods.
#[derive(Debug)]
pub struct Steps {
    _kubectl: Child,
    address: String,
    http: reqwest::Client,
}

/// A pod at a step.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The pod's name.
    pub pod: String,
    /// Its uid.
    pub uid: String,
    /// How far it says that it is: `agentfs_contract::progress::Progress`.
    pub progress: Value,
}

impl Standing {
    /// The step.
    pub fn step(&self) -> &str {
        self.progress["step"].as_str().unwrap_or_default()
    }
}

impl Steps {
    /// Opens the way.
    pub async fn open() -> Result<Self, Failure> {
        let mut kubectl = Command::new("kubectl")
            .args(["proxy", "--port=0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = kubectl.stdout.take().ok_or("no standard output")?;
        // "Starting to serve on 127.0.0.1:41234"
        let line = timeout(START, BufReader::new(stdout).lines().next_line()).await??;
        let line = line.ok_or("kubectl proxy ended at once")?;
        let address = line.split_whitespace().last().ok_or(line.clone())?.to_owned();
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER).build()?;
        Ok(Self { _kubectl: kubectl, address, http })
    }

    /// Waits until the task's pod stands at a step that `is_meant`; `None` where the task ended before.
    pub async fn reached(
        &self,
        task: &Task<'_>,
        is_meant: impl Fn(&Standing) -> bool,
    ) -> Result<Option<Standing>, Failure> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            for (pod, uid) in self.pods(task).await {
                // For as long as this one answers.
                while let Some(progress) = self.progress(task, &pod).await {
                    let standing = Standing { pod: pod.clone(), uid: uid.clone(), progress };
                    if is_meant(&standing) {
                        return Ok(Some(standing));
                    }
                    sleep(POLL).await;
                }
            }
            let object = self.get(&task.path()).await.unwrap_or_default();
            if object["status"]["finishedTime"].is_string() {
                return Ok(None);
            }
            sleep(POLL).await;
        }
        Err(format!(
            "{task}: neither at such a step nor at its end within {} s",
            PATIENCE.as_secs()
        )
        .into())
    }

    /// The pods of the task's Job that run, each with its uid.
    async fn pods(&self, task: &Task<'_>) -> Vec<(String, String)> {
        let (namespace, job) = (task.namespace.name(), task.job());
        let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector=job-name%3D{job}");
        let pods = self.get(&path).await.unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let runs = |pod: &&Value| {
            pod["metadata"]["deletionTimestamp"].is_null() && pod["status"]["phase"] == "Running"
        };
        let pods = pods["items"].as_array().into_iter().flatten().filter(runs);
        pods.map(|pod| (text(&pod["metadata"]["name"]), text(&pod["metadata"]["uid"]))).collect()
    }

    async fn progress(&self, task: &Task<'_>, pod: &str) -> Option<Value> {
        let namespace = task.namespace.name();
        self.get(&format!("/api/v1/namespaces/{namespace}/pods/{pod}:8788/proxy/progress")).await
    }

    async fn get(&self, path: &str) -> Option<Value> {
        let answer = self.http.get(format!("http://{}{path}", self.address)).send().await.ok()?;
        answer.error_for_status().ok()?.json().await.ok()
    }
}
