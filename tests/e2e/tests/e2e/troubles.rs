//! What goes wrong is told by a condition and an Event, with a sentence that says what to do; mended, it goes on by itself.

use agentfs_e2e::Failure;
use agentfs_e2e::kubectl::{at_last, eventually, kubectl, with_input};
use agentfs_e2e::namespace::Namespace;
use serde_json::{Value, json};

/// One pod a part.
fn spec(database: &str) -> String {
    format!(
        "
  database: {database}
  api: {{replicas: 1}}
  pooler: {{replicas: 1}}
  backup: {{enabled: false}}
"
    )
}

const EMBEDDED: &str = "{embedded: {storage: {size: 1Gi}}}";
const EXTERNAL: &str = "{external: {secretRef: {name: memory-db}}}";

/// Waits until a condition of `memory` is False for `reason` with all of `words` in its sentence, and an Event says the same.
async fn told(
    namespace: &Namespace,
    condition: &str,
    reason: &str,
    words: &[&str],
) -> Result<(), Failure> {
    let conditions = async || {
        let object = namespace.object("agentfs", "memory").await?;
        Ok(object["status"]["conditions"].as_array().cloned().unwrap_or_default())
    };
    let says = |sentence: &Value| {
        sentence.as_str().is_some_and(|sentence| words.iter().all(|word| sentence.contains(word)))
    };
    let tells = |conditions: &Vec<Value>| {
        conditions.iter().any(|c| {
            c["type"] == condition
                && c["status"] == "False"
                && c["reason"] == reason
                && says(&c["message"])
        })
    };
    let what = format!("{condition} is False for {reason} with {words:?}");
    let conditions = eventually(&what, conditions, tells).await?;
    let sentence = conditions.iter().find(|c| c["type"] == condition).map(|c| &c["message"]);
    eprintln!("{condition} {reason}: {}", sentence.unwrap_or(&Value::Null));
    let events = async || {
        let of_it = format!("involvedObject.name=memory,reason={reason},type=Warning");
        let events =
            namespace.kubectl(&["get", "events", "--field-selector", &of_it, "-o", "json"]).await?;
        Ok(serde_json::from_str::<Value>(&events)?["items"].take())
    };
    let tells = |events: &Value| {
        events.as_array().is_some_and(|all| all.iter().any(|event| says(&event["message"])))
    };
    eventually(&format!("an Event tells of it: {what}"), events, tells).await.map(drop)
}

async fn database_url(namespace: &Namespace, url: &str) -> Result<(), Failure> {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "memory-db"},
                        "stringData": {"DATABASE_URL": url}});
    namespace.apply(&secret.to_string()).await.map(drop)
}

#[tokio::test]
#[ignore = "needs a cluster: make test-all"]
async fn an_external_database_that_cannot_be_had() -> Result<(), Failure> {
    let namespace = Namespace::create().await?;
    namespace.agentfs("store", &spec(EMBEDDED)).await?;
    namespace.agentfs("memory", &spec(EXTERNAL)).await?;
    let make = format!("kubectl create secret generic memory-db -n {}", namespace.name());
    told(&namespace, "CredentialsReady", "SecretMissing", &["memory-db", &make]).await?;

    database_url(&namespace, "mysql://somebody@somewhere/db").await?;
    let words = ["Secret memory-db", "DATABASE_URL", "postgres://"];
    told(&namespace, "CredentialsReady", "CredentialsUnusable", &words).await?;

    database_url(&namespace, "postgres://agentfs:secret@nowhere.invalid/moved").await?;
    let words = ["nowhere.invalid:5432", "Secret", "memory-db"];
    told(&namespace, "SchemaReady", "MigrationFailed", &words).await?;

    namespace.ready("store").await?;
    namespace.new_database("store", "moved").await?;
    database_url(&namespace, "postgres://agentfs:wrong@store-postgres/moved").await?;
    let words = ["password authentication failed", "memory-db"];
    told(&namespace, "SchemaReady", "MigrationFailed", &words).await?;
    let said = namespace.object("agentfs", "memory").await?["status"].to_string();
    assert!(!said.contains("agentfs:wrong"), "a password is shown: {said}");

    let password = namespace.secret("store-credentials", "password").await?;
    let right = format!("postgres://agentfs:{password}@store-postgres/moved");
    database_url(&namespace, &right).await?;
    namespace.ready("memory").await?;

    // It goes away while the API serves, and comes back.
    namespace.change_spec("store", &json!({"suspend": true})).await?;
    let words = ["memory-db", "kubectl logs", "deployment/memory-pooler"];
    told(&namespace, "DatabaseReady", "DatabaseUnreachable", &words).await?;
    namespace.change_spec("store", &json!({"suspend": false})).await?;
    namespace.ready("memory").await.map(drop)
}

