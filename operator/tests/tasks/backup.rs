//! AgentFSBackups: the whole life of one that was asked for, what can go wrong in it, and records.

use agentfs_contract::record::{BackupRecord, VerificationRecord};
use agentfs_contract::request::Request;
use agentfs_contract::termination::{AlreadyDone, BackupReport, Report};
use agentfs_operator::crd::AgentFSBackup;
use agentfs_operator::crd::backup::AgentFSBackupStatus;
use agentfs_operator::kit::reconcile::patch_status;
use kube::runtime::controller::Action;
use serde_json::{Value, json};

use super::world::{Tasks, hours_ago, now, path};
use crate::world::RESOURCE;

const JOB: &str = "before-backup";

fn ready(tasks: &Tasks) -> (String, String, &'static str) {
    tasks.ready::<AgentFSBackup>("before")
}

fn message(tasks: &Tasks) -> String {
    let [_, _, message] = tasks.said::<AgentFSBackup>("before", "Ready");
    message
}

fn is(status: &str, reason: &str, abnormal: &'static str) -> (String, String, &'static str) {
    (status.into(), reason.into(), abnormal)
}

async fn reconcile(tasks: &Tasks) -> Action {
    tasks.reconcile::<AgentFSBackup>("before").await
}

async fn writes(tasks: &Tasks) -> Vec<String> {
    tasks.writes::<AgentFSBackup>("before").await
}

/// A cluster in which the backup `before` was asked for.
fn asked(more: &Value) -> Tasks {
    let tasks = Tasks::new();
    create(&tasks, more);
    tasks
}

fn create(tasks: &Tasks, more: &Value) {
    let mut spec = json!({"agentFS": "memory"});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    tasks.create::<AgentFSBackup>("before", &spec, 0);
}

/// The same, while its Job runs.
async fn running(more: &Value) -> Tasks {
    let tasks = asked(more);
    reconcile(&tasks).await;
    tasks.runs(JOB);
    tasks
}

fn made() -> BackupRecord {
    let moment = "2026-11-23T14:02:11Z".parse().unwrap();
    BackupRecord {
        id: "agentfs_20261123_140211".into(),
        location: "/backups".into(),
        instance: "a/b".into(),
        scope: "Full".into(),
        snapshot_time: moment,
        finished_time: moment,
        duration: "41s".into(),
        size: "1.2Gi".into(),
        bytes: 1_288_490_188,
        entries: 1_048_576,
        database_bytes: 3_000_000_000,
        postgres: "17.5".into(),
        encrypted: false,
    }
}

fn report(verified: Option<&str>) -> String {
    let verification = verified.map(|verified| VerificationRecord {
        verified: verified.into(),
        level: "Restore".into(),
        time: made().finished_time,
        seconds: 12,
        message: (verified == "False").then(|| "9 of 1048576 entries differ.".to_owned()),
    });
    BackupReport { verification, ..bare() }.write()
}

fn bare() -> BackupReport {
    BackupReport {
        database_bytes: 3_000_000_000,
        backup: Some(made()),
        verification: None,
        message: None,
        transient: None,
    }
}

/// What is left where the verification could not be carried out.
fn not_verified(why: &str, transient: bool) -> String {
    BackupReport { message: Some(why.into()), transient: Some(transient), ..bare() }.write()
}

