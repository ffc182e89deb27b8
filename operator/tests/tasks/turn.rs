//! The tasks of one AgentFS take turns.

use agentfs_operator::crd::{AgentFSBackup, AgentFSDrill};
use serde_json::json;

use super::world::{Tasks, path};
use crate::world::RESOURCE;

/// A backup, a drill and a backup, in this order.
fn three() -> Tasks {
    let tasks = Tasks::new();
    let spec = json!({"agentFS": "memory"});
    tasks.create::<AgentFSBackup>("first", &spec, 1);
    tasks.create::<AgentFSDrill>("second", &spec, 2);
    tasks.create::<AgentFSBackup>("third", &spec, 3);
    tasks
}

/// The last is looked at first.
async fn look(tasks: &Tasks) {
    if tasks.server.get(&path::<AgentFSBackup>("third")).is_some() {
        tasks.reconcile::<AgentFSBackup>("third").await;
    }
    tasks.reconcile::<AgentFSDrill>("second").await;
    if tasks.server.get(&path::<AgentFSBackup>("first")).is_some() {
        tasks.reconcile::<AgentFSBackup>("first").await;
    }
}

/// The names of the Jobs whose pods may run, that have not ended.
fn jobs(tasks: &Tasks) -> Vec<String> {
    let mut names = tasks.server.names("batch/v1/jobs");
    names.retain(|name| {
        let job = tasks.job(name);
        job["status"].is_null() && job["spec"]["suspend"] != true
    });
    names
}

#[tokio::test]
async fn three_are_carried_out_one_after_the_other_by_age() {
    let tasks = three();
    look(&tasks).await;
    assert_eq!(jobs(&tasks), ["first-backup"]);
    look(&tasks).await;
    for (ready, other) in [
        (tasks.said::<AgentFSDrill>("second", "Ready"), "AgentFSBackup first"),
        (tasks.said::<AgentFSBackup>("third", "Ready"), "AgentFSBackup first"),
    ] {
        assert_eq!(ready[1], "AwaitingTurn");
        assert!(ready[2].contains(other), "{}", ready[2]);
    }
    assert_eq!(tasks.writes::<AgentFSBackup>("third").await, Vec::<String>::new());

    tasks.ends("first-backup", 1, "the database is away");
    // Its end is not even told yet.
    tasks.reconcile::<AgentFSBackup>("third").await;
    tasks.reconcile::<AgentFSDrill>("second").await;
    assert_eq!(jobs(&tasks), ["second-drill"], "one that failed blocks the others");
    tasks.reconcile::<AgentFSBackup>("first").await;

    tasks.delete::<AgentFSDrill>("second");
    tasks.reconcile::<AgentFSBackup>("third").await;
    assert_eq!(jobs(&tasks), ["third-backup"], "one that is deleted blocks the others");
}

#[tokio::test]
async fn one_that_waits_for_something_else_lets_the_others_go_first() {
    let tasks = three();
    tasks.server.remove("batch/v1/cronjobs/memory-backup");
    look(&tasks).await;
    look(&tasks).await;
    assert_eq!(tasks.said::<AgentFSBackup>("first", "Ready")[1], "AwaitingAgentFS");
    assert_eq!(jobs(&tasks), ["second-drill"]);
}

#[tokio::test]
async fn another_agentfs_does_not_matter() {
    let tasks = three();
    look(&tasks).await;
    let mut other = tasks.server.get(RESOURCE).unwrap();
    other["metadata"]["name"] = json!("other");
    other["metadata"]["uid"] = json!("other");
    tasks.server.put("agentfs.io/v1alpha1/agentfses/other", other);
    let mut cronjob = tasks.server.get("batch/v1/cronjobs/memory-backup").unwrap();
    cronjob["metadata"]["name"] = json!("other-backup");
    cronjob["metadata"]["ownerReferences"][0]["name"] = json!("other");
    cronjob["metadata"]["ownerReferences"][0]["uid"] = json!("other");
    tasks.server.put("batch/v1/cronjobs/other-backup", cronjob);
    tasks.create::<AgentFSBackup>("theirs", &json!({"agentFS": "other"}), 9);
    tasks.reconcile::<AgentFSBackup>("theirs").await;
    assert_eq!(jobs(&tasks), ["first-backup", "theirs-backup"]);
}

#[tokio::test]
async fn one_that_is_stuck_is_suspended_while_another_is_carried_out() {
    let tasks = three();
    look(&tasks).await;
    let stuck = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
        "reason": "Unschedulable", "message": "0/1 nodes are available: 1 Insufficient memory."}]});
    tasks.pod("first-backup", "a", &stuck);
    tasks.reconcile::<AgentFSBackup>("first").await;
    assert_eq!(tasks.ready::<AgentFSBackup>("first").1, "Unschedulable");
    assert_eq!(tasks.writes::<AgentFSBackup>("first").await, Vec::<String>::new());
    tasks.reconcile::<AgentFSDrill>("second").await;
    assert_eq!(jobs(&tasks), ["second-drill"]);
    assert_eq!(tasks.job("first-backup")["spec"]["suspend"], true);
    tasks.server.remove("v1/pods/first-backup-a");
    tasks.reconcile::<AgentFSBackup>("first").await;
    assert_eq!(tasks.ready::<AgentFSBackup>("first").1, "AwaitingTurn");
    assert_eq!(tasks.writes::<AgentFSBackup>("first").await, Vec::<String>::new());

    tasks.ends("second-drill", 0, "");
    look(&tasks).await;
    assert_eq!(
        jobs(&tasks),
        ["third-backup"],
        "it may be stuck for long, and others need not wait"
    );
    tasks.ends("third-backup", 0, "");
    look(&tasks).await;
    assert_eq!(jobs(&tasks), ["first-backup"]);
    assert_eq!(tasks.ready::<AgentFSBackup>("first").1, "Running");
}

