//! The recipes of docs/RECIPES.md for Kubernetes, typed as they stand.

use std::path::Path;
use std::process::Stdio;

use agentfs_documents::{Examples, chapter};
use agentfs_e2e::Failure;
use agentfs_e2e::agent::Agent;
use agentfs_e2e::kubectl::eventually;
use agentfs_e2e::namespace::{Namespace, ONE_POD_EACH};
use serde_json::{Value, json};
use tokio::process::Command;

const PAGE: &str = include_str!("../../../../docs/RECIPES.md");

const SPEC: &str = "
  database: {embedded: {storage: {size: 1Gi}}}
  api: {replicas: 1}
  pooler: {replicas: 1}
  backup: {volume: {size: 1Gi}}
";

/// Longest time for a recipe.
const TIMEOUT: &str = "900";

/// Brings what `store` has backed up into the folder `move`.
const COPY_OUT: &str = r#"
set -euo pipefail
kubectl create -n "$NAMESPACE" -f - <<< "{apiVersion: agentfs.io/v1alpha1, kind: AgentFSBackup, metadata: {name: last}, spec: {agentFS: store}}"
kubectl wait -n "$NAMESPACE" --for=condition=Ready afsb/last --timeout=300s
image=$(kubectl get statefulset -n "$NAMESPACE" store-postgres -o jsonpath='{.spec.template.spec.containers[0].image}')
kubectl apply -n "$NAMESPACE" -f - <<END
{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "out"}, "spec": {
  "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
  "containers": [{"name": "shell", "image": "$image", "command": ["sleep", "3600"],
    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    "volumeMounts": [{"name": "backups", "mountPath": "/backups"}]}],
  "volumes": [{"name": "backups", "persistentVolumeClaim": {"claimName": "store-backups"}}]}}
END
kubectl wait -n "$NAMESPACE" --for=condition=Ready pod/out --timeout=120s
mkdir move
kubectl exec -n "$NAMESPACE" out -- sh -c 'cd /backups && find . -name "agentfs_2*" | tar -cf - -T -' | tar -C move -xf -
kubectl delete pod -n "$NAMESPACE" out --now
"#;

/// bash in a folder, with what the page needs.
fn bash(namespace: &Namespace, folder: &Path, script: &str) -> Command {
    let mut command = Command::new("timeout");
    command
        .args([TIMEOUT, "bash", "-c", script])
        .current_dir(folder)
        .env("NAMESPACE", namespace.name())
        .env("AGENTFS", "memory")
        .stdin(Stdio::null());
    command
}

async fn is_remembered(mut agent: Agent) -> Result<(), Failure> {
    let memory = async || agent.get("/notes/lunch").await;
    let there = |value: &Option<Value>| *value == Some(json!("peanuts"));
    eventually("the memory is there", memory, there).await.map(drop)
}

#[tokio::test]
#[ignore = "needs a cluster: make test-all"]
async fn an_embedded_database_is_moved_to_an_external_one() -> Result<(), Failure> {
    let namespace = Namespace::with_memory(SPEC).await?;
    namespace.agentfs("store", ONE_POD_EACH).await?;
    namespace.ready("store").await?;
    Agent::of(&namespace, "memory").await?.put("/notes/lunch", &json!("peanuts")).await?;
    // The database is another AgentFS's: PostgreSQL is PostgreSQL.
    namespace.new_database("store", "moved").await?;
    let password = namespace.secret("store-credentials", "password").await?;

    let examples = Examples::of(chapter(PAGE, "## Move to another PostgreSQL"), "kubernetes");
    let folder = tempfile::tempdir()?;
    let output = bash(&namespace, folder.path(), examples.script())
        .env("EXTERNAL_URL", format!("postgres://agentfs:{password}@store-postgres/moved"))
        .output()
        .await?;
    examples.check(&output);
    is_remembered(Agent::of(&namespace, "memory").await?).await
}

#[tokio::test]
#[ignore = "needs a cluster: make test-all"]
async fn a_backup_from_elsewhere_brings_its_keys_along() -> Result<(), Failure> {
    let namespace = Namespace::with_memory(SPEC).await?;
    // It stands for compose.
    namespace.agentfs("store", SPEC).await?;
    namespace.ready("store").await?;
    Agent::of(&namespace, "store").await?.put("/notes/lunch", &json!("peanuts")).await?;
    let create = ["exec", "deployment/store-api", "--", "agentfs-server", "admin", "create-key"];
    let key = namespace.kubectl(&create).await?.trim().to_owned();

    let folder = tempfile::tempdir()?;
    let copied = bash(&namespace, folder.path(), COPY_OUT).output().await?;
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    let examples = Examples::of(chapter(PAGE, "## Move from compose to Kubernetes"), "kubernetes");
    let output = bash(&namespace, folder.path(), examples.script()).output().await?;
    examples.check(&output);
    is_remembered(Agent::with_key(&namespace, "memory", key)?).await
}