#[tokio::test]
async fn a_backup_is_made_once_and_told_at_each_step() {
    let tasks = asked(&json!({"verify": "Restore"}));
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), is("False", "Running", "on its way"));
    let job = tasks.job(JOB);
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(
        pod["containers"][0]["args"],
        json!(["backup", "--scope=full", "--prune=false", "--verify=restore", "--deadline=21300"])
    );
    assert!(pod["volumes"].to_string().contains("ephemeral"), "it has nowhere to restore into");
    assert_eq!(pod["serviceAccountName"], "memory-recovery");
    assert_eq!(job["spec"]["backoffLimit"], 12);
    // A wait for a node or a quota does not count. What takes too long ends by itself, and is not tried again.
    assert_eq!(
        (&job["spec"]["activeDeadlineSeconds"], &pod["activeDeadlineSeconds"]),
        (&Value::Null, &json!(21600))
    );
    let variables = pod["containers"][0]["env"].as_array().unwrap();
    let variable = |name: &str| {
        let of_name: Vec<_> =
            variables.iter().filter(|variable| variable["name"] == name).collect();
        assert_eq!(of_name.len(), 1, "{name}");
        of_name[0]["value"].as_str().unwrap().to_owned()
    };
    assert_eq!(variable("AGENTFS_RECORD"), "before");
    assert_eq!(variable("AGENTFS_RECORDS_OF"), "memory");
    assert_eq!(variable("AGENTFS_PROGRESS_PORT"), "8788");
    let request: Request = variable("AGENTFS_REQUEST").parse().unwrap();
    assert_eq!(
        (&*request.kind, &*request.namespace, &*request.name),
        ("AgentFSBackup", "agents", "before")
    );
    // The AgentFS does not take them for its own, and they go with the AgentFSBackup.
    for metadata in [&job["metadata"], &job["spec"]["template"]["metadata"]] {
        let labels = &metadata["labels"];
        assert_eq!(labels["app.kubernetes.io/instance"], "before");
        assert_eq!(labels["app.kubernetes.io/name"], "agentfsbackup");
        assert_eq!(labels["agentfs.io/agentfs"], "memory");
    }
    assert_eq!(job["metadata"]["ownerReferences"][0]["kind"], "AgentFSBackup");
    assert_eq!(writes(&tasks).await, Vec::<String>::new());

    tasks.runs(JOB);
    tasks.says.set("dump", 37);
    let action = reconcile(&tasks).await;
    assert!(
        message(&tasks).starts_with("The backup is under way: dump (since "),
        "{}",
        message(&tasks)
    );
    assert_eq!(action, Action::requeue(std::time::Duration::from_secs(5)));
    tasks.says.set("dump", 38);
    assert_eq!(writes(&tasks).await, Vec::<String>::new());
    let asked = tasks.says.asked();
    assert_eq!(asked, ["10.0.0.9:8788".parse().unwrap()], "it is asked every 5 s at most");

    tasks.ends(JOB, 0, &report(Some("True")));
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), is("True", "Succeeded", "at rest"));
    assert_eq!(
        message(&tasks),
        "The backup agentfs_20261123_140211 of 2026-11-23 14:02:11 UTC is in /backups: 1048576 entries, 1.2Gi."
    );
    let status = tasks.status::<AgentFSBackup>("before");
    assert_eq!(
        status["backup"],
        serde_json::to_value(made()).unwrap(),
        "its pod could not write it"
    );
    assert_eq!(status["verification"]["verified"], "True");
    assert!(status["finishedTime"].is_string());
    assert_eq!(tasks.events(), ["Running", "Dump", "Succeeded"]);
    assert_eq!(writes(&tasks).await, Vec::<String>::new());

    // Nothing is done for it again, whatever becomes of the Job.
    tasks.job_goes(JOB);
    assert_eq!(writes(&tasks).await, Vec::<String>::new());
    assert_eq!(reconcile(&tasks).await, Action::await_change());
    let metrics = tasks.context.metrics.render().unwrap();
    for result in ["in_progress", "settled"] {
        let series = format!(
            "agentfs_operator_reconciles_total{{kind=\"AgentFSBackup\",result=\"{result}\"}}"
        );
        assert!(metrics.contains(&series), "{metrics}");
    }
}

#[tokio::test]
async fn what_its_pod_has_written_is_left_as_it_is() {
    let tasks = running(&json!({})).await;
    assert_eq!(
        tasks.job(JOB)["spec"]["template"]["spec"]["containers"][0]["args"],
        json!(["backup", "--scope=full", "--prune=false", "--deadline=21300"])
    );
    let mut written = serde_json::to_value(made()).unwrap();
    written["size"] = json!("2Gi");
    let path = path::<AgentFSBackup>("before");
    tasks.server.change(&path, &json!({"status": {"backup": written}}));
    tasks.ends(JOB, 0, &report(None));
    reconcile(&tasks).await;
    let status = tasks.status::<AgentFSBackup>("before");
    assert_eq!(status["backup"], written);
    assert!(status["verification"].is_null());
}

