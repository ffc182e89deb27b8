//! What pods are told by the spec: how mistakes show, and what replaces the pods.

use serde_json::{Value, json};

use crate::world::{DEPLOYMENT, RESOURCE, World};

fn template_of(world: &World) -> Value {
    world.server.get(DEPLOYMENT).unwrap()["spec"]["template"].clone()
}

fn secret(token: &str) -> Value {
    let encoded = serde_json::to_value(k8s_openapi::ByteString(token.as_bytes().to_vec())).unwrap();
    json!({"metadata": {"name": "monitoring", "namespace": "agents"}, "data": {"token": encoded}})
}

#[tokio::test]
async fn a_field_that_an_affinity_has_not_is_named_and_nothing_is_changed() {
    let world = World::settled("minimal").await;
    let before = template_of(&world);
    let spec = json!({"affinity": {"nodeAffinity": {"require": []}}, "nodeSelector": {"a": "b"}});
    world.server.change(RESOURCE, &json!({"spec": {"api": spec}}));
    world.reconcile().await.unwrap();
    let (status, reason, message) = world.said("Ready");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "InvalidSpec"));
    assert!(
        message.starts_with("spec.api.affinity: it has no field nodeAffinity.require; kubectl"),
        "{message}"
    );
    assert_eq!(template_of(&world), before);
}

#[tokio::test]
async fn pods_are_replaced_when_what_they_read_of_others_changes() {
    let world = World::settled("full").await;
    let without = template_of(&world);
    world.server.put("v1/secrets/monitoring", secret("one"));
    world.reconcile().await.unwrap();
    let with = template_of(&world);
    assert_ne!(with, without);
    world.server.change("v1/secrets/monitoring", &json!({"metadata": {"labels": {"x": "y"}}}));
    world.reconcile().await.unwrap();
    assert_eq!(template_of(&world), with, "what the pods do not read replaced them");
    world.server.put("v1/secrets/monitoring", secret("two"));
    world.reconcile().await.unwrap();
    let other = template_of(&world);
    assert_ne!(other, with);
    let level = json!({"metadata": {"name": "logging"}, "data": {"level": "debug"}});
    world.server.put("v1/configmaps/logging", level);
    world.reconcile().await.unwrap();
    assert_ne!(template_of(&world), other);
    assert_eq!(world.server.names("batch/v1/jobs").len(), 1, "a value made a migration anew");
}
