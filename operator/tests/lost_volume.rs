//! The data of an embedded database: what is told before it is lost, and that no empty database takes its place unasked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::world::{BACKUP, DEPLOYMENT, RESOURCE, STATEFULSET, World};

pub(crate) const CLAIM: &str = "v1/persistentvolumeclaims/data-memory-postgres-0";
const BACKUPS: &str = "v1/persistentvolumeclaims/memory-backups";
const SECRET: &str = "v1/secrets/memory-credentials";
const POD: &str = "v1/pods/memory-postgres-0";

/// The database that no empty one may take the place of, as PostgreSQL's pod sees it.
fn expected(world: &World) -> Option<String> {
    let secret = world.server.get(SECRET).unwrap();
    let entry = secret["data"]["expected-database"].as_str()?;
    let entry = String::from_utf8(STANDARD.decode(entry).unwrap()).unwrap();
    Some(entry).filter(|entry| !entry.is_empty())
}

fn pod_template(world: &World) -> Value {
    world.server.get(STATEFULSET).unwrap()["spec"]["template"].clone()
}

fn uid(world: &World, path: &str) -> String {
    world.server.get(path).unwrap()["metadata"]["uid"].as_str().unwrap().to_owned()
}

pub(crate) fn is_deleted(world: &World, path: &str) {
    let leaving = json!({"metadata": {"deletionTimestamp": "2026-11-23T14:02:11Z",
                                      "name": path.rsplit('/').next().unwrap()},
                         "spec": {"volumeName": "pv-1"}});
    world.server.change(path, &leaving);
}

pub(crate) fn database_is_away(world: &World) {
    world.server.change(STATEFULSET, &json!({"status": {"readyReplicas": 0}}));
}

/// PostgreSQL's pod, whose container ended like this.
pub(crate) fn pod_ended(world: &World, code: i32) {
    let labels = json!({"app.kubernetes.io/managed-by": "agentfs-operator",
        "app.kubernetes.io/instance": "memory", "app.kubernetes.io/component": "database"});
    let container = json!({"name": "postgres", "ready": false, "image": "x", "imageID": "",
        "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": code, "message": "the volume is empty"}}});
    let pod = json!({"metadata": {"name": "memory-postgres-0", "labels": labels},
                     "status": {"phase": "Running", "containerStatuses": [container]}});
    world.server.put(POD, pod);
}

/// The spec asks for an external database.
fn is_external(world: &World) {
    let secret = json!({"metadata": {"name": "memory-db"},
                        "data": {"DATABASE_URL": "cG9zdGdyZXM6Ly9hOmJAZGIvbQ=="}});
    world.server.put("v1/secrets/memory-db", secret);
    let external = json!({"embedded": null, "external": {"secretRef": {"name": "memory-db"}}});
    world.server.change(RESOURCE, &json!({"spec": {"database": external}}));
}

/// Somebody wants an empty database in place of the one named.
fn consent(world: &World, to: &str) {
    let annotations = json!({"agentfs.io/start-empty": to});
    world.server.change(RESOURCE, &json!({"metadata": {"annotations": annotations}}));
}

/// Everything that is there, in a cluster whose AgentFS was made again.
fn made_again(world: &World, file: &str, kept: &[&str]) -> World {
    let again = World::new(file);
    for path in kept {
        again.server.put(path, world.server.get(path).unwrap());
    }
    again
}

#[tokio::test]
async fn the_database_that_was_migrated_is_expected_from_then_on() {
    let world = World::new("minimal");
    world.reconcile().await.unwrap();
    assert_eq!(expected(&world), None, "a first start begins empty");
    world.database_is_ready();
    world.reconcile().await.unwrap();
    assert_eq!(expected(&world), None, "it is not migrated");
    let template = pod_template(&world);
    let world = world.settle().await;
    assert_eq!(expected(&world), Some(uid(&world, CLAIM)));
    assert_eq!(pod_template(&world), template, "PostgreSQL was replaced for it");
    let status = world.server.get(RESOURCE).unwrap()["status"]["database"].clone();
    assert_eq!(status["identity"], uid(&world, CLAIM));
    assert_eq!(world.writes().await, Vec::<String>::new());

    // Neither a hand nor the loss of the Secret makes it forgotten.
    world.server.change(SECRET, &json!({"data": {"expected-database": null}}));
    world.reconcile().await.unwrap();
    assert_eq!(expected(&world), Some(uid(&world, CLAIM)));
    let before = uid(&world, CLAIM);
    world.server.remove(SECRET);
    world.server.remove(CLAIM);
    database_is_away(&world);
    world.reconcile().await.unwrap();
    assert_eq!(expected(&world), Some(before));
}