#[tokio::test]
async fn a_backup_that_cannot_be_relied_on_is_a_failure() {
    let tasks = running(&json!({"verify": "Restore"})).await;
    tasks.ends(JOB, 1, &report(Some("False")));
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), is("False", "Failed", "stalled"));
    assert!(
        message(&tasks).starts_with("The backup agentfs_20261123_140211 is made and cannot be relied on: 9 of 1048576 entries differ (since "),
        "{}",
        message(&tasks)
    );
    assert_eq!(tasks.status::<AgentFSBackup>("before")["verification"]["verified"], "False");
    assert_eq!(writes(&tasks).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_backup_that_is_made_and_was_not_verified_is_told_as_such() {
    let tasks = running(&json!({"verify": "Restore"})).await;
    tasks.try_ends(JOB, 75, &not_verified("the bucket is away.", true));
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), is("False", "TryingAgain", "on its way"));
    assert!(
        message(&tasks).contains("retried by itself: the bucket is away"),
        "{}",
        message(&tasks)
    );

    tasks.ends(JOB, 1, &not_verified("it cannot be brought to schema version 14.", false));
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), is("False", "Failed", "stalled"));
    let begins = "The backup agentfs_20261123_140211 is made and was not verified: it cannot be brought to schema version 14 (since ";
    assert!(message(&tasks).starts_with(begins), "{}", message(&tasks));
    assert!(message(&tasks).contains("then create another AgentFSBackup"), "{}", message(&tasks));
    let status = tasks.status::<AgentFSBackup>("before");
    assert_eq!(status["backup"], serde_json::to_value(made()).unwrap(), "it is there");
    assert!(status["verification"].is_null(), "{status}");
    assert_eq!(writes(&tasks).await, Vec::<String>::new());
}

#[tokio::test]
async fn one_before_an_upgrade_rehearses_it_and_needs_nobody_to_ask_again() {
    let tasks = asked(&json!({"verify": "Restore"}));
    let upgrade = json!({"metadata": {"annotations": {"agentfs.io/migration": "0123abcd"}}});
    tasks.server.change(&path::<AgentFSBackup>("before"), &upgrade);
    reconcile(&tasks).await;
    let job = tasks.job(JOB);
    let pod = &job["spec"]["template"]["spec"];
    let arguments = ["backup", "--scope=full", "--prune=false", "--rehearse", "--deadline=21300"];
    assert_eq!(pod["containers"][0]["args"], json!(arguments));
    tasks.runs(JOB);
    let full = "could not extend file: No space left on device";
    for (left, reason, remedy) in [
        ("no database", "Failed", "Fix what the message names, then AgentFS memory makes another"),
        (
            &*not_verified("no server", false),
            "Failed",
            "then AgentFS memory makes another one by itself",
        ),
        (
            &*not_verified(full, false),
            "ScratchTooSmall",
            "or more, then AgentFS memory makes another",
        ),
    ] {
        tasks.ends(JOB, 1, left);
        reconcile(&tasks).await;
        assert_eq!(ready(&tasks), is("False", reason, "stalled"), "{left}");
        assert!(message(&tasks).contains(remedy), "{}", message(&tasks));
        let again = json!({"status": {"finishedTime": null}});
        tasks.server.change(&path::<AgentFSBackup>("before"), &again);
    }
}

#[tokio::test]
async fn one_that_is_deleted_and_created_again_is_not_carried_out_again() {
    let tasks = running(&json!({})).await;
    let request = |tasks: &Tasks| -> Request {
        let env = tasks.job(JOB)["spec"]["template"]["spec"]["containers"][0]["env"].clone();
        let set = env.as_array().unwrap().iter().find(|of| of["name"] == "AGENTFS_REQUEST");
        set.unwrap()["value"].as_str().unwrap().parse().unwrap()
    };
    let (first, old) = (request(&tasks), tasks.job(JOB));
    tasks.server.remove(&path::<AgentFSBackup>("before"));
    create(&tasks, &json!({}));
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), is("False", "AwaitingDeletion", "on its way"));
    assert_eq!(tasks.job(JOB), old, "the Job of the one before is not its own");

    tasks.job_goes(JOB);
    reconcile(&tasks).await;
    let again = request(&tasks);
    assert_eq!(again.to_string(), first.to_string(), "the database would not know it again");
    assert!(again.uid.is_some() && again.uid != first.uid, "{again:?}");
    let done = AlreadyDone {
        already_done: "2026-11-23T14:02:11Z".parse().unwrap(),
        succeeded: true,
        message: "the backup agentfs_20261123_140211 is complete.".into(),
        restore: None,
        switched_at: None,
        previous_until: None,
    };
    tasks.ends(JOB, 0, &done.write());
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), is("True", "AlreadyDone", "at rest"));
    assert!(
        message(&tasks).starts_with("An AgentFSBackup before with this spec succeeded at 2026-11-23 14:02:11 UTC: the backup"),
        "{}",
        message(&tasks)
    );

    // One that failed is not tried again either, and says so.
    tasks.delete::<AgentFSBackup>("before");
    create(&tasks, &json!({}));
    reconcile(&tasks).await;
    tasks.ends(JOB, 0, &AlreadyDone { succeeded: false, ..done }.write());
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), is("False", "AlreadyDone", "stalled"));
    assert!(message(&tasks).contains("with another name"), "{}", message(&tasks));
}

