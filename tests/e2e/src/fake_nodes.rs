//! Nodes that kwok plays: pods on them are Ready at once, jobs are done at once, and nothing runs.

use std::process::Stdio;

use tempfile::NamedTempFile;
use tokio::process::{Child, Command};

use crate::Failure;
use crate::kubectl::{at_last, eventually, kubectl, with_input};

/// What a pod's spec says to run there and nowhere else.
pub const PLACEMENT: &str =
    "nodeSelector: {type: fake}, tolerations: [{key: fake, operator: Exists}]";

const STAGES: &str = include_str!("stages.yaml");

/// The nodes; they end when this is dropped.
#[derive(Debug)]
pub struct FakeNodes {
    _kwok: Child,
    _stages: NamedTempFile,
}

impl FakeNodes {
    /// Starts this many.
    pub async fn start(count: usize) -> Result<Self, Failure> {
        let program = std::env::var_os("AGENTFS_KWOK")
            .ok_or("AGENTFS_KWOK does not name kwok; tests/e2e/run builds it")?;
        let stages = NamedTempFile::new()?;
        std::fs::write(&stages, STAGES)?;
        let kwok = Command::new(program)
            .args(["--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake"])
            .args(["--node-lease-duration-seconds=40", "--v=ERROR", "--config"])
            .arg(stages.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let nodes = Self { _kwok: kwok, _stages: stages };
        let manifests: Vec<_> = (0..count).map(node).collect();
        with_input(&["apply", "-f", "-"], &manifests.join("---\n")).await?;
        let ready = "jsonpath={.items[*].status.conditions[?(@.type==\"Ready\")].status}";
        let conditions = async || kubectl(&["get", "nodes", "-l", "type=fake", "-o", ready]).await;
        let all = |states: &String| states.matches("True").count() == count;
        eventually("the fake nodes are Ready", conditions, all).await?;
        Ok(nodes)
    }
}

impl Drop for FakeNodes {
    fn drop(&mut self) {
        let delete = ["delete", "nodes", "-l", "type=fake", "--wait=false"];
        at_last(&delete, "the fake nodes are left behind");
    }
}

fn node(number: usize) -> String {
    format!(
        "
apiVersion: v1
kind: Node
metadata:
  name: fake-{number}
  annotations: {{kwok.x-k8s.io/node: fake, node.alpha.kubernetes.io/ttl: \"0\"}}
  labels: {{type: fake, kubernetes.io/hostname: fake-{number}, kubernetes.io/os: linux}}
spec:
  taints: [{{key: fake, value: \"true\", effect: NoSchedule}}]
status:
  allocatable: {{cpu: 64, memory: 256Gi, pods: 200}}
  capacity: {{cpu: 64, memory: 256Gi, pods: 200}}
"
    )
}
