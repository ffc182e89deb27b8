//! What is carried out once, in each state, as generic tools read it: each is a golden file like those of an AgentFS, and
//! `tests/kstatus` asks the libraries of those tools what they make of it.

use agentfs_operator::crd::{AgentFSBackup, AgentFSDrill, AgentFSRestore};
use agentfs_operator::task::Task;
use serde_json::{Value, json};

use super::restore::says_of_schema;
use super::world::Tasks;
use crate::golden::bound;

const NAME: &str = "asked";

/// Holds the conditions to their golden file, without moments and sentences, which differ from run to run.
fn check<T: Task>(tasks: &Tasks, state: &str) {
    let status = tasks.status::<T>(NAME);
    let mut conditions = status["conditions"].clone();
    for condition in conditions.as_array_mut().unwrap() {
        assert_ne!(condition["message"], "", "{state}");
        condition["message"] = json!("A sentence.");
        condition["lastTransitionTime"] = json!("2026-11-23T14:02:11Z");
    }
    let object = json!({
        "apiVersion": T::api_version(&()),
        "kind": T::kind(&()),
        "metadata": {"name": NAME, "namespace": "agents", "generation": 1},
        "status": {"observedGeneration": status["observedGeneration"], "conditions": conditions},
    });
    let state = format!("state-{}-{state}", T::WHAT);
    let mut beside = insta::Settings::clone_current();
    beside.set_snapshot_path("../snapshots");
    beside.bind(|| bound(|| insta::assert_yaml_snapshot!(state, object)));
}

/// A cluster with an AgentFS whose schema is migrated.
fn cluster() -> Tasks {
    let tasks = Tasks::new();
    says_of_schema(&tasks, "Migrated");
    tasks
}

/// A task that has its Job.
async fn begun<T: Task>(spec: &Value) -> (Tasks, String) {
    let tasks = cluster();
    tasks.create::<T>(NAME, spec, 0);
    tasks.reconcile::<T>(NAME).await;
    (tasks, format!("{NAME}-{}", T::WHAT))
}

async fn each_state<T: Task>(spec: &Value) {
    let tasks = cluster();
    tasks.create::<AgentFSBackup>("elder", &json!({"agentFS": "memory"}), 0);
    tasks.reconcile::<AgentFSBackup>("elder").await;
    tasks.create::<T>(NAME, spec, 1);
    tasks.reconcile::<T>(NAME).await;
    check::<T>(&tasks, "waiting");

    let (tasks, job) = begun::<T>(spec).await;
    tasks.runs(&job);
    tasks.says.set("load", 37);
    tasks.reconcile::<T>(NAME).await;
    check::<T>(&tasks, "running");
    tasks.ends(&job, 0, "");
    tasks.reconcile::<T>(NAME).await;
    check::<T>(&tasks, "succeeded");

    let (tasks, job) = begun::<T>(spec).await;
    tasks.ends(&job, 1, "it cannot be done");
    tasks.reconcile::<T>(NAME).await;
    check::<T>(&tasks, "failed");
}

#[tokio::test]
async fn backups() {
    each_state::<AgentFSBackup>(&json!({"agentFS": "memory"})).await;
}

#[tokio::test]
async fn restores() {
    let spec = json!({"agentFS": "memory", "source": {"latest": true}, "target": {"inPlace": {}}});
    each_state::<AgentFSRestore>(&spec).await;
}

#[tokio::test]
async fn drills() {
    each_state::<AgentFSDrill>(&json!({"agentFS": "memory"})).await;
}