#[tokio::test]
#[ignore = "needs a cluster: make test-all"]
async fn an_image_that_does_not_exist_and_a_quota_that_is_used_up() -> Result<(), Failure> {
    let namespace = Namespace::create().await?;
    let quota = async |pods: &str| {
        let hard = format!("--hard=pods={pods}");
        namespace.kubectl(&["create", "quota", "small", &hard]).await
    };
    quota("0").await?;
    namespace.agentfs("memory", &spec(EMBEDDED)).await?;
    let words = ["exceeded quota: small", "ResourceQuota"];
    told(&namespace, "DatabaseReady", "QuotaExceeded", &words).await?;
    namespace.kubectl(&["delete", "quota", "small"]).await?;
    namespace.ready("memory").await?;

    quota("1").await?;
    namespace.change_spec("memory", &json!({"api": {"replicas": 2}})).await?;
    told(&namespace, "APIReady", "QuotaExceeded", &words).await?;
    namespace.kubectl(&["delete", "quota", "small"]).await?;
    namespace.ready("memory").await?;

    namespace.change_spec("memory", &json!({"image": "localhost/agentfs/server:nowhere"})).await?;
    let words = ["localhost/agentfs/server:nowhere", "kubectl describe pod"];
    told(&namespace, "SchemaReady", "ImagePullFailed", &words).await?;
    let api = namespace.object("deployment", "memory-api").await?;
    assert_eq!(api["status"]["readyReplicas"], 2, "the API serves on");
    namespace.change_spec("memory", &json!({"image": null})).await?;
    namespace.ready("memory").await.map(drop)
}

#[tokio::test]
#[ignore = "needs a cluster: make test-all"]
async fn a_quota_on_limits_asks_for_limits_of_every_part() -> Result<(), Failure> {
    let namespace = Namespace::create().await?;
    let hard = "--hard=limits.cpu=8,limits.memory=8Gi";
    namespace.kubectl(&["create", "quota", "limits", hard]).await?;
    // Without requests, Kubernetes reserves as much as the limits, and a small node has no room.
    let limits = |memory: &str| json!({"limits": {"cpu": 1, "memory": memory}, "requests": {"cpu": "10m", "memory": "16Mi"}});
    let spec = json!({
        "database": {"embedded": {"storage": {"size": "1Gi"}, "resources": limits("512Mi")}},
        "api": {"replicas": 1},
        "pooler": {"replicas": 1, "resources": limits("64Mi")},
        "backup": {"enabled": false},
    });
    let manifest = json!({"apiVersion": "agentfs.io/v1alpha1", "kind": "AgentFS",
                          "metadata": {"name": "memory"}, "spec": spec});
    namespace.apply(&manifest.to_string()).await?;
    let words = ["the pods of the migration", "limits.cpu", "spec.migration.resources"];
    told(&namespace, "SchemaReady", "PodsRefused", &words).await?;
    namespace.change_spec("memory", &json!({"api": {"resources": limits("256Mi")}})).await?;
    namespace.ready("memory").await.map(drop)
}

/// A StorageClass like the cluster's own, under a name of its own; gone when the test is over.
struct StorageClass(String);

impl StorageClass {
    async fn create(name: &str) -> Result<Self, Failure> {
        let all = kubectl(&["get", "storageclass", "-o", "json"]).await?;
        let mut class = serde_json::from_str::<Value>(&all)?["items"][0].take();
        class["metadata"] = json!({"name": name});
        with_input(&["apply", "-f", "-"], &class.to_string()).await?;
        Ok(Self(name.to_owned()))
    }
}

impl Drop for StorageClass {
    fn drop(&mut self) {
        let delete = ["delete", "storageclass", &self.0, "--wait=false"];
        at_last(&delete, &format!("StorageClass {} is left behind", self.0));
    }
}

