//! AgentFSRestores: one in place from its creation to its end, its undoing, and what they wait for.

use agentfs_contract::progress::Progress;
use agentfs_contract::request::Request;
use agentfs_contract::termination::{RestoreReport, VolumeTooSmall};
use agentfs_operator::crd::{AgentFSBackup, AgentFSRestore};
use serde_json::{Value, json};

use super::world::{Tasks, now, path};
use crate::restore::made;
use crate::world::RESOURCE;

const ID: &str = "agentfs_20261127_020000";
const JOB: &str = "back-restore";

/// A cluster with a backup, whose AgentFS says this of its schema.
fn cluster(schema: &str) -> Tasks {
    let tasks = Tasks::new();
    says_of_schema(&tasks, schema);
    let record = json!({"metadata": {"name": "memory-x7k2p", "namespace": "agents"}, "spec": {"agentFS": "memory"},
        "status": made(ID, "/backups")});
    tasks.server.put(&path::<AgentFSBackup>("memory-x7k2p"), record);
    tasks
}

pub(super) fn says_of_schema(tasks: &Tasks, reason: &str) {
    let schema = json!({"type": "SchemaReady", "status": "True", "reason": reason, "message": "x",
                        "lastTransitionTime": "2026-11-23T14:00:00Z"});
    tasks.server.change(RESOURCE, &json!({"status": {"conditions": [schema]}}));
}

fn create(tasks: &Tasks, name: &str, more: &Value) {
    let mut spec = json!({"agentFS": "memory"});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    tasks.create::<AgentFSRestore>(name, &spec, 0);
}

async fn reconcile(tasks: &Tasks, name: &str) -> Value {
    tasks.reconcile::<AgentFSRestore>(name).await;
    tasks.status::<AgentFSRestore>(name)
}

fn arguments(tasks: &Tasks, job: &str) -> Value {
    tasks.job(job)["spec"]["template"]["spec"]["containers"][0]["args"].clone()
}

/// The value of a variable of its pod; null where that has none.
fn variable(tasks: &Tasks, job: &str, name: &str) -> Value {
    let pod = tasks.job(job)["spec"]["template"]["spec"].clone();
    let variables = pod["containers"][0]["env"].as_array().unwrap().clone();
    let of = variables.into_iter().find(|of| of["name"] == name);
    of.map_or(Value::Null, |of| of["value"].clone())
}

fn loading() -> Progress {
    Progress {
        step: "load".into(),
        percent: Some(37),
        backup: Some(ID.into()),
        ..Progress::default()
    }
}

fn report() -> RestoreReport {
    let now = jiff::Timestamp::now();
    RestoreReport {
        restore: "0199aaaa-0000-7000-8000-000000000001".into(),
        backup: ID.into(),
        undone: false,
        switched_at: now,
        switch_seconds: 0.011,
        lost_versions: 312,
        lost_tenants: 1,
        lost: Vec::new(),
        serving_seconds: 36.0,
        indexed_seconds: Some(80.0),
        previous_until: now + jiff::SignedDuration::from_hours(24),
        steps: Vec::new(),
    }
}

#[tokio::test]
async fn a_restore_in_place_tells_its_steps_and_can_be_undone() {
    let mut tasks = cluster("Migrated");
    create(&tasks, "back", &json!({"source": {"latestVerified": true}, "target": {"inPlace": {}}}));
    assert_eq!(reconcile(&tasks, "back").await["step"], "Starting");
    let pod = tasks.job(JOB)["spec"]["template"]["spec"].clone();
    assert!(pod["volumes"].to_string().contains("ephemeral"), "it has nowhere to fetch a dump to");
    let request = variable(&tasks, JOB, "AGENTFS_REQUEST");
    let request: Request = request.as_str().unwrap().parse().unwrap();
    assert_eq!((&*request.kind, &*request.name), ("AgentFSRestore", "back"));

    tasks.runs(JOB);
    tasks.says.say(&loading());
    let status = reconcile(&tasks, "back").await;
    assert_eq!((&status["step"], &status["progress"]), (&json!("Loading"), &json!("37%")));
    assert_eq!(status["source"], "memory-x7k2p", "the backup is named by its resource");

    let switched_at = Some(report().switched_at);
    tasks.says.say(&Progress {
        step: "index".into(),
        switched_at,
        switch_seconds: Some(0.011),
        ..loading()
    });
    tasks.restarted();
    let status = reconcile(&tasks, "back").await;
    assert_eq!((&status["step"], &status["result"]), (&json!("Indexing"), &json!("Succeeded")));
    assert_eq!(
        tasks.ready::<AgentFSRestore>("back"),
        ("False".into(), "Running".into(), "on its way")
    );

    tasks.ends(JOB, 0, &report().write());
    let status = reconcile(&tasks, "back").await;
    assert_eq!((&status["step"], &status["downtime"]), (&json!("Done"), &json!("11ms")));
    assert_eq!((&status["source"], &status["lostVersions"]), (&json!("memory-x7k2p"), &json!(312)));
    assert_eq!(
        tasks.ready::<AgentFSRestore>("back"),
        ("True".into(), "Succeeded".into(), "at rest")
    );
    assert_eq!(tasks.events(), ["Starting", "Loading", "Indexing", "Succeeded"]);

    create(&tasks, "undo", &json!({"undo": "back"}));
    reconcile(&tasks, "undo").await;
    assert_eq!(
        arguments(&tasks, "undo-restore"),
        json!([
            "restore",
            "--undo",
            "--yes",
            "--restore=0199aaaa-0000-7000-8000-000000000001",
            "--deadline=21300"
        ])
    );
}

