//! A cluster with an AgentFS and its CronJobs, and an operator that has tasks carried out.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use agentfs_contract::progress::Progress;
use agentfs_operator::kit::reconcile::Failures;
use agentfs_operator::process::metrics::Metrics;
use agentfs_operator::task::Task;
use agentfs_operator::task::progress::{Ask, Asked};
use agentfs_operator::task::reconcile::{Context, reconcile};
use jiff::{SignedDuration, Timestamp};
use kube::runtime::controller::Action;
use serde_json::{Value, json};

use crate::api_server::ApiServer;
use crate::fixtures::agentfs;
use crate::world::RESOURCE;

/// What the pods of Jobs say of how far they are, and how often they were asked.
#[derive(Clone, Default)]
pub(crate) struct Says(Arc<Mutex<(Option<Progress>, Vec<SocketAddr>)>>);

impl Says {
    pub(crate) fn set(&self, step: &str, percent: u8) {
        let progress =
            Progress { step: step.into(), percent: Some(percent), ..Progress::default() };
        self.0.lock().unwrap().0 = Some(progress);
    }

    pub(crate) fn say(&self, progress: &Progress) {
        self.0.lock().unwrap().0 = Some(progress.clone());
    }

    pub(crate) fn asked(&self) -> Vec<SocketAddr> {
        self.0.lock().unwrap().1.clone()
    }
}

impl Ask for Says {
    fn ask(
        &self,
        address: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = Option<Progress>> + Send + '_>> {
        let mut said = self.0.lock().unwrap();
        said.1.push(address);
        let progress = said.0.clone();
        Box::pin(async move { progress })
    }
}

/// A cluster with the AgentFS `memory` and the CronJobs of its backups, verifications and drills.
pub(crate) struct Tasks {
    pub(crate) server: ApiServer,
    pub(crate) says: Says,
    pub(crate) context: Arc<Context>,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        let (server, says) = (ApiServer::default(), Says::default());
        server.put(RESOURCE, serde_json::to_value(agentfs("minimal")).unwrap());
        for what in ["backup", "verify", "drill"] {
            let path = format!("batch/v1/cronjobs/memory-{what}");
            server.put(&path, cronjob(what));
        }
        let context = Arc::new(context(&server, says.clone()));
        Self { server, says, context }
    }

    /// The same cluster, after the operator was started anew.
    pub(crate) fn restarted(&mut self) {
        self.context = Arc::new(context(&self.server, self.says.clone()));
    }

    /// Creates a task, this many seconds after the others may have been.
    pub(crate) fn create<T: Task>(&self, name: &str, spec: &Value, second: i64) {
        let created = Timestamp::from_second(1_795_442_531 + second).unwrap();
        let task = json!({"apiVersion": T::api_version(&()), "kind": T::kind(&()),
            "metadata": {"name": name, "namespace": "agents", "generation": 1,
                         "creationTimestamp": created.to_string()},
            "spec": spec});
        self.server.put(&path::<T>(name), task);
    }

    pub(crate) async fn reconcile<T: Task>(&self, name: &str) -> Action {
        let task = self.task::<T>(name);
        reconcile(Arc::new(task), self.context.clone()).await.unwrap()
    }

    /// The writes of one reconcile.
    pub(crate) async fn writes<T: Task>(&self, name: &str) -> Vec<String> {
        self.server.writes();
        self.reconcile::<T>(name).await;
        self.server.writes()
    }

    pub(crate) fn task<T: Task>(&self, name: &str) -> T {
        serde_json::from_value(self.server.get(&path::<T>(name)).unwrap()).unwrap()
    }

    pub(crate) fn status<T: Task>(&self, name: &str) -> Value {
        self.server.get(&path::<T>(name)).unwrap()["status"].clone()
    }

    /// Status, reason and message of a condition; empty where it is not there.
    pub(crate) fn said<T: Task>(&self, name: &str, kind: &str) -> [String; 3] {
        let status = self.status::<T>(name);
        let conditions = status["conditions"].as_array().unwrap();
        let condition = conditions.iter().find(|condition| condition["type"] == kind);
        ["status", "reason", "message"]
            .map(|key| condition.map(|c| c[key].as_str().unwrap().to_owned()).unwrap_or_default())
    }

    /// Status and reason of Ready, and whether it is on its way or stalled.
    pub(crate) fn ready<T: Task>(&self, name: &str) -> (String, String, &'static str) {
        let [status, reason, _] = self.said::<T>(name, "Ready");
        let is = |kind: &str| self.said::<T>(name, kind)[0] == "True";
        let abnormal = match (is("Reconciling"), is("Stalled")) {
            (false, false) => "at rest",
            (true, false) => "on its way",
            (false, true) => "stalled",
            (true, true) => "both",
        };
        (status, reason, abnormal)
    }

    /// The Job of that name, which is there.
    pub(crate) fn job(&self, name: &str) -> Value {
        self.server.get(&format!("batch/v1/jobs/{name}")).unwrap()
    }

    pub(crate) fn has_job(&self, name: &str) -> bool {
        self.server.get(&format!("batch/v1/jobs/{name}")).is_some()
    }

    /// The pod of a Job, with this status.
    pub(crate) fn pod(&self, job: &str, suffix: &str, status: &Value) {
        let template = self.job(job)["spec"]["template"].clone();
        let mut labels = template["metadata"]["labels"].clone();
        labels["batch.kubernetes.io/job-name"] = json!(job);
        let name = format!("{job}-{suffix}");
        let pod = json!({"metadata": {"name": name, "namespace": "agents", "labels": labels},
                         "spec": template["spec"], "status": status});
        self.server.put(&format!("v1/pods/{name}"), pod);
    }

    pub(crate) fn runs(&self, job: &str) {
        self.pod(
            job,
            "a",
            &json!({"phase": "Running", "podIP": "10.0.0.9",
            "conditions": [{"type": "Ready", "status": "True"}]}),
        );
    }

    /// A try of a Job ends with this code, and its pod leaves these words.
    pub(crate) fn try_ends(&self, job: &str, code: i32, left: &str) {
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        self.pod(
            job,
            "a",
            &json!({"phase": phase, "containerStatuses": [{"name": "backup",
            "ready": false, "image": "x", "imageID": "", "restartCount": 0,
            "state": {"terminated": {"exitCode": code, "message": left,
                                     "finishedAt": now()}}}]}),
        );
    }

    /// A Job ends with this code, and its pod leaves these words.
    pub(crate) fn ends(&self, job: &str, code: i32, left: &str) {
        self.try_ends(job, code, left);
        self.end_job(job, if code == 0 { "Complete" } else { "Failed" }, &now());
    }

    pub(crate) fn end_job(&self, job: &str, condition: &str, at: &str) {
        let ended = json!([{"type": condition, "status": "True", "lastTransitionTime": at}]);
        self.server
            .change(&format!("batch/v1/jobs/{job}"), &json!({"status": {"conditions": ended}}));
    }

    /// Deletes a task as Kubernetes does, with its Job and the pods of that.
    pub(crate) fn delete<T: Task>(&self, name: &str) {
        self.server.remove(&path::<T>(name));
        let job = format!("{name}-{}", T::WHAT);
        if self.has_job(&job) {
            self.job_goes(&job);
        }
    }

    /// Deletes a Job with its pods.
    pub(crate) fn job_goes(&self, job: &str) {
        self.server.remove(&format!("batch/v1/jobs/{job}"));
        for pod in self.server.names("v1/pods") {
            if pod.starts_with(&format!("{job}-")) {
                self.server.remove(&format!("v1/pods/{pod}"));
            }
        }
    }

    /// The reasons of all Events that there were, in order.
    pub(crate) fn events(&self) -> Vec<String> {
        self.server.posted().iter().map(reason).collect()
    }

    /// Those of the Events that warn.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let posted = self.server.posted();
        posted.iter().filter(|event| event["type"] == "Warning").map(reason).collect()
    }
}

