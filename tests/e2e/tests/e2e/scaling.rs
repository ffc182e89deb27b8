//! Autoscalers of others and the operator's own, and the number of pods that is left when one goes.

use agentfs_e2e::Failure;
use agentfs_e2e::kubectl::{eventually, is_current};
use agentfs_e2e::namespace::Namespace;
use serde_json::{Value, json};

const SPEC: &str = "
  database: {embedded: {storage: {size: 1Gi}}}
  api: {replicas: 1, resources: {requests: {cpu: 20m, memory: 64Mi}}}
  pooler: {enabled: false}
  backup: {enabled: false}
";

/// As `kubectl autoscale deployment memory-api` makes it. The least number needs no metrics.
const THEIRS: &str = "
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: memory-api}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: memory-api}
  minReplicas: 2
  maxReplicas: 2
";

/// Waits until the AgentFS is settled with this many API pods.
async fn settled(namespace: &Namespace, pods: i64) -> Result<Value, Failure> {
    let get = async || namespace.object("agentfs", "memory").await;
    let summary = format!("{pods}/{pods}");
    let settled = |object: &Value| {
        let conditions = object["status"]["conditions"].to_string();
        is_current(object)
            && object["status"]["api"]["summary"] == summary.as_str()
            && conditions.contains("UpToDate")
    };
    let object = eventually(&format!("it is settled with {pods} API pods"), get, settled).await?;
    let deployment = namespace.object("deployment", "memory-api").await?;
    assert_eq!(deployment["spec"]["replicas"], pods);
    Ok(object)
}

#[tokio::test]
#[ignore = "needs a cluster: make test-all"]
async fn an_autoscaler_has_the_number_and_leaves_it_when_it_goes() -> Result<(), Failure> {
    let namespace = Namespace::with_memory(SPEC).await?;
    namespace.apply(THEIRS).await?;
    settled(&namespace, 2).await?;
    let theirs = namespace.object("horizontalpodautoscaler", "memory-api").await?;
    // The operator writes the Deployment, and not its number.
    namespace.change_spec("memory", &json!({"api": {"podAnnotations": {"a": "b"}}})).await?;
    settled(&namespace, 2).await?;
    let now = namespace.object("horizontalpodautoscaler", "memory-api").await?;
    assert_eq!(now["metadata"]["uid"], theirs["metadata"]["uid"]);
    assert_eq!(now["spec"], theirs["spec"]);
    namespace.kubectl(&["delete", "horizontalpodautoscaler", "memory-api"]).await?;
    settled(&namespace, 1).await?;

    let on = json!({"api": {"autoscaling": {"minReplicas": 2, "maxReplicas": 2}}});
    namespace.change_spec("memory", &on).await?;
    settled(&namespace, 2).await?;
    namespace.change_spec("memory", &json!({"api": {"autoscaling": null}})).await?;
    namespace.gone("horizontalpodautoscaler", "memory-api").await?;
    let object = settled(&namespace, 2).await?;
    assert_eq!(object["spec"]["api"]["replicas"], 2, "the number is forgotten");

    namespace.change_spec("memory", &on).await?;
    settled(&namespace, 2).await?;
    let off = json!({"api": {"autoscaling": null, "replicas": 1}});
    namespace.change_spec("memory", &off).await?;
    settled(&namespace, 1).await.map(drop)
}
