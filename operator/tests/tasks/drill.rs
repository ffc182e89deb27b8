//! AgentFSDrills: the whole life of one, and what it is held to.

use agentfs_contract::termination::{DrillReport, Objectives};
use agentfs_contract::verification::Step;
use agentfs_operator::crd::{AgentFSBackup, AgentFSDrill};
use serde_json::{Value, json};

use super::world::{Tasks, now, path};
use crate::restore::made;
use crate::world::RESOURCE;

const JOB: &str = "autumn-drill";

fn drill(tasks: &Tasks) {
    tasks.create::<AgentFSDrill>("autumn", &json!({"agentFS": "memory"}), 0);
}

async fn reconcile(tasks: &Tasks) {
    tasks.reconcile::<AgentFSDrill>("autumn").await;
}

fn status(tasks: &Tasks) -> Value {
    tasks.status::<AgentFSDrill>("autumn")
}

/// What a drill leaves whose objectives were these, if there were any.
fn report(passed: bool, objectives: Option<Objectives>) -> String {
    let report = DrillReport {
        passed,
        message: (!passed).then(|| "--rpo 20h is missed by 1h52m: it is 21h52m".to_owned()),
        transient: (!passed).then_some(false),
        rpo_seconds: Some(78_720.0),
        serving_seconds: Some(57.5),
        indexed_seconds: Some(70.0),
        objectives,
        steps: vec![Step { name: "load".into(), seconds: 12.5 }],
    };
    report.write()
}