#[tokio::test]
async fn one_that_is_deleted_is_left_to_kubernetes() {
    let tasks = running(&json!({})).await;
    let path = path::<AgentFSBackup>("before");
    tasks.server.change(&path, &json!({"metadata": {"deletionTimestamp": now()}}));
    assert_eq!(writes(&tasks).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_job_that_somebody_deletes_is_made_again() {
    let tasks = running(&json!({})).await;
    let before = tasks.job(JOB);
    tasks.job_goes(JOB);
    reconcile(&tasks).await;
    assert_eq!(tasks.job(JOB)["spec"], before["spec"]);
    assert_eq!(ready(&tasks), is("False", "Running", "on its way"));
}

#[tokio::test]
async fn an_operator_that_was_away_reads_the_report_when_it_is_back() {
    let mut tasks = running(&json!({})).await;
    tasks.ends(JOB, 0, &report(None));
    tasks.restarted();
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks).1, "Succeeded");
}

#[tokio::test]
async fn a_quota_is_told_and_once_it_is_mended_the_backup_goes_on() {
    let tasks = asked(&json!({}));
    let path = format!("batch/v1/jobs/{JOB}");
    tasks.server.refuse(&path, 403, "exceeded quota: small, requested: count/jobs.batch=1");
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), is("False", "QuotaExceeded", "stalled"));
    assert!(message(&tasks).contains("exceeded quota: small"), "{}", message(&tasks));
    assert_eq!(tasks.events(), ["QuotaExceeded"]);
    assert_eq!(writes(&tasks).await, [format!("PATCH {path}")], "it was told twice");
    tasks.server.allow(&path);
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), is("False", "Running", "on its way"));

    // The Job is there, and its pods are refused.
    let said = "pods \"before-backup-x\" is forbidden: exceeded quota: small, requested: pods=1";
    let event = json!({"metadata": {"name": "e"}, "reason": "FailedCreate", "message": said,
                       "involvedObject": {"kind": "Job", "name": JOB}});
    tasks.server.put("v1/events/e", event);
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), is("False", "QuotaExceeded", "stalled"));
    assert!(message(&tasks).contains("spec.backup.resources"), "{}", message(&tasks));
    assert_eq!(writes(&tasks).await, Vec::<String>::new());
    // The Event is there for an hour more.
    tasks.runs(JOB);
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), is("False", "Running", "on its way"));
}

#[tokio::test]
async fn what_is_missing_is_named_and_waited_for() {
    let tasks = asked(&json!({}));
    let (agentfs, cronjob) = (
        tasks.server.get(RESOURCE).unwrap(),
        tasks.server.get("batch/v1/cronjobs/memory-backup").unwrap(),
    );
    tasks.server.remove(RESOURCE);
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), is("False", "AgentFSMissing", "stalled"));
    assert_eq!(writes(&tasks).await, Vec::<String>::new());
    tasks.server.put(RESOURCE, agentfs);
    tasks.server.change(RESOURCE, &json!({"spec": {"suspend": true}}));
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), is("False", "Suspended", "on its way"));
    tasks
        .server
        .change(RESOURCE, &json!({"spec": {"suspend": false, "backup": {"enabled": false}}}));
    tasks.server.remove("batch/v1/cronjobs/memory-backup");
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), is("False", "BackupsOff", "stalled"));
    tasks.server.change(RESOURCE, &json!({"spec": {"backup": {"enabled": true}}}));
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), is("False", "AwaitingAgentFS", "on its way"));
    assert!(!tasks.has_job(JOB));
    // One of that name which is somebody else's is none.
    let mut foreign = cronjob.clone();
    foreign["metadata"]["ownerReferences"][0]["uid"] = json!("another");
    tasks.server.put("batch/v1/cronjobs/memory-backup", foreign);
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks).1, "AwaitingAgentFS");
    tasks.server.put("batch/v1/cronjobs/memory-backup", cronjob);
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), is("False", "Running", "on its way"));
}

