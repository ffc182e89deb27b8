//! What comes before a migration: a backup, and the end of a restore in place.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::world::{DEPLOYMENT, RESOURCE, World};

const BACKUPS: &str = "agentfs.io/v1alpha1/agentfsbackups";
const RESTORE: &str = "agentfs.io/v1alpha1/agentfsrestores/undo";
const DONE: &str = "2026-11-23T15:00:00Z";

/// A world at rest, whose resource then asks for another image.
async fn upgraded(image: &str) -> World {
    let world = World::settled("minimal").await;
    wants(&world, image).await;
    world
}

async fn wants(world: &World, image: &str) {
    world.server.change(RESOURCE, &json!({"spec": {"image": image}}));
    world.reconcile().await.unwrap();
}

fn image(world: &World) -> Value {
    let deployment = world.server.get(DEPLOYMENT).unwrap();
    deployment["spec"]["template"]["spec"]["containers"][0]["image"].clone()
}

/// The path of the only AgentFSBackup.
fn backup(world: &World) -> String {
    let names = world.server.names(BACKUPS);
    assert_eq!(names.len(), 1, "{names:?}");
    format!("{BACKUPS}/{}", names[0])
}

/// Lets a backup end, as its controller does.
fn end_backup(world: &World, path: &str, is_made: bool, at: &str) {
    let ready = if is_made {
        json!({"status": "True", "reason": "Succeeded", "message": "The backup succeeded."})
    } else {
        json!({"status": "False", "reason": "Failed", "message": "The volume is full. Make it larger."})
    };
    let mut ready = ready;
    ready["type"] = json!("Ready");
    ready["lastTransitionTime"] = json!(at);
    world.server.change(path, &json!({"status": {"finishedTime": at, "conditions": [ready]}}));
}

#[tokio::test]
async fn an_upgrade_begins_with_a_backup() {
    let world = World::settled("minimal").await;
    let migrated = world.job();
    wants(&world, "agentfs/server:2.0.0").await;
    let first = backup(&world);
    assert!(first.starts_with(&format!("{BACKUPS}/memory-before-")), "{first}");
    let made = world.server.get(&first).unwrap();
    assert_eq!(
        (&made["spec"]["agentFS"], &made["spec"]["scope"]),
        (&json!("memory"), &json!("Full"))
    );
    assert_eq!(made["metadata"]["labels"]["agentfs.io/agentfs"], "memory");
    assert!(made["metadata"].get("ownerReferences").is_none(), "it would go with the AgentFS");
    let (status, reason, message) = world.said("SchemaReady");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "AwaitingBackup"));
    assert!(
        message.starts_with(
            "The upgrade to agentfs/server:2.0.0 waits for the AgentFSBackup memory-before-"
        ),
        "{message}"
    );
    assert_eq!(world.said("Available").0, "True");
    assert_eq!((world.job(), image(&world)), (migrated, json!("agentfs/server:1.0.0")));
    assert_eq!(world.writes().await, Vec::<String>::new());

    end_backup(&world, &first, true, DONE);
    world.reconcile().await.unwrap();
    assert_eq!(world.said("SchemaReady").1, "Migrating");
    assert_eq!(image(&world), "agentfs/server:1.0.0");
    world.end_job("Complete", DONE);
    world.reconcile().await.unwrap();
    assert_eq!(image(&world), "agentfs/server:2.0.0");
    assert_eq!(backup(&world), first, "it is the record of a backup");
    world.reconcile().await.unwrap();

    // Back, and there again: a backup of then is none of now.
    wants(&world, "agentfs/server:1.0.0").await;
    let second =
        world.server.names(BACKUPS).into_iter().find(|name| !first.ends_with(name)).unwrap();
    end_backup(&world, &format!("{BACKUPS}/{second}"), true, DONE);
    world.reconcile().await.unwrap();
    world.end_job("Complete", DONE);
    world.reconcile().await.unwrap();
    wants(&world, "agentfs/server:2.0.0").await;
    assert_eq!(world.said("SchemaReady").1, "AwaitingBackup");
    assert_eq!(world.server.names(BACKUPS).len(), 3);
}

