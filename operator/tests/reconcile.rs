//! Whole reconciles against an API server in memory.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use agentfs_operator::agentfs::readiness::{Readiness, Unready};
use agentfs_operator::agentfs::reconcile::{Context, Error, reconcile};
use agentfs_operator::crd::AgentFS;
use agentfs_operator::metrics::Metrics;
use kube::runtime::controller::Action;
use serde_json::{Value, json};

use crate::api_server::ApiServer;
use crate::fixtures::{agentfs, images};

const RESOURCE: &str = "agentfs.io/v1alpha1/agentfses/memory";
const STATEFULSET: &str = "apps/v1/statefulsets/memory-postgres";
const DEPLOYMENT: &str = "apps/v1/deployments/memory-api";

/// What API pods say that are not ready.
struct Says(Unready);

impl Readiness for Says {
    fn ask(&self, _: IpAddr) -> Pin<Box<dyn Future<Output = Option<Unready>> + Send + '_>> {
        Box::pin(async { Some(self.0.clone()) })
    }
}

/// A cluster with the AgentFS `memory`, and an operator to look after it.
struct World {
    server: ApiServer,
    context: Arc<Context>,
    resource: Arc<AgentFS>,
}

impl World {
    fn new(file: &str) -> Self {
        let server = ApiServer::default();
        let resource = agentfs(file);
        server.put(RESOURCE, serde_json::to_value(&resource).unwrap());
        let client = server.client();
        let context = Context {
            reporter: "test".into(),
            client,
            images: images(),
            readiness: Box::new(Says(Unready {
                reason: "DatabaseUnreachable".into(),
                message: "Cannot reach memory-postgres:5432 (connection refused).".into(),
            })),
            metrics: Metrics::new().unwrap(),
            failures: Mutex::default(),
        };
        Self { server, context: Arc::new(context), resource: Arc::new(resource) }
    }

    async fn reconcile(&self) -> Result<Action, Error> {
        reconcile(self.resource.clone(), self.context.clone()).await
    }

    /// The writes of one reconcile.
    async fn writes(&self) -> Vec<String> {
        self.server.writes();
        self.reconcile().await.unwrap();
        self.server.writes()
    }

    fn condition(&self, kind: &str) -> Value {
        let resource = self.server.get(RESOURCE).unwrap();
        let conditions = resource["status"]["conditions"].as_array().unwrap();
        conditions.iter().find(|c| c["type"] == kind).unwrap().clone()
    }

    /// Status, reason and message of a condition.
    fn said(&self, kind: &str) -> (String, String, String) {
        let condition = self.condition(kind);
        let text = |key: &str| condition[key].as_str().unwrap().to_owned();
        (text("status"), text("reason"), text("message"))
    }

    fn database_is_ready(&self) {
        let status = json!({"status": {"replicas": 1, "readyReplicas": 1}});
        self.server.change(STATEFULSET, &status);
    }

    fn job(&self) -> String {
        let mut names = self.server.names("batch/v1/jobs");
        assert_eq!(names.len(), 1, "{names:?}");
        format!("batch/v1/jobs/{}", names.remove(0))
    }

    fn end_job(&self, condition: &str, at: &str) {
        let ended = json!({"status": {"conditions": [
            {"type": condition, "status": "True", "lastTransitionTime": at}]}});
        self.server.change(&self.job(), &ended);
    }

    fn pods_are_ready(&self, count: i32) {
        let status = json!({"status": {"replicas": count, "readyReplicas": count,
                                       "updatedReplicas": count, "observedGeneration": 1}});
        self.server.change(DEPLOYMENT, &status);
        self.server.change(DEPLOYMENT, &json!({"metadata": {"generation": 1}}));
    }

    /// An AgentFS of which everything works.
    async fn settled(file: &str) -> Self {
        let world = Self::new(file);
        world.reconcile().await.unwrap();
        world.database_is_ready();
        world.reconcile().await.unwrap();
        world.end_job("Complete", "2026-11-23T14:00:00Z");
        world.reconcile().await.unwrap();
        world.pods_are_ready(world.resource.spec.api.replicas);
        world.reconcile().await.unwrap();
        assert_eq!(world.said("Ready").0, "True");
        world
    }
}

