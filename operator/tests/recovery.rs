//! What an AgentFS says of its recovery: by the records of backups and drills, and by the CronJobs of verifications and drills.

use std::sync::LazyLock;

use jiff::{Span, Timestamp};
use serde_json::{Value, json};

use crate::world::{BACKUP, RESOURCE, World};

const VERIFY: &str = "batch/v1/cronjobs/memory-verify";
const DRILL: &str = "batch/v1/cronjobs/memory-drill";

fn change_spec(world: &World, backup: &Value) {
    world.server.change(RESOURCE, &json!({"spec": {"backup": backup}}));
}

/// The moment from which all others here are counted.
static NOW: LazyLock<Timestamp> = LazyLock::new(Timestamp::now);

fn hours_ago(hours: i64) -> String {
    let at = NOW.checked_sub(Span::new().hours(hours)).unwrap();
    Timestamp::from_second(at.as_second()).unwrap().to_string()
}

fn clock(at: &str) -> String {
    agentfs_operator::kit::conditions::clock(at.parse().unwrap())
}

/// A backup of the whole database that was made so many hours ago, with these fields of its status besides.
fn backup(world: &World, name: &str, hours: i64, status: &Value) {
    let made = hours_ago(hours);
    let facts = json!({"id": format!("agentfs_{name}"), "location": "s3://safe/memory", "instance": "7-1-agentfs",
        "scope": "Full", "snapshotTime": made, "finishedTime": made, "duration": "41s", "size": "1.2Gi",
        "bytes": 1, "entries": 2, "databaseBytes": 4_i64 << 30, "postgres": "17.5", "encrypted": false});
    let record = json!({"metadata": {"name": name, "namespace": "agents"},
        "spec": {"agentFS": "memory", "recordOf": format!("agentfs_{name}")}, "status": {"backup": facts}});
    let path = format!("agentfs.io/v1alpha1/agentfsbackups/{name}");
    world.server.put(&path, record);
    world.server.change(&path, &json!({"status": status}));
}

fn found(verified: &str, level: &str, hours: i64) -> Value {
    json!({"verification": {"verified": verified, "level": level, "time": hours_ago(hours), "seconds": 61,
        "message": "entries: 3 rows of 4 came back."}})
}

/// A drill that ended so many hours ago.
fn drill(world: &World, name: &str, hours: i64, result: &str, measured: &Value) {
    let ready = json!({"type": "Ready", "status": "False", "reason": "Failed", "message": "The marker is gone.",
        "lastTransitionTime": hours_ago(hours)});
    let record = json!({"metadata": {"name": name, "namespace": "agents"}, "spec": {"agentFS": "memory"},
        "status": {"result": result, "finishedTime": hours_ago(hours), "conditions": [ready]}});
    let path = format!("agentfs.io/v1alpha1/agentfsdrills/{name}");
    world.server.put(&path, record);
    world.server.change(&path, &json!({"status": measured}));
}

/// Lets a CronJob have its schedule since so many hours, with this status.
fn scheduled(world: &World, path: &str, hours: i64, status: &Value) {
    let since = json!({"agentfs.io/scheduled-since": hours_ago(hours)});
    let metadata = json!({"creationTimestamp": hours_ago(hours), "annotations": since});
    world.server.change(path, &json!({"metadata": metadata, "status": status}));
}

/// A pod of verifications or drills that failed with these words.
fn failed(world: &World, component: &str, words: &str) {
    let labels = json!({"app.kubernetes.io/managed-by": "agentfs-operator",
        "app.kubernetes.io/instance": "memory", "app.kubernetes.io/component": component});
    let ended = json!({"name": component, "ready": false, "image": "x", "imageID": "",
        "restartCount": 0, "state": {"terminated": {"exitCode": 1, "message": words}}});
    let pod = json!({"metadata": {"name": format!("memory-{component}-1-abcde"), "labels": labels},
                     "status": {"phase": "Failed", "containerStatuses": [ended]}});
    world.server.put(&format!("v1/pods/memory-{component}-1-abcde"), pod);
}