#[tokio::test]
async fn the_pod_reads_it_where_it_is_there() {
    let world = World::settled("minimal").await;
    let pod = pod_template(&world)["spec"].clone();
    let volumes = pod["volumes"].as_array().unwrap();
    let files = volumes.iter().find(|volume| volume["name"] == "credentials").unwrap();
    let sources = files["projected"]["sources"].as_array().unwrap();
    let key = |at: usize| sources[at]["secret"]["items"][0]["key"].clone();
    assert_eq!((key(0), key(1)), (json!("password"), json!("expected-database")));
    assert!(sources[0]["secret"].get("optional").is_none(), "no pod starts without a password");
    assert_eq!(sources[1]["secret"]["optional"], true);
    let variables = pod["containers"][0]["env"].as_array().unwrap();
    let file = variables.iter().find(|of| of["name"] == "POSTGRES_EXPECTED_DATABASE_FILE").unwrap();
    assert_eq!(file["value"], "/etc/agentfs/credentials/expected-database");
}

#[tokio::test]
async fn that_data_will_be_lost_is_told_while_it_is_there() {
    let world = World::settled("minimal").await;
    world.server.change(BACKUP, &json!({"status": {"lastSuccessfulTime": "2026-11-23T02:00:09Z"}}));
    world.reconcile().await.unwrap();
    let (set, job) = (world.server.get(STATEFULSET), world.job());
    is_deleted(&world, CLAIM);
    let writes = world.writes().await;
    assert_eq!(
        writes,
        ["PATCH agentfs.io/v1alpha1/agentfses/memory/status", "POST events.k8s.io/v1/events"]
    );
    let (status, reason, message) = world.said("DatabaseReady");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "VolumeBeingDeleted"));
    for part in [
        "data-memory-postgres-0 is being deleted: all data of the AgentFS is lost when the pod memory-postgres-0 ends",
        "kubectl create job -n agents --from=cronjob/memory-backup memory-backup-now",
        "The newest backup is of 2026-11-23 02:00:09 UTC.",
        "kubectl patch pv pv-1 -p '{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Retain\"}}'",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(world.said("Ready").1, "VolumeBeingDeleted");
    assert_eq!(world.writes().await, Vec::<String>::new(), "it was told twice");

    // Nothing ends the pod meanwhile, nor is the schema of a database made that is there.
    world.server.change(
        RESOURCE,
        &json!({"spec": {"suspend": true, "database": {"embedded": {"nodeSelector": {"disk": "ssd"}}}}}),
    );
    consent(&world, &uid(&world, CLAIM));
    world.reconcile().await.unwrap();
    assert_eq!(world.server.get(STATEFULSET), set, "the pod would be replaced, and the data lost");
    assert_eq!(world.job(), job);
    assert_eq!(expected(&world), Some(uid(&world, CLAIM)));
    assert_eq!(world.said("DatabaseReady").1, "VolumeBeingDeleted");

    let without = World::settled("minimal").await;
    without.server.change(RESOURCE, &json!({"spec": {"backup": {"enabled": false}}}));
    is_deleted(&without, CLAIM);
    without.reconcile().await.unwrap();
    let dump =
        "kubectl exec -n agents memory-postgres-0 -- pg_dump -Fc -U agentfs agentfs > agentfs.dump";
    assert!(without.said("DatabaseReady").2.contains(dump));
}

#[tokio::test]
async fn a_claim_without_a_database_is_only_waited_for() {
    let world = World::new("minimal");
    world.reconcile().await.unwrap();
    is_deleted(&world, CLAIM);
    world.reconcile().await.unwrap();
    assert_eq!(world.said("DatabaseReady").1, "AwaitingDeletion");
    assert_eq!(world.said("Ready").0, "False");

    // The claim waits for the end of its pod, and nothing is lost with it.
    world.server.change(RESOURCE, &json!({"spec": {"suspend": true}}));
    world.reconcile().await.unwrap();
    assert_eq!(world.server.get(STATEFULSET).unwrap()["spec"]["replicas"], 0);
}

/// An AgentFS as the release before left it, which named no database in the Secret and none in the status.
async fn upgraded(spec: &Value) -> World {
    let world = World::settled("minimal").await;
    world.server.change(SECRET, &json!({"data": {"expected-database": null}}));
    world.server.change(RESOURCE, &json!({"status": {"database": {"identity": null}}}));
    assert_eq!(expected(&world), None);
    // The image of the new release, whose migration has not ended.
    world.upgrade_at_once("agentfs/server:2.0.0");
    world.server.change(RESOURCE, &json!({"spec": spec}));
    world.reconcile().await.unwrap();
    assert_ne!(world.said("SchemaReady").1, "Migrated");
    world
}