#[tokio::test]
async fn a_new_resource_gets_its_children_in_order() {
    let world = World::new("minimal");
    let first = world.writes().await;
    let children: Vec<_> = first.iter().filter_map(|w| w.strip_prefix("PATCH ")).collect();
    assert_eq!(
        children,
        [
            "v1/secrets/memory-credentials",
            "v1/secrets/memory-admin-key",
            "v1/persistentvolumeclaims/data-memory-postgres-0",
            "v1/services/memory-postgres",
            "apps/v1/statefulsets/memory-postgres",
            "v1/services/memory-api",
            "agentfs.io/v1alpha1/agentfses/memory/status",
        ]
    );
    assert_eq!(world.said("SchemaReady").1, "AwaitingDatabase");
    assert_eq!(world.said("Ready").0, "False");

    world.database_is_ready();
    let second = world.writes().await;
    assert!(
        second.iter().any(|w| w.starts_with("PATCH batch/v1/jobs/memory-migrate-")),
        "{second:?}"
    );
    assert!(world.server.get(DEPLOYMENT).is_none(), "the API was there before its schema");

    world.end_job("Complete", "2026-11-23T14:00:00Z");
    world.reconcile().await.unwrap();
    assert!(world.server.get(DEPLOYMENT).is_some());
    world.pods_are_ready(3);
    let last = world.writes().await;
    assert_eq!(
        last,
        ["PATCH agentfs.io/v1alpha1/agentfses/memory/status", "POST events.k8s.io/v1/events"]
    );
    assert_eq!(world.said("Ready").1, "Ready");
    assert_eq!(world.said("Progressing").0, "False");
    assert_eq!(world.server.get(RESOURCE).unwrap()["status"]["api"]["summary"], "3/3");
}

#[tokio::test]
async fn at_rest_nothing_is_written() {
    let world = World::settled("full").await;
    for _ in 0..3 {
        assert_eq!(world.writes().await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn drift_is_repaired_and_what_others_added_stays() {
    let world = World::settled("minimal").await;
    world.server.change(
        DEPLOYMENT,
        &json!({"metadata": {"annotations": {"theirs": "1"}}, "spec": {"replicas": 1, "paused": true}}),
    );
    assert_eq!(world.writes().await[0], format!("PATCH {DEPLOYMENT}"));
    let deployment = world.server.get(DEPLOYMENT).unwrap();
    assert_eq!(deployment["spec"]["replicas"], 3);
    assert_eq!(deployment["spec"]["paused"], true);
    assert_eq!(deployment["metadata"]["annotations"]["theirs"], "1");

    world.server.remove("v1/services/memory-api");
    assert_eq!(world.writes().await, ["PATCH v1/services/memory-api"]);
}

#[tokio::test]
async fn secrets_are_kept_and_a_lost_one_is_made_anew() {
    let world = World::settled("minimal").await;
    let secret = "v1/secrets/memory-credentials";
    let before = world.server.get(secret).unwrap();
    let hash = |world: &World| {
        let set = world.server.get(STATEFULSET).unwrap();
        set["spec"]["template"]["metadata"]["annotations"]["agentfs.io/secret-hash"].clone()
    };
    let rolled = hash(&world);
    world.reconcile().await.unwrap();
    assert_eq!(world.server.get(secret).unwrap(), before);
    world.server.remove(secret);
    world.reconcile().await.unwrap();
    let after = world.server.get(secret).unwrap();
    assert_ne!(after["data"]["password"], before["data"]["password"]);
    assert_ne!(hash(&world), rolled, "PostgreSQL would go on with the password that is lost");
}

#[tokio::test]
async fn foreign_objects_are_not_touched() {
    let world = World::new("minimal");
    let foreign = json!({"metadata": {"name": "memory-api", "namespace": "agents",
        "ownerReferences": [{"apiVersion": "v1", "kind": "Shop", "name": "till", "uid": "x",
                             "controller": true}]},
        "spec": {"ports": []}});
    world.server.put("v1/services/memory-api", foreign.clone());
    let writes = world.writes().await;
    assert!(writes.iter().all(|w| w.contains("/status") || w.starts_with("POST")), "{writes:?}");
    let (status, reason, message) = world.said("Ready");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "NameTaken"));
    assert!(
        message
            .starts_with("Service memory-api is there already and belongs to Shop till (since 20"),
        "{message}"
    );
    assert_eq!(world.server.get("v1/services/memory-api").unwrap()["spec"], foreign["spec"]);
    assert_eq!(world.writes().await, Vec::<String>::new(), "the same trouble was told twice");

    world.server.remove("v1/services/memory-api");
    world.reconcile().await.unwrap();
    assert!(world.server.get(STATEFULSET).is_some(), "it did not go on by itself");
}

#[tokio::test]
async fn a_failed_migration_is_told_tried_again_and_holds_the_rollout_back() {
    let world = World::settled("minimal").await;
    world.server.change(RESOURCE, &json!({"spec": {"image": "agentfs/server:2.0.0"}}));
    world.reconcile().await.unwrap();
    let job = world.job();
    let name = job.rsplit('/').next().unwrap();
    world.server.put(
        &format!("v1/pods/{name}-abcde"),
        json!({"metadata": {"name": format!("{name}-abcde"), "namespace": "agents", "labels": {
            "app.kubernetes.io/managed-by": "agentfs-operator",
            "app.kubernetes.io/instance": "memory",
            "app.kubernetes.io/component": "migration",
            "batch.kubernetes.io/job-name": name}},
            "status": {"phase": "Failed", "containerStatuses": [{"name": "migrate", "ready": false,
                "image": "agentfs/server:2.0.0", "imageID": "", "restartCount": 0,
                "state": {"terminated": {"exitCode": 1,
                    "message": "the schema has version 9, this image knows 7: use a newer image."}}}]}}),
    );
    world.end_job("Failed", &jiff::Timestamp::now().to_string());
    let writes = world.writes().await;
    assert!(writes.contains(&"POST events.k8s.io/v1/events".to_owned()), "{writes:?}");
    let (status, reason, message) = world.said("SchemaReady");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "MigrationFailed"));
    assert!(
        message.starts_with(
            "The migration of the schema failed: the schema has version 9, this image knows 7: use a \
             newer image (since "
        ),
        "{message}"
    );
    assert_eq!(world.said("Ready").1, "MigrationFailed");
    assert_eq!(world.said("APIReady").0, "True");
    let image = |world: &World| {
        let deployment = world.server.get(DEPLOYMENT).unwrap();
        deployment["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    assert_eq!(image(&world), "agentfs/server:1.0.0");
    assert_eq!(world.writes().await, Vec::<String>::new());

    // Its pause is over: the next try is made, and the failed Job stays to say why.
    let failed = json!([{"type": "Failed", "status": "True",
                         "lastTransitionTime": "2020-01-01T00:00:00Z"}]);
    world.server.change(&job, &json!({"status": {"conditions": failed}}));
    world.reconcile().await.unwrap();
    assert_eq!(world.server.names("batch/v1/jobs"), [name.to_owned(), format!("{name}-2")]);
    assert_eq!(world.said("SchemaReady").1, "MigrationFailed");

    let done = json!({"status": {"conditions": [
        {"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-23T15:00:00Z"}]}});
    world.server.change(&format!("{job}-2"), &done);
    world.reconcile().await.unwrap();
    assert_eq!(image(&world), "agentfs/server:2.0.0");
    assert_eq!(world.server.names("batch/v1/jobs"), [format!("{name}-2")]);
}

#[tokio::test]
async fn a_refusal_of_the_api_server_is_told() {
    let world = World::new("minimal");
    let volume = "v1/persistentvolumeclaims/data-memory-postgres-0";
    world.server.refuse(volume, 403, "exceeded quota: small, requested: storage=10Gi");
    world.reconcile().await.unwrap();
    let (status, reason, message) = world.said("Ready");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "QuotaExceeded"));
    assert!(
        message.contains("Kubernetes refuses the PersistentVolumeClaim data-memory-postgres-0")
    );
    assert!(world.server.get(STATEFULSET).is_none());
}