#[tokio::test]
async fn a_backup_that_fails_stops_the_upgrade_and_is_made_again() {
    let world = upgraded("agentfs/server:2.0.0").await;
    let (first, migrated) = (backup(&world), world.job());
    end_backup(&world, &first, false, &Timestamp::now().to_string());
    let writes = world.writes().await;
    assert!(writes.contains(&"POST events.k8s.io/v1/events".to_owned()), "{writes:?}");
    let (status, reason, message) = world.said("Ready");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "BackupBeforeFailed"));
    assert!(
        message.starts_with(
            "The backup that is made before the upgrade to agentfs/server:2.0.0 failed: The volume is full. Make it larger (since "
        ),
        "{message}"
    );
    assert!(message.ends_with("set spec.upgrades.backupBefore to false."), "{message}");
    assert_eq!((world.said("Available").0.as_str(), world.job()), ("True", migrated.clone()));
    assert_eq!(world.writes().await, Vec::<String>::new());

    // Its pause is over.
    end_backup(&world, &first, false, "2020-01-01T00:00:00Z");
    world.reconcile().await.unwrap();
    let second = format!("{first}-2");
    assert!(world.server.get(&second).is_some() && world.server.get(&first).is_some());
    assert_eq!(world.said("SchemaReady").1, "BackupBeforeFailed", "the try before it has failed");
    assert_eq!(world.writes().await, Vec::<String>::new());

    end_backup(&world, &second, true, DONE);
    world.reconcile().await.unwrap();
    assert_eq!(backup(&world), second);
    assert_eq!(world.said("SchemaReady").1, "Migrating");
    assert_ne!(world.job(), migrated);
}

/// A world at rest whose upgrades are rehearsed.
async fn rehearsing() -> World {
    let world = World::settled("minimal").await;
    world.server.change(RESOURCE, &json!({"spec": {"upgrades": {"rehearse": true}}}));
    world.reconcile().await.unwrap();
    world
}

/// Lets a backup be made, and its rehearsal fail.
fn end_rehearsal(world: &World, path: &str, at: &str) {
    end_backup(world, path, false, at);
    let why = "The backup b is made and was not verified: migration 14 failed";
    let ready = json!({"type": "Ready", "status": "False", "reason": "Failed", "message": why, "lastTransitionTime": at});
    let made = json!({"id": "b", "location": "/backups", "instance": "i", "scope": "Full", "snapshotTime": at, "finishedTime": at,
                      "duration": "1s", "size": "1Ki", "bytes": 1, "entries": 1, "databaseBytes": 1, "postgres": "18.0",
                      "encrypted": false});
    world.server.change(path, &json!({"status": {"backup": made, "conditions": [ready]}}));
}

#[tokio::test]
async fn an_upgrade_is_rehearsed_by_its_own_image() {
    let world = rehearsing().await;
    let migrated = world.job();
    wants(&world, "agentfs/server:2.0.0").await;
    // What it would be made like has the image of before, as far as was seen.
    assert_eq!(world.server.names(BACKUPS), Vec::<String>::new());
    assert_eq!(world.said("SchemaReady").1, "AwaitingBackup");
    world.reconcile().await.unwrap();
    let first = backup(&world);
    assert_eq!(world.server.get(&first).unwrap()["spec"]["verify"], "Restore");
    for cronjob in ["backup", "verify", "drill"] {
        let cronjob = world.server.get(&format!("batch/v1/cronjobs/memory-{cronjob}")).unwrap();
        let pod = &cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"];
        assert_eq!(pod["containers"][0]["image"], "agentfs/server:2.0.0");
    }
    world.reconcile().await.unwrap();
    let (_, reason, message) = world.said("SchemaReady");
    assert_eq!(reason, "AwaitingBackup");
    assert!(message.contains("which is made and rehearsed on a restored copy first"), "{message}");
    assert_eq!((world.job(), image(&world)), (migrated.clone(), json!("agentfs/server:1.0.0")));
    assert_eq!(world.writes().await, Vec::<String>::new());

    end_backup(&world, &first, true, DONE);
    world.reconcile().await.unwrap();
    assert_eq!(world.said("SchemaReady").1, "Migrating");
    assert_ne!(world.job(), migrated);
}