#[tokio::test]
async fn what_the_release_before_migrated_is_expected_from_the_first_reconcile_on() {
    for spec in [json!({}), json!({"suspend": true})] {
        let world = upgraded(&spec).await;
        assert_eq!(expected(&world), Some(uid(&world, CLAIM)), "{spec}");
        let status = world.server.get(RESOURCE).unwrap()["status"]["database"].clone();
        assert_eq!(status["identity"], uid(&world, CLAIM));
    }
}

#[tokio::test]
async fn a_lost_database_is_told_until_somebody_wants_an_empty_one() {
    let world = World::settled("minimal").await;
    world.server.change(BACKUP, &json!({"status": {"lastSuccessfulTime": "2026-11-23T02:00:09Z"}}));
    let (lost, job, api) = (uid(&world, CLAIM), world.job(), world.server.get(DEPLOYMENT));
    is_deleted(&world, CLAIM);
    world.reconcile().await.unwrap();
    world.server.remove(CLAIM);
    database_is_away(&world);
    world.reconcile().await.unwrap();
    assert_ne!(uid(&world, CLAIM), lost, "a new claim is there");
    assert_eq!(expected(&world).as_ref(), Some(&lost), "PostgreSQL would begin empty");
    let template = pod_template(&world);

    pod_ended(&world, 66);
    let writes = world.writes().await;
    assert!(writes.contains(&"POST events.k8s.io/v1/events".to_owned()), "{writes:?}");
    let (status, reason, message) = world.said("DatabaseReady");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "DataLost"));
    let confirm = format!(
        "kubectl annotate agentfs -n agents memory --overwrite agentfs.io/start-empty={lost}"
    );
    for part in
        ["data-memory-postgres-0", "The newest backup is of 2026-11-23 02:00:09 UTC.", &confirm]
    {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(world.said("Ready").1, "DataLost");
    for _ in 0..2 {
        assert_eq!(world.writes().await, Vec::<String>::new(), "it was told twice");
    }

    // The consent to another loss is none to this one.
    consent(&world, "another");
    world.reconcile().await.unwrap();
    assert_eq!(expected(&world).as_ref(), Some(&lost));
    consent(&world, &lost);
    world.reconcile().await.unwrap();
    assert_eq!(expected(&world), None);
    assert_ne!(pod_template(&world), template, "the pod would not see it for a minute");
    assert_ne!(world.said("DatabaseReady").1, "DataLost");
    assert_eq!(world.server.get(DEPLOYMENT), api, "the API waits for the schema");
    world.reconcile().await.unwrap();
    assert_eq!(expected(&world), None, "it is not made yet");

    world.server.remove(POD);
    world.database_is_ready();
    world.reconcile().await.unwrap();
    assert_ne!(world.job(), job, "the empty database has no schema");
    let again = world.settle().await;
    let new = expected(&again).unwrap();
    assert_ne!(new, lost);
    assert_eq!(again.writes().await, Vec::<String>::new());

    // The consent is used up: the next loss is told like the first.
    database_is_away(&again);
    pod_ended(&again, 66);
    again.reconcile().await.unwrap();
    assert_eq!(again.said("DatabaseReady").1, "DataLost");
    assert!(again.said("DatabaseReady").2.ends_with(&format!("start-empty={new}")));
    assert_eq!(expected(&again), Some(new));
}