#[tokio::test]
async fn a_secret_that_is_missing_and_a_volume_in_use_are_told_and_mended() {
    let tasks = running(&json!({})).await;
    let waits = |reason: &str, message: &str| {
        json!({"phase": "Pending", "containerStatuses": [{"name": "backup", "ready": false,
            "image": "x", "imageID": "", "restartCount": 0,
            "state": {"waiting": {"reason": reason, "message": message}}}],
            "conditions": [{"type": "PodScheduled", "status": "True",
                            "lastTransitionTime": "2026-01-01T00:00:00Z"}]})
    };
    tasks.pod(JOB, "a", &waits("CreateContainerConfigError", "secret \"memory-s3\" not found"));
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), is("False", "ContainerRefused", "stalled"));
    assert!(message(&tasks).contains("\"memory-s3\" not found"), "{}", message(&tasks));

    tasks.pod(JOB, "a", &waits("ContainerCreating", ""));
    let event = json!({"metadata": {"name": "e"}, "type": "Warning", "reason": "FailedAttachVolume",
        "message": "Multi-Attach error for volume \"pvc-1\" Volume is already used by pod(s) memory-backup-1-x",
        "involvedObject": {"kind": "Pod", "name": format!("{JOB}-a")}});
    tasks.server.put("v1/events/e", event);
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), is("False", "VolumeInUse", "stalled"));
    assert!(message(&tasks).contains("memory-backup-1-x"), "{}", message(&tasks));
    assert_eq!(writes(&tasks).await, Vec::<String>::new());
    tasks.runs(JOB);
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), is("False", "Running", "on its way"));
    assert_eq!(tasks.events(), ["Running", "ContainerRefused", "VolumeInUse", "Running"]);
}

#[tokio::test]
async fn one_that_was_killed_is_tried_again_and_says_so() {
    let tasks = running(&json!({})).await;
    tasks.try_ends(JOB, 137, "load: 37% of 54.3 MiB\n");
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), is("False", "TryingAgain", "on its way"));
    let said = "it was killed, after it said: load: 37% of 54.3 MiB";
    assert!(message(&tasks).contains(said), "{}", message(&tasks));
}

#[tokio::test]
async fn a_try_that_may_go_better_is_no_failure() {
    let tasks = running(&json!({})).await;
    let report = Report { message: "another backup is under way".into(), transient: true };
    tasks.try_ends(JOB, 75, &report.write());
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), is("False", "TryingAgain", "on its way"));
    assert!(message(&tasks).contains("another backup is under way"), "{}", message(&tasks));
    assert_eq!(tasks.warnings(), ["TryingAgain"]);
    // The next pod runs beside the one that failed.
    tasks.pod(JOB, "b", &json!({"phase": "Running", "podIP": "10.0.0.9"}));
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks).1, "Running");
    tasks.server.remove(&format!("v1/pods/{JOB}-b"));
    tasks.end_job(JOB, "Failed", &now());
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), is("False", "Failed", "stalled"));
    assert!(
        message(&tasks).starts_with("The backup failed: another backup is under way (since "),
        "{}",
        message(&tasks)
    );
}

#[tokio::test]
async fn a_volume_to_restore_into_that_is_full_says_which_size_to_set() {
    let tasks = running(&json!({"verify": "Restore"})).await;
    let full = "pg_restore failed: could not extend file: No space left on device";
    tasks.ends(JOB, 1, &Report { message: full.into(), transient: false }.write());
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), is("False", "ScratchTooSmall", "stalled"));
    assert!(
        message(&tasks).contains("The volume of 2Gi")
            && message(&tasks)
                .contains("Set spec.backup.verify.storage.size of the AgentFS to 4Gi or more"),
        "{}",
        message(&tasks)
    );

    // The location of the backups is another matter.
    let tasks = running(&json!({"verify": "Restore"})).await;
    let full = "no space is left in /backups (No space left on device): make the volume larger";
    tasks.ends(JOB, 1, &Report { message: full.into(), transient: false }.write());
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks).1, "Failed");
    assert!(message(&tasks).contains("no space is left in /backups"), "{}", message(&tasks));
}

