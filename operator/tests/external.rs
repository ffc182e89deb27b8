//! An external database: its Secret, what is said of it, and the way to it and back.

use serde_json::{Value, json};

use crate::world::{DEPLOYMENT, POOLER, RESOURCE, STATEFULSET, World};

const SECRET: &str = "v1/secrets/memory-db";

fn url_secret(url: &str) -> Value {
    let encoded = serde_json::to_value(k8s_openapi::ByteString(url.as_bytes().to_vec())).unwrap();
    json!({"metadata": {"name": "memory-db", "namespace": "agents"}, "data": {"uri": encoded}})
}

fn database_of(world: &World) -> Value {
    let api = world.server.get(DEPLOYMENT).unwrap();
    api["spec"]["template"]["spec"]["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"].clone()
}

async fn settled() -> World {
    let world = World::new("external");
    world.server.put(SECRET, url_secret("postgres://app:one@db.internal/memory"));
    world.settle().await
}

#[tokio::test]
async fn nothing_of_an_embedded_database_is_made() {
    let world = settled().await;
    assert!(world.server.get(STATEFULSET).is_none());
    assert_eq!(world.server.names("v1/persistentvolumeclaims"), ["memory-backups"]);
    assert_eq!(world.server.names("v1/secrets"), ["memory-admin-key", "memory-db"]);
    assert_eq!(database_of(&world), json!({"name": "memory-db", "key": "uri"}));
    let (status, reason, message) = world.said("DatabaseReady");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Reachable"));
    assert_eq!(message, "The API reached db.internal:5432.");
    assert_eq!(world.server.get(RESOURCE).unwrap()["status"]["database"]["type"], "external");
    assert_eq!(world.writes().await, Vec::<String>::new(), "at rest something was written");
}

#[tokio::test]
async fn a_missing_secret_is_told_and_its_coming_mends_it() {
    let world = World::new("external");
    let writes = world.writes().await;
    assert!(writes.contains(&"POST events.k8s.io/v1/events".to_owned()), "{writes:?}");
    let (status, reason, message) = world.said("CredentialsReady");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "SecretMissing"));
    assert!(
        message.starts_with(
            "Secret memory-db, which spec.database.external.secretRef names, does not exist (since "
        ) && message.ends_with(
            "kubectl create secret generic memory-db -n agents \
             --from-literal=uri=postgres://user:password@host:5432/database"
        ),
        "{message}"
    );
    assert_eq!(world.said("Ready").1, "SecretMissing");
    assert_eq!(world.said("DatabaseReady").1, "AwaitingCredentials");
    assert_eq!(world.said("SchemaReady").1, "AwaitingCredentials");
    assert!(world.server.get("v1/services/memory-api").is_some(), "the others were not made");
    assert_eq!(world.writes().await, Vec::<String>::new(), "the same failure was told twice");

    world.server.put(SECRET, url_secret("postgres://app:one@db.internal/memory"));
    let world = world.settle().await;
    assert_eq!(world.said("CredentialsReady").1, "Present");
}

#[tokio::test]
async fn a_secret_that_cannot_be_used_leaves_the_api_alone() {
    let world = settled().await;
    let api = world.server.get(DEPLOYMENT);
    for (secret, sentence) in [
        (json!({"metadata": {"name": "memory-db"}}), "Secret memory-db lacks the key uri"),
        (url_secret("mysql://app:hunter2@db/memory"), "it does not start with postgres://"),
    ] {
        world.server.put(SECRET, secret);
        world.reconcile().await.unwrap();
        let (status, reason, message) = world.said("CredentialsReady");
        assert_eq!((status.as_str(), reason.as_str()), ("False", "CredentialsUnusable"));
        assert!(message.contains(sentence) && !message.contains("hunter2"), "{message}");
        assert_eq!(world.said("APIReady").0, "True");
        assert_eq!(world.server.get(DEPLOYMENT), api);
    }
    world.server.put(SECRET, url_secret("postgres://app:one@db.internal/memory"));
    world.reconcile().await.unwrap();
    assert_eq!(world.said("Ready").0, "True");
}

#[tokio::test]
async fn a_new_password_replaces_the_pods_without_a_migration() {
    let world = settled().await;
    let job = world.job();
    world.server.put(SECRET, url_secret("postgres://app:two@db.internal:5432/memory"));
    let writes = world.writes().await;
    assert_eq!(writes.iter().filter(|w| w.contains(DEPLOYMENT)).count(), 1, "{writes:?}");
    assert_eq!(world.job(), job);
}

