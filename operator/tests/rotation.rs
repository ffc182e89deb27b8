//! Another admin key, because somebody asks for one.

use agentfs_contract::api_key;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::world::{DEPLOYMENT, RESOURCE, World};

const SECRET: &str = "v1/secrets/memory-admin-key";
const DONE: &str = "2026-11-23T15:00:00Z";

fn ask(world: &World, value: &str) {
    let annotations = json!({"agentfs.io/rotate-admin-key": value});
    world.server.change(RESOURCE, &json!({"metadata": {"annotations": annotations}}));
}

/// An entry of the Secret.
fn entry(world: &World, name: &str) -> Option<String> {
    let secret = world.server.get(SECRET).unwrap();
    let bytes = BASE64_STANDARD.decode(secret["data"].get(name)?.as_str()?).unwrap();
    Some(String::from_utf8(bytes).unwrap())
}

fn key(world: &World) -> String {
    let key = entry(world, "key").unwrap();
    assert!(api_key::split(&key).is_some(), "{key} is no key");
    key
}

fn rotation(world: &World) -> Value {
    world.server.get(RESOURCE).unwrap()["status"]["adminKey"]["rotation"].clone()
}

/// The texts of Events that tell of a rotation.
fn told(world: &World) -> Vec<String> {
    let events = world.server.posted().into_iter();
    let rotated = events.filter(|event| event["reason"] == "AdminKeyRotated");
    rotated.map(|event| event["note"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_new_value_makes_a_new_key_valid_once() {
    let world = World::settled("minimal").await;
    let (first, job, api) = (key(&world), world.job(), world.server.get(DEPLOYMENT));
    ask(&world, "2026-11-28");
    world.reconcile().await.unwrap();
    let second = key(&world);
    assert_ne!(second, first);
    assert_eq!(entry(&world, "previous-key"), Some(first), "it is valid until the new one is");
    assert_ne!(world.job(), job, "a migration makes it valid");
    assert_eq!((rotation(&world), told(&world).len()), (Value::Null, 0));
    assert_eq!(world.writes().await, Vec::<String>::new());

    world.end_job("Complete", DONE);
    world.reconcile().await.unwrap();
    assert_eq!((key(&world), entry(&world, "previous-key")), (second.clone(), None));
    assert_eq!(rotation(&world), "2026-11-28");
    let events = told(&world);
    assert_eq!(events.len(), 1);
    assert!(events[0].contains("memory-admin-key has a new admin key"), "{events:?}");
    assert_eq!(world.server.get(DEPLOYMENT), api, "no pod is replaced");
    assert_eq!(world.said("Ready").0, "True");
    assert_eq!(world.writes().await, Vec::<String>::new(), "once");

    // Nor when the wish is taken back and made again.
    for annotation in [Value::Null, json!("2026-11-28")] {
        let annotations = json!({"agentfs.io/rotate-admin-key": annotation});
        world.server.change(RESOURCE, &json!({"metadata": {"annotations": annotations}}));
        assert_eq!(world.writes().await, Vec::<String>::new());
    }
    ask(&world, "again");
    world.reconcile().await.unwrap();
    assert_eq!(entry(&world, "previous-key"), Some(second));
}

#[tokio::test]
async fn an_operator_that_ends_in_the_middle_goes_on_with_the_same_key() {
    let world = World::settled("minimal").await;
    let (first, job) = (key(&world), world.job());
    let done = world.server.get(&job).unwrap();
    ask(&world, "2026-11-28");
    world.reconcile().await.unwrap();
    let second = key(&world);
    assert_ne!(second, first);
    // It had written the Secret, and nothing after it.
    world.server.remove(&world.job());
    world.server.put(&job, done);
    world.reconcile().await.unwrap();
    assert_ne!(world.job(), job);
    // Another wish waits for the end of the first.
    ask(&world, "2026-11-29");
    world.reconcile().await.unwrap();
    assert_eq!((key(&world), entry(&world, "previous-key")), (second.clone(), Some(first)));
    assert_eq!(rotation(&world), Value::Null);
    world.end_job("Complete", DONE);
    world.reconcile().await.unwrap();
    assert_eq!(rotation(&world), "2026-11-28");
    world.reconcile().await.unwrap();
    assert_eq!(entry(&world, "previous-key"), Some(second));
}

#[tokio::test]
async fn while_no_key_can_be_made_valid_the_valid_one_stays() {
    let world = World::settled("minimal").await;
    let first = key(&world);
    world.server.change(RESOURCE, &json!({"spec": {"suspend": true}}));
    ask(&world, "2026-11-28");
    world.reconcile().await.unwrap();
    assert_eq!((key(&world), entry(&world, "previous-key")), (first.clone(), None));
    world.server.change(RESOURCE, &json!({"spec": {"suspend": false}}));
    world.database_is_ready();
    world.reconcile().await.unwrap();
    assert_eq!(entry(&world, "previous-key"), Some(first));
}

#[tokio::test]
async fn a_new_agentfs_that_asks_has_its_first_key() {
    let world = World::new("minimal");
    ask(&world, "2026-11-28");
    world.reconcile().await.unwrap();
    let first = key(&world);
    let world = world.settle().await;
    assert_eq!((key(&world), entry(&world, "previous-key")), (first, None));
}