#[tokio::test]
async fn a_record_is_there_or_vanished_and_nothing_is_done_for_it() {
    let tasks = asked(&json!({"recordOf": "agentfs_20261123_140211"}));
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks).1, "Running", "its pod has written nothing yet");
    let path = path::<AgentFSBackup>("before");
    tasks.server.change(&path, &json!({"status": {"backup": made()}}));
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), is("True", "Succeeded", "at rest"));
    assert_eq!(writes(&tasks).await, Vec::<String>::new());
    tasks.server.change(&path, &json!({"status": {"vanishedTime": "2026-11-24T00:00:00Z"}}));
    assert_eq!(reconcile(&tasks).await, Action::await_change());
    assert_eq!(ready(&tasks), is("False", "Vanished", "stalled"));
    assert!(
        message(&tasks).contains("kubectl delete afsb -n agents before"),
        "{}",
        message(&tasks)
    );
    assert_eq!(tasks.events().last().unwrap(), "Vanished");
    assert_eq!(writes(&tasks).await, Vec::<String>::new());
    tasks.server.change(&path, &json!({"status": {"vanishedTime": null}}));
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), is("True", "Succeeded", "at rest"));
    assert_eq!(tasks.server.names("batch/v1/jobs"), Vec::<String>::new());
}

#[tokio::test]
async fn a_backup_that_was_asked_for_can_vanish_too_and_come_back() {
    let tasks = running(&json!({})).await;
    tasks.ends(JOB, 0, &report(None));
    reconcile(&tasks).await;
    let path = path::<AgentFSBackup>("before");
    for (time, reason) in [(json!("2026-11-24T00:00:00Z"), "Vanished"), (Value::Null, "Succeeded")]
    {
        tasks.server.change(&path, &json!({"status": {"vanishedTime": time}}));
        reconcile(&tasks).await;
        assert_eq!(ready(&tasks).1, reason);
        assert_eq!(writes(&tasks).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn what_has_ended_is_cleared_up_in_time() {
    let tasks = running(&json!({"ttlSecondsAfterFinished": 7200})).await;
    tasks.ends(JOB, 0, &report(None));
    reconcile(&tasks).await;
    assert!(tasks.has_job(JOB), "its log can be read");
    let path = path::<AgentFSBackup>("before");
    let finished =
        |at: String| tasks.server.change(&path, &json!({"status": {"finishedTime": at}}));
    finished(hours_ago(1));
    assert_eq!(writes(&tasks).await, [format!("DELETE batch/v1/jobs/{JOB}")]);
    assert!(tasks.server.get(&path).is_some());
    finished(hours_ago(2));
    assert_eq!(writes(&tasks).await, [format!("DELETE {path}")]);

    // The Job of one that failed is kept for a day.
    let tasks = running(&json!({})).await;
    tasks.ends(JOB, 1, "x");
    reconcile(&tasks).await;
    let finished =
        |at: String| tasks.server.change(&path, &json!({"status": {"finishedTime": at}}));
    finished(hours_ago(23));
    assert_eq!(writes(&tasks).await, Vec::<String>::new());
    finished(hours_ago(24));
    assert_eq!(writes(&tasks).await, [format!("DELETE batch/v1/jobs/{JOB}")]);
}

/// What pods write, nobody could take away any more had the operator written it as well.
#[tokio::test]
async fn what_pods_write_is_theirs_alone() {
    let tasks = asked(&json!({"recordOf": "agentfs_20261123_140211"}));
    let path = path::<AgentFSBackup>("before");
    let status = json!({"backup": made(), "vanishedTime": "2026-11-24T02:00:00Z"});
    tasks.server.change(&path, &json!({"metadata": {"resourceVersion": "7"}, "status": status}));
    let stale = tasks.task::<AgentFSBackup>("before");
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks).1, "Vanished");
    let sent = tasks.server.patch(&path);
    assert_eq!(sent["metadata"], json!({"resourceVersion": "7"}));
    let written: Vec<_> = sent["status"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(written, ["conditions", "observedGeneration"]);

    // It is there again, which a pod says while a copy of before is looked at.
    let there = json!({"metadata": {"resourceVersion": "8"}, "status": {"vanishedTime": null}});
    tasks.server.change(&path, &there);
    let after = AgentFSBackupStatus { conditions: Vec::new(), ..stale.status.clone().unwrap() };
    let after = AgentFSBackupStatus { observed_generation: Some(9), ..after };
    let written = patch_status(&tasks.server.client(), &"test".into(), &stale, &[], &after).await;
    let Err(kube::Error::Api(refusal)) = written else { panic!("{written:?}") };
    assert_eq!(refusal.code, 409);
    reconcile(&tasks).await;
    assert_eq!(ready(&tasks), is("True", "Succeeded", "at rest"));
    assert!(tasks.status::<AgentFSBackup>("before").get("vanishedTime").is_none());
}
