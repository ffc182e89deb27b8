//! An AgentFS in each state, as generic tools read it: each is a golden file, and `tests/kstatus` asks the
//! libraries of those tools what they make of it.

use agentfs_operator::crd;
use agentfs_operator::kit::conditions::clock;
use serde_json::{Value, json};

use crate::golden::bound;
use crate::lost_volume::{CLAIM, database_is_away, is_deleted, pod_ended};
use crate::volumes::have_a_class;
use crate::world::{BACKUP, DEPLOYMENT, POOLER, RESOURCE, STATEFULSET, World};

/// Changes the spec, as the API server takes it: the generation grows.
fn change_spec(world: &World, spec: &Value) {
    let generation = world.server.get(RESOURCE).unwrap()["metadata"]["generation"].as_i64();
    let metadata = json!({"generation": generation.unwrap_or(1) + 1});
    world.server.change(RESOURCE, &json!({"metadata": metadata, "spec": spec}));
}

/// A world at rest whose resource has a generation.
async fn settled() -> World {
    let world = World::new("minimal");
    world.server.change(RESOURCE, &json!({"metadata": {"generation": 1}}));
    world.settle().await
}

/// A new image is migrated, and its first pod is `pod`.
async fn rolling_out(pod: &Value) -> World {
    let world = settled().await;
    change_spec(
        &world,
        &json!({"image": "agentfs/server:2.0.0", "upgrades": {"backupBefore": false}}),
    );
    world.reconcile().await.unwrap();
    world.end_job("Complete", "2026-11-23T15:00:00Z");
    world.reconcile().await.unwrap();
    world.pod_is_not_ready("memory-api-new", "api");
    world.server.change("v1/pods/memory-api-new", &json!({"status": pod}));
    let status = json!({"replicas": 4, "readyReplicas": 3, "updatedReplicas": 1});
    world.server.change(DEPLOYMENT, &json!({"status": status}));
    world.reconcile().await.unwrap();
    world
}

/// Types of the conditions that are True.
fn true_ones(resource: &Value) -> Vec<&str> {
    let conditions = resource["status"]["conditions"].as_array().unwrap().iter();
    conditions.filter(|c| c["status"] == "True").map(|c| c["type"].as_str().unwrap()).collect()
}

/// Holds the resource to its golden file, without what differs from run to run.
fn check(state: &str, mut resource: Value) {
    let is_true = true_ones(&resource);
    assert!(
        !(is_true.contains(&"Reconciling") && is_true.contains(&"Stalled")),
        "{state}: kstatus knows no state that is both"
    );
    for condition in resource["status"]["conditions"].as_array_mut().unwrap() {
        let since = condition["lastTransitionTime"].as_str().unwrap().parse().unwrap();
        let message = condition["message"].as_str().unwrap();
        let mut message = message.replace(&clock(since), "2026-11-23 14:02:11 UTC");
        if let Some((before, due)) = message.split_once(" due at ") {
            let (_, after) = due.split_once("UTC").unwrap();
            message = format!("{before} due at 2026-11-24 02:00:00 UTC{after}");
        }
        condition["message"] = json!(message);
        condition["lastTransitionTime"] = json!("2026-11-23T14:02:11Z");
    }
    if let Some(next) = resource["status"].pointer_mut("/backup/nextTime") {
        *next = json!("2026-11-24T02:00:00Z");
    }
    let generation = resource["metadata"]["generation"].take();
    let object = json!({
        "apiVersion": "agentfs.io/v1alpha1",
        "kind": "AgentFS",
        "metadata": {"name": "memory", "namespace": "agents", "generation": generation},
        "status": resource["status"],
    });
    bound(|| insta::assert_yaml_snapshot!(format!("state-{state}"), object));
}

fn check_world(state: &str, world: &World) {
    check(state, world.server.get(RESOURCE).unwrap());
}

#[test]
fn fresh() {
    let definition = crd::all().remove(0);
    let schema = definition.spec.versions[0].schema.clone().unwrap().open_api_v3_schema.unwrap();
    let status = schema.properties.unwrap()["status"].default.clone().unwrap().0;
    check("fresh", json!({"metadata": {"generation": 1}, "status": status}));
}

