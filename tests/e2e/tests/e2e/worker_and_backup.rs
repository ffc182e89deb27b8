//! Workers with a provider of embeddings, and backups, on the real cluster.

use agentfs_e2e::Failure;
use agentfs_e2e::agent::Agent;
use agentfs_e2e::kubectl::{condition, eventually};
use agentfs_e2e::namespace::Namespace;
use agentfs_e2e::operator;
use agentfs_e2e::provider;
use serde_json::{Value, json};

const SPEC: &str = "
  database: {embedded: {storage: {size: 1Gi}}}
  api: {replicas: 1}
  embeddings:
    openAI: {baseUrl: \"http://provider:8080/v1\", model: fake, dimensions: 8, secretRef: {name: provider}}
  backup: {volume: {size: 1Gi}}
";

#[tokio::test]
#[ignore = "needs a cluster: make test-all"]
async fn what_is_written_is_embedded_and_backed_up() -> Result<(), Failure> {
    let namespace = Namespace::create().await?;
    namespace.agentfs("memory", SPEC).await?;
    // Without the key the memory is served, and the resource says what is missing.
    let get = async || namespace.object("agentfs", "memory").await;
    let missing = |object: &Value| {
        condition(object, "APIReady") == Some("True")
            && condition(object, "CredentialsReady") == Some("False")
    };
    let object = eventually("the API serves without a key", get, missing).await?;
    assert!(object["status"].to_string().contains("create secret generic provider"), "{object}");
    provider::make_key(&namespace).await?;
    provider::start(&namespace, "provider").await?;
    let ready = namespace.ready("memory").await?;
    assert_eq!(ready["status"]["worker"]["summary"], "1/1");

    let mut agent = Agent::of(&namespace, "memory").await?;
    for n in 0..3 {
        let note = json!({"agent_id": "ada", "path": format!("/notes/{n}"), "value": n, "searchable": true});
        let put = async || agent.post("/v1/put", &note).await;
        eventually("a put", put, |_| true).await?;
    }
    let embedded =
        async || namespace.sql("memory", "agentfs", "SELECT count(*) FROM embeddings").await;
    eventually("all notes are embedded", embedded, |count| count == "3").await?;

    a_backup_needs_no_operator_and_restores(&namespace).await
}

#[tokio::test]
#[ignore = "needs a cluster: make test-all"]
async fn an_agentfs_made_again_knows_its_newest_backup() -> Result<(), Failure> {
    const SPEC: &str = "
  database: {embedded: {storage: {size: 1Gi}}}
  api: {replicas: 1}
  pooler: {enabled: false}
  backup: {volume: {size: 1Gi}}
";
    let namespace = Namespace::with_memory(SPEC).await?;
    namespace
        .kubectl(&["create", "job", "--from=cronjob/memory-backup", "memory-backup-now"])
        .await?;
    let get = async || namespace.object("agentfs", "memory").await;
    let fresh = |object: &Value| condition(object, "BackupFresh") == Some("True");
    let last = |object: &Value| object["status"]["backup"]["lastSuccessfulTime"].clone();
    let before = eventually("the backup is told of", get, fresh).await?;
    let size = &before["status"]["backup"]["databaseSize"];
    assert!(size.as_str().is_some_and(|size| size.ends_with("Mi")), "{before}");
    let claim = async || namespace.object("pvc", "memory-backups").await;
    let noted =
        |claim: &Value| claim["metadata"]["annotations"]["agentfs.io/last-backup"] == last(&before);
    eventually("the claim carries its time", claim, noted).await?;
    namespace.kubectl(&["delete", "agentfs", "memory"]).await?;
    namespace.gone("cronjob", "memory-backup").await?;
    namespace.agentfs("memory", SPEC).await?;
    let after = eventually("the backup is known", get, fresh).await?;
    assert_eq!(last(&after), last(&before));
    Ok(())
}

async fn a_backup_needs_no_operator_and_restores(namespace: &Namespace) -> Result<(), Failure> {
    let away = operator::away().await?;
    namespace
        .kubectl(&["create", "job", "--from=cronjob/memory-backup", "memory-backup-now"])
        .await?;
    let done = ["wait", "--for=condition=Complete", "job/memory-backup-now", "--timeout=120s"];
    namespace.kubectl(&done).await?;
    drop(away);
    let log = namespace.kubectl(&["logs", "job/memory-backup-now"]).await?;
    let file =
        log.split_whitespace().find(|word| word.starts_with("/backups/")).ok_or(log.clone())?;

    let get = async || namespace.object("agentfs", "memory").await;
    let fresh = |object: &Value| condition(object, "BackupFresh") == Some("True");
    let object = eventually("the backup is told of", get, fresh).await?;
    assert!(object["status"]["backup"]["lastSuccessfulTime"].is_string(), "{object}");

    namespace.new_database("memory", "restored").await?;
    let image = namespace
        .kubectl(&[
            "get",
            "deployment",
            "memory-api",
            "-o",
            "jsonpath={.spec.template.spec.containers[0].image}",
        ])
        .await?;
    namespace.apply(&restore_pod(&image, file)).await?;
    let phase = async || {
        namespace.kubectl(&["get", "pod", "restore", "-o", "jsonpath={.status.phase}"]).await
    };
    let ended = |phase: &String| phase == "Succeeded" || phase == "Failed";
    let phase = eventually("the restore ends", phase, ended).await?;
    assert_eq!(phase, "Succeeded", "{}", namespace.kubectl(&["logs", "restore"]).await?);
    for table in ["entries", "entry_versions", "api_keys", "embeddings"] {
        let count = format!("SELECT count(*) FROM {table}");
        let [live, restored] = [
            namespace.sql("memory", "agentfs", &count).await?,
            namespace.sql("memory", "restored", &count).await?,
        ];
        assert_eq!(live, restored, "{table}");
    }
    Ok(())
}

fn restore_pod(image: &str, file: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: restore}}
spec:
  restartPolicy: Never
  securityContext: {{runAsNonRoot: true, runAsUser: 65532, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
    - name: restore
      image: {image}
      command: ["sh", "-c", "pg_restore -l {file} | grep -v EXTENSION >/tmp/list && pg_restore --no-owner --no-acl --exit-on-error -L /tmp/list -d restored {file}"]
      env:
        - {{name: PGHOST, value: memory-postgres}}
        - {{name: PGUSER, valueFrom: {{secretKeyRef: {{name: memory-credentials, key: username}}}}}}
        - {{name: PGPASSWORD, valueFrom: {{secretKeyRef: {{name: memory-credentials, key: password}}}}}}
      securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
      volumeMounts: [{{name: backups, mountPath: /backups}}]
  volumes:
    - name: backups
      persistentVolumeClaim: {{claimName: memory-backups}}
"#
    )
}