/// Status, reason and message of a condition after a reconcile, which leaves nothing to write and Ready as it was.
async fn said(world: &World, kind: &str) -> (String, String, String) {
    world.reconcile().await.unwrap();
    assert_eq!(world.said("Ready").0, "True", "what serves goes on serving");
    assert_eq!(world.writes().await, Vec::<String>::new(), "it was told twice");
    world.said(kind)
}

async fn reason(world: &World, kind: &str) -> String {
    said(world, kind).await.1
}

fn told(world: &World) -> Value {
    world.server.get(RESOURCE).unwrap()["status"]["backup"].clone()
}

fn has(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}

#[tokio::test]
async fn records_say_which_backup_is_the_newest_and_the_cronjob_only_where_there_are_none() {
    let world = World::settled("minimal").await;
    let success =
        json!({"status": {"lastScheduleTime": hours_ago(1), "lastSuccessfulTime": hours_ago(1)}});
    world.server.change(BACKUP, &success);
    said(&world, "BackupFresh").await;
    assert_eq!(told(&world)["lastSuccessfulTime"], success["status"]["lastSuccessfulTime"]);

    backup(&world, "memory-b", 3, &json!({}));
    backup(&world, "memory-a", 30, &json!({}));
    backup(&world, "memory-entries", 1, &json!({"backup": {"scope": "Entries"}}));
    backup(&world, "memory-asked-for", 1, &json!({"backup": null}));
    backup(&world, "of-another", 1, &json!({}));
    let other = json!({"spec": {"agentFS": "other"}});
    world.server.change("agentfs.io/v1alpha1/agentfsbackups/of-another", &other);
    assert_eq!(reason(&world, "BackupFresh").await, "Fresh");
    let status = told(&world);
    assert_eq!(
        (&status["lastSuccessfulTime"], &status["databaseSize"]),
        (&json!(hours_ago(3)), &json!("4096Mi"))
    );
    assert_eq!(status["firstRecoverableTime"], hours_ago(30));
    assert!(status.get("latestVerifiedTime").is_none(), "nothing is proven");

    // One that is known to be wrong is none to go back to.
    backup(&world, "memory-a", 30, &found("False", "Restore", 29));
    world.reconcile().await.unwrap();
    assert_eq!(told(&world)["firstRecoverableTime"], hours_ago(3));
}

#[tokio::test]
async fn a_backup_that_vanished_is_named_and_is_not_the_newest() {
    let world = World::settled("minimal").await;
    backup(&world, "memory-b", 3, &json!({"vanishedTime": hours_ago(1)}));
    backup(&world, "memory-a", 20, &json!({}));
    let (is, reason_, message) = said(&world, "BackupFresh").await;
    assert_eq!((is.as_str(), reason_.as_str()), ("False", "BackupVanished"));
    has(
        &message,
        &["memory-b of ", "s3://safe/memory", "is memory-a, of ", "--from=cronjob/memory-backup"],
    );
    assert_eq!(told(&world)["lastSuccessfulTime"], hours_ago(20));

    // Where none is left, none is remembered.
    backup(&world, "memory-a", 20, &json!({"vanishedTime": hours_ago(1)}));
    has(&said(&world, "BackupFresh").await.2, &["No other backup is left"]);
    assert!(told(&world).get("lastSuccessfulTime").is_none());
    // The next one mends it.
    backup(&world, "memory-c", 0, &json!({}));
    assert_eq!(reason(&world, "BackupFresh").await, "Fresh");
}

