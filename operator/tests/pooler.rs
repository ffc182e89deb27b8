//! The connection pool: when it changes, and when it does not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::world::{DEPLOYMENT, POOLER, RESOURCE, STATEFULSET, World};

const CONFIG: &str = "v1/secrets/memory-pooler";
const CHILDREN: [&str; 4] =
    [CONFIG, "v1/services/memory-pooler", "policy/v1/poddisruptionbudgets/memory-pooler", POOLER];

fn ini(world: &World) -> String {
    let secret = world.server.get(CONFIG).unwrap();
    let bytes = STANDARD.decode(secret["data"]["pgbouncer.ini"].as_str().unwrap()).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn template(world: &World, path: &str) -> Value {
    world.server.get(path).unwrap()["spec"]["template"].clone()
}

fn url_secret(url: &str) -> Value {
    json!({"metadata": {"name": "memory-db", "namespace": "agents"},
           "data": {"uri": STANDARD.encode(url)}})
}

#[tokio::test]
async fn the_api_goes_through_it_and_migrations_past_it() {
    let world = World::settled("minimal").await;
    let of = |path: &str| {
        let template = template(&world, path);
        template["spec"]["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"]["name"].clone()
    };
    assert_eq!(
        (of(DEPLOYMENT), of(&world.job())),
        (json!("memory-pooler"), json!("memory-credentials"))
    );
    let (status, reason, message) = world.said("PoolerReady");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Serving"));
    assert_eq!(message, "2 of 2 pods of the connection pool accept connections.");
}

#[tokio::test]
async fn a_new_password_of_the_database_replaces_the_pool_and_not_the_api() {
    let world = World::settled("minimal").await;
    let (pool, api, job) = (template(&world, POOLER), template(&world, DEPLOYMENT), world.job());
    let password = json!({"data": {"password": STANDARD.encode("it's new")}});
    world.server.change("v1/secrets/memory-credentials", &password);
    world.reconcile().await.unwrap();
    assert!(ini(&world).contains("password='it''s new'"));
    assert_ne!(template(&world, POOLER), pool);
    assert_eq!((template(&world, DEPLOYMENT), world.job()), (api, job));
}

#[tokio::test]
async fn what_a_hand_changes_in_its_configuration_is_undone() {
    let world = World::settled("minimal").await;
    let secret = world.server.get(CONFIG).unwrap();
    world.server.change(CONFIG, &json!({"data": {"pgbouncer.ini": STANDARD.encode("[x]")}}));
    world.reconcile().await.unwrap();
    assert_eq!(world.server.get(CONFIG).unwrap()["data"], secret["data"]);
    // A password that was not generated could be anything, so another is made.
    world.server.change(CONFIG, &json!({"data": {"password": STANDARD.encode("x\" \"y")}}));
    world.reconcile().await.unwrap();
    assert_ne!(world.server.get(CONFIG).unwrap()["data"]["password"], secret["data"]["password"]);
    assert_eq!(world.said("PoolerReady").0, "True");
}

#[tokio::test]
async fn it_goes_when_the_api_has_left_it() {
    let world = World::settled("minimal").await;
    world.server.change(RESOURCE, &json!({"spec": {"pooler": {"enabled": false}}}));
    world.server.change(DEPLOYMENT, &json!({"metadata": {"generation": 2}}));
    world.reconcile().await.unwrap();
    assert!(CHILDREN.iter().all(|path| world.server.get(path).is_some()), "the API still uses it");
    world.pods_are_ready(3);
    world.reconcile().await.unwrap();
    assert_eq!(CHILDREN.iter().find(|path| world.server.get(path).is_some()), None);
    world.reconcile().await.unwrap();
    let resource = world.server.get(RESOURCE).unwrap();
    let conditions = resource["status"]["conditions"].as_array().unwrap().clone();
    assert!(conditions.iter().all(|c| c["type"] != "PoolerReady"), "{conditions:?}");
    assert_eq!(world.said("Ready").0, "True");
    assert_eq!(world.writes().await, Vec::<String>::new());

    world.server.change(RESOURCE, &json!({"spec": {"pooler": {"enabled": true}}}));
    world.reconcile().await.unwrap();
    assert!(CHILDREN.iter().all(|path| world.server.get(path).is_some()));
}

#[tokio::test]
async fn it_stays_before_the_old_database_until_the_new_one_has_its_schema() {
    let world = World::settled("minimal").await;
    let before = ini(&world);
    let external =
        json!({"embedded": null, "external": {"secretRef": {"name": "memory-db", "key": "uri"}}});
    world
        .server
        .put("v1/secrets/memory-db", url_secret("postgres://a:b@db.internal/m?sslmode=require"));
    world.server.change(RESOURCE, &json!({"spec": {"database": external}}));
    world.server.change(DEPLOYMENT, &json!({"metadata": {"generation": 2}}));
    world.reconcile().await.unwrap();
    assert_eq!(ini(&world), before, "it led the API to a database without a schema");
    assert!(world.server.get(STATEFULSET).is_some());
    world.end_job("Complete", "2026-11-23T15:00:00Z");
    world.reconcile().await.unwrap();
    assert!(ini(&world).contains("host='db.internal' port=5432 dbname='m' user='a' password='b'"));
    assert!(ini(&world).contains("server_tls_sslmode = require"));
    assert!(world.server.get(STATEFULSET).is_some(), "pods of the API may still use it");
    world.pods_are_ready(3);
    world.reconcile().await.unwrap();
    assert!(world.server.get(STATEFULSET).is_none());
}

#[tokio::test]
async fn a_url_that_it_cannot_use_is_told_with_what_to_do() {
    let world = World::new("external-pooled");
    world.server.put("v1/secrets/memory-db", url_secret("postgres://a:b@db/m?options=-c%20x%3Dy"));
    world.reconcile().await.unwrap();
    let (status, reason, message) = world.said("CredentialsReady");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "CredentialsUnusable"));
    assert!(message.contains("it sets options, which a pool cannot pass on"), "{message}");
    assert!(message.contains("or set spec.pooler.enabled to false"), "{message}");
    assert!(world.server.get(CONFIG).is_none());
    world.server.change(RESOURCE, &json!({"spec": {"pooler": {"enabled": false}}}));
    world.settle().await;
}