#[tokio::test]
async fn a_conflict_is_an_error_that_is_tried_again() {
    let world = World::new("minimal");
    world.server.refuse("v1/services/memory-postgres", 409, "the object has been modified");
    assert!(matches!(world.reconcile().await, Err(Error::Apply(_))));
}

#[tokio::test]
async fn a_resource_that_is_deleted_is_left_alone() {
    let world = World::new("minimal");
    let leaving = json!({"metadata": {"deletionTimestamp": "2026-11-23T14:02:11Z"}});
    world.server.change(RESOURCE, &leaving);
    assert_eq!(world.writes().await, Vec::<String>::new());
    world.server.remove(RESOURCE);
    assert_eq!(world.writes().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_resource_made_again_finds_its_data_and_its_password() {
    let world = World::settled("minimal").await;
    let paths =
        ["v1/secrets/memory-credentials", "v1/persistentvolumeclaims/data-memory-postgres-0"];
    let kept = paths.map(|path| world.server.get(path).unwrap());
    for object in &kept {
        assert!(object["metadata"].get("ownerReferences").is_none(), "{object} would be deleted");
    }
    let again = World::new("full");
    for (path, object) in paths.into_iter().zip(&kept) {
        again.server.put(path, object.clone());
    }
    again.reconcile().await.unwrap();
    let secret = again.server.get(paths[0]).unwrap();
    assert_eq!(secret["data"]["password"], kept[0]["data"]["password"]);
}

#[tokio::test]
async fn the_reason_of_a_pod_that_is_not_ready_is_its_own() {
    let world = World::settled("minimal").await;
    let pod = json!({"metadata": {"name": "memory-api-1", "namespace": "agents", "labels": {
            "app.kubernetes.io/managed-by": "agentfs-operator",
            "app.kubernetes.io/instance": "memory",
            "app.kubernetes.io/component": "api"}},
        "status": {"phase": "Running", "podIP": "10.0.0.9", "conditions": [
            {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    world.server.put("v1/pods/memory-api-1", pod);
    let stuck = json!({"status": {"replicas": 4, "readyReplicas": 3, "updatedReplicas": 1}});
    world.server.change(DEPLOYMENT, &stuck);
    world.reconcile().await.unwrap();
    assert_eq!(world.said("Ready").0, "True", "the old pods serve on");
    let (status, reason, message) = world.said("Progressing");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "DatabaseUnreachable"));
    assert!(message.starts_with("Cannot reach memory-postgres:5432 (connection refused) (since "));

    world.server.change(DEPLOYMENT, &json!({"status": {"readyReplicas": 0}}));
    world.reconcile().await.unwrap();
    assert_eq!(world.said("Ready").1, "DatabaseUnreachable");
    assert_eq!(world.server.get(RESOURCE).unwrap()["status"]["api"]["summary"], "0/3");
}