#[tokio::test]
async fn backups_that_leave_no_record_are_told_when_the_newest_is_too_old() {
    let world = World::settled("minimal").await;
    backup(&world, "memory-a", 30, &json!({}));
    let status = json!({"lastScheduleTime": hours_ago(2), "lastSuccessfulTime": hours_ago(2)});
    world.server.change(BACKUP, &json!({"status": status}));
    let (_, reason, message) = said(&world, "BackupFresh").await;
    assert_eq!(reason, "BackupOverdue");
    has(&message, &["no AgentFSBackup tells of a backup by it", "at most 26 hours old"]);
}

#[tokio::test]
async fn a_restore_is_verified_once_a_young_backup_was_restored() {
    let world = World::settled("minimal").await;
    scheduled(&world, VERIFY, 1, &json!({}));
    let (is, reason_, message) = said(&world, "RestoreVerified").await;
    assert_eq!((is.as_str(), reason_.as_str()), ("Unknown", "NotVerifiedYet"));
    has(&message, &["the next verification is due at 20"]);

    backup(&world, "memory-a", 50, &found("True", "Restore", 48));
    backup(&world, "memory-b", 26, &json!({}));
    let (is, reason_, message) = said(&world, "RestoreVerified").await;
    assert_eq!((is.as_str(), reason_.as_str()), ("True", "Verified"));
    let of = format!("memory-a of {} was restored", clock(&hours_ago(50)));
    has(&message, &[&of, &format!("compared at {}.", clock(&hours_ago(48)))]);
    assert_eq!(told(&world)["latestVerifiedTime"], hours_ago(50));

    // What was found of an older one takes nothing away.
    backup(&world, "memory-0", 70, &found("False", "Restore", 1));
    assert_eq!(reason(&world, "RestoreVerified").await, "Verified");
    backup(&world, "memory-b", 26, &found("False", "Restore", 1));
    let (is, reason_, message) = said(&world, "RestoreVerified").await;
    assert_eq!((is.as_str(), reason_.as_str()), ("False", "VerificationFailed"));
    has(
        &message,
        &[
            "memory-b of ",
            "does not restore: entries: 3 rows of 4 came back (since ",
            "newest verified one is memory-a, of ",
            "--from=cronjob/memory-verify",
        ],
    );
    // A younger one that restores mends it.
    backup(&world, "memory-c", 2, &found("True", "Restore", 1));
    assert_eq!(reason(&world, "RestoreVerified").await, "Verified");
    // One that is gone proves nothing.
    backup(&world, "memory-c", 2, &json!({"vanishedTime": hours_ago(1)}));
    assert_eq!(reason(&world, "RestoreVerified").await, "VerificationFailed");
}

#[tokio::test]
async fn a_verified_backup_grows_too_old_and_so_does_waiting_for_the_first() {
    let world = World::settled("minimal").await;
    scheduled(&world, VERIFY, 191, &json!({}));
    assert_eq!(reason(&world, "RestoreVerified").await, "NotVerifiedYet");
    scheduled(&world, VERIFY, 193, &json!({}));
    assert_eq!(reason(&world, "RestoreVerified").await, "VerificationOverdue");
    // The backup's age counts, and not that of the verification.
    backup(&world, "memory-a", 193, &found("True", "Restore", 1));
    let (is, reason_, message) = said(&world, "RestoreVerified").await;
    assert_eq!((is.as_str(), reason_.as_str()), ("False", "VerificationOverdue"));
    has(&message, &["at most 192 hours old", "kubectl describe cronjob -n agents memory-verify"]);
    change_spec(&world, &json!({"verify": {"maxAgeHours": 200}}));
    assert_eq!(reason(&world, "RestoreVerified").await, "Verified");
    change_spec(&world, &json!({"suspend": true}));
    world.reconcile().await.unwrap();
    let (is, reason_, message) = world.said("RestoreVerified");
    assert_eq!((is.as_str(), reason_.as_str()), ("False", "Suspended"));
    has(&message, &["spec.backup.suspend is true: no backups are verified", "memory-a, of "]);
    change_spec(&world, &json!({"suspend": false, "verify": {"enabled": false}}));
    world.reconcile().await.unwrap();
    let status = world.server.get(RESOURCE).unwrap()["status"].to_string();
    assert!(!status.contains("RestoreVerified"), "nobody is held to it");
}

