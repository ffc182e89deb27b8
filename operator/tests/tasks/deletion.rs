//! AgentFSBackups whose backup is deleted with them, and what becomes of those whose backup cannot be.

use agentfs_contract::termination::{BackupReport, Report};
use agentfs_operator::crd::{AgentFSBackup, AgentFSDrill};
use agentfs_operator::task::deletion::FINALIZER;
use serde_json::{Value, json};

use super::world::{Tasks, hours_ago, now, path};
use crate::restore::made;
use crate::world::RESOURCE;

const ID: &str = "agentfs_20261123_020000";
const JOB: &str = "before-delete";

fn record() -> String {
    path::<AgentFSBackup>("before")
}

async fn reconcile(tasks: &Tasks) {
    tasks.reconcile::<AgentFSBackup>("before").await;
}

fn is_there(tasks: &Tasks) -> bool {
    tasks.server.get(&record()).is_some()
}

fn ready(tasks: &Tasks) -> (String, String, &'static str) {
    tasks.ready::<AgentFSBackup>("before")
}

/// A cluster with a backup that is to be deleted with its resource, made at this location.
async fn kept(location: &str) -> Tasks {
    let tasks = Tasks::new();
    let spec = json!({"agentFS": "memory", "recordOf": ID, "deletionPolicy": "Delete"});
    tasks.create::<AgentFSBackup>("before", &spec, 0);
    tasks.server.change(&record(), &json!({"status": made(ID, location)}));
    reconcile(&tasks).await;
    tasks
}

fn delete(tasks: &Tasks) {
    tasks.server.change(&record(), &json!({"metadata": {"deletionTimestamp": now()}}));
}

/// The same, once it is being deleted.
async fn deleted(location: &str) -> Tasks {
    let tasks = kept(location).await;
    delete(&tasks);
    reconcile(&tasks).await;
    tasks
}

/// Where the backup is, what happens to it, and what is said then.
type Case<'a> = (&'a str, &'a dyn Fn(&Tasks), &'a str);

/// The sentence of the last Event, after its reason.
fn told(tasks: &Tasks) -> String {
    let event = tasks.server.posted().pop().unwrap();
    format!("{}: {}", event["reason"].as_str().unwrap(), event["note"].as_str().unwrap())
}

#[tokio::test]
async fn the_backup_goes_before_its_resource() {
    let tasks = Tasks::new();
    let spec = json!({"agentFS": "memory", "deletionPolicy": "Delete"});
    tasks.create::<AgentFSBackup>("before", &spec, 0);
    reconcile(&tasks).await;
    assert_eq!(tasks.server.get(&record()).unwrap()["metadata"]["finalizers"], json!([FINALIZER]));
    let backup = serde_json::from_value(made(ID, "/backups")["backup"].clone()).unwrap();
    let report = BackupReport {
        database_bytes: 1,
        backup: Some(backup),
        verification: None,
        message: None,
        transient: None,
    };
    tasks.ends("before-backup", 0, &report.write());
    // Before the operator has read what its pod left.
    delete(&tasks);
    reconcile(&tasks).await;
    assert!(!tasks.has_job(JOB) && is_there(&tasks));
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), ("False".into(), "Deleting".into(), "on its way"));
    let job = tasks.job(JOB);
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["args"], json!(["forget", "--if-present", format!("--backup=1-2/{ID}")]));
    let variables = container["env"].to_string();
    assert!(variables.contains("BACKUP_LOCATION") && !variables.contains("AGENTFS_REQUEST"));
    assert_eq!(job["metadata"]["ownerReferences"][0]["name"], "before");
    assert_eq!(tasks.writes::<AgentFSBackup>("before").await, Vec::<String>::new());

    // It has no turn that others would wait for, and is not what they suspend.
    tasks.create::<AgentFSDrill>("autumn", &json!({"agentFS": "memory"}), 1);
    tasks.reconcile::<AgentFSDrill>("autumn").await;
    assert!(tasks.has_job("autumn-drill"));
    assert_eq!(tasks.job(JOB)["spec"]["suspend"], Value::Null);

    tasks.ends(JOB, 0, "");
    reconcile(&tasks).await;
    assert!(!is_there(&tasks));
    assert_eq!(told(&tasks), format!("BackupDeleted: The backup {ID} in /backups is deleted."));
}