#[tokio::test]
async fn a_drill_tells_each_step_and_what_it_measured() {
    let tasks = Tasks::new();
    let objectives = json!({"rpo": "26h", "rto": "15m"});
    tasks.server.change(RESOURCE, &json!({"spec": {"backup": {"objectives": objectives}}}));
    drill(&tasks);
    reconcile(&tasks).await;
    let pod = tasks.job(JOB)["spec"]["template"]["spec"].clone();
    assert_eq!(
        pod["containers"][0]["args"],
        json!(["drill", "--rpo=26h", "--rto=15m", "--deadline=21300"])
    );
    assert_eq!(status(&tasks)["step"], "Starting");
    tasks.runs(JOB);
    tasks.says.set("load", 3);
    reconcile(&tasks).await;
    assert_eq!(
        (&status(&tasks)["step"], &status(&tasks)["result"]),
        (&json!("Load"), &json!("Running"))
    );
    assert_eq!(tasks.writes::<AgentFSDrill>("autumn").await, Vec::<String>::new());

    tasks.ends(JOB, 0, &report(true, Some(Objectives::Met)));
    reconcile(&tasks).await;
    let told = status(&tasks);
    assert_eq!(told["result"], "Succeeded");
    assert_eq!((&told["rpo"], &told["rto"]), (&json!("21h52m"), &json!("58s")));
    assert_eq!((&told["rpoSeconds"], &told["rtoSeconds"]), (&json!(78_720), &json!(58)));
    assert_eq!(told["objectives"], "met");
    assert_eq!(told["steps"], json!([{"name": "load", "milliseconds": 12_500}]));
    let [_, _, message] = tasks.said::<AgentFSDrill>("autumn", "Ready");
    assert_eq!(
        message,
        "The drill passed: a disaster would have lost 21h52m at most, and the API served again after 58s."
    );
    assert_eq!(tasks.events(), ["Starting", "Load", "Succeeded"]);
    assert_eq!(tasks.writes::<AgentFSDrill>("autumn").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_drill_that_misses_an_objective_has_failed_and_says_by_how_much() {
    let tasks = Tasks::new();
    tasks.server.change(RESOURCE, &json!({"spec": {"backup": {"objectives": {"rpo": "20h"}}}}));
    drill(&tasks);
    reconcile(&tasks).await;
    tasks.ends(JOB, 1, &report(false, Some(Objectives::Missed)));
    reconcile(&tasks).await;
    let told = status(&tasks);
    assert_eq!((&told["result"], &told["objectives"]), (&json!("Failed"), &json!("missed")));
    assert_eq!(told["rpo"], "21h52m");
    let [_, reason, message] = tasks.said::<AgentFSDrill>("autumn", "Ready");
    assert_eq!(reason, "Failed");
    assert!(
        message.starts_with("The drill failed: --rpo 20h is missed by 1h52m: it is 21h52m (since "),
        "{message}"
    );
}

#[tokio::test]
async fn without_a_schedule_of_drills_one_is_like_a_verification() {
    let tasks = Tasks::new();
    tasks.server.remove("batch/v1/cronjobs/memory-drill");
    drill(&tasks);
    reconcile(&tasks).await;
    let pod = tasks.job(JOB)["spec"]["template"]["spec"].clone();
    assert_eq!(pod["containers"][0]["args"], json!(["drill", "--deadline=21300"]));
    assert_eq!(pod["containers"][0]["name"], "verify");
    assert!(pod["volumes"].to_string().contains("ephemeral"));
    let variables = pod["containers"][0]["env"].as_array().unwrap();
    let url = json!({"name": "AGENTFS_URL", "value": "http://memory-api.agents.svc:8787"});
    assert!(variables.contains(&url), "{variables:?}");
}

#[tokio::test]
async fn a_drill_of_a_backup_restores_that_and_is_not_held_to_the_recovery_point() {
    let tasks = Tasks::new();
    let objectives = json!({"rpo": "1h", "rto": "15m"});
    tasks.server.change(RESOURCE, &json!({"spec": {"backup": {"objectives": objectives}}}));
    let spec = json!({"agentFS": "memory", "backup": "nightly"});
    tasks.create::<AgentFSDrill>("autumn", &spec, 0);
    tasks.server.change(
        &path::<AgentFSDrill>("autumn"),
        &json!({"metadata": {"creationTimestamp": now()}}),
    );
    reconcile(&tasks).await;
    let stands = || tasks.ready::<AgentFSDrill>("autumn");
    assert_eq!(stands(), ("False".into(), "NoSuchBackup".into(), "stalled"));
    let [_, _, message] = tasks.said::<AgentFSDrill>("autumn", "Ready");
    assert!(message.contains("The drill begins by itself once it exists"), "{message}");
    assert!(message.contains("Create another AgentFSDrill"), "{message}");

    let record = |status: &Value| {
        let metadata = json!({"name": "nightly", "namespace": "agents"});
        let record = json!({"metadata": metadata, "spec": {"agentFS": "memory"}, "status": status});
        tasks.server.put(&path::<AgentFSBackup>("nightly"), record);
    };
    record(&json!({}));
    reconcile(&tasks).await;
    assert_eq!(stands(), ("False".into(), "AwaitingBackup".into(), "on its way"));
    assert!(!tasks.has_job(JOB));
    record(&made("agentfs_20260901_020000", "s3://old/memory"));
    reconcile(&tasks).await;
    let pod = tasks.job(JOB)["spec"]["template"]["spec"].clone();
    assert_eq!(
        pod["containers"][0]["args"],
        json!([
            "drill",
            "--backup=1-2/agentfs_20260901_020000",
            "--to=s3://old/memory",
            "--rto=15m",
            "--deadline=21300"
        ])
    );
    tasks.ends(JOB, 0, &report(true, Some(Objectives::Met)));
    reconcile(&tasks).await;
    assert_eq!((&status(&tasks)["rpo"], &status(&tasks)["rto"]), (&json!("21h52m"), &json!("58s")));
    let [_, _, message] = tasks.said::<AgentFSDrill>("autumn", "Ready");
    assert_eq!(
        message,
        "The drill passed: the AgentFSBackup nightly, 21h52m old, was restored, and the API served again after 58s."
    );
}

#[tokio::test]
async fn a_drill_of_a_backup_that_failed_fails() {
    let tasks = Tasks::new();
    let failed = json!({"finishedTime": now(), "conditions": [{"type": "Ready", "status": "False", "reason": "Failed",
        "message": "The bucket is full.", "lastTransitionTime": now()}]});
    let record = json!({"metadata": {"name": "nightly", "namespace": "agents"}, "spec": {"agentFS": "memory"},
        "status": failed});
    tasks.server.put(&path::<AgentFSBackup>("nightly"), record);
    tasks.create::<AgentFSDrill>("autumn", &json!({"agentFS": "memory", "backup": "nightly"}), 0);
    reconcile(&tasks).await;
    assert_eq!(status(&tasks)["result"], "Failed");
    let [_, reason, message] = tasks.said::<AgentFSDrill>("autumn", "Ready");
    assert_eq!(reason, "NoSuchBackup");
    assert!(
        message.contains("nightly has ended without a backup: The bucket is full"),
        "{message}"
    );
    assert!(!tasks.has_job(JOB));
}

#[tokio::test]
async fn the_record_of_a_drill_says_how_it_went() {
    let tasks = Tasks::new();
    let spec = json!({"agentFS": "memory", "recordOf": "2026-10-01T04:00:00Z"});
    tasks.create::<AgentFSDrill>("autumn", &spec, 0);
    reconcile(&tasks).await;
    assert_eq!(tasks.ready::<AgentFSDrill>("autumn").1, "Running");
    let said = json!([{"type": "Ready", "status": "False", "reason": "Failed",
        "message": "--rpo 20h is missed by 1h52m: it is 21h52m", "lastTransitionTime": "2026-10-01T04:01:30Z"}]);
    for (result, message) in [
        ("Succeeded", "The drill passed: a disaster would have lost 1h at most"),
        ("Failed", "--rpo 20h is missed by 1h52m: it is 21h52m (since "),
    ] {
        let written = json!({"result": result, "rpo": "1h", "rto": "58s", "conditions": said});
        tasks.server.change(&path::<AgentFSDrill>("autumn"), &json!({"status": written}));
        reconcile(&tasks).await;
        let ready = tasks.said::<AgentFSDrill>("autumn", "Ready");
        assert_eq!(ready[1], result);
        assert!(ready[2].starts_with(message), "{}", ready[2]);
        assert_eq!(status(&tasks)["rto"], "58s");
        assert_eq!(tasks.writes::<AgentFSDrill>("autumn").await, Vec::<String>::new());
    }
    assert!(!tasks.has_job(JOB));
}
