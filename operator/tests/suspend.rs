//! Stopping all and going on; what is deleted with the resource.

use serde_json::{Value, json};

use crate::world::{DEPLOYMENT, POOLER, RESOURCE, STATEFULSET, World};

const AUTOSCALER: &str = "autoscaling/v2/horizontalpodautoscalers/memory-api";
const KEPT: [&str; 4] = [
    "v1/persistentvolumeclaims/memory-backups",
    "v1/persistentvolumeclaims/data-memory-postgres-0",
    "v1/secrets/memory-credentials",
    "v1/secrets/memory-admin-key",
];

fn change_spec(world: &World, spec: &Value) {
    world.server.change(RESOURCE, &json!({"spec": spec}));
}

fn replicas_of(world: &World, path: &str) -> Value {
    world.server.get(path).unwrap()["spec"]["replicas"].clone()
}

#[tokio::test]
async fn all_is_stopped_the_api_first_and_the_data_is_kept() {
    let world = World::settled("minimal").await;
    change_spec(&world, &json!({"api": {"autoscaling": {"minReplicas": 2, "maxReplicas": 4}}}));
    world.reconcile().await.unwrap();
    world.pod_is_not_ready("memory-api-1", "api");
    change_spec(&world, &json!({"suspend": true}));
    world.reconcile().await.unwrap();
    assert_eq!(replicas_of(&world, DEPLOYMENT), 0);
    assert!(world.server.get(AUTOSCALER).is_none());
    assert_eq!(replicas_of(&world, POOLER), 2, "the last requests need the pool");
    assert_ne!(replicas_of(&world, STATEFULSET), 0, "the last requests need the database");
    assert_eq!(world.said("APIReady").1, "Stopping");

    world.server.remove("v1/pods/memory-api-1");
    world.pods_are_ready(0);
    world.rolled_out(POOLER, 0);
    world.server.change(STATEFULSET, &json!({"status": {"replicas": 0, "readyReplicas": 0}}));
    world.reconcile().await.unwrap();
    assert_eq!(replicas_of(&world, STATEFULSET), 0);
    assert_eq!(replicas_of(&world, POOLER), 0);
    for kind in ["Available", "APIReady", "PoolerReady", "DatabaseReady"] {
        let (status, reason, _) = world.said(kind);
        assert_eq!((status.as_str(), reason.as_str()), ("False", "Suspended"), "{kind}");
    }
    let (status, reason, _) = world.said("Ready");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Suspended"), "it is as the spec asks");
    assert_eq!(world.said("Progressing").1, "UpToDate");
    for path in KEPT {
        assert!(world.server.get(path).is_some(), "{path}");
    }
    assert_eq!(world.writes().await, Vec::<String>::new(), "at rest something was written");

    change_spec(&world, &json!({"suspend": false}));
    world.reconcile().await.unwrap();
    assert_eq!(
        (replicas_of(&world, STATEFULSET), replicas_of(&world, POOLER)),
        (json!(1), json!(2))
    );
    assert_eq!(replicas_of(&world, DEPLOYMENT), 2, "an autoscaler does not begin at 0");
    assert!(world.server.get(AUTOSCALER).is_some());
}

#[tokio::test]
async fn a_migration_waits_while_all_is_stopped() {
    let world = World::settled("minimal").await;
    world.upgrade_at_once("agentfs/server:2.0.0");
    world.reconcile().await.unwrap();
    let job = world.job();
    change_spec(&world, &json!({"suspend": true}));
    world.reconcile().await.unwrap();
    assert_eq!(world.server.get(&job).unwrap()["spec"]["suspend"], true);
    assert_eq!(world.said("SchemaReady").1, "Suspended");
    change_spec(&world, &json!({"suspend": false}));
    world.reconcile().await.unwrap();
    assert_eq!(world.server.get(&job).unwrap()["spec"]["suspend"], false);
}

#[tokio::test]
async fn a_new_resource_that_is_suspended_starts_nothing() {
    let world = World::new("minimal");
    change_spec(&world, &json!({"suspend": true}));
    world.reconcile().await.unwrap();
    world.reconcile().await.unwrap();
    assert_eq!(replicas_of(&world, STATEFULSET), 0);
    assert_eq!(world.server.names("batch/v1/jobs"), Vec::<String>::new());
    assert_eq!(world.said("Ready").1, "Suspended");
}

#[tokio::test]
async fn data_has_an_owner_when_it_is_to_go_with_it() {
    let world = World::settled("minimal").await;
    for path in KEPT {
        let owners = world.server.get(path).unwrap()["metadata"]["ownerReferences"].clone();
        assert!(owners.is_null(), "{path} would be deleted with the AgentFS");
    }
    // The backups outlive the data that they are of.
    change_spec(&world, &json!({"deletionPolicy": "Delete"}));
    world.reconcile().await.unwrap();
    let has_owner =
        |path: &str| !world.server.get(path).unwrap()["metadata"]["ownerReferences"].is_null();
    assert_eq!(KEPT.map(has_owner), [false, true, true, true]);
    change_spec(&world, &json!({"backup": {"deletionPolicy": "Delete"}}));
    world.reconcile().await.unwrap();
    let uid = world.resource.metadata.uid.clone().unwrap();
    for path in KEPT {
        let owners = world.server.get(path).unwrap()["metadata"]["ownerReferences"].clone();
        assert_eq!(owners[0]["uid"], uid, "{path} would stay");
    }
    assert_eq!(world.writes().await, Vec::<String>::new());
    // Back again: an apply that leaves the owner out; the API server then takes it off.
    let retain = json!({"deletionPolicy": "Retain", "backup": {"deletionPolicy": "Retain"}});
    change_spec(&world, &retain);
    let writes = world.writes().await;
    assert_eq!(KEPT.map(|path| writes.contains(&format!("PATCH {path}"))), [true; 4], "{writes:?}");
}

#[tokio::test]
async fn data_of_parts_that_are_off_goes_and_stays_as_the_spec_says() {
    let world = World::settled("minimal").await;
    let delete = json!({"deletionPolicy": "Delete", "backup": {"deletionPolicy": "Delete"}});
    change_spec(&world, &delete);
    world.reconcile().await.unwrap();
    let secret = json!({"metadata": {"name": "memory-db"},
                        "data": {"DATABASE_URL": "cG9zdGdyZXM6Ly9hOmJAZGIvbQ=="}});
    world.server.put("v1/secrets/memory-db", secret);
    change_spec(
        &world,
        &json!({"backup": {"enabled": false},
                "database": {"embedded": null, "external": {"secretRef": {"name": "memory-db"}}}}),
    );
    let writes = world.writes().await;
    assert_eq!(
        KEPT.map(|path| writes.contains(&format!("PATCH {path}"))),
        [false; 4],
        "{writes:?}"
    );
    // An owner that is left on would take the data along.
    let retain = json!({"deletionPolicy": "Retain", "backup": {"deletionPolicy": "Retain"}});
    change_spec(&world, &retain);
    let writes = world.writes().await;
    assert_eq!(KEPT.map(|path| writes.contains(&format!("PATCH {path}"))), [true; 4], "{writes:?}");
}