#[tokio::test]
async fn a_backup_stays_unless_it_is_asked_for() {
    let tasks = Tasks::new();
    for (second, spec) in
        [json!({"agentFS": "memory"}), json!({"agentFS": "memory", "deletionPolicy": "Retain"})]
            .into_iter()
            .enumerate()
    {
        tasks.create::<AgentFSBackup>("before", &spec, i64::try_from(second).unwrap());
        reconcile(&tasks).await;
        assert_eq!(tasks.server.get(&record()).unwrap()["metadata"]["finalizers"], Value::Null);
        delete(&tasks);
        assert_eq!(tasks.writes::<AgentFSBackup>("before").await, Vec::<String>::new());
        assert!(!tasks.has_job(JOB));
    }
}

#[tokio::test]
async fn one_that_is_being_made_is_cancelled_first() {
    let tasks = Tasks::new();
    let spec = json!({"agentFS": "memory", "deletionPolicy": "Delete"});
    tasks.create::<AgentFSBackup>("before", &spec, 0);
    reconcile(&tasks).await;
    tasks.runs("before-backup");
    delete(&tasks);
    reconcile(&tasks).await;
    assert!(!tasks.has_job("before-backup") && is_there(&tasks));
    reconcile(&tasks).await;
    assert!(!is_there(&tasks) && !tasks.has_job(JOB));
    assert_eq!(told(&tasks), "BackupNotDeleted: No backup is known that was made for it.");
}

#[tokio::test]
async fn one_that_has_just_been_made_is_not_cancelled() {
    let tasks = Tasks::new();
    let spec = json!({"agentFS": "memory", "deletionPolicy": "Delete"});
    tasks.create::<AgentFSBackup>("before", &spec, 0);
    reconcile(&tasks).await;
    // The pod has ended, and its Job does not say so yet.
    tasks.try_ends("before-backup", 0, "{}");
    delete(&tasks);
    reconcile(&tasks).await;
    assert!(tasks.has_job("before-backup") && is_there(&tasks));
}

#[tokio::test]
async fn where_nothing_can_be_deleted_the_resource_goes_and_says_so() {
    let gone = |tasks: &Tasks| tasks.server.remove(RESOURCE);
    let going = |tasks: &Tasks| {
        let at = json!({"metadata": {"deletionTimestamp": now()}});
        tasks.server.change(RESOURCE, &at);
    };
    let vanished = |tasks: &Tasks| {
        let vanished = json!({"status": {"vanishedTime": hours_ago(1)}});
        tasks.server.change(&record(), &vanished);
    };
    let shared = |tasks: &Tasks| {
        let other = json!({"metadata": {"name": "other", "namespace": "agents"}, "spec": {"agentFS": "memory"},
            "status": made(ID, "/backups")});
        tasks.server.put(&path::<AgentFSBackup>("other"), other);
    };
    let ends = |tasks: &Tasks| {
        tasks.server.refuse_as_its_namespace_ends("batch/v1/jobs/before-delete");
    };
    let cases: [Case<'_>; 6] = [
        ("/backups", &gone, "stays: AgentFS memory, which says how to reach it, no longer exists."),
        (
            "/backups",
            &going,
            "stays: AgentFS memory, which says how to reach it, no longer exists.",
        ),
        ("/backups", &vanished, "was gone already."),
        ("/backups", &shared, "stays: it is that of AgentFSBackup other too."),
        ("/elsewhere", &|_| {}, "stays: AgentFS memory keeps its backups elsewhere now."),
        ("/backups", &ends, "stays: its namespace is being deleted."),
    ];
    for (location, happens, why) in cases {
        let tasks = kept(location).await;
        happens(&tasks);
        delete(&tasks);
        reconcile(&tasks).await;
        assert!(!is_there(&tasks) && !tasks.has_job(JOB), "{why}");
        let said = told(&tasks);
        assert!(said.starts_with("BackupNotDeleted: The backup") && said.contains(why), "{said}");
    }
}