#[tokio::test]
async fn a_restore_begins_once_the_schema_is_migrated() {
    let tasks = cluster("Migrating");
    create(&tasks, "back", &json!({"source": {"latest": true}, "target": {"inPlace": {}}}));
    assert_eq!(reconcile(&tasks, "back").await["step"], "Waiting");
    assert_eq!(
        tasks.ready::<AgentFSRestore>("back"),
        ("False".into(), "AwaitingSchema".into(), "on its way")
    );
    assert!(!tasks.has_job(JOB));
    says_of_schema(&tasks, "Migrated");
    reconcile(&tasks, "back").await;
    assert!(tasks.has_job(JOB));
}

#[tokio::test]
async fn a_restore_knows_the_volume_of_an_embedded_database_and_says_where_it_is_too_small() {
    let given = async |database: Value| {
        let tasks = cluster("Migrated");
        tasks.server.change(RESOURCE, &json!({"status": {"database": database}}));
        create(&tasks, "back", &json!({"source": {"latest": true}, "target": {"inPlace": {}}}));
        reconcile(&tasks, "back").await;
        let size = variable(&tasks, JOB, "POSTGRES_VOLUME_SIZE");
        (tasks, size)
    };
    let (_, size) = given(json!({"type": "external"})).await;
    assert_eq!(size, Value::Null, "nobody knows it");
    let (tasks, size) = given(json!({"type": "embedded", "volumeSize": "10Gi"})).await;
    assert_eq!(size, "10485760kB");

    let message = "nothing was changed: the restore needs about 9.0 GiB.".to_owned();
    let left = VolumeTooSmall { message, transient: false, volume_bytes: (18 << 30) + 1 };
    tasks.ends(JOB, 1, &left.write());
    let status = reconcile(&tasks, "back").await;
    assert_eq!((&status["step"], &status["result"]), (&json!("Failed"), &json!("Failed")));
    assert_eq!(
        tasks.ready::<AgentFSRestore>("back"),
        ("False".into(), "VolumeTooSmall".into(), "stalled")
    );
    let [_, _, said] = tasks.said::<AgentFSRestore>("back", "Ready");
    for words in [
        "The restore failed: nothing was changed: the restore needs about 9.0 GiB (since ",
        "Set spec.database.embedded.storage.size of the AgentFS to 19Gi or more, then create another AgentFSRestore",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(tasks.warnings(), ["VolumeTooSmall"]);
}

#[tokio::test]
async fn one_waits_where_the_image_may_be_older_than_requests() {
    let tasks = cluster("Migrated");
    let cronjob = "batch/v1/cronjobs/memory-verify";
    let says = |value: Value| {
        let requests = json!({"metadata": {"annotations": {"agentfs.io/requests": value}}});
        tasks.server.change(cronjob, &requests);
    };
    says(Value::Null);
    create(&tasks, "back", &json!({"source": {"latest": true}, "target": {"inPlace": {}}}));
    reconcile(&tasks, "back").await;
    assert_eq!(
        tasks.ready::<AgentFSRestore>("back"),
        ("False".into(), "ImageTooOld".into(), "stalled")
    );
    assert!(!tasks.has_job(JOB), "it would be carried out each time");
    says(json!("true"));
    reconcile(&tasks, "back").await;
    assert!(tasks.has_job(JOB));

    // Nothing is known of an image whose migration failed, and to go back may be what helps.
    says(Value::Null);
    says_of_schema(&tasks, "MigrationFailed");
    tasks.job_goes(JOB);
    reconcile(&tasks, "back").await;
    assert!(tasks.has_job(JOB));
}

#[tokio::test]
async fn an_undoing_that_cannot_be_ends_and_one_that_asks_is_stalled() {
    let tasks = cluster("Migrated");
    let undo = json!({"undo": "back"});
    create(&tasks, "undo", &undo);
    let just_created = json!({"metadata": {"creationTimestamp": now()}});
    tasks.server.change(&path::<AgentFSRestore>("undo"), &just_created);
    let status = reconcile(&tasks, "undo").await;
    assert_eq!((&status["step"], &status["source"]), (&json!("Waiting"), &json!("back")));
    assert_eq!(
        tasks.ready::<AgentFSRestore>("undo"),
        ("False".into(), "NoSuchRestore".into(), "stalled")
    );

    create(
        &tasks,
        "back",
        &json!({"source": {"latest": true}, "target": {"newDatabase": {"name": "look"}}}),
    );
    let status = reconcile(&tasks, "undo").await;
    assert_eq!((&status["step"], &status["result"]), (&json!("Failed"), &json!("Failed")));
    assert!(status["finishedTime"].is_string());
    assert_eq!(
        tasks.ready::<AgentFSRestore>("undo"),
        ("False".into(), "CannotBeUndone".into(), "stalled")
    );
    assert!(!tasks.has_job("undo-restore"));
}