#[tokio::test]
async fn deploying() {
    let world = World::new("minimal");
    world.server.change(RESOURCE, &json!({"metadata": {"generation": 1}}));
    world.reconcile().await.unwrap();
    check_world("deploying", &world);
}

#[tokio::test]
async fn a_volume_that_is_made_takes_a_while() {
    let world = World::new("minimal");
    world.server.change(RESOURCE, &json!({"metadata": {"generation": 1}}));
    world.reconcile().await.unwrap();
    world.pod_is_not_ready("memory-postgres-0", "database");
    let said = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.";
    let pod = json!({"phase": "Pending", "podIP": null, "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": said}]});
    world.server.change("v1/pods/memory-postgres-0", &json!({"status": pod}));
    world.reconcile().await.unwrap();
    assert_eq!(world.said("DatabaseReady").1, "Starting");
    check_world("volume-being-made", &world);
}

#[tokio::test]
async fn ready_and_stale() {
    let world = settled().await;
    check_world("ready", &world);
    change_spec(&world, &json!({"api": {"replicas": 5}}));
    check_world("stale", &world);
}

#[tokio::test]
async fn rolling() {
    let world = rolling_out(&json!({"phase": "Pending"})).await;
    assert_eq!((world.said("Ready").0, world.said("Available").0), ("True".into(), "True".into()));
    check_world("rolling-out", &world);
}

#[tokio::test]
async fn stuck() {
    let container = json!({"name": "api", "image": "agentfs/server:2.0.0", "imageID": "",
        "ready": false, "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff"}}});
    let status = json!({"phase": "Pending", "containerStatuses": [container]});
    let world = rolling_out(&status).await;
    assert_eq!((world.said("Ready").0, world.said("Available").0), ("True".into(), "True".into()));
    check_world("stuck", &world);

    // Mended, it is stalled no more.
    world.server.remove("v1/pods/memory-api-new");
    world.pods_are_ready(3);
    world.reconcile().await.unwrap();
    let resource = world.server.get(RESOURCE).unwrap();
    assert!(!resource["status"].to_string().contains("Stalled"), "{resource}");
}

#[tokio::test]
async fn two_of_three_pods_serve() {
    let world = settled().await;
    world.server.change(DEPLOYMENT, &json!({"status": {"readyReplicas": 2}}));
    world.reconcile().await.unwrap();
    assert_eq!((world.said("Ready").0, world.said("Available").0), ("False".into(), "True".into()));
    check_world("degraded", &world);
}

#[tokio::test]
async fn no_pod_serves() {
    let world = settled().await;
    world.server.change(DEPLOYMENT, &json!({"status": {"readyReplicas": 0}}));
    world.pod_is_not_ready("memory-api-1", "api");
    world.reconcile().await.unwrap();
    assert_eq!(world.said("Available").1, "DatabaseUnreachable");
    check_world("down", &world);
}

#[tokio::test]
async fn what_fails_while_the_database_starts_stalls_nothing() {
    let world = settled().await;
    world.server.change(DEPLOYMENT, &json!({"status": {"readyReplicas": 0}}));
    world.server.change(STATEFULSET, &json!({"status": {"readyReplicas": 0}}));
    world.pod_is_not_ready("memory-api-1", "api");
    world.reconcile().await.unwrap();
    assert_eq!(world.said("Ready").1, "DatabaseUnreachable");
    assert_eq!(world.said("Reconciling").1, "Starting");
    check_world("database-starting", &world);
}

#[tokio::test]
async fn a_database_that_is_replaced_is_not_settled() {
    let world = settled().await;
    let revisions = json!({"currentRevision": "a", "updateRevision": "b"});
    world.server.change(STATEFULSET, &json!({"status": revisions}));
    world.reconcile().await.unwrap();
    assert_eq!(world.said("Reconciling").1, "RollingOut");
    world.server.change(STATEFULSET, &json!({"status": {"currentRevision": "b"}}));
    world.reconcile().await.unwrap();
    assert_eq!(world.said("Progressing").1, "UpToDate");
}