#[tokio::test]
async fn a_volume_that_comes_back_empty_is_a_loss_as_well() {
    let world = World::settled("minimal").await;
    let (lost, job) = (expected(&world).unwrap(), world.job());
    database_is_away(&world);
    pod_ended(&world, 66);
    world.reconcile().await.unwrap();
    assert_eq!(world.said("DatabaseReady").1, "DataLost");
    consent(&world, &lost);
    world.reconcile().await.unwrap();
    assert_eq!(expected(&world), None);
    world.server.remove(POD);
    world.database_is_ready();
    world.reconcile().await.unwrap();
    assert_ne!(world.job(), job, "the claim is the same, and the database in it is another one");
    let world = world.settle().await;
    assert_ne!(expected(&world), Some(lost));

    // Whoever tidies up changes nothing.
    world.server.change(RESOURCE, &json!({"metadata": {"annotations": null}}));
    assert_eq!(world.writes().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_consent_counts_only_once_the_data_is_gone() {
    let world = World::settled("minimal").await;
    let (lost, template) = (uid(&world, CLAIM), pod_template(&world));
    consent(&world, &lost);
    database_is_away(&world);
    for code in [None, Some(1)] {
        if let Some(code) = code {
            pod_ended(&world, code);
        }
        world.reconcile().await.unwrap();
        assert_eq!(expected(&world), Some(lost.clone()), "a pod that restarts has lost nothing");
        assert_eq!(pod_template(&world), template);
    }
    world.server.remove(CLAIM);
    world.reconcile().await.unwrap();
    assert_eq!(expected(&world), Some(lost), "no claim tells yet that it is another one");
    world.reconcile().await.unwrap();
    assert_eq!(expected(&world), None);
}

#[tokio::test]
async fn an_empty_database_is_made_though_another_keeps_the_secret_too() {
    let world = World::settled("minimal").await;
    let lost = expected(&world).unwrap();
    world.server.share(SECRET);
    database_is_away(&world);
    pod_ended(&world, 66);
    consent(&world, &lost);
    world.reconcile().await.unwrap();
    assert_eq!(expected(&world), None, "PostgreSQL refuses for ever");
    assert_eq!(world.said("DatabaseReady").1, "Starting", "the pod is replaced");
    assert_eq!(world.writes().await, Vec::<String>::new());

    // What the new pod ends with is told.
    let annotations = pod_template(&world)["metadata"]["annotations"].clone();
    world.server.change(POD, &json!({"metadata": {"annotations": annotations}}));
    world.reconcile().await.unwrap();
    let (_, reason, message) = world.said("DatabaseReady");
    assert_eq!(reason, "Crashing");
    assert!(message.contains("the volume is empty"), "{message}");
}

#[tokio::test]
async fn a_database_that_runs_again_is_not_lost() {
    let world = World::settled("minimal").await;
    database_is_away(&world);
    pod_ended(&world, 66);
    world.reconcile().await.unwrap();
    assert_eq!(world.said("DatabaseReady").1, "DataLost");
    let mut container = world.server.get(POD).unwrap()["status"]["containerStatuses"][0].clone();
    container["state"] = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
    world.server.change(POD, &json!({"status": {"containerStatuses": [container]}}));
    world.reconcile().await.unwrap();
    assert_ne!(world.said("DatabaseReady").1, "DataLost");

    pod_ended(&world, 66);
    world.server.change(POD, &json!({"metadata": {"deletionTimestamp": "2026-11-23T14:02:11Z"}}));
    world.reconcile().await.unwrap();
    assert_eq!(world.said("DatabaseReady").1, "Starting");
}

#[tokio::test]
async fn kept_data_is_adopted_and_a_volume_that_holds_data_is_used() {
    let world = World::settled("minimal").await;
    let again = made_again(&world, "minimal", &[SECRET, CLAIM]).settle().await;
    assert_eq!(expected(&again), Some(uid(&world, CLAIM)));

    // Without the volume it is a loss, though nothing of the AgentFS is left but its Secret.
    let lost = made_again(&world, "minimal", &[SECRET]);
    lost.reconcile().await.unwrap();
    assert_eq!(expected(&lost), Some(uid(&world, CLAIM)));
    pod_ended(&lost, 66);
    lost.reconcile().await.unwrap();
    assert_eq!(lost.said("DatabaseReady").1, "DataLost");

    // A claim that somebody made of a snapshot has another uid, and its database is expected from now on.
    lost.server.remove(POD);
    let restored = lost.settle().await;
    assert_eq!(expected(&restored), Some(uid(&restored, CLAIM)));
    assert_ne!(uid(&restored, CLAIM), uid(&world, CLAIM));
}

#[tokio::test]
async fn what_an_embedded_database_left_is_expected_after_a_move() {
    let world = World::settled("minimal").await;
    let kept = expected(&world);
    is_external(&world);
    world.reconcile().await.unwrap();
    assert_eq!(expected(&world), kept);
    world.reconcile().await.unwrap();
    assert_eq!(expected(&world), kept);
}

#[tokio::test]
async fn what_has_moved_no_longer_keeps_a_volume_that_is_being_deleted() {
    let world = World::settled("minimal").await;
    is_deleted(&world, CLAIM);
    is_external(&world);
    world.reconcile().await.unwrap();
    assert!(world.server.get(STATEFULSET).is_some(), "the API still uses it");
    world.end_job("Complete", "2026-11-23T15:00:00Z");
    world.reconcile().await.unwrap();
    world.pods_are_ready(3);
    world.reconcile().await.unwrap();
    assert!(world.server.get(STATEFULSET).is_none());
}

#[tokio::test]
async fn that_backups_will_be_lost_is_told() {
    let world = World::settled("minimal").await;
    is_deleted(&world, BACKUPS);
    world.reconcile().await.unwrap();
    assert_eq!(world.said("BackupsScheduled").1, "AwaitingDeletion", "there are none");
    world.server.change(BACKUP, &json!({"status": {"lastSuccessfulTime": "2026-11-23T02:00:09Z"}}));
    world.reconcile().await.unwrap();
    let (status, reason, message) = world.said("BackupsScheduled");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "VolumeBeingDeleted"));
    for part in
        ["memory-backups is being deleted", "2026-11-23 02:00:09 UTC", "kubectl patch pv pv-1"]
    {
        assert!(message.contains(part), "{message}");
    }
}
