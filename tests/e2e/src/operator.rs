//! The operator: the one in the cluster, and others that a test runs here.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::Failure;
use crate::audit::OPERATOR;
use crate::kubectl::{at_last, eventually, kubectl};
use crate::way::{Cut, Way};

/// The Deployment in the cluster.
const DEPLOYMENT: [&str; 4] = ["--namespace", "agentfs-system", "deployment", "agentfs-operator"];
const START: Duration = Duration::from_secs(20);

/// The operator in the cluster is away until this is dropped.
#[derive(Debug)]
pub struct Away(());

/// Sends the operator in the cluster away.
pub async fn away() -> Result<Away, Failure> {
    let [flag, namespace, ..] = DEPLOYMENT;
    kubectl(&scale("--replicas=0")).await?;
    let away = Away(());
    let pods = "--selector=app.kubernetes.io/name=agentfs-operator";
    kubectl(&[flag, namespace, "wait", "--for=delete", "pod", pods, "--timeout=60s"]).await?;
    Ok(away)
}

impl Drop for Away {
    fn drop(&mut self) {
        at_last(&scale("--replicas=1"), "the operator does not come back");
    }
}

fn scale(replicas: &str) -> [&str; 6] {
    let [flag, namespace, kind, name] = DEPLOYMENT;
    [flag, namespace, "scale", kind, name, replicas]
}

/// The working set of the operator in KiB, as the kubelet measures it.
pub async fn memory() -> Result<u64, Failure> {
    let path = "/apis/metrics.k8s.io/v1beta1/namespaces/agentfs-system/pods";
    let measured = async || {
        let answer: Value = serde_json::from_str(&kubectl(&["get", "--raw", path]).await?)?;
        let usage = answer["items"][0]["containers"][0]["usage"]["memory"].clone();
        let kib =
            usage.as_str().and_then(|usage| usage.strip_suffix("Ki")).ok_or("not measured yet")?;
        Ok(kib.parse::<u64>()?)
    };
    eventually("the operator's memory is measured", measured, |kib| *kib > 0).await
}

/// A counter of the operator in the cluster, summed over its labels.
pub async fn metric(name: &str) -> Result<f64, Failure> {
    let path =
        "/api/v1/namespaces/agentfs-system/services/agentfs-operator-metrics:8080/proxy/metrics";
    let text = kubectl(&["get", "--raw", path]).await?;
    let values = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let of = series.split_once('{').map_or(series, |(of, _)| of);
        (of == name).then(|| value.parse::<f64>().ok())?
    });
    Ok(values.sum())
}

/// How often the operator in the cluster was started again.
pub async fn restarts() -> Result<u64, Failure> {
    let restarts = "jsonpath={.items[*].status.containerStatuses[*].restartCount}";
    let pods = ["--namespace", "agentfs-system", "get", "pods", "-o", restarts];
    let counts = kubectl(&pods).await?;
    counts.split_whitespace().map(|count| Ok(count.parse::<u64>()?)).sum()
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

    /// Stops the process where it is, and lets it go on.
    pub fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let id = self.child.id().ok_or("the operator has ended")?;
        Ok(kill(Pid::from_raw(i32::try_from(id)?), signal)?)
    }
}
