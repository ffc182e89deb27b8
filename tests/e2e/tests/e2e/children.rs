//! Every object that the operator makes: deleted, edited by hand, shared with others, and taken by somebody else before.

use agentfs_e2e::Failure;
use agentfs_e2e::kubectl::{eventually, with_input};
use agentfs_e2e::namespace::Namespace;
use agentfs_e2e::provider;
use serde_json::{Value, json};

/// With every part that there can be.
const SPEC: &str = "
  database: {embedded: {storage: {size: 1Gi}}}
  api:
    autoscaling: {minReplicas: 2, maxReplicas: 4, targetCPUUtilizationPercentage: 1000}
    resources: {requests: {cpu: 50m, memory: 64Mi}}
  embeddings:
    openAI: {baseUrl: \"http://provider:8080/v1\", model: fake, dimensions: 8, secretRef: {name: provider}}
  backup: {volume: {size: 1Gi}}
";

#[tokio::test]
#[ignore = "needs a cluster: make test-all"]
async fn every_child_is_repaired_and_others_fields_stay() -> Result<(), Failure> {
    let namespace = Namespace::create().await?;
    provider::make_key(&namespace).await?;
    namespace.agentfs("memory", SPEC).await?;
    namespace.ready("memory").await?;
    others_fields(&namespace).await?;
    edited(&namespace).await?;
    others_fields_are_there(&namespace).await?;
    deleted(&namespace).await
}

/// What a mesh, a person and an autoscaler put into a Deployment of ours.
async fn others_fields(namespace: &Namespace) -> Result<(), Failure> {
    let sidecar = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: memory-api, annotations: {example.com/owner: somebody}}
spec: {template: {metadata: {annotations: {sidecar.example.com/inject: 'true'}}}}
";
    let apply = ["apply", "--server-side", "--field-manager=mesh", "-f", "-"];
    with_input(&[&["--namespace", namespace.name()][..], &apply].concat(), sidecar).await?;
    // As the autoscaler does, which waits five minutes before it takes the third one away.
    namespace.kubectl(&["scale", "deployment/memory-api", "--replicas=3"]).await?;
    namespace.ready("memory").await.map(drop)
}

async fn others_fields_are_there(namespace: &Namespace) -> Result<(), Failure> {
    let api = namespace.object("deployment", "memory-api").await?;
    assert_eq!(api["metadata"]["annotations"]["example.com/owner"], "somebody");
    let annotations = &api["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(annotations["sidecar.example.com/inject"], "true");
    assert_eq!(api["spec"]["replicas"], 3);
    Ok(())
}

async fn edited(namespace: &Namespace) -> Result<(), Failure> {
    let grace = json!({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 7}}}});
    let selector = json!({"spec": {"selector": {"app.kubernetes.io/name": "else"}}});
    let budget = json!({"spec": {"maxUnavailable": 9}});
    let edits = [
        ("deployment", "memory-api", &grace),
        ("deployment", "memory-worker", &grace),
        ("deployment", "memory-pooler", &grace),
        ("statefulset", "memory-postgres", &grace),
        ("service", "memory-api", &selector),
        ("service", "memory-pooler", &selector),
        ("service", "memory-postgres", &selector),
        ("pdb", "memory-api", &budget),
        ("pdb", "memory-pooler", &budget),
        ("hpa", "memory-api", &json!({"spec": {"maxReplicas": 99}})),
        ("cronjob", "memory-backup", &json!({"spec": {"schedule": "0 0 1 1 *"}})),
        ("secret", "memory-pooler", &json!({"data": {"userlist.txt": "eA=="}})),
        ("serviceaccount", "memory-agentfs", &json!({"automountServiceAccountToken": true})),
    ];
    let essence = async |kind: &str, name: &str| {
        let mut object = namespace.object(kind, name).await?;
        let fields = ["spec", "data", "automountServiceAccountToken"];
        Ok::<_, Failure>(fields.map(|field| object[field].take()))
    };
    for (kind, name, edit) in edits {
        let before = essence(kind, name).await?;
        let patch = ["patch", kind, name, "--type=merge", "-p", &edit.to_string()];
        namespace.kubectl(&patch).await?;
        let now = async || essence(kind, name).await;
        eventually(&format!("{kind}/{name} is repaired"), now, |now| *now == before).await?;
    }
    namespace.ready("memory").await.map(drop)
}

async fn deleted(namespace: &Namespace) -> Result<(), Failure> {
    let children = [
        ("serviceaccount", "memory-agentfs"),
        ("deployment", "memory-worker"),
        ("deployment", "memory-pooler"),
        ("secret", "memory-pooler"),
        ("service", "memory-pooler"),
        ("pdb", "memory-pooler"),
        ("pdb", "memory-api"),
        ("hpa", "memory-api"),
        ("cronjob", "memory-backup"),
        ("pvc", "memory-backups"),
        ("deployment", "memory-api"),
        ("service", "memory-api"),
        ("service", "memory-postgres"),
        ("statefulset", "memory-postgres"),
        // Another key, and another password, are another migration.
        ("secret", "memory-admin-key"),
        ("secret", "memory-credentials"),
    ];
    namespace.children_come_back(&children).await
}