#[tokio::test]
async fn a_rehearsal_that_fails_stops_the_upgrade_and_is_no_failed_backup() {
    let world = rehearsing().await;
    let migrated = world.job();
    wants(&world, "agentfs/server:2.0.0").await;
    world.reconcile().await.unwrap();
    let first = backup(&world);
    let ago = |hours: i64| (Timestamp::now() - jiff::SignedDuration::from_hours(hours)).to_string();
    end_rehearsal(&world, &first, &Timestamp::now().to_string());
    let writes = world.writes().await;
    assert!(writes.contains(&"POST events.k8s.io/v1/events".to_owned()), "{writes:?}");
    let (status, reason, message) = world.said("Ready");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "RehearsalFailed"));
    let begins = "The rehearsal of the upgrade to agentfs/server:2.0.0 failed: The backup b is made and was not verified: migration 14 failed (since ";
    assert!(message.starts_with(begins), "{message}");
    assert!(message.ends_with("set spec.upgrades.rehearse to false."), "{message}");
    assert_eq!((world.said("Available").0.as_str(), world.job()), ("True", migrated.clone()));
    assert_eq!(image(&world), "agentfs/server:1.0.0");
    assert_eq!(world.writes().await, Vec::<String>::new());

    // Each try leaves a backup, so the next one is not made at once.
    end_rehearsal(
        &world,
        &first,
        &(Timestamp::now() - jiff::SignedDuration::from_mins(50)).to_string(),
    );
    world.reconcile().await.unwrap();
    assert_eq!(backup(&world), first);
    end_rehearsal(&world, &first, &ago(2));
    world.reconcile().await.unwrap();
    let second = format!("{first}-2");
    assert!(world.server.get(&second).is_some() && world.server.get(&first).is_some());
    assert_eq!(world.said("SchemaReady").1, "RehearsalFailed", "the try before it has failed");
    end_rehearsal(&world, &second, &Timestamp::now().to_string());
    world.reconcile().await.unwrap();

    // Another image is another rehearsal.
    wants(&world, "agentfs/server:2.0.1").await;
    world.reconcile().await.unwrap();
    let other = backup(&world);
    assert!(!other.starts_with(&first), "{other}");
    assert_eq!(world.said("SchemaReady").1, "AwaitingBackup");
    end_rehearsal(&world, &other, &Timestamp::now().to_string());
    world.reconcile().await.unwrap();
    assert_eq!(world.said("SchemaReady").1, "RehearsalFailed");

    // So is one with more room.
    let room = json!({"backup": {"verify": {"storage": {"size": "20Gi"}}}});
    world.server.change(RESOURCE, &json!({"spec": room}));
    world.reconcile().await.unwrap();
    world.reconcile().await.unwrap();
    let roomy = backup(&world);
    assert_ne!(roomy, other);
    end_rehearsal(&world, &roomy, &Timestamp::now().to_string());
    world.reconcile().await.unwrap();

    // Without one the backup alone is made.
    world.server.change(RESOURCE, &json!({"spec": {"upgrades": {"rehearse": false}}}));
    world.reconcile().await.unwrap();
    let plain = backup(&world);
    assert_eq!(world.server.get(&plain).unwrap()["spec"]["verify"], "None");
    end_backup(&world, &plain, true, DONE);
    world.reconcile().await.unwrap();
    assert_eq!(world.said("SchemaReady").1, "Migrating");
    assert_ne!(world.job(), migrated);
}