#[tokio::test]
#[ignore = "needs a cluster: make test-all"]
async fn volumes_that_do_not_bind() -> Result<(), Failure> {
    let namespace = Namespace::create().await?;
    let class = format!("class-{}", namespace.name());
    let volume = json!({"size": "1Gi", "storageClassName": class});
    let manifest = json!({"apiVersion": "agentfs.io/v1alpha1", "kind": "AgentFS", "metadata": {"name": "memory"},
        "spec": {"database": {"embedded": {"storage": volume}}, "api": {"replicas": 1}, "backup": {"volume": volume}}});
    namespace.apply(&manifest.to_string()).await?;
    let words = |claim| [claim, class.as_str(), "kubectl get storageclass"];
    told(&namespace, "DatabaseReady", "VolumePending", &words("data-memory-postgres-0")).await?;
    told(&namespace, "BackupsScheduled", "VolumePending", &words("memory-backups")).await?;
    let _class = StorageClass::create(&class).await?;
    namespace.ready("memory").await.map(drop)
}

#[tokio::test]
#[ignore = "needs a cluster: make test-all"]
async fn volumes_that_cannot_grow() -> Result<(), Failure> {
    let namespace = Namespace::create().await?;
    let volumes = |size: &str| json!({"database": {"embedded": {"storage": {"size": size}}}, "backup": {"volume": {"size": size}}});
    let mut spec = volumes("2Gi");
    spec["api"] = json!({"replicas": 1});
    spec["pooler"] = json!({"replicas": 1});
    let manifest = json!({"apiVersion": "agentfs.io/v1alpha1", "kind": "AgentFS",
                          "metadata": {"name": "memory"}, "spec": spec});
    namespace.apply(&manifest.to_string()).await?;
    namespace.ready("memory").await?;
    // The volume of the backups is there from the first backup on.
    namespace
        .kubectl(&["create", "job", "--from=cronjob/memory-backup", "memory-backup-now"])
        .await?;
    let get = async || namespace.object("agentfs", "memory").await;
    let known = |object: &Value| {
        let status = &object["status"];
        status["database"]["volumeSize"] == "2Gi" && status["backup"]["volumeSize"] == "2Gi"
    };
    eventually("the sizes of the volumes are known", get, known).await?;

    namespace.change_spec("memory", &volumes("3Gi")).await?;
    let class = "does not let volumes grow";
    let words = ["spec.database.embedded.storage.size", class, "back to 2Gi"];
    told(&namespace, "DatabaseReady", "VolumeCannotGrow", &words).await?;
    let words = ["spec.backup.volume.size", class, "back to 2Gi"];
    told(&namespace, "BackupsScheduled", "VolumeCannotGrow", &words).await?;
    let refused = namespace.change_spec("memory", &volumes("1Gi")).await;
    let refused = refused.map_or_else(|error| error.to_string(), |()| "accepted".into());
    assert!(refused.contains("a volume cannot shrink"), "{refused}");
    namespace.change_spec("memory", &volumes("2Gi")).await?;
    namespace.ready("memory").await.map(drop)
}

#[tokio::test]
#[ignore = "needs a cluster: make test-all"]
async fn a_pod_that_its_node_does_not_start_and_one_without_its_labels() -> Result<(), Failure> {
    let namespace = Namespace::create().await?;
    namespace.agentfs("memory", &spec(EMBEDDED)).await?;
    namespace.ready("memory").await?;
    namespace
        .kubectl(&["label", "pod", "memory-postgres-0", "app.kubernetes.io/component-"])
        .await?;
    let back = "kubectl label pod -n";
    let words = ["memory-postgres-0", back, "app.kubernetes.io/component=database"];
    told(&namespace, "DatabaseReady", "LabelsMissing", &words).await?;
    let label = "app.kubernetes.io/component=database";
    namespace.kubectl(&["label", "pod", "memory-postgres-0", label]).await?;
    namespace.ready("memory").await?;

    // A volume that cannot be mounted.
    let pod = |volumes: Value, mounts: Value| {
        let container = json!({"name": "api", "volumeMounts": mounts});
        let pod = json!({"volumes": volumes, "containers": [container]});
        json!({"spec": {"template": {"spec": pod}}}).to_string()
    };
    let patch = pod(
        json!([{"name": "absent", "secret": {"secretName": "nowhere"}}]),
        json!([{"name": "absent", "mountPath": "/absent"}]),
    );
    namespace.kubectl(&["patch", "deployment", "memory-api", "-p", &patch]).await?;
    let words = ["secret \"nowhere\" not found", "kubectl describe pod"];
    told(&namespace, "Progressing", "PodNotStarted", &words).await?;
    let patch = pod(
        json!([{"name": "absent", "$patch": "delete"}]),
        json!([{"mountPath": "/absent", "$patch": "delete"}]),
    );
    namespace.kubectl(&["patch", "deployment", "memory-api", "-p", &patch]).await?;
    namespace.ready("memory").await.map(drop)
}
