//! What clients inside the cluster see while parts of an AgentFS are replaced, moved and lost.

use std::time::Duration;

use agentfs_e2e::Failure;
use agentfs_e2e::kubectl::{eventually, kubectl};
use agentfs_e2e::load::{Counts, Load};
use agentfs_e2e::namespace::Namespace;
use serde_json::Value;

const SPEC: &str = "
  database: {embedded: {storage: {size: 1Gi}}}
  api:
    replicas: 2
    resources: {requests: {cpu: 50m, memory: 64Mi}}
  rateLimits: {requestsPerMinute: 0, searchesPerMinute: 0}
  quotas: {writesPerDay: 0}
  backup: {enabled: false}
";

const CLIENTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(20);

/// What clients see while `happens`, and for a while after it.
async fn during<T>(
    namespace: &Namespace,
    happens: impl AsyncFnOnce() -> Result<T, Failure>,
) -> Result<Counts, Failure> {
    let load = Load::start(namespace, "memory", CLIENTS, PAUSE).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    happens().await?;
    // Longer than a pod that leaves takes: it serves for 5 s after it was told to leave.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let counts = load.stop().await?;
    eprintln!("{counts:?}");
    assert_eq!(counts.lost, 0, "acknowledged writes were lost: {counts:?}");
    assert!(counts.acknowledged > 50, "the clients saw too little: {counts:?}");
    Ok(counts)
}

#[track_caller]
fn nothing_failed(counts: &Counts) {
    assert_eq!(counts.failed, 0, "{counts:?}");
}

async fn rolled_out(namespace: &Namespace, deployment: &str) -> Result<(), Failure> {
    let name = format!("deployment/{deployment}");
    namespace.kubectl(&["rollout", "status", &name, "--timeout=120s"]).await.map(drop)
}

async fn restart(namespace: &Namespace, deployment: &str) -> Result<(), Failure> {
    namespace.kubectl(&["rollout", "restart", &format!("deployment/{deployment}")]).await?;
    rolled_out(namespace, deployment).await
}

/// The pods of a part.
async fn pods(namespace: &Namespace, component: &str) -> Result<Vec<String>, Failure> {
    let selector = format!("app.kubernetes.io/component={component}");
    let names = namespace
        .kubectl(&["get", "pod", "-l", &selector, "-o", "jsonpath={.items[*].metadata.name}"])
        .await?;
    Ok(names.split_whitespace().map(str::to_owned).collect())
}

#[tokio::test]
#[ignore = "needs a cluster: make test-all"]
async fn parts_are_replaced_while_agents_work() -> Result<(), Failure> {
    let namespace = Namespace::with_memory(SPEC).await?;

    let counts = during(&namespace, async || {
        restart(&namespace, "memory-api").await?;
        let pods = pods(&namespace, "api").await?;
        namespace.kubectl(&["delete", "pod", &pods[0]]).await
    });
    nothing_failed(&counts.await?);
    nothing_failed(&during(&namespace, async || restart(&namespace, "memory-pooler").await).await?);
    let counts = during(&namespace, async || {
        for replicas in [3, 2] {
            kubectl(&[
                "--namespace",
                namespace.name(),
                "scale",
                "agentfs/memory",
                &format!("--replicas={replicas}"),
            ])
            .await?;
            let status = async || Ok(namespace.ready("memory").await?["status"]["api"].clone());
            let there = |api: &Value| api["summary"] == format!("{replicas}/{replicas}");
            eventually("the API is scaled", status, there).await?;
        }
        Ok(())
    });
    nothing_failed(&counts.await?);

    // A pool's pod that dies takes with it what was under way in it; what was acknowledged is there.
    let counts = during(&namespace, async || {
        let pods = pods(&namespace, "pooler").await?;
        namespace.kubectl(&["delete", "pod", &pods[0], "--grace-period=0", "--force"]).await?;
        rolled_out(&namespace, "memory-pooler").await
    });
    counts.await?;
    namespace.ready("memory").await.map(drop)
}