#[tokio::test]
async fn a_backup_that_fails_before_its_rehearsal_is_told_as_that() {
    let world = rehearsing().await;
    wants(&world, "agentfs/server:2.0.0").await;
    world.reconcile().await.unwrap();
    let first = backup(&world);
    end_backup(&world, &first, false, &Timestamp::now().to_string());
    world.reconcile().await.unwrap();
    let (_, reason, message) = world.said("SchemaReady");
    assert_eq!(reason, "BackupBeforeFailed");
    let ends = "set spec.upgrades.backupBefore and spec.upgrades.rehearse to false.";
    assert!(message.ends_with(ends), "{message}");
    end_backup(&world, &first, false, "2020-01-01T00:00:00Z");
    world.reconcile().await.unwrap();
    assert!(world.server.get(&format!("{first}-2")).is_some());
}

#[tokio::test]
async fn a_rehearsal_waits_while_no_backups_are_to_be_made() {
    let world = rehearsing().await;
    let migrated = world.job();
    world.server.change(RESOURCE, &json!({"spec": {"backup": {"suspend": true}}}));
    wants(&world, "agentfs/server:2.0.0").await;
    world.reconcile().await.unwrap();
    let (_, reason, message) = world.said("SchemaReady");
    assert_eq!(reason, "AwaitingBackup");
    assert!(message.contains("waits until spec.backup.suspend is false"), "{message}");
    assert_eq!((world.server.names(BACKUPS), world.job()), (Vec::new(), migrated));
    world.server.change(RESOURCE, &json!({"spec": {"backup": {"suspend": false}}}));
    world.reconcile().await.unwrap();
    backup(&world);
}

#[tokio::test]
async fn a_backup_that_cannot_go_on_is_told() {
    let world = upgraded("agentfs/server:2.0.0").await;
    let since = "2026-11-23T14:00:00Z";
    let ready = json!({"type": "Ready", "status": "False", "reason": "QuotaExceeded", "lastTransitionTime": since,
                       "message": "Kubernetes refuses the pods."});
    let stalled = json!({"type": "Stalled", "status": "True", "reason": "QuotaExceeded", "lastTransitionTime": since,
                         "message": "Kubernetes refuses the pods."});
    world.server.change(&backup(&world), &json!({"status": {"conditions": [ready, stalled]}}));
    world.reconcile().await.unwrap();
    let (_, reason, message) = world.said("SchemaReady");
    assert_eq!(reason, "QuotaExceeded");
    let begins = "The backup that is made before the upgrade to agentfs/server:2.0.0 does not go on: Kubernetes refuses the pods (since ";
    assert!(message.starts_with(begins), "{message}");

    // It was a mistake.
    wants(&world, "agentfs/server:1.0.0").await;
    assert_eq!(world.server.names(BACKUPS), Vec::<String>::new());
    assert_eq!(world.said("Ready").0, "True");
}

#[tokio::test]
async fn where_no_backup_is_wanted_none_is_waited_for() {
    for spec in [
        json!({"upgrades": {"backupBefore": false}, "image": "agentfs/server:2.0.0"}),
        json!({"backup": {"enabled": false}, "image": "agentfs/server:2.0.0"}),
        json!({"backup": {"suspend": true}, "image": "agentfs/server:2.0.0"}),
        // The same image migrates anew with other resources.
        json!({"migration": {"resources": {"limits": {"memory": "300Mi"}}}}),
    ] {
        let world = World::settled("minimal").await;
        let migrated = world.job();
        world.server.change(RESOURCE, &json!({"spec": spec}));
        world.reconcile().await.unwrap();
        assert_ne!(world.job(), migrated, "{spec}");
        assert_eq!(world.server.names(BACKUPS), Vec::<String>::new(), "{spec}");
    }
}

#[tokio::test]
async fn the_first_migration_waits_for_no_backup() {
    let world = World::new("minimal");
    world.reconcile().await.unwrap();
    world.database_is_ready();
    world.reconcile().await.unwrap();
    world.end_job("Failed", "2020-01-01T00:00:00Z");
    wants(&world, "agentfs/server:2.0.0").await;
    assert_eq!(world.server.names(BACKUPS), Vec::<String>::new());
    assert_eq!(world.said("SchemaReady").1, "Migrating");
}

