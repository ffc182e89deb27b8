//! The operator: the one in the cluster, and others that a test runs here.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::Failure;
use crate::audit::OPERATOR;
use crate::kubectl::kubectl;
use crate::way::{Cut, Way};

/// The Deployment in the cluster.
const DEPLOYMENT: [&str; 4] = ["--namespace", "agentfs-system", "deployment", "agentfs-operator"];
const START: Duration = Duration::from_secs(20);

/// Sets how many operators there are in the cluster, and waits until there are.
pub async fn scale(replicas: u8) -> Result<(), Failure> {
    let [flag, namespace, kind, name] = DEPLOYMENT;
    let object = format!("{kind}/{name}");
    kubectl(&[flag, namespace, "scale", &object, &format!("--replicas={replicas}")]).await?;
    kubectl(&[flag, namespace, "rollout", "status", &object, "--timeout=60s"]).await?;
    let pods = "--selector=app.kubernetes.io/name=agentfs-operator";
    if replicas == 0 {
        kubectl(&[flag, namespace, "wait", "--for=delete", "pod", pods, "--timeout=60s"]).await?;
    }
    Ok(())
}

/// The API server without TLS, as the operator's service account may use it.
#[derive(Debug)]
pub struct Gate {
    _kubectl: Child,
    address: String,
    images: Vec<(String, String)>,
}

impl Gate {
    /// Opens it.
    pub async fn open() -> Result<Self, Failure> {
        let [flag, namespace, kind, name] = DEPLOYMENT;
        let deployment: Value = serde_json::from_str(
            &kubectl(&[flag, namespace, "get", kind, name, "-o", "json"]).await?,
        )?;
        let env = &deployment["spec"]["template"]["spec"]["containers"][0]["env"];
        let images = env.as_array().into_iter().flatten().filter_map(|variable| {
            let name = variable["name"].as_str().filter(|name| name.ends_with("_IMAGE"))?;
            Some((name.to_owned(), variable["value"].as_str()?.to_owned()))
        });
        let mut child = Command::new("kubectl")
            .args(["proxy", "--port=0", &format!("--as={OPERATOR}")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        // "Starting to serve on 127.0.0.1:41234"
        let line = timeout(START, BufReader::new(stdout).lines().next_line()).await??;
        let line = line.ok_or("kubectl proxy ended at once")?;
        let address = line.split_whitespace().last().ok_or(line.clone())?.to_owned();
        Ok(Self { _kubectl: child, address, images: images.collect() })
    }

    /// Starts an operator called `identity` that looks after `namespace` until it is killed as `cut` says, or dropped.
    pub async fn operator(
        &self,
        identity: &str,
        namespace: &str,
        cut: Cut,
    ) -> Result<Operator, Failure> {
        let way = Way::to(&self.address, cut).await?;
        let kubeconfig = NamedTempFile::new()?;
        let here = json!({"name": "here", "context": {"cluster": "here", "user": "here"}});
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "here", "contexts": [here],
            "clusters": [{"name": "here", "cluster": {"server": way.url()}}],
            "users": [{"name": "here", "user": {}}],
        });
        std::fs::write(&kubeconfig, config.to_string())?;
        // Built by tests/e2e/run, beside this program.
        let program = std::env::current_exe()?;
        let folder = program.parent().and_then(|deps| deps.parent()).ok_or("no folder")?;
        let child = Command::new(folder.join("agentfs-operator"))
            .args(["run", "--namespace", "agentfs-system", "--listen", "127.0.0.1:0"])
            .args(["--identity", identity, "--watch-namespace", namespace])
            .envs(self.images.iter().cloned())
            .env("KUBECONFIG", kubeconfig.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        way.leads(child.id().ok_or("the operator ended at once")?)?;
        Ok(Operator { child, way, _kubeconfig: kubeconfig })
    }
}

/// An operator that runs here.
#[derive(Debug)]
pub struct Operator {
    child: Child,
    way: Way,
    _kubeconfig: NamedTempFile,
}

impl Operator {
    /// How much it wrote, but for the Lease.
    pub fn writes(&self) -> usize {
        self.way.writes()
    }

    /// Returns when it has ended.
    pub async fn ended(&mut self) -> Result<(), Failure> {
        self.child.wait().await?;
        Ok(())
    }

    /// kill -9.
    pub async fn kill(&mut self) -> Result<(), Failure> {
        Ok(self.child.kill().await?)
    }
}