#[tokio::test]
async fn a_private_authority_is_a_file_in_the_pods_that_connect() {
    let url = "postgres://app:one@db.internal/memory?sslmode=verify-full";
    let with = |certificates: &str| {
        let encoded = k8s_openapi::ByteString(certificates.as_bytes().to_vec());
        let mut secret = url_secret(url);
        secret["data"]["ca.crt"] = serde_json::to_value(encoded).unwrap();
        secret
    };
    let external = json!({"external": {"secretRef": {"name": "memory-db", "key": "uri"},
                                       "caKey": "ca.crt"}});
    let world = World::new("external");
    world.server.change(RESOURCE, &json!({"spec": {"database": external}}));
    world.server.put(SECRET, url_secret(url));
    world.reconcile().await.unwrap();
    assert!(world.said("CredentialsReady").2.contains("lacks the key ca.crt"));
    world.server.put(SECRET, with("certainly"));
    world.reconcile().await.unwrap();
    assert!(world.said("CredentialsReady").2.contains("not certificates in PEM form"));

    world.server.put(SECRET, with("-----BEGIN CERTIFICATE-----\none"));
    let world = world.settle().await;
    let trusts = |path: &str| {
        let pod = world.server.get(path).unwrap()["spec"]["template"]["spec"].clone();
        let container = &pod["containers"][0];
        let named = |list: &Value, name: &str| {
            list.as_array().unwrap().iter().find(|of| of["name"] == name).cloned()
        };
        let variable = named(&container["env"], "PGSSLROOTCERT").map(|v| v["value"].clone());
        let mount = named(&container["volumeMounts"], "authority").map(|m| m["mountPath"].clone());
        let volume = named(&pod["volumes"], "authority").map(|v| v["secret"].clone());
        assert_eq!(variable.is_some(), volume.is_some());
        variable.is_some_and(|variable| {
            assert_eq!(variable, "/etc/agentfs/authority/ca.crt");
            assert_eq!(mount.unwrap(), "/etc/agentfs/authority");
            let volume = volume.unwrap();
            assert_eq!(volume["secretName"], "memory-db");
            assert_eq!(volume["items"], json!([{"key": "ca.crt", "path": "ca.crt"}]));
            true
        })
    };
    assert!(trusts(DEPLOYMENT) && trusts(&world.job()));

    // Another authority replaces the pods, and migrates nothing.
    let (job, writes) = (world.job(), |writes: &[String]| {
        writes.iter().filter(|write| write.ends_with(DEPLOYMENT)).count()
    });
    world.server.put(SECRET, with("-----BEGIN CERTIFICATE-----\ntwo"));
    assert_eq!((writes(&world.writes().await), world.job()), (1, job));

    // With a pool it is the pool that connects, besides the migrations.
    world.server.change(RESOURCE, &json!({"spec": {"pooler": {"enabled": true}}}));
    world.reconcile().await.unwrap();
    assert!(trusts(POOLER) && !trusts(DEPLOYMENT) && trusts(&world.job()));
    let before = world.server.get(POOLER).unwrap();
    world.server.put(SECRET, with("-----BEGIN CERTIFICATE-----\nthree"));
    world.reconcile().await.unwrap();
    assert_ne!(world.server.get(POOLER).unwrap()["spec"], before["spec"]);
}

#[tokio::test]
async fn another_database_is_migrated_before_the_api_works_on_it() {
    let world = settled().await;
    let api = world.server.get(DEPLOYMENT);
    world.server.put(SECRET, url_secret("postgres://app:one@new.internal/memory"));
    world.reconcile().await.unwrap();
    assert_eq!(world.server.get(DEPLOYMENT), api, "it left a database that works");
    assert_eq!(world.said("SchemaReady").1, "Migrating");
    world.end_job("Complete", "2026-11-23T15:00:00Z");
    world.reconcile().await.unwrap();
    assert_ne!(world.server.get(DEPLOYMENT), api);
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_told_with_the_secret_to_look_at() {
    let world = settled().await;
    world.pod_is_not_ready("memory-api-1", "api");
    world.server.change(DEPLOYMENT, &json!({"status": {"readyReplicas": 0}}));
    world.reconcile().await.unwrap();
    let (status, reason, message) = world.said("DatabaseReady");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "DatabaseUnreachable"));
    assert!(
        message.ends_with(
            "Check that PostgreSQL runs at db.internal:5432 and that Secret agents/memory-db key uri \
             is right."
        ),
        "{message}"
    );
    assert_eq!(world.said("Ready").1, "DatabaseUnreachable");
}

