//! Backups: the CronJob, its volume, and what is said of how old the newest one is.

use jiff::{Span, Timestamp};
use serde_json::{Value, json};

use crate::fixtures::migrated_without_backups;
use crate::world::{BACKUP, RESOURCE, World};

const VOLUME: &str = "v1/persistentvolumeclaims/memory-backups";

fn change_spec(world: &World, backup: &Value) {
    world.server.change(RESOURCE, &json!({"spec": {"backup": backup}}));
}

fn hours_ago(hours: i64) -> String {
    let at = Timestamp::now().checked_sub(Span::new().hours(hours)).unwrap();
    Timestamp::from_second(at.as_second()).unwrap().to_string()
}

fn pod_of(world: &World) -> Value {
    world.server.get(BACKUP).unwrap()["spec"]["jobTemplate"]["spec"]["template"]["spec"].clone()
}

/// A backup pod that failed with these words.
fn failed(world: &World, words: &str) {
    ended(world, 1, words);
}

/// A backup pod that ended with this code and left these words.
fn ended(world: &World, code: i32, words: &str) {
    let labels = json!({"app.kubernetes.io/managed-by": "agentfs-operator",
        "app.kubernetes.io/instance": "memory", "app.kubernetes.io/component": "backup"});
    let ended = json!({"name": "backup", "ready": false, "image": "x", "imageID": "",
        "restartCount": 0, "state": {"terminated": {"exitCode": code, "message": words}}});
    let phase = if code == 0 { "Succeeded" } else { "Failed" };
    let pod = json!({"metadata": {"name": "memory-backup-1-abcde", "labels": labels},
                     "status": {"phase": phase, "containerStatuses": [ended]}});
    world.server.put("v1/pods/memory-backup-1-abcde", pod);
}

#[tokio::test]
async fn backups_go_past_the_pool_into_a_volume_that_stays() {
    let world = World::settled("minimal").await;
    let url = pod_of(&world)["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"].clone();
    assert_eq!(url["name"], "memory-credentials", "a dump would take the pool's connections");
    assert_eq!(world.said("BackupsScheduled").0, "True");
    assert_eq!(
        world.said("BackupsScheduled").2,
        "The CronJob memory-backup makes backups at \"0 2 * * *\" (Etc/UTC)."
    );
    let (status, reason, _) = world.said("BackupFresh");
    assert_eq!((status.as_str(), reason.as_str()), ("Unknown", "NoBackupYet"));
    assert_eq!(world.writes().await, Vec::<String>::new());

    let mut volume = world.server.get(VOLUME).unwrap();
    assert!(volume["metadata"].get("ownerReferences").is_none(), "it would be deleted");
    change_spec(&world, &json!({"enabled": false}));
    world.reconcile().await.unwrap();
    assert!(world.server.get(BACKUP).is_none());
    assert_eq!(world.server.get(VOLUME).unwrap(), volume);
    let status = world.server.get(RESOURCE).unwrap()["status"].clone();
    assert!(status.get("backup").is_none() && !status.to_string().contains("BackupFresh"));
    assert_eq!(world.writes().await, Vec::<String>::new());

    // An AgentFS of the name that is made again finds the volume, whatever its manifest says.
    let again = World::new("full");
    volume["spec"]["storageClassName"] = json!("first");
    volume["status"] = json!({"phase": "Bound"});
    again.server.put(VOLUME, volume);
    let class = json!({"metadata": {"name": "first"}, "provisioner": "example.com/x", "allowVolumeExpansion": true});
    again.server.put("storage.k8s.io/v1/storageclasses/first", class);
    again.reconcile().await.unwrap();
    assert_eq!(
        again.server.get(VOLUME).unwrap()["spec"]["resources"]["requests"]["storage"],
        "20Gi"
    );
    assert_eq!(again.server.get(VOLUME).unwrap()["spec"]["storageClassName"], "first");
}

