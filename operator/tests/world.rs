//! A cluster with one AgentFS in it, and an operator that looks after it.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use agentfs_operator::agentfs::reconcile::{Context, Error, reconcile};
use agentfs_operator::crd::AgentFS;
use agentfs_operator::kit::readiness::{Readiness, Unready};
use agentfs_operator::kit::reconcile::Failures;
use agentfs_operator::process::metrics::Metrics;
use kube::runtime::controller::Action;
use kube::runtime::reflector::{self, store::Writer};
use kube::runtime::watcher;
use serde_json::{Value, json};

use crate::api_server::ApiServer;
use crate::fixtures::{agentfs, images};

/// The path of the AgentFS.
pub(crate) const RESOURCE: &str = "agentfs.io/v1alpha1/agentfses/memory";
/// The path of PostgreSQL.
pub(crate) const STATEFULSET: &str = "apps/v1/statefulsets/memory-postgres";
/// The path of the connection pool.
pub(crate) const POOLER: &str = "apps/v1/deployments/memory-pooler";
/// The path of the workers.
pub(crate) const WORKERS: &str = "apps/v1/deployments/memory-worker";
/// The path of what makes backups.
pub(crate) const BACKUP: &str = "batch/v1/cronjobs/memory-backup";
/// The path of the Secret with the key of the provider of embeddings.
pub(crate) const PROVIDER: &str = "v1/secrets/provider";
/// The path of the API.
pub(crate) const DEPLOYMENT: &str = "apps/v1/deployments/memory-api";

/// What API pods say that are not ready.
struct Says(Unready);

impl Readiness for Says {
    fn ask(&self, _: SocketAddr) -> Pin<Box<dyn Future<Output = Option<Unready>> + Send + '_>> {
        Box::pin(async { Some(self.0.clone()) })
    }
}

/// A cluster with the AgentFS `memory`, and an operator to look after it.
pub(crate) struct World {
    pub(crate) server: ApiServer,
    pub(crate) context: Arc<Context>,
    pub(crate) resource: Arc<AgentFS>,
    others: Mutex<Writer<AgentFS>>,
}

impl World {
    pub(crate) fn new(file: &str) -> Self {
        let server = ApiServer::default();
        let resource = agentfs(file);
        server.put(RESOURCE, serde_json::to_value(&resource).unwrap());
        if resource.spec.embeddings.open_ai.is_some() {
            let provider = json!({"metadata": {"name": "provider", "namespace": "agents"},
                                  "data": {"token": "c2stZXhhbXBsZQ=="}});
            server.put(PROVIDER, provider);
        }
        let client = server.client();
        let (known, others) = reflector::store();
        let context = Context {
            known,
            reporter: "test".into(),
            client,
            images: images(),
            readiness: Box::new(Says(Unready {
                reason: "DatabaseUnreachable".into(),
                message: "Cannot reach memory-postgres:5432 (connection refused).".into(),
            })),
            metrics: Metrics::new().unwrap(),
            failures: Failures::default(),
        };
        let others = Mutex::new(others);
        Self { server, context: Arc::new(context), resource: Arc::new(resource), others }
    }

    /// Lets pods that are not ready give this reason.
    pub(crate) fn pods_say(&mut self, reason: &str, message: &str) {
        let unready = Unready { reason: reason.into(), message: message.into() };
        Arc::get_mut(&mut self.context).unwrap().readiness = Box::new(Says(unready));
    }

    /// Lets the operator know of another resource.
    pub(crate) fn other(&self, agentfs: &Value) {
        let agentfs = serde_json::from_value(agentfs.clone()).unwrap();
        self.others.lock().unwrap().apply_watcher_event(&watcher::Event::Apply(agentfs));
    }

    /// Lets the operator know that a resource is gone.
    pub(crate) fn gone(&self, agentfs: &Value) {
        let agentfs = serde_json::from_value(agentfs.clone()).unwrap();
        self.others.lock().unwrap().apply_watcher_event(&watcher::Event::Delete(agentfs));
    }

    pub(crate) async fn reconcile(&self) -> Result<Action, Error> {
        reconcile(self.resource.clone(), self.context.clone()).await
    }