#[tokio::test]
async fn one_that_runs_waits_while_its_agentfs_is_suspended() {
    let tasks = three();
    look(&tasks).await;
    tasks.runs("first-backup");
    tasks.server.change(RESOURCE, &json!({"spec": {"suspend": true}}));
    tasks.reconcile::<AgentFSBackup>("first").await;
    assert_eq!(tasks.ready::<AgentFSBackup>("first").1, "Suspended");
    assert_eq!(jobs(&tasks), Vec::<String>::new());
    assert_eq!(tasks.writes::<AgentFSBackup>("first").await, Vec::<String>::new());
    tasks.server.change(RESOURCE, &json!({"spec": {"suspend": false}}));
    look(&tasks).await;
    assert_eq!(jobs(&tasks), ["first-backup"]);
    assert_eq!(tasks.ready::<AgentFSBackup>("first").1, "Running");
}

/// The CronJob of the backups has a Job, which has not ended, with so many pods that are at work.
fn schedule_runs(tasks: &Tasks, ready: u8) {
    runs_of(tasks, "memory-backup", ready);
}

fn runs_of(tasks: &Tasks, cronjob: &str, ready: u8) {
    let name = format!("{cronjob}-29");
    let active = json!([{"kind": "Job", "name": name}]);
    let of_schedule = format!("batch/v1/cronjobs/{cronjob}");
    tasks.server.change(&of_schedule, &json!({"status": {"active": active}}));
    let job = json!({"metadata": {"name": name, "namespace": "agents", "uid": "29"},
                     "status": {"active": 1, "ready": ready}});
    tasks.server.put(&format!("batch/v1/jobs/{name}"), job);
}

#[tokio::test]
async fn what_a_schedule_has_begun_comes_first() {
    let tasks = Tasks::new();
    schedule_runs(&tasks, 1);
    tasks.create::<AgentFSBackup>("first", &json!({"agentFS": "memory"}), 1);
    tasks.reconcile::<AgentFSBackup>("first").await;
    let [_, reason, message] = tasks.said::<AgentFSBackup>("first", "Ready");
    assert_eq!(reason, "AwaitingTurn");
    assert!(message.contains("the Job memory-backup-29 of CronJob memory-backup"), "{message}");
    assert!(!tasks.has_job("first-backup"), "it would find the database taken until its tries end");

    tasks.server.change("batch/v1/cronjobs/memory-backup", &json!({"status": {"active": []}}));
    tasks.reconcile::<AgentFSBackup>("first").await;
    assert!(tasks.has_job("first-backup"));
}

#[tokio::test]
async fn one_that_was_held_back_goes_on_after_what_a_schedule_has_begun() {
    let tasks = Tasks::new();
    tasks.create::<AgentFSBackup>("first", &json!({"agentFS": "memory"}), 1);
    tasks.reconcile::<AgentFSBackup>("first").await;
    tasks.server.change("batch/v1/jobs/first-backup", &json!({"spec": {"suspend": true}}));
    schedule_runs(&tasks, 1);
    tasks.reconcile::<AgentFSBackup>("first").await;
    assert_eq!(tasks.job("first-backup")["spec"]["suspend"], true);
    schedule_runs(&tasks, 0);
    tasks.reconcile::<AgentFSBackup>("first").await;
    assert_eq!(tasks.job("first-backup")["spec"]["suspend"], false);
}

#[tokio::test]
async fn a_run_of_a_schedule_whose_pod_does_not_start_holds_up_nobody() {
    let tasks = Tasks::new();
    schedule_runs(&tasks, 0);
    tasks.create::<AgentFSBackup>("first", &json!({"agentFS": "memory"}), 1);
    tasks.reconcile::<AgentFSBackup>("first").await;
    assert!(tasks.has_job("first-backup"));
}

#[tokio::test]
async fn a_verification_of_the_schedule_holds_up_nobody() {
    let tasks = Tasks::new();
    runs_of(&tasks, "memory-verify", 1);
    tasks.create::<AgentFSBackup>("first", &json!({"agentFS": "memory"}), 1);
    tasks.reconcile::<AgentFSBackup>("first").await;
    assert!(tasks.has_job("first-backup"), "it has a PostgreSQL of its own, and takes hours");
    runs_of(&tasks, "memory-drill", 1);
    tasks.create::<AgentFSBackup>("second", &json!({"agentFS": "memory"}), 2);
    tasks.ends("first-backup", 0, "");
    tasks.reconcile::<AgentFSBackup>("first").await;
    tasks.reconcile::<AgentFSBackup>("second").await;
    assert!(!tasks.has_job("second-backup"), "a drill makes a backup");
}