#[tokio::test]
async fn a_database_that_takes_no_writes_is_told_likewise() {
    let mut world = settled().await;
    world.pods_say("DatabaseReadOnly", "the database at db.internal:5432 is read-only");
    world.pod_is_not_ready("memory-api-1", "api");
    world.server.change(DEPLOYMENT, &json!({"status": {"readyReplicas": 0}}));
    world.reconcile().await.unwrap();
    for condition in ["DatabaseReady", "Ready"] {
        let (status, reason, message) = world.said(condition);
        assert_eq!((status.as_str(), reason.as_str()), ("False", "DatabaseReadOnly"));
        assert!(message.contains("db.internal:5432 is read-only"), "{message}");
        assert!(message.contains("Secret agents/memory-db key uri"), "{message}");
    }
}

#[tokio::test]
async fn from_embedded_to_external_the_old_database_stays_until_the_api_has_left_it() {
    let world = World::settled("minimal").await;
    world.server.change(RESOURCE, &json!({"spec": {"pooler": {"enabled": false}}}));
    world.reconcile().await.unwrap();
    world.pods_are_ready(3);
    world.reconcile().await.unwrap();
    assert_eq!(database_of(&world)["name"], "memory-credentials");
    let api = world.server.get(DEPLOYMENT);
    let external =
        json!({"embedded": null, "external": {"secretRef": {"name": "memory-db", "key": "uri"}}});
    world.server.change(RESOURCE, &json!({"spec": {"database": external}}));
    world.reconcile().await.unwrap();
    assert_eq!(world.server.get(DEPLOYMENT), api, "it left for a Secret that is not there");
    assert!(world.server.get(STATEFULSET).is_some());

    world.server.put(SECRET, url_secret("postgres://app:one@db.internal/memory"));
    world.reconcile().await.unwrap();
    assert_eq!(world.server.get(DEPLOYMENT), api, "it left for a database without a schema");
    world.end_job("Complete", "2026-11-23T15:00:00Z");
    world.server.change(DEPLOYMENT, &json!({"metadata": {"generation": 2}}));
    world.reconcile().await.unwrap();
    assert_eq!(database_of(&world)["name"], "memory-db");
    assert!(world.server.get(STATEFULSET).is_some(), "pods of the API still use it");

    world.pods_are_ready(3);
    world.reconcile().await.unwrap();
    assert!(world.server.get(STATEFULSET).is_none());
    assert!(world.server.get("v1/services/memory-postgres").is_none());
    assert!(world.server.get("v1/persistentvolumeclaims/data-memory-postgres-0").is_some());
    assert!(world.server.get("v1/secrets/memory-credentials").is_some());
    world.reconcile().await.unwrap();
    assert_eq!(world.said("Ready").0, "True");
    let (_, _, message) = world.said("DatabaseReady");
    assert!(
        message.contains("The volume claim data-memory-postgres-0 of the embedded"),
        "{message}"
    );
    assert_eq!(world.writes().await, Vec::<String>::new());

    // And back: the data is found again, and its schema is seen to before the API returns.
    let embedded = json!({"external": null, "embedded": {"storage": {"size": "10Gi"}}});
    world.server.change(RESOURCE, &json!({"spec": {"database": embedded}}));
    world.reconcile().await.unwrap();
    assert!(world.server.get(STATEFULSET).is_some());
    assert_eq!(database_of(&world)["name"], "memory-db");
    world.database_is_ready();
    world.reconcile().await.unwrap();
    world.end_job("Complete", "2026-11-23T16:00:00Z");
    world.reconcile().await.unwrap();
    assert_eq!(database_of(&world)["name"], "memory-credentials");
    world.pods_are_ready(3);
    world.reconcile().await.unwrap();
    let database = world.server.get(RESOURCE).unwrap()["status"]["database"].clone();
    let volume = world.server.get("v1/persistentvolumeclaims/data-memory-postgres-0").unwrap();
    let own = json!({"type": "embedded", "identity": volume["metadata"]["uid"]});
    assert_eq!(database, own, "it still claims the external one");
    assert_eq!(world.writes().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_database_that_another_agentfs_works_on_is_left_alone() {
    let other = settled().await.server.get(RESOURCE).unwrap();
    let identity = other["status"]["database"]["identity"].clone();
    assert!(identity.is_string());
    let other = |created: &str| {
        let mut other = other.clone();
        other["metadata"] = json!({"name": "first", "namespace": "elsewhere", "uid": "other",
                                   "creationTimestamp": created});
        other
    };
    let world = World::new("external");
    world.server.put(SECRET, url_secret("postgres://b:two@DB.internal:5432/memory"));
    world.other(&other("2026-11-01T00:00:00Z"));
    world.reconcile().await.unwrap();
    let (status, reason, message) = world.said("DatabaseReady");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "DatabaseInUse"));
    assert!(
        message.starts_with(
            "The database DB.internal:5432/memory is in use by the AgentFS elsewhere/first (since "
        ),
        "{message}"
    );
    assert_eq!(world.said("CredentialsReady").0, "True");
    assert_eq!(world.said("SchemaReady").1, "AwaitingDatabase");
    assert_eq!(world.server.names("batch/v1/jobs"), Vec::<String>::new());

    // It is younger, and its schema is not what its image needs now: it has it all the same. So does one of the release before,
    // which notes no migration and serves.
    world
        .server
        .change(RESOURCE, &json!({"metadata": {"creationTimestamp": "2026-11-02T00:00:00Z"}}));
    for migrated in [json!(true), Value::Null] {
        let mut younger = other("2030-11-01T00:00:00Z");
        let conditions = younger["status"]["conditions"].as_array_mut().unwrap();
        let schema = conditions.iter_mut().find(|of| of["type"] == "SchemaReady").unwrap();
        schema["status"] = json!("False");
        younger["status"]["database"]["migrated"] = migrated;
        world.other(&younger);
        world.reconcile().await.unwrap();
        assert_eq!(world.said("DatabaseReady").1, "DatabaseInUse");
    }

    // Of two that claim it, and have not migrated it, the one that was made first has it.
    let claim =
        |migrated: Value| json!({"type": "external", "identity": identity, "migrated": migrated});
    let mut younger = other("2030-11-01T00:00:00Z");
    younger["status"]["conditions"] = json!([]);
    younger["status"]["database"] = claim(Value::Null);
    younger["status"]["api"]["ready"] = json!(0);
    world.other(&younger);
    for own in [Value::Null, claim(Value::Null)] {
        world.server.change(RESOURCE, &json!({"status": {"database": own}}));
        world.reconcile().await.unwrap();
        assert_ne!(world.said("DatabaseReady").1, "DatabaseInUse");
    }
    younger["status"]["database"] = claim(json!(true));
    world.other(&younger);
    world.reconcile().await.unwrap();
    assert_eq!(world.said("DatabaseReady").1, "DatabaseInUse");

    // The other one moves on.
    let mut moved = other("2026-11-01T00:00:00Z");
    moved["status"]["database"]["identity"] = json!("another");
    world.other(&moved);
    let world = world.settle().await;
    assert_eq!(world.server.get(RESOURCE).unwrap()["status"]["database"]["identity"], identity);

    // Of two that claim the same, the one that was made first has it.
    world
        .server
        .change(RESOURCE, &json!({"metadata": {"creationTimestamp": "2026-11-02T00:00:00Z"}}));
    world.other(&other("2026-11-03T00:00:00Z"));
    world.reconcile().await.unwrap();
    assert_eq!(world.said("DatabaseReady").0, "True");
    world.other(&other("2026-11-01T00:00:00Z"));
    world.reconcile().await.unwrap();
    assert_eq!(world.said("DatabaseReady").1, "DatabaseInUse");
}

#[tokio::test]
async fn that_a_database_was_migrated_is_kept_while_it_is_migrated_anew() {
    for release_before in [false, true] {
        let world = settled().await;
        let migrated =
            || world.server.get(RESOURCE).unwrap()["status"]["database"]["migrated"].clone();
        assert_eq!(migrated(), true);
        if release_before {
            // Its status has no such field.
            world.server.change(RESOURCE, &json!({"status": {"database": {"migrated": null}}}));
        }
        world.upgrade_at_once("agentfs/server:2.0.0");
        for _ in 0..2 {
            world.reconcile().await.unwrap();
            assert_eq!((world.said("SchemaReady").0.as_str(), migrated()), ("False", json!(true)));
        }
        world.server.remove(SECRET);
        world.reconcile().await.unwrap();
        assert_eq!(migrated(), true, "it is not known now");
        // Another database is not migrated yet.
        world.server.put(SECRET, url_secret("postgres://app:one@other.internal/memory"));
        world.reconcile().await.unwrap();
        assert_eq!(migrated(), Value::Null);
    }
}