#[tokio::test]
async fn a_backup_that_was_read_is_not_said_to_restore() {
    let world = World::settled("minimal").await;
    scheduled(&world, VERIFY, 1, &json!({}));
    backup(&world, "memory-a", 3, &found("True", "Archive", 1));
    assert_eq!(reason(&world, "RestoreVerified").await, "NotVerifiedYet");
    change_spec(&world, &json!({"verify": {"level": "Archive"}}));
    let (is, reason_, message) = said(&world, "RestoreVerified").await;
    assert_eq!((is.as_str(), reason_.as_str()), ("Unknown", "ArchiveVerified"));
    has(
        &message,
        &["memory-a of ", "was read completely at 20", "spec.backup.verify.level: Restore"],
    );
    assert!(told(&world).get("latestVerifiedTime").is_none());
    backup(&world, "memory-a", 3, &found("True", "Restore", 1));
    assert_eq!(reason(&world, "RestoreVerified").await, "Verified");
}

#[tokio::test]
async fn backups_that_nothing_here_can_open_are_not_said_to_be_proven() {
    let world = World::settled("minimal").await;
    let recipients = json!({"encryption": {"recipients": ["age1qyqszqgpqyqszqgp"]}});
    change_spec(&world, &recipients);
    world.reconcile().await.unwrap();
    for kind in ["RestoreVerified", "DrillCurrent"] {
        let (is, reason_, message) = said(&world, kind).await;
        assert_eq!((is.as_str(), reason_.as_str()), ("Unknown", "NotVerifiable"), "{kind}");
        has(&message, &["spec.backup.encryption.identitySecretRef"]);
    }
    // Where it was verified elsewhere, its record says so.
    backup(&world, "memory-a", 3, &found("True", "Restore", 1));
    assert_eq!(reason(&world, "RestoreVerified").await, "Verified");
}