#[tokio::test]
async fn while_all_is_stopped_no_backup_is_asked_for() {
    let world = World::settled("minimal").await;
    world.server.change(RESOURCE, &json!({"spec": {"suspend": true}}));
    wants(&world, "agentfs/server:2.0.0").await;
    assert_eq!(world.said("SchemaReady").1, "Suspended");
    assert_eq!(world.server.names(BACKUPS), Vec::<String>::new());
    world.server.change(RESOURCE, &json!({"spec": {"suspend": false}}));
    world.reconcile().await.unwrap();
    world.database_is_ready();
    world.reconcile().await.unwrap();
    backup(&world);
}

#[tokio::test]
async fn another_key_waits_for_the_upgrade() {
    let world = upgraded("agentfs/server:2.0.0").await;
    let key = |world: &World| {
        world.server.get("v1/secrets/memory-admin-key").unwrap()["data"]["key"].clone()
    };
    let before = key(&world);
    let annotations = json!({"agentfs.io/rotate-admin-key": "2026-11-28"});
    world.server.change(RESOURCE, &json!({"metadata": {"annotations": annotations}}));
    world.reconcile().await.unwrap();
    assert_eq!(key(&world), before, "nothing would make the new one valid for now");
    end_backup(&world, &backup(&world), true, DONE);
    world.reconcile().await.unwrap();
    world.end_job("Complete", DONE);
    world.reconcile().await.unwrap();
    world.reconcile().await.unwrap();
    assert_ne!(key(&world), before);
}

fn restore(world: &World, target: &Value, status: &Value) {
    let spec = json!({"agentFS": "memory", "source": {"latest": true}, "target": target});
    world.server.put(RESTORE, json!({"metadata": {"name": "undo", "namespace": "agents"}, "spec": spec, "status": status}));
}

fn in_progress(world: &World) -> Option<String> {
    let resource = world.server.get(RESOURCE).unwrap();
    let conditions = resource["status"]["conditions"].as_array().unwrap();
    let condition = conditions.iter().find(|c| c["type"] == "RestoreInProgress")?;
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("True"), &json!("Restoring")));
    Some(condition["message"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_restore_in_place_is_told_and_a_migration_waits_for_its_end() {
    let world = World::settled("minimal").await;
    let migrated = world.job();
    assert_eq!(in_progress(&world), None);
    restore(&world, &json!({"inPlace": {}}), &json!({"step": "Loading", "progress": "37%"}));
    world.reconcile().await.unwrap();
    assert_eq!(in_progress(&world).unwrap(), "The AgentFSRestore undo restores in place: Loading.");
    assert_eq!(world.said("Ready").0, "True", "it serves");

    world.upgrade_at_once("agentfs/server:2.0.0");
    world.reconcile().await.unwrap();
    let (_, reason, message) = world.said("SchemaReady");
    assert_eq!(reason, "AwaitingRestore");
    assert!(
        message.starts_with("The migration waits for the end of the AgentFSRestore undo (since "),
        "{message}"
    );
    assert_eq!(world.job(), migrated);

    world.server.change(RESTORE, &json!({"status": {"step": "Done", "finishedTime": DONE}}));
    world.reconcile().await.unwrap();
    assert_eq!((in_progress(&world), world.said("SchemaReady").1.as_str()), (None, "Migrating"));
    // Once its Job is there, it is not taken back.
    let job = world.job();
    restore(&world, &json!({"inPlace": {}}), &json!({"step": "Loading"}));
    world.reconcile().await.unwrap();
    assert_eq!((world.said("SchemaReady").1.as_str(), world.job()), ("Migrating", job));
}

#[tokio::test]
async fn a_restore_that_waits_or_is_into_a_new_database_holds_nothing_up() {
    for (target, step) in
        [(json!({"inPlace": {}}), "Waiting"), (json!({"newDatabase": {"name": "look"}}), "Loading")]
    {
        let world = World::settled("minimal").await;
        let migrated = world.job();
        restore(&world, &target, &json!({"step": step}));
        world.upgrade_at_once("agentfs/server:2.0.0");
        world.reconcile().await.unwrap();
        assert_ne!(world.job(), migrated, "{target}");
        assert_eq!(in_progress(&world).is_some(), step == "Loading", "{target}");
    }
}