#[tokio::test]
async fn the_finalizer_of_somebody_else_stays() {
    let tasks = kept("/backups").await;
    let theirs = json!({"metadata": {"finalizers": [FINALIZER, "example.com/theirs"]}});
    tasks.server.change(&record(), &theirs);
    tasks.server.remove(RESOURCE);
    delete(&tasks);
    reconcile(&tasks).await;
    let left = tasks.server.get(&record()).unwrap()["metadata"]["finalizers"].clone();
    assert_eq!(left, json!(["example.com/theirs"]));
    assert_eq!(tasks.writes::<AgentFSBackup>("before").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_backup_in_a_bucket_is_deleted_there() {
    let tasks = deleted("s3://old/memory").await;
    let arguments = tasks.job(JOB)["spec"]["template"]["spec"]["containers"][0]["args"].clone();
    assert_eq!(
        arguments,
        json!(["forget", "--if-present", format!("--backup=1-2/{ID}"), "--from=s3://old/memory"])
    );
}

#[tokio::test]
async fn a_deletion_that_fails_says_what_to_do_and_is_tried_again() {
    let tasks = deleted("/backups").await;
    let report = Report { message: "it is the newest verified backup".into(), transient: false };
    tasks.ends(JOB, 1, &report.write());
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), ("False".into(), "DeletionFailed".into(), "stalled"));
    let [_, _, message] = tasks.said::<AgentFSBackup>("before", "Ready");
    for part in [
        "is not deleted: it is the newest verified backup",
        "every 10 minutes",
        "kubectl patch agentfsbackup -n agents before",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(tasks.writes::<AgentFSBackup>("before").await, Vec::<String>::new());
    // Nobody waits for it.
    tasks.create::<AgentFSDrill>("autumn", &json!({"agentFS": "memory"}), 1);
    tasks.reconcile::<AgentFSDrill>("autumn").await;
    assert!(tasks.has_job("autumn-drill"));

    tasks.end_job(JOB, "Failed", &hours_ago(1));
    reconcile(&tasks).await;
    assert!(!tasks.has_job(JOB) && is_there(&tasks));
    for pod in tasks.server.names("v1/pods") {
        tasks.server.remove(&format!("v1/pods/{pod}"));
    }
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), ("False".into(), "Deleting".into(), "on its way"));
    tasks.ends(JOB, 0, "");
    reconcile(&tasks).await;
    assert!(!is_there(&tasks));
}

#[tokio::test]
async fn it_waits_where_it_may_go_on_by_itself() {
    let tasks = kept("/backups").await;
    tasks.server.change(RESOURCE, &json!({"spec": {"suspend": true}}));
    delete(&tasks);
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), ("False".into(), "Suspended".into(), "on its way"));
    tasks.server.change(RESOURCE, &json!({"spec": {"suspend": false}}));
    // Kubernetes deletes what belongs to it first.
    let finalizers = json!({"metadata": {"finalizers": [FINALIZER, "foregroundDeletion"]}});
    tasks.server.change(&record(), &finalizers);
    assert_eq!(tasks.writes::<AgentFSBackup>("before").await, Vec::<String>::new());
    tasks.server.change(&record(), &json!({"metadata": {"finalizers": [FINALIZER]}}));
    let cronjob = "batch/v1/cronjobs/memory-backup";
    let kept = tasks.server.get(cronjob).unwrap();
    tasks.server.remove(cronjob);
    tasks.server.change(RESOURCE, &json!({"spec": {"backup": {"enabled": false}}}));
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), ("False".into(), "BackupsOff".into(), "stalled"));
    tasks.server.put(cronjob, kept);
    reconcile(&tasks).await;
    assert!(tasks.has_job(JOB));
}

#[tokio::test]
async fn the_record_of_a_pruned_backup_goes() {
    let tasks = deleted("/backups").await;
    // Its pod finds nothing, and that is well.
    tasks.ends(JOB, 0, "");
    reconcile(&tasks).await;
    assert!(!is_there(&tasks));
}
