//! What an AgentFS may have or not comes with a line of the spec and goes with it.

use agentfs_e2e::Failure;
use agentfs_e2e::namespace::Namespace;
use serde_json::json;

const SPEC: &str = "
  database: {embedded: {storage: {size: 1Gi}}}
  api:
    autoscaling: {minReplicas: 1, maxReplicas: 2}
    resources: {requests: {cpu: 50m, memory: 64Mi}}
    extraEnv:
      - {name: LOG_LEVEL, valueFrom: {configMapKeyRef: {name: logging, key: level}}}
";

#[tokio::test]
#[ignore = "needs a cluster: make test-all"]
async fn parts_come_and_go_with_the_spec() -> Result<(), Failure> {
    let namespace = Namespace::create().await?;
    namespace.kubectl(&["create", "configmap", "logging", "--from-literal=level=warn"]).await?;
    namespace.agentfs("memory", SPEC).await?;
    namespace.ready("memory").await?;
    let optional = [
        ("horizontalpodautoscaler", "memory-api"),
        ("cronjob", "memory-backup"),
        ("deployment", "memory-pooler"),
        ("service", "memory-pooler"),
        ("secret", "memory-pooler"),
        ("poddisruptionbudget", "memory-pooler"),
    ];
    for (kind, name) in optional {
        namespace.object(kind, name).await?;
    }
    let without = json!({
        "api": {"autoscaling": null, "replicas": 1, "extraEnv": null},
        "pooler": {"enabled": false},
        "backup": {"enabled": false},
    });
    namespace.change_spec("memory", &without).await?;
    for (kind, name) in optional {
        namespace.gone(kind, name).await?;
    }
    namespace.ready("memory").await?;
    // What was backed up is data, which outlives the wish for more of it.
    namespace.object("pvc", "memory-backups").await.map(drop)
}