#[tokio::test]
async fn a_verification_that_cannot_be_carried_out_is_told_with_its_last_words() {
    let world = World::settled("minimal").await;
    backup(&world, "memory-a", 50, &found("True", "Restore", 49));
    scheduled(&world, VERIFY, 60, &json!({"lastScheduleTime": hours_ago(2)}));
    failed(&world, "verify", r#"{"message":"The identity opens no file.","transient":false}"#);
    let (is, reason_, message) = said(&world, "RestoreVerified").await;
    assert_eq!((is.as_str(), reason_.as_str()), ("False", "VerificationNotDone"));
    has(
        &message,
        &[
            "failed: The identity opens no file (since ",
            "The last success was at 20",
            "to verify now: kubectl create job -n agents --from=cronjob/memory-verify",
        ],
    );
    failed(&world, "verify", "pg_restore: error: could not extend file: No space left on device");
    let (_, reason_, message) = said(&world, "RestoreVerified").await;
    assert_eq!(reason_, "ScratchTooSmall");
    has(&message, &["Set spec.backup.verify.storage.size to 24Gi or more. "]);

    // One that found the backup wrong has ended as well, and that is what counts.
    backup(&world, "memory-a", 50, &found("False", "Restore", 1));
    assert_eq!(reason(&world, "RestoreVerified").await, "VerificationFailed");
    // A pod that is refused is told while its Job waits.
    backup(&world, "memory-a", 50, &found("True", "Restore", 49));
    world.server.remove("v1/pods/memory-verify-1-abcde");
    scheduled(&world, VERIFY, 60, &json!({"active": [{"kind": "Job", "name": "memory-verify-1"}]}));
    let event = json!({"metadata": {"name": "refused"}, "reason": "FailedCreate", "type": "Warning",
        "lastTimestamp": hours_ago(0), "involvedObject": {"kind": "Job", "name": "memory-verify-1"},
        "message": "pods \"memory-verify-1-x\" is forbidden: exceeded quota: small"});
    world.server.put("v1/events/refused", event);
    let (_, reason_, message) = said(&world, "RestoreVerified").await;
    assert_eq!(reason_, "QuotaExceeded");
    has(&message, &["the pods of the verification", "spec.backup.verify.resources"]);

    // The volume that its pod brings along does not come.
    world.server.remove("v1/events/refused");
    failed(&world, "verify", "");
    let volume = json!({"name": "tmp", "ephemeral": {}});
    let pod = json!({"spec": {"containers": [], "volumes": [volume]},
        "status": {"phase": "Pending", "containerStatuses": null}});
    world.server.change("v1/pods/memory-verify-1-abcde", &pod);
    let claim = json!({"kind": "PersistentVolumeClaim", "name": "memory-verify-1-abcde-tmp"});
    let event = json!({"metadata": {"name": "unbound"}, "reason": "ProvisioningFailed", "type": "Warning",
        "lastTimestamp": hours_ago(0), "involvedObject": claim, "message": "storageclass \"fast\" not found"});
    world.server.put("v1/events/unbound", event);
    let (_, reason_, message) = said(&world, "RestoreVerified").await;
    assert_eq!(reason_, "VolumePending");
    has(&message, &["\"fast\" not found (since ", "spec.backup.verify.storage"]);
}

#[tokio::test]
async fn drills_are_current_failed_or_overdue_and_remembered() {
    let world = World::settled("minimal").await;
    let seldom = json!({"drill": {"schedule": "0 0 29 2 *"}});
    change_spec(&world, &seldom);
    scheduled(&world, DRILL, 1, &json!({}));
    let (is, reason_, message) = said(&world, "DrillCurrent").await;
    assert_eq!((is.as_str(), reason_.as_str()), ("Unknown", "NotDrilledYet"));
    has(&message, &["the next one is due at 20"]);
    // The first was due and nothing came of it, though nothing is too old yet.
    change_spec(&world, &json!({"drill": {"schedule": "0 */2 * * *"}}));
    world.reconcile().await.unwrap();
    scheduled(&world, DRILL, 6, &json!({}));
    let (is, reason_, message) = said(&world, "DrillCurrent").await;
    assert_eq!((is.as_str(), reason_.as_str()), ("False", "DrillOverdue"));
    has(&message, &["No drill has passed, and the first was due at 20", "memory-drill"]);

    let measured = json!({"rpoSeconds": 78_723, "rtoSeconds": 58});
    drill(&world, "memory-1", 30, "Succeeded", &measured);
    let (is, reason_, message) = said(&world, "DrillCurrent").await;
    assert_eq!((is.as_str(), reason_.as_str()), ("True", "Drilled"));
    has(&message, &[&clock(&hours_ago(30)), ": recovery point 21h52m, recovery time 58s."]);
    let last = json!({"lastTime": hours_ago(30), "rpoSeconds": 78_723, "rtoSeconds": 58});
    assert_eq!(told(&world)["drill"], last);

    drill(&world, "memory-2", 2, "Failed", &json!({}));
    let (is, reason_, message) = said(&world, "DrillCurrent").await;
    assert_eq!((is.as_str(), reason_.as_str()), ("False", "DrillFailed"));
    has(
        &message,
        &["memory-2 of ", "did not pass: The marker is gone (since ", "The last one passed at 20"],
    );
    assert_eq!(told(&world)["drill"], last, "one that failed measured nothing");

    // Their records go, by hand or by ttl.
    for name in ["memory-1", "memory-2"] {
        world.server.remove(&format!("agentfs.io/v1alpha1/agentfsdrills/{name}"));
    }
    assert_eq!(reason(&world, "DrillCurrent").await, "Drilled");
    assert_eq!(told(&world)["drill"], last);
    change_spec(&world, &json!({"drill": {"maxAgeDays": 1}}));
    let (_, reason_, message) = said(&world, "DrillCurrent").await;
    assert_eq!(reason_, "DrillOverdue");
    has(&message, &["at most 1 days old", "spec.backup.drill.maxAgeDays"]);
    scheduled(&world, DRILL, 6, &json!({"lastScheduleTime": hours_ago(1)}));
    failed(&world, "drill", "the API refuses the key");
    assert_eq!(reason(&world, "DrillCurrent").await, "DrillFailed");
}

#[tokio::test]
async fn objectives_are_held_against_the_newest_backup_and_the_newest_drill() {
    let world = World::settled("minimal").await;
    said(&world, "BackupFresh").await;
    let conditions = || world.server.get(RESOURCE).unwrap()["status"]["conditions"].to_string();
    assert!(!conditions().contains("ObjectivesMet"), "none is declared");
    change_spec(&world, &json!({"objectives": {"rpo": "26h", "rto": "15m"}}));
    backup(&world, "memory-a", 20, &json!({}));
    let (is, reason_, message) = said(&world, "ObjectivesMet").await;
    assert_eq!((is.as_str(), reason_.as_str()), ("Unknown", "NotMeasuredYet"));
    has(&message, &["No drill has measured a recovery time yet; to drill now: kubectl"]);

    drill(&world, "memory-1", 9, "Succeeded", &json!({"rpoSeconds": 78_723, "rtoSeconds": 58}));
    let (is, reason_, message) = said(&world, "ObjectivesMet").await;
    assert_eq!((is.as_str(), reason_.as_str()), ("True", "Met"));
    has(
        &message,
        &[
            &clock(&hours_ago(20)),
            "a recovery point of 21h52m (rpo 26h)",
            "a recovery time of 58s (rto 15m).",
        ],
    );

    // A drill of a backup that somebody chose measures the age of that, and how long a restore takes.
    drill(&world, "memory-2", 8, "Succeeded", &json!({"rpoSeconds": 9_000_000, "rtoSeconds": 57}));
    let chosen = json!({"spec": {"backup": "memory-a"}});
    world.server.change("agentfs.io/v1alpha1/agentfsdrills/memory-2", &chosen);
    let (is, _, message) = said(&world, "ObjectivesMet").await;
    assert!(is == "True" && !message.contains("recovery point"), "{message}");
    has(&message, &[&clock(&hours_ago(20)), "a recovery time of 57s (rto 15m)."]);
    assert_eq!(told(&world)["drill"], json!({"lastTime": hours_ago(8), "rtoSeconds": 57}));
    world.server.remove("agentfs.io/v1alpha1/agentfsdrills/memory-2");

    change_spec(&world, &json!({"objectives": {"rto": "30s"}}));
    let (is, reason_, message) = said(&world, "ObjectivesMet").await;
    assert_eq!((is.as_str(), reason_.as_str()), ("False", "ObjectivesMissed"));
    has(&message, &["recovery time of 58s, and spec.backup.objectives.rto is 30s", "to drill now"]);
    assert!(!message.contains("26h"), "what is met is not said: {message}");

    // A backup that does not restore is none.
    change_spec(&world, &json!({"objectives": {"rto": null}}));
    assert_eq!(reason(&world, "ObjectivesMet").await, "Met");
    backup(&world, "memory-0", 27, &json!({}));
    backup(&world, "memory-a", 20, &found("False", "Restore", 1));
    has(&said(&world, "ObjectivesMet").await.2, &[&clock(&hours_ago(27)), "objectives.rpo is 26h"]);
    change_spec(&world, &json!({"objectives": null}));
    world.reconcile().await.unwrap();
    assert!(!conditions().contains("ObjectivesMet"));
}

#[tokio::test]
async fn alerts_know_what_was_done_what_is_due_and_nothing_of_what_is_gone() {
    let world = World::settled("minimal").await;
    let metrics = &world.context.metrics;
    metrics.show(world.context.known.clone());
    let resource = world.server.get(RESOURCE).unwrap();
    world.other(&resource);
    let value = |metric: &str, task: &str| {
        let series = format!(
            "agentfs_operator_recovery_{metric}{{name=\"memory\",namespace=\"agents\",task=\"{task}\"}} "
        );
        let text = metrics.render().unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(&series));
        value.map(|value| value.parse::<f64>().unwrap())
    };
    let seconds = |at: &str| {
        Some(f64::from(i32::try_from(at.parse::<Timestamp>().unwrap().as_second()).unwrap()))
    };
    let minutes = "*/2 * * * *";
    change_spec(&world, &json!({"schedule": minutes}));
    // The schedule of verifications began after its last time.
    change_spec(&world, &json!({"verify": {"schedule": "0 0 29 2 *"}}));
    world.reconcile().await.unwrap();
    scheduled(&world, BACKUP, 2, &json!({"lastScheduleTime": hours_ago(1)}));
    scheduled(&world, VERIFY, 1, &json!({}));
    world.reconcile().await.unwrap();
    assert_eq!(value("previous_due_timestamp_seconds", "verify"), None);
    assert_eq!(value("last_success_timestamp_seconds", "verify"), Some(0.0));
    assert_eq!(value("last_success_timestamp_seconds", "backup"), Some(0.0), "it never succeeded");
    assert_eq!(value("last_attempt_timestamp_seconds", "backup"), seconds(&hours_ago(1)));
    assert_eq!((value("failed", "backup"), value("running", "backup")), (Some(1.0), Some(0.0)));
    assert_eq!(value("max_age_seconds", "backup"), Some(26.0 * 3600.0));
    let now = seconds(&Timestamp::now().to_string()).unwrap();
    let previous = value("previous_due_timestamp_seconds", "backup").unwrap();
    let next = value("next_due_timestamp_seconds", "backup").unwrap();
    assert!(
        previous <= now && now - previous <= 180.0 && next > previous,
        "{previous} {now} {next}"
    );
    // The operator changes the CronJob and leaves its schedule: what was due stays due.
    change_spec(&world, &json!({"resources": {"requests": {"cpu": "200m"}}}));
    assert!(world.writes().await.iter().any(|of| of.ends_with(BACKUP)));
    assert!(value("previous_due_timestamp_seconds", "backup").is_some());
    // With another one nothing was due before.
    change_spec(&world, &json!({"schedule": "*/3 * * * *"}));
    world.reconcile().await.unwrap();
    assert_eq!(value("previous_due_timestamp_seconds", "backup"), None);

    // A verification by hand counts, and so does what it found.
    backup(&world, "memory-a", 3, &found("False", "Restore", 1));
    world.reconcile().await.unwrap();
    assert_eq!((value("failed", "verify"), value("failed", "backup")), (Some(1.0), Some(1.0)));
    assert_eq!(value("last_attempt_timestamp_seconds", "verify"), seconds(&hours_ago(1)));
    backup(&world, "memory-b", 0, &found("True", "Restore", 0));
    world.reconcile().await.unwrap();
    assert_eq!((value("failed", "verify"), value("failed", "backup")), (Some(0.0), Some(0.0)));

    change_spec(&world, &json!({"suspend": true}));
    world.reconcile().await.unwrap();
    assert_eq!(value("next_due_timestamp_seconds", "backup"), None);
    assert_eq!(value("max_age_seconds", "backup"), None);
    change_spec(&world, &json!({"suspend": false}));
    world.reconcile().await.unwrap();
    assert!(value("next_due_timestamp_seconds", "backup").is_some());
    world.gone(&resource);
    assert!(!metrics.render().unwrap().contains("agentfs_operator_recovery_failed{"));
}
