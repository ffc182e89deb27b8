//! Pods that their node does not start, and the database's pod where it is not found.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::world::{STATEFULSET, World};

fn labels(component: &str) -> Value {
    json!({"app.kubernetes.io/name": "agentfs", "app.kubernetes.io/managed-by": "agentfs-operator",
           "app.kubernetes.io/instance": "memory", "app.kubernetes.io/component": component})
}

fn database_is_away(world: &World) {
    world.server.change(STATEFULSET, &json!({"status": {"readyReplicas": 0}}));
}

#[tokio::test]
async fn a_pod_that_its_node_does_not_start_is_told_in_kubernetes_words() {
    let world = World::settled("minimal").await;
    database_is_away(&world);
    let minutes_ago =
        |minutes: i64| (Timestamp::now() - SignedDuration::from_mins(minutes)).to_string();
    let event = |reason: &str, kind: &str, minutes: i64, message: &str| {
        world.server.put(
            &format!("v1/events/{reason}"),
            json!({"metadata": {"name": reason}, "reason": reason, "type": kind, "message": message,
                   "lastTimestamp": minutes_ago(minutes),
                   "involvedObject": {"kind": "Pod", "name": "memory-postgres-0"}}),
        );
    };
    let scheduled = |minutes: i64| {
        let container = json!({"name": "postgres", "ready": false, "image": "x", "imageID": "",
            "restartCount": 0, "state": {"waiting": {"reason": "ContainerCreating"}}});
        world.server.put(
            "v1/pods/memory-postgres-0",
            json!({"metadata": {"name": "memory-postgres-0", "labels": labels("database")},
                   "status": {"phase": "Pending", "containerStatuses": [container], "conditions": [
                       {"type": "PodScheduled", "status": "True", "lastTransitionTime": minutes_ago(minutes)}]}}),
        );
    };
    event("FailedScheduling", "Warning", 1, "0/1 nodes are available");
    event("Pulling", "Normal", 1, "Pulling image");
    scheduled(3);
    world.reconcile().await.unwrap();
    assert_eq!(world.said("DatabaseReady").1, "Starting", "a large image may take long");

    event(
        "FailedMount",
        "Warning",
        2,
        "MountVolume.SetUp failed for volume \"data\": no such device.",
    );
    scheduled(1);
    world.reconcile().await.unwrap();
    assert_eq!(world.said("DatabaseReady").1, "Starting", "it may take a while");
    scheduled(3);
    world.reconcile().await.unwrap();
    let (status, reason, message) = world.said("DatabaseReady");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "PodNotStarted"));
    let what = "A node does not start its pod: MountVolume.SetUp failed for volume \"data\": no such device (since ";
    assert!(message.starts_with(what), "{message}");

    event(
        "FailedCreatePodSandBox",
        "Warning",
        0,
        "OCI runtime create failed: cannot allocate memory",
    );
    world.reconcile().await.unwrap();
    assert!(
        world.said("DatabaseReady").2.contains("cannot allocate memory"),
        "the last one counts"
    );
}

#[tokio::test]
async fn what_keeps_a_pod_from_starting_is_written_once() {
    let world = World::settled("minimal").await;
    database_is_away(&world);
    let since = (Timestamp::now() - SignedDuration::from_mins(9)).to_string();
    world.server.put(
        "v1/pods/memory-postgres-0",
        json!({"metadata": {"name": "memory-postgres-0", "labels": labels("database")},
               "status": {"phase": "Pending", "conditions": [
                   {"type": "PodScheduled", "status": "True", "lastTransitionTime": since}]}}),
    );
    let says = |id: &str, volumes: &str| {
        let message = format!("netns cni-{id}: unattached volumes=[{volumes}]: timed out");
        let event = json!({"reason": "FailedMount", "type": "Warning", "message": message,
            "lastTimestamp": Timestamp::now().to_string(),
            "involvedObject": {"kind": "Pod", "name": "memory-postgres-0"}});
        world.server.put("v1/events/told", event);
    };
    says("3f2c0a1b-94d7-4c1e-8a55-0123456789ab", "tmp data");
    world.reconcile().await.unwrap();
    assert_eq!(world.said("DatabaseReady").1, "PodNotStarted");
    says("9e8d7c6b-0a1b-4c2d-9e3f-ba9876543210", "data tmp");
    assert_eq!(world.writes().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_database_pod_that_lost_its_labels_is_told() {
    let world = World::settled("minimal").await;
    database_is_away(&world);
    let pod = |labels: Value| {
        let pod = json!({"metadata": {"name": "memory-postgres-0", "labels": labels},
                         "status": {"phase": "Running"}});
        world.server.put("v1/pods/memory-postgres-0", pod);
    };
    let mut without = labels("database");
    without.as_object_mut().unwrap().remove("app.kubernetes.io/component");
    pod(without);
    world.reconcile().await.unwrap();
    let (status, reason, message) = world.said("DatabaseReady");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "LabelsMissing"));
    let command = "kubectl label pod -n agents memory-postgres-0 --overwrite app.kubernetes.io/component=database";
    assert!(
        message.starts_with("The pod memory-postgres-0 is there and is not found"),
        "{message}"
    );
    assert!(message.ends_with(command), "{message}");
    pod(json!({"app.kubernetes.io/component": "else"}));
    world.reconcile().await.unwrap();
    assert!(world.said("DatabaseReady").2.contains("app.kubernetes.io/instance=memory"));
    pod(labels("database"));
    world.reconcile().await.unwrap();
    assert_eq!(world.said("DatabaseReady").1, "Starting");
}