fn reason(event: &Value) -> String {
    event["reason"].as_str().unwrap().to_owned()
}

fn context(server: &ApiServer, says: Says) -> Context {
    Context {
        client: server.client(),
        asked: Asked::new(says),
        turns: Arc::default(),
        reporter: "test".into(),
        metrics: Metrics::new().unwrap(),
        failures: Failures::default(),
    }
}

pub(crate) fn path<T: Task>(name: &str) -> String {
    format!("{}/{}/{name}", T::api_version(&()), T::plural(&()))
}

pub(crate) fn now() -> String {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap().to_string()
}

pub(crate) fn hours_ago(hours: i64) -> String {
    let at = Timestamp::now() - SignedDuration::from_hours(hours);
    Timestamp::from_second(at.as_second()).unwrap().to_string()
}

/// A CronJob of the AgentFS as far as tasks look at it; verifications and drills have a volume of 2Gi to restore into.
fn cronjob(what: &str) -> Value {
    let labels = json!({"app.kubernetes.io/managed-by": "agentfs-operator",
        "app.kubernetes.io/name": "agentfs", "app.kubernetes.io/instance": "memory",
        "app.kubernetes.io/component": what});
    let owner = agentfs("minimal").metadata.uid;
    let volumes = if what == "backup" {
        json!([{"name": "tmp", "emptyDir": {}}])
    } else {
        json!([{"name": "tmp", "ephemeral": {"volumeClaimTemplate": {"spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}}}}])
    };
    let container = json!({"name": what, "image": "agentfs/server:1.0.0", "args": [what, "--keep-last=3"],
        "env": [{"name": "BACKUP_LOCATION", "value": "/backups"},
                {"name": "AGENTFS_RECORDS_OF", "value": "memory"}]});
    let pod = json!({"metadata": {"labels": labels}, "spec": {"restartPolicy": "Never",
        "serviceAccountName": "memory-recovery", "containers": [container], "volumes": volumes}});
    json!({"metadata": {"name": format!("memory-{what}"), "namespace": "agents", "labels": labels,
            "annotations": {"agentfs.io/requests": "true"},
            "ownerReferences": [{"apiVersion": "agentfs.io/v1alpha1", "kind": "AgentFS",
                                 "name": "memory", "uid": owner, "controller": true}]},
        "spec": {"schedule": "0 2 * * *", "jobTemplate": {"spec": {"activeDeadlineSeconds": 21600,
            "backoffLimit": 2, "template": pod}}}})
}