#[tokio::test]
async fn a_wrong_spec() {
    let wrong = json!({"api": {"affinity": {"nodeAffinity": {"required": {}}}}});
    let world = settled().await;
    change_spec(&world, &wrong);
    world.reconcile().await.unwrap();
    assert_eq!(world.said("Available").0, "True", "what runs goes on");
    check_world("invalid", &world);

    let world = World::new("minimal");
    change_spec(&world, &wrong);
    world.reconcile().await.unwrap();
    check_world("invalid-from-the-start", &world);
}

#[tokio::test]
async fn a_missing_secret() {
    let world = World::new("external");
    change_spec(&world, &json!({}));
    world.reconcile().await.unwrap();
    check_world("secret-missing", &world);
}

#[tokio::test]
async fn a_failed_migration() {
    let world = settled().await;
    change_spec(
        &world,
        &json!({"image": "agentfs/server:2.0.0", "upgrades": {"backupBefore": false}}),
    );
    world.reconcile().await.unwrap();
    world.end_job("Failed", &jiff::Timestamp::now().to_string());
    world.reconcile().await.unwrap();
    assert_eq!(world.said("Available").0, "True", "the API goes on with what it has");
    check_world("migration-failed", &world);
}

#[tokio::test]
async fn a_failed_backup_stalls_nothing() {
    let world = settled().await;
    let long_ago = json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"},
                          "status": {"lastSuccessfulTime": "2026-01-02T00:00:00Z"}});
    world.server.change(BACKUP, &long_ago);
    world.reconcile().await.unwrap();
    assert_eq!(world.said("BackupFresh").1, "BackupOverdue");
    check_world("backup-overdue", &world);
}

#[tokio::test]
async fn a_volume_that_is_being_deleted_and_one_that_is_lost() {
    let world = settled().await;
    is_deleted(&world, CLAIM);
    world.reconcile().await.unwrap();
    assert_eq!(world.said("DatabaseReady").1, "VolumeBeingDeleted");
    assert_eq!(world.said("Available").0, "True", "it serves on");
    check_world("volume-being-deleted", &world);

    world.server.remove(CLAIM);
    database_is_away(&world);
    world.server.change(DEPLOYMENT, &json!({"status": {"readyReplicas": 0}}));
    pod_ended(&world, 66);
    world.reconcile().await.unwrap();
    assert_eq!(world.said("DatabaseReady").1, "DataLost");
    check_world("data-lost", &world);
}

#[tokio::test]
async fn a_volume_that_cannot_grow() {
    let world = settled().await;
    have_a_class(&world, Some(false));
    let size = json!({"storage": {"size": "20Gi"}});
    change_spec(&world, &json!({"database": {"embedded": size}}));
    world.reconcile().await.unwrap();
    assert_eq!(world.said("DatabaseReady").1, "VolumeCannotGrow");
    assert_eq!(world.said("Available").0, "True", "it serves on");
    check_world("volume-cannot-grow", &world);
}

#[tokio::test]
async fn stopped() {
    let world = settled().await;
    world.pod_is_not_ready("memory-api-1", "api");
    change_spec(&world, &json!({"suspend": true}));
    world.reconcile().await.unwrap();
    check_world("stopping", &world);
    world.server.remove("v1/pods/memory-api-1");
    for path in [DEPLOYMENT, POOLER] {
        world.rolled_out(path, 0);
    }
    let none = json!({"status": {"replicas": 0, "readyReplicas": 0}});
    world.server.change(STATEFULSET, &none);
    world.reconcile().await.unwrap();
    assert_eq!(world.said("Available").1, "Suspended");
    check_world("suspended", &world);
}

#[tokio::test]
async fn scaled_to_zero() {
    let world = settled().await;
    change_spec(&world, &json!({"api": {"replicas": 0}}));
    world.reconcile().await.unwrap();
    world.pods_are_ready(0);
    world.reconcile().await.unwrap();
    assert_eq!(world.said("Available").1, "ScaledToZero");
    check_world("scaled-to-zero", &world);
}
