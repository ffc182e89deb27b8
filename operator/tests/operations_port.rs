//! The port of probes and metrics: who has it, and that pods of the release before are probed where they answer.

use serde_json::{Value, json};

use crate::fixtures::migrated;
use crate::world::{DEPLOYMENT, WORKERS, World};

/// The port that each probe of a Deployment asks, and the names of the container's ports.
fn probed(world: &World, path: &str) -> (Vec<Value>, Vec<Value>) {
    let deployment = world.server.get(path).unwrap();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let probes = ["startupProbe", "readinessProbe", "livenessProbe"];
    let ports = container["ports"].as_array().unwrap();
    (
        probes.map(|probe| container[probe]["httpGet"]["port"].clone()).into(),
        ports.iter().map(|port| port["name"].clone()).collect(),
    )
}

/// The current migration succeeds, and its pod says that the image's servers have the port.
async fn migration_tells(world: &World) {
    let job = world.job();
    let name = job.rsplit('/').next().unwrap();
    let pod = serde_json::to_value(migrated(name)).unwrap();
    world.server.put(&format!("v1/pods/{name}-x"), pod);
    world.end_job("Complete", "2026-11-23T14:00:00Z");
    world.reconcile().await.unwrap();
}

fn alone() -> (Vec<Value>, Vec<Value>) {
    (vec![json!("operations"); 3], vec![json!("http"), json!("operations")])
}

fn with_the_api() -> (Vec<Value>, Vec<Value>) {
    (vec![json!("http"); 3], vec![json!("http")])
}

#[tokio::test]
async fn an_image_of_the_release_before_is_probed_where_it_answers() {
    let world = World::settled("full").await;
    for path in [DEPLOYMENT, WORKERS] {
        assert_eq!(probed(&world, path), with_the_api(), "{path}");
        let deployment = world.server.get(path).unwrap().to_string();
        assert!(!deployment.contains("PORT_OPERATIONS"), "its pods would be replaced for nothing");
    }
}

#[tokio::test]
async fn pods_get_the_port_with_an_image_that_has_it_and_keep_it() {
    let world = World::settled("full").await;
    world.upgrade_at_once("agentfs/server:2.0.0");
    world.reconcile().await.unwrap();
    assert_eq!(probed(&world, DEPLOYMENT), with_the_api(), "the image of before goes on");
    migration_tells(&world).await;
    for path in [DEPLOYMENT, WORKERS] {
        assert_eq!(probed(&world, path), alone(), "{path}");
    }
    let cronjob = || world.server.get("batch/v1/cronjobs/memory-verify").unwrap();
    assert_eq!(cronjob()["metadata"]["annotations"]["agentfs.io/requests"], "true");
    // Nobody keeps the pods of Jobs for ever.
    for pod in world.server.names("v1/pods") {
        world.server.remove(&format!("v1/pods/{pod}"));
    }
    assert_eq!(world.writes().await, Vec::<String>::new());
    // Back to an image that has it not.
    world.upgrade_at_once("agentfs/server:1.0.0");
    world.reconcile().await.unwrap();
    assert_eq!(probed(&world, DEPLOYMENT), alone());
    let requests = cronjob()["metadata"]["annotations"].get("agentfs.io/requests").cloned();
    assert_eq!(requests, None, "it would restore each time");
    world.end_job("Complete", "2026-11-23T15:00:00Z");
    world.reconcile().await.unwrap();
    for path in [DEPLOYMENT, WORKERS] {
        assert_eq!(probed(&world, path), with_the_api(), "{path}");
    }
}