#[tokio::test]
async fn a_secret_of_somebody_else_under_its_name_holds_up_the_api_alone() {
    let world = World::new("minimal");
    world.server.put(CONFIG, json!({"metadata": {"name": "memory-pooler"}, "data": {}}));
    world.reconcile().await.unwrap();
    world.database_is_ready();
    world.reconcile().await.unwrap();
    world.end_job("Complete", "2026-11-23T15:00:00Z");
    world.reconcile().await.unwrap();
    assert_eq!(world.said("PoolerReady").1, "NameTaken");
    assert_eq!(world.said("SchemaReady").0, "True");
    assert!(world.server.get(DEPLOYMENT).is_none());
    world.server.remove(CONFIG);
    world.reconcile().await.unwrap();
    assert!(world.server.get(DEPLOYMENT).is_some() && world.server.get(POOLER).is_some());
}

/// What is told of one pool is told of all: the settings of the image and of the page are the operator's. `connect_query` has a
/// test beside the code that writes it.
#[test]
fn the_image_and_the_operations_page_have_the_operators_settings() {
    let ini = include_str!("snapshots/minimal-pooler-ini.snap");
    let image = include_str!("../../images/pgbouncer/entrypoint");
    let page = include_str!("../../docs/OPERATIONS.md");
    let matters = ["pool_mode", "max_prepared", "ignore_", "query_wait", "tcp_", "server_lifetime"];
    let lines = ini.lines().filter(|line| matters.iter().any(|name| line.starts_with(name)));
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), 8, "{lines:?}");
    for line in lines {
        assert!(image.contains(line) && page.contains(line), "{line}");
    }
}