    /// Asks for another image, without the backup before it.
    pub(crate) fn upgrade_at_once(&self, image: &str) {
        let spec = json!({"image": image, "upgrades": {"backupBefore": false}});
        self.server.change(RESOURCE, &json!({"spec": spec}));
    }

    /// The writes of one reconcile.
    pub(crate) async fn writes(&self) -> Vec<String> {
        self.server.writes();
        self.reconcile().await.unwrap();
        self.server.writes()
    }

    pub(crate) fn condition(&self, kind: &str) -> Value {
        let resource = self.server.get(RESOURCE).unwrap();
        let conditions = resource["status"]["conditions"].as_array().unwrap();
        conditions.iter().find(|c| c["type"] == kind).unwrap().clone()
    }

    /// Status, reason and message of a condition.
    pub(crate) fn said(&self, kind: &str) -> (String, String, String) {
        let condition = self.condition(kind);
        let text = |key: &str| condition[key].as_str().unwrap().to_owned();
        (text("status"), text("reason"), text("message"))
    }

    pub(crate) fn database_is_ready(&self) {
        let status = json!({"status": {"replicas": 1, "readyReplicas": 1}});
        self.server.change(STATEFULSET, &status);
    }

    pub(crate) fn job(&self) -> String {
        let mut names = self.server.names("batch/v1/jobs");
        assert_eq!(names.len(), 1, "{names:?}");
        format!("batch/v1/jobs/{}", names.remove(0))
    }

    pub(crate) fn end_job(&self, condition: &str, at: &str) {
        let ended = json!({"status": {"conditions": [
            {"type": condition, "status": "True", "lastTransitionTime": at}]}});
        self.server.change(&self.job(), &ended);
    }

    /// All pods of the API, this many, are ready and of the newest kind.
    pub(crate) fn pods_are_ready(&self, count: i32) {
        self.rolled_out(DEPLOYMENT, count);
    }

    /// All pods of a Deployment, this many, are ready and of the newest kind.
    pub(crate) fn rolled_out(&self, path: &str, count: i32) {
        let generation = self.server.get(path).unwrap()["metadata"]["generation"].as_i64();
        let generation = generation.unwrap_or(1);
        let status = json!({"replicas": count, "readyReplicas": count,
                            "updatedReplicas": count, "observedGeneration": generation});
        let metadata = json!({"generation": generation});
        self.server.change(path, &json!({"metadata": metadata, "status": status}));
    }

    /// How many API pods are wanted.
    pub(crate) fn replicas(&self) -> i32 {
        let deployment = self.server.get(DEPLOYMENT).unwrap();
        i32::try_from(deployment["spec"]["replicas"].as_i64().unwrap_or(1)).unwrap()
    }

    /// A pod that runs, and has not been ready for long.
    pub(crate) fn pod_is_not_ready(&self, name: &str, component: &str) {
        let labels = json!({"app.kubernetes.io/managed-by": "agentfs-operator",
            "app.kubernetes.io/instance": "memory", "app.kubernetes.io/component": component});
        let pod = json!({"metadata": {"name": name, "namespace": "agents", "labels": labels},
            "status": {"phase": "Running", "podIP": "10.0.0.9", "conditions": [
                {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
        self.server.put(&format!("v1/pods/{name}"), pod);
    }

    /// An AgentFS of which everything works.
    pub(crate) async fn settled(file: &str) -> Self {
        Self::new(file).settle().await
    }

    /// The same world, once everything works.
    pub(crate) async fn settle(self) -> Self {
        let world = self.arrived().await;
        assert_eq!(world.said("Ready").0, "True");
        world
    }

    /// The same world, once all that the API needs works.
    pub(crate) async fn arrived(self) -> Self {
        let world = self;
        world.reconcile().await.unwrap();
        if world.server.get(STATEFULSET).is_some() {
            world.database_is_ready();
            world.reconcile().await.unwrap();
        }
        world.end_job("Complete", "2026-11-23T14:00:00Z");
        world.reconcile().await.unwrap();
        world.pods_are_ready(world.replicas());
        for path in [POOLER, WORKERS] {
            if let Some(deployment) = world.server.get(path) {
                let count = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
                world.rolled_out(path, i32::try_from(count).unwrap());
            }
        }
        world.reconcile().await.unwrap();
        world
    }
}
