//! Probes and metrics have a port of their own on a real cluster.

use agentfs_e2e::Failure;
use agentfs_e2e::kubectl::kubectl;
use agentfs_e2e::namespace::{Namespace, ONE_POD_EACH};
use serde_json::Value;

#[tokio::test]
#[ignore = "needs a cluster: make test-all"]
async fn pods_are_probed_and_scraped_on_a_port_of_their_own() -> Result<(), Failure> {
    let namespace = Namespace::with_memory(ONE_POD_EACH).await?;
    let deployment = namespace.object("deployment", "memory-api").await?;
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        assert_eq!(container[probe]["httpGet"]["port"], "operations", "{container}");
    }
    let pods = ["get", "pods", "-l", "app.kubernetes.io/component=api", "-o", "json"];
    let pods: Value = serde_json::from_str(&namespace.kubectl(&pods).await?)?;
    let pod = pods["items"][0]["metadata"]["name"].as_str().ok_or("no pod")?;
    let path = format!("/api/v1/namespaces/{}/pods/{pod}:8788/proxy", namespace.name());
    let metrics = kubectl(&["get", "--raw", &format!("{path}/metrics")]).await?;
    assert!(metrics.contains("agentfs_build_info"), "{metrics}");
    let api = kubectl(&["get", "--raw", &format!("{path}/openapi.json")]).await;
    assert!(api.is_err(), "there is more than probes and metrics");
    Ok(())
}