#[tokio::test]
async fn a_claim_of_yours_is_used_in_place_of_one_that_is_made() {
    let world = World::new("minimal");
    change_spec(&world, &json!({"existingClaim": "nas"}));
    world.reconcile().await.unwrap();
    assert!(world.server.get(BACKUP).is_none(), "which database it is, is not known yet");
    assert_eq!(world.said("BackupsScheduled").1, "AwaitingDatabase");
    world.reconcile().await.unwrap();
    assert!(world.server.get(VOLUME).is_none());
    let volumes = pod_of(&world)["volumes"].clone();
    assert_eq!(volumes[0]["persistentVolumeClaim"]["claimName"], "nas");
}

#[tokio::test]
async fn a_claim_of_somebody_else_is_not_written_into_and_is_told() {
    let world = World::new("minimal");
    world.server.put(VOLUME, json!({"metadata": {"name": "memory-backups"}, "spec": {}}));
    let world = {
        world.reconcile().await.unwrap();
        world.database_is_ready();
        world
    };
    world.reconcile().await.unwrap();
    assert_eq!(world.said("BackupsScheduled").1, "NameTaken");
    assert!(world.server.get(BACKUP).is_none());
}

#[tokio::test]
async fn a_volume_that_does_not_come_is_told_before_the_first_backup() {
    let world = World::settled("minimal").await;
    assert_eq!(world.said("BackupsScheduled").1, "Scheduled", "one that only waits is well");
    let event = |reason: &str, minute: u8| {
        world.server.put(
            &format!("v1/events/{reason}"),
            json!({"metadata": {"name": reason}, "reason": reason,
                   "lastTimestamp": format!("2026-11-25T07:{minute}:00Z"),
                   "involvedObject": {"kind": "PersistentVolumeClaim", "name": "memory-backups"},
                   "message": "storageclass.storage.k8s.io \"fast\" not found"}),
        );
    };
    event("WaitForFirstConsumer", 10);
    assert_eq!(world.writes().await, Vec::<String>::new());
    world.server.change(VOLUME, &json!({"spec": {"storageClassName": "fast"}}));
    event("ProvisioningFailed", 20);
    world.reconcile().await.unwrap();
    let (is, reason, message) = world.said("BackupsScheduled");
    assert_eq!((is.as_str(), reason.as_str()), ("False", "VolumePending"));
    for part in [
        "memory-backups is not bound: ",
        "\"fast\" not found",
        "spec.backup.volume.storageClassName",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(world.said("Ready").0, "False");
    // Somebody made the class: the claim waits for its first pod, and the earlier Event is there for an hour more.
    event("WaitForFirstConsumer", 30);
    world.reconcile().await.unwrap();
    assert_eq!(world.said("Ready").0, "True");
}

#[tokio::test]
async fn the_newest_backup_is_fresh_failed_or_overdue() {
    let world = World::settled("minimal").await;
    let status = |status: Value| world.server.change(BACKUP, &json!({"status": status}));
    let ended = hours_ago(2);
    status(json!({"lastScheduleTime": hours_ago(3), "lastSuccessfulTime": ended}));
    world.reconcile().await.unwrap();
    let (is, reason, message) = world.said("BackupFresh");
    assert_eq!((is.as_str(), reason.as_str()), ("True", "Fresh"));
    assert!(message.starts_with("The last backup succeeded at 20"), "{message}");
    let told = world.server.get(RESOURCE).unwrap()["status"]["backup"].clone();
    assert_eq!(told["lastSuccessfulTime"], ended);
    assert_eq!(world.writes().await, Vec::<String>::new());

    // The next one runs, then fails.
    let active = json!([{"kind": "Job", "name": "memory-backup-1"}]);
    status(json!({"lastScheduleTime": hours_ago(1), "active": active}));
    assert_eq!(world.writes().await, Vec::<String>::new(), "one that runs is no news");
    failed(&world, "pg_dump: error: no space left on device");
    status(json!({"active": null}));
    let writes = world.writes().await;
    assert!(writes.contains(&"POST events.k8s.io/v1/events".to_owned()), "{writes:?}");
    let (is, reason, message) = world.said("BackupFresh");
    assert_eq!((is.as_str(), reason.as_str()), ("False", "BackupFailed"));
    assert!(
        message.contains("failed: pg_dump: error: no space left on device (since ")
            && message.contains("The last success was at 20")
            && message.ends_with(
                "kubectl create job -n agents --from=cronjob/memory-backup memory-backup-now"
            ),
        "{message}"
    );
    assert_eq!(world.said("Ready").0, "True", "a late backup is no reason to serve nobody");
    assert_eq!(world.writes().await, Vec::<String>::new(), "it was told twice");

    // Nothing was even begun.
    status(json!({"lastScheduleTime": hours_ago(28), "lastSuccessfulTime": hours_ago(27)}));
    world.reconcile().await.unwrap();
    let (is, reason, message) = world.said("BackupFresh");
    assert_eq!((is.as_str(), reason.as_str()), ("False", "BackupOverdue"));
    assert!(message.contains("the newest may be at most 26 hours old"), "{message}");
    change_spec(&world, &json!({"maxAgeHours": 30}));
    world.reconcile().await.unwrap();
    assert_eq!(world.said("BackupFresh").1, "Fresh");
}

#[tokio::test]
async fn one_that_never_succeeded_is_overdue_too_and_a_pause_is_not() {
    let world = World::settled("minimal").await;
    world.server.change(BACKUP, &json!({"metadata": {"creationTimestamp": hours_ago(27)}}));
    world.reconcile().await.unwrap();
    assert_eq!(world.said("BackupFresh").1, "BackupOverdue");
    change_spec(&world, &json!({"suspend": true}));
    world.reconcile().await.unwrap();
    assert_eq!(world.server.get(BACKUP).unwrap()["spec"]["suspend"], true);
    for kind in ["BackupsScheduled", "BackupFresh"] {
        assert_eq!(world.said(kind).1, "Suspended");
    }
    assert_eq!(world.said("Ready").0, "True");
}

#[tokio::test]
async fn a_postgresql_that_is_not_supported_is_told_before_the_first_backup() {
    let world = World::settled("minimal").await;
    let job = world.job();
    let name = job.rsplit('/').next().unwrap();
    let why = "the server is PostgreSQL 19, and AgentFS supports 16 to 18";
    let pod = serde_json::to_value(migrated_without_backups(name, Some(why))).unwrap();
    world.server.put(&format!("v1/pods/{name}-x"), pod);
    world.reconcile().await.unwrap();
    let (is, reason, message) = world.said("BackupFresh");
    assert_eq!((is.as_str(), reason.as_str()), ("False", "DatabaseUnsupported"));
    assert!(message.contains(why) && message.contains("--from=cronjob/memory-backup"), "{message}");
    // The database was upgraded, and the migration has not run again.
    world.server.change(BACKUP, &json!({"status": {"lastSuccessfulTime": hours_ago(1)}}));
    world.reconcile().await.unwrap();
    assert_eq!(world.said("BackupFresh").1, "Fresh");
}

#[tokio::test]
async fn an_agentfs_made_again_knows_the_newest_backup_of_its_volume() {
    let world = World::settled("minimal").await;
    let success = hours_ago(2);
    world.server.change(BACKUP, &json!({"status": {"lastSuccessfulTime": success}}));
    world.reconcile().await.unwrap();
    assert_eq!(world.writes().await, Vec::<String>::new());
    let volume = world.server.get(VOLUME).unwrap();

    let again = World::new("minimal");
    again.server.put(VOLUME, volume);
    let again = again.settle().await;
    assert_eq!(again.said("BackupFresh").1, "Fresh");
    let told = again.server.get(RESOURCE).unwrap()["status"]["backup"].clone();
    assert_eq!(told["lastSuccessfulTime"], success);
    // Turned off and on, it is known as well.
    change_spec(&again, &json!({"enabled": false}));
    again.reconcile().await.unwrap();
    change_spec(&again, &json!({"enabled": true}));
    again.reconcile().await.unwrap();
    assert_eq!(again.said("BackupFresh").1, "Fresh");
}

#[tokio::test]
async fn the_size_of_the_database_is_told_by_the_newest_backup_and_kept() {
    let world = World::settled("minimal").await;
    let size = || world.server.get(RESOURCE).unwrap()["status"]["backup"]["databaseSize"].clone();
    assert!(size().is_null());
    ended(&world, 0, r#"{"database_bytes":8000001}"#);
    world.reconcile().await.unwrap();
    assert_eq!(size(), "8Mi");
    assert_eq!(world.writes().await, Vec::<String>::new());
    // The pod is gone after a while, or leaves other words: an older server's none.
    ended(&world, 0, "Backup complete");
    world.reconcile().await.unwrap();
    assert_eq!(size(), "8Mi");
    ended(&world, 0, &format!(r#"{{"database_bytes":{}}}"#, (20_u64 << 30) + 1));
    world.reconcile().await.unwrap();
    assert_eq!(size(), "21Gi");
}

#[tokio::test]
async fn the_next_backup_is_told_unless_there_is_none() {
    let world = World::settled("minimal").await;
    let next = || world.server.get(RESOURCE).unwrap()["status"]["backup"]["nextTime"].clone();
    assert!(next().as_str().unwrap().ends_with("T02:00:00Z"), "{}", next());
    assert!(
        world.said("BackupFresh").2.starts_with("No backup is known; the next one is due at 20")
    );
    change_spec(&world, &json!({"timeZone": "Asia/Kolkata"}));
    world.reconcile().await.unwrap();
    assert!(next().as_str().unwrap().ends_with("T20:30:00Z"), "{}", next());
    change_spec(&world, &json!({"suspend": true}));
    world.reconcile().await.unwrap();
    assert!(next().is_null(), "{}", next());
}

#[tokio::test]
async fn a_schedule_that_kubernetes_refuses_or_never_keeps_is_named_by_its_field() {
    let world = World::settled("minimal").await;
    for (backup, said) in [
        (
            json!({"schedule": "0 2 * * 5-1"}),
            "spec.backup.schedule: \"0 2 * * 5-1\": the day of the week",
        ),
        (
            json!({"schedule": "0 2 30 2 *"}),
            "spec.backup.schedule: \"0 2 30 2 *\": it is never due",
        ),
        (
            json!({"schedule": "0 2 * * *", "timeZone": "Europe/Atlantis"}),
            "spec.backup.timeZone: \"Europe/Atlantis\" is no time zone",
        ),
    ] {
        change_spec(&world, &backup);
        world.reconcile().await.unwrap();
        let (status, reason, message) = world.said("Ready");
        assert_eq!((status.as_str(), reason.as_str()), ("False", "InvalidSpec"));
        assert!(message.starts_with(said), "{message}");
    }
    change_spec(&world, &json!({"timeZone": "Europe/Berlin"}));
    world.reconcile().await.unwrap();
    assert_eq!(world.said("Ready").0, "True");
}

#[tokio::test]
async fn a_cronjob_made_again_forgets_no_success() {
    let world = World::settled("minimal").await;
    let success = json!({"status": {"lastSuccessfulTime": hours_ago(2)}});
    world.server.change(BACKUP, &success);
    world.reconcile().await.unwrap();
    world.server.remove(BACKUP);
    world.reconcile().await.unwrap();
    assert!(world.server.get(BACKUP).is_some());
    let told = world.server.get(RESOURCE).unwrap()["status"]["backup"].clone();
    assert_eq!(told["lastSuccessfulTime"], success["status"]["lastSuccessfulTime"]);
}