#[tokio::test]
#[ignore = "needs a cluster: make test-all"]
async fn an_autoscaler_adds_pods_under_load_and_takes_them_away_after_it() -> Result<(), Failure> {
    let scaled = SPEC.replace(
        "    replicas: 2\n",
        "    autoscaling: {minReplicas: 2, maxReplicas: 4, targetCPUUtilizationPercentage: 50}\n",
    );
    let namespace = Namespace::with_memory(&scaled).await?;
    // An autoscaler waits five minutes before it goes down. Somebody's shorter window stays: it is no field of ours.
    let window = r#"{"spec":{"behavior":{"scaleDown":{"stabilizationWindowSeconds":5}}}}"#;
    let patch = ["patch", "hpa", "memory-api", "--type=merge", "--field-manager=somebody", "-p"];
    namespace.kubectl(&[&patch[..], &[window]].concat()).await?;
    let load = Load::start(&namespace, "memory", 8, Duration::ZERO).await?;
    let replicas = async || {
        Ok(namespace.object("deployment", "memory-api").await?["spec"]["replicas"].clone())
    };
    eventually("more pods under load", replicas, |n| n.as_i64() > Some(2)).await?;
    // The operator leaves the number to the autoscaler, and comes to see it.
    let wanted = async || {
        Ok(namespace.object("agentfs", "memory").await?["status"]["api"]["desired"].clone())
    };
    eventually("the status follows", wanted, |n| n.as_i64() > Some(2)).await?;
    namespace.ready("memory").await?;
    let counts = load.stop().await?;
    assert_eq!((counts.failed, counts.lost), (0, 0), "{counts:?}");

    let load = Load::start(&namespace, "memory", 1, Duration::from_millis(500)).await?;
    eventually("fewer pods after it", replicas, |n| n.as_i64() == Some(2)).await?;
    let left = async || pods(&namespace, "api").await;
    eventually("the others are gone", left, |pods| pods.len() == 2).await?;
    let counts = load.stop().await?;
    assert_eq!((counts.failed, counts.lost), (0, 0), "{counts:?}");
    let autoscaler = namespace.object("hpa", "memory-api").await?;
    assert_eq!(autoscaler["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"], 5);
    namespace.ready("memory").await.map(drop)
}

/// `kubectl drain`, of the API's pods alone: the database is on the node that is emptied, and there is no other. It asks for
/// each pod's eviction, and the disruption budget lets one go at a time.
async fn drain_api(namespace: &Namespace) -> Result<(), Failure> {
    let before = pods(namespace, "api").await?;
    let node = kubectl(&["get", "node", "-o", "jsonpath={.items[0].metadata.name}"]).await?;
    let name = format!("app.kubernetes.io/component=api,test={}", namespace.name());
    for pod in &before {
        namespace.kubectl(&["label", "pod", pod, &format!("test={}", namespace.name())]).await?;
    }
    let drain = ["drain", &node, "--pod-selector", &name, "--ignore-daemonsets"];
    let options = ["--delete-emptydir-data", "--timeout=120s"];
    let arguments = [&drain[..], &options].concat();
    let mut drained = std::pin::pin!(kubectl(&arguments));
    // The first one leaves and its successor finds no node, so the second may not leave before there is one again.
    let one_leaves = async || {
        let leaving = "jsonpath={.items[*].metadata.deletionTimestamp}";
        let get = ["get", "pod", "-l", "app.kubernetes.io/component=api", "-o", leaving];
        let left = pods(namespace, "api").await?.iter().filter(|pod| before.contains(pod)).count();
        Ok(left < before.len() || !namespace.kubectl(&get).await?.is_empty())
    };
    let held = async {
        eventually("one pod is evicted", one_leaves, |leaves| *leaves).await?;
        // Time for two more tries of the drain, at which the budget refuses.
        tokio::time::sleep(Duration::from_secs(11)).await;
        let status = namespace.object("deployment", "memory-api").await?["status"].take();
        assert_eq!(status["readyReplicas"], 1, "the budget keeps one pod: {status}");
        Ok::<_, Failure>(())
    };
    let held = tokio::select! {
        held = held => held,
        ended = &mut drained => Err(format!("the drain ended at once: {ended:?}").into()),
    };
    kubectl(&["uncordon", &node]).await?;
    held?;
    drained.await?;
    kubectl(&["uncordon", &node]).await?;
    rolled_out(namespace, "memory-api").await?;
    let after = pods(namespace, "api").await?;
    assert!(after.iter().all(|pod| !before.contains(pod)), "{before:?} and {after:?}");
    Ok(())
}

#[tokio::test]
#[ignore = "needs a cluster: make test-all"]
async fn a_node_is_drained_while_agents_work() -> Result<(), Failure> {
    let namespace = Namespace::with_memory(SPEC).await?;
    nothing_failed(&during(&namespace, async || drain_api(&namespace).await).await?);
    namespace.ready("memory").await.map(drop)
}