/// An object of somebody else's: its version, its kind and name, and the rest of its manifest.
type Foreign = (&'static str, &'static str, &'static str);

/// Objects of somebody else's under all names that the operator wants, by the condition that tells of them, in the order in
/// which it does.
const FOREIGN: [(&str, &[Foreign]); 7] = [
    (
        "CredentialsReady",
        &[
            ("v1", "ServiceAccount memory-agentfs", "automountServiceAccountToken: true"),
            ("v1", "Secret memory-credentials", "data: {x: eA==}"),
            ("v1", "Secret memory-admin-key", "data: {x: eA==}"),
        ],
    ),
    (
        "DatabaseReady",
        &[
            (
                "v1",
                "PersistentVolumeClaim data-memory-postgres-0",
                "spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}",
            ),
            (
                "apps/v1",
                "StatefulSet memory-postgres",
                "spec: {replicas: 0, serviceName: x, selector: {matchLabels: {a: x}}, template: {metadata: {labels: {a: x}}, \
                 spec: {containers: [{name: x, image: x}]}}}",
            ),
            ("v1", "Service memory-postgres", "spec: {ports: [{port: 1}]}"),
        ],
    ),
    (
        "PoolerReady",
        &[
            ("v1", "Secret memory-pooler", "data: {x: eA==}"),
            ("v1", "Service memory-pooler", "spec: {ports: [{port: 1}]}"),
            ("apps/v1", "Deployment memory-pooler", DEPLOYMENT),
        ],
    ),
    (
        "Progressing",
        &[
            ("policy/v1", "PodDisruptionBudget memory-pooler", "spec: {minAvailable: 0}"),
            ("policy/v1", "PodDisruptionBudget memory-api", "spec: {minAvailable: 0}"),
            (
                "autoscaling/v2",
                "HorizontalPodAutoscaler memory-api",
                "spec: {maxReplicas: 1, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: other}}",
            ),
        ],
    ),
    (
        "APIReady",
        &[
            ("apps/v1", "Deployment memory-api", DEPLOYMENT),
            ("v1", "Service memory-api", "spec: {ports: [{port: 1}]}"),
        ],
    ),
    ("WorkersReady", &[("apps/v1", "Deployment memory-worker", DEPLOYMENT)]),
    (
        "BackupsScheduled",
        &[
            (
                "v1",
                "PersistentVolumeClaim memory-backups",
                "spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}",
            ),
            (
                "batch/v1",
                "CronJob memory-backup",
                "spec: {suspend: true, schedule: '0 0 1 1 *', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, \
                 containers: [{name: x, image: x}]}}}}}",
            ),
        ],
    ),
];

const DEPLOYMENT: &str = "spec: {replicas: 0, selector: {matchLabels: {a: x}}, template: {metadata: {labels: {a: x}}, \
                          spec: {containers: [{name: x, image: x}]}}}";

#[tokio::test]
#[ignore = "needs a cluster: make test-all"]
async fn objects_of_others_under_our_names_are_told_of_and_never_touched() -> Result<(), Failure> {
    let namespace = Namespace::create().await?;
    provider::make_key(&namespace).await?;
    for (version, called, rest) in FOREIGN.iter().flat_map(|(_, objects)| *objects) {
        let (kind, name) = called.split_once(' ').ok_or("no name")?;
        let manifest =
            format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}}}\n{rest}\n");
        namespace.apply(&manifest).await?;
    }
    namespace.agentfs("memory", SPEC).await?;

    let longest = FOREIGN.iter().map(|(_, objects)| objects.len()).max().unwrap_or(0);
    for nth in 0..longest {
        let present = FOREIGN.iter().filter_map(|(of, objects)| Some((*of, objects.get(nth)?.1)));
        for (condition, called) in present.clone() {
            let told = async || {
                let agentfs = namespace.object("agentfs", "memory").await?;
                let all = agentfs["status"]["conditions"].as_array().cloned().unwrap_or_default();
                Ok(all.into_iter().find(|c| c["type"] == condition).unwrap_or_default())
            };
            let sentence = format!("{called} already exists and belongs to somebody else");
            let says = |condition: &Value| {
                condition["reason"] == "NameTaken"
                    && condition["message"].as_str().is_some_and(|said| said.contains(&sentence))
            };
            eventually(&format!("{condition} tells of {called}"), told, says).await?;
            untouched(&namespace, called).await?;
        }
        for (_, called) in present {
            let (kind, name) = called.split_once(' ').ok_or("no name")?;
            namespace.kubectl(&["delete", kind, name]).await?;
        }
    }
    namespace.ready("memory").await?;
    let events = namespace.kubectl(&["get", "events", "-o", "json"]).await?;
    assert!(events.contains("\"reason\": \"NameTaken\""), "no Event tells of it");
    Ok(())
}

/// Nothing of the operator's is in the object.
async fn untouched(namespace: &Namespace, called: &str) -> Result<(), Failure> {
    let (kind, name) = called.split_once(' ').ok_or("no name")?;
    let get = ["get", kind, name, "--show-managed-fields", "-o", "json"];
    let object = namespace.kubectl(&get).await?;
    assert!(!object.contains("agentfs-operator"), "{called} was written: {object}");
    Ok(())
}
