//! Backups by the schedule and by a resource, into a volume and into a bucket, and their records.

use age::secrecy::ExposeSecret as _;
use agentfs_e2e::Failure;
use agentfs_e2e::kubectl::{eventually, kubectl};
use agentfs_e2e::namespace::Namespace;
use agentfs_e2e::recovery::{Kind, Task, ready};
use agentfs_e2e::s3;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    SPEC, agentfs_says, all, has, is_sound, put, run_now, served, with_bucket, with_lunch,
};

/// The records of the schedule's backups.
async fn records(namespace: &Namespace) -> Result<Vec<Value>, Failure> {
    let mut records = all(namespace, "afsb").await?;
    records.retain(|backup| backup["spec"]["recordOf"].is_string());
    Ok(records)
}

/// Waits until there are so many.
async fn has_records(namespace: &Namespace, count: usize) -> Result<Vec<Value>, Failure> {
    let what = format!("there are {count} records");
    let are = |records: &Vec<Value>| {
        records.len() == count
            && records.iter().all(|record| record["status"]["backup"].is_object())
    };
    eventually(&what, async || records(namespace).await, are).await
}

#[tokio::test]
#[ignore = "needs a cluster: make test-recovery"]
async fn into_a_volume_by_the_schedule_and_by_a_resource() -> Result<(), Failure> {
    let (namespace, mut agent) = served(SPEC).await?;
    run_now(&namespace, "backup", "nightly").await?;
    let nightly = has_records(&namespace, 1).await?.remove(0);
    let backup = &nightly["status"]["backup"];
    assert_eq!(backup["id"], nightly["spec"]["recordOf"], "{nightly}");
    assert_eq!(backup["entries"], 1, "{nightly}");
    let (reason, _) = ready(&nightly);
    assert_eq!(reason, "Succeeded", "{nightly}");
    run_now(&namespace, "verify", "weekly").await?;
    let verified = async || namespace.object("afsb", &text(&nightly["metadata"]["name"])).await;
    let is_verified = |record: &Value| record["status"]["verification"]["verified"] == "True";
    eventually("its record says that it restores", verified, is_verified).await?;

    let asked = Task::done(&namespace, Kind::Backup, "asked", json!({"verify": "Restore"})).await?;
    let status = &asked["status"];
    assert_eq!(status["verification"]["verified"], "True", "{status}");
    assert_eq!(status["verification"]["level"], "Restore", "{status}");
    let entries =
        Task::done(&namespace, Kind::Backup, "entries", json!({"scope": "Entries"})).await?;
    assert_eq!(entries["status"]["backup"]["scope"], "Entries", "{entries}");
    // What was asked for has no second record.
    assert_eq!(records(&namespace).await?.len(), 1);
    let columns = namespace.kubectl(&["get", "afsb"]).await?;
    for column in ["SCOPE", "SIZE", "ENTRIES", "DURATION", "VERIFIED", "Full", "Entries", "True"] {
        assert!(columns.contains(column), "{columns}");
    }
    agentfs_says(&namespace, "BackupFresh", "True").await?;
    agentfs_says(&namespace, "RestoreVerified", "True").await?;
    let columns = namespace.kubectl(&["get", "afs"]).await?;
    assert!(columns.contains("VERIFIED") && columns.contains("LAST-BACKUP"), "{columns}");

    // One of the schedule's by its name, and one by its id.
    put(&mut agent, "walnuts").await?;
    let by_name =
        json!({"source": {"backup": nightly["metadata"]["name"]}, "target": {"inPlace": {}}});
    Task::done(&namespace, Kind::Restore, "by-name", by_name).await?;
    has(&mut agent, "peanuts").await?;
    put(&mut agent, "walnuts").await?;
    let by_id = json!({"source": {"id": status["backup"]["id"]}, "target": {"inPlace": {}}});
    Task::done(&namespace, Kind::Restore, "by-id", by_id).await?;
    has(&mut agent, "peanuts").await?;
    is_sound(&namespace).await
}

#[tokio::test]
#[ignore = "needs a cluster: make test-recovery"]
async fn encrypted_into_a_bucket_by_the_schedule_and_by_a_resource() -> Result<(), Failure> {
    let namespace = Namespace::create().await?;
    s3::start(&namespace).await?;
    let recipient = make_identity(&namespace).await?;
    let encryption = format!(
        "    encryption: {{recipients: [{recipient}], identitySecretRef: {{name: identity, key: identity}}}}\n"
    );
    namespace.agentfs("memory", &(with_bucket(&namespace) + &encryption)).await?;
    namespace.ready("memory").await?;
    let mut agent = with_lunch(&namespace, "peanuts").await?;
    run_now(&namespace, "backup", "nightly").await?;
    let nightly = has_records(&namespace, 1).await?.remove(0);
    let location = text(&nightly["status"]["backup"]["location"]);
    assert!(location.starts_with(&format!("s3://{}/", s3::BUCKET)), "{location}");
    assert_eq!(nightly["status"]["backup"]["encrypted"], true, "{nightly}");
    s3::has_dumps(&namespace, 1).await?;
    run_now(&namespace, "verify", "weekly").await?;
    agentfs_says(&namespace, "RestoreVerified", "True").await?;

    let backup =
        Task::done(&namespace, Kind::Backup, "asked", json!({"verify": "Restore"})).await?;
    assert_eq!(backup["status"]["verification"]["verified"], "True", "{backup}");
    put(&mut agent, "walnuts").await?;
    let latest = json!({"source": {"latestVerified": true}, "target": {"inPlace": {}}});
    Task::done(&namespace, Kind::Restore, "back", latest).await?;
    has(&mut agent, "peanuts").await?;
    Task::done(&namespace, Kind::Restore, "undo", json!({"undo": "back"})).await?;
    has(&mut agent, "walnuts").await?;
    let look =
        json!({"source": {"backup": "asked"}, "target": {"newDatabase": {"name": "agentfs_look"}}});
    Task::done(&namespace, Kind::Restore, "look", look).await?;
    let drill = Task::done(&namespace, Kind::Drill, "drill", json!({})).await?;
    assert_eq!(drill["status"]["result"], "Succeeded", "{drill}");
    // The drill's is none of them.
    let dumps = s3::has_dumps(&namespace, 2).await?;
    records_follow_the_bucket(&namespace, &dumps, &nightly).await
}

/// Makes the Secret `identity`, by whose key backups are decrypted; its recipient.
async fn make_identity(namespace: &Namespace) -> Result<String, Failure> {
    let identity = age::x25519::Identity::generate();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "identity"},
                        "stringData": {"identity": identity.to_string().expose_secret()}});
    namespace.apply(&secret.to_string()).await?;
    Ok(identity.to_public().to_string())
}

/// A backup that vanishes is said so, and records that were deleted are written anew.
async fn records_follow_the_bucket(
    namespace: &Namespace,
    dumps: &[String],
    nightly: &Value,
) -> Result<(), Failure> {
    let id = text(&nightly["spec"]["recordOf"]);
    let dump = dumps.iter().find(|dump| dump.contains(&id)).ok_or("its dump is not there")?;
    let stem = dump.split(".dump").next().unwrap_or_default();
    let remove = format!("rm {stem}.*");
    namespace.kubectl(&["exec", "s3", "--", "sh", "-c", &remove]).await?;
    run_now(namespace, "backup", "after-it-vanished").await?;
    let record = async || namespace.object("afsb", &text(&nightly["metadata"]["name"])).await;
    let vanished = |record: &Value| record["status"]["vanishedTime"].is_string();
    let record = eventually("its record says that it vanished", record, vanished).await?;
    let (reason, sentence) = ready(&record);
    eprintln!("{reason}: {sentence}");
    assert_ne!(reason, "Succeeded", "{record}");

    namespace.kubectl(&["delete", "afsb", "--all"]).await?;
    run_now(namespace, "backup", "after-records-were-lost").await?;
    // Those of asked-for backups are records now as well.
    let dumps = s3::dumps(namespace).await?.len();
    has_records(namespace, dumps).await.map(drop)
}

/// The text of a value.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
#[ignore = "needs a cluster: make test-recovery"]
async fn one_is_deleted_with_its_resource_where_that_says_so() -> Result<(), Failure> {
    let namespace = Namespace::with_memory(SPEC).await?;
    let policy = json!({"deletionPolicy": "Delete"});
    Task::done(&namespace, Kind::Backup, "deleted", policy.clone()).await?;
    Task::done(&namespace, Kind::Backup, "kept", json!({})).await?;
    for name in ["deleted", "kept"] {
        namespace.kubectl(&["delete", "afsb", name, "--timeout=300s"]).await?;
    }
    run_now(&namespace, "backup", "anew").await?;
    // Its own, and that of the one that was kept.
    has_records(&namespace, 2).await?;
    // A namespace that ends waits for nothing.
    Task::done(&namespace, Kind::Backup, "last", policy).await?;
    kubectl(&["delete", "namespace", namespace.name(), "--timeout=300s"]).await.map(drop)
}

#[tokio::test]
#[ignore = "needs a cluster: make test-recovery"]
async fn its_pods_may_write_records_and_nothing_else() -> Result<(), Failure> {
    let namespace = Namespace::with_memory(SPEC).await?;
    let account = format!("--as=system:serviceaccount:{}:memory-recovery", namespace.name());
    let may = async |verb: &str, resource: &str| {
        // It ends with 1 where the answer is no. What follows a slash would be a name.
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let subresource = format!("--subresource={subresource}");
        let ask = ["auth", "can-i", verb, resource, &subresource, &account];
        match namespace.kubectl(&ask).await {
            Ok(answer) => answer.trim() == "yes",
            Err(error) => panic!("{verb} {resource}: {error}"),
        }
    };
    let may_not = async |verb: &str, resource: &str| {
        let ask = ["auth", "can-i", verb, resource, &account];
        namespace.kubectl(&ask).await.is_err()
    };
    for verb in ["get", "list", "create", "delete"] {
        assert!(may(verb, "agentfsbackups").await, "{verb}");
    }
    // What is asked for is not theirs to change.
    for (verb, resource) in [("patch", "agentfsbackups"), ("patch", "agentfsdrills")] {
        assert!(may_not(verb, resource).await, "{verb} {resource}");
    }
    for (verb, resource) in [
        ("patch", "agentfsbackups/status"),
        ("list", "agentfsdrills"),
        ("create", "agentfsdrills"),
        ("delete", "agentfsdrills"),
        ("patch", "agentfsdrills/status"),
    ] {
        assert!(may(verb, resource).await, "{verb} {resource}");
    }
    for verb in ["get", "list", "watch", "create", "update", "patch", "delete"] {
        for resource in ["secrets", "agentfsrestores", "agentfses", "pods", "jobs", "roles"] {
            assert!(may_not(verb, resource).await, "{verb} {resource}");
        }
    }
    // Nor in another namespace.
    let elsewhere = ["auth", "can-i", "list", "agentfsbackups", &account, "--namespace=default"];
    assert!(kubectl(&elsewhere).await.is_err());
    Ok(())
}

#[tokio::test]
#[ignore = "needs a cluster: make test-recovery"]
async fn an_outage_of_three_days_is_made_up_for_by_one_run() -> Result<(), Failure> {
    // Every hour, at a minute that is not near.
    let now = Timestamp::now();
    let minute = (now.as_second() / 60 + 30) % 60;
    let hourly = SPEC.replacen("0 0 1 1 *", &format!("{minute} * * * *"), 1);
    let (namespace, _agent) = served(&hourly).await?;
    let before = now - SignedDuration::from_hours(72);
    let patch =
        json!({"status": {"lastScheduleTime": before.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()}});
    let patch = patch.to_string();
    let patch =
        ["patch", "cronjob", "memory-backup", "--subresource=status", "--type=merge", "-p", &patch];
    namespace.kubectl(&patch).await?;
    has_records(&namespace, 1).await?;
    // What it runs next is the next hour's: the controller has made up for all that was missed.
    let caught_up = async || {
        let cronjob = namespace.object("cronjob", "memory-backup").await?;
        Ok(text(&cronjob["status"]["lastScheduleTime"]).parse::<Timestamp>()?)
    };
    let is_recent = |last: &Timestamp| now.duration_since(*last) < SignedDuration::from_hours(1);
    eventually("the schedule is at the present hour", caught_up, is_recent).await?;
    let of_schedule = all(&namespace, "jobs").await?.into_iter().filter(|job| {
        let owners = job["metadata"]["ownerReferences"].as_array();
        owners.is_some_and(|owners| owners.iter().any(|owner| owner["kind"] == "CronJob"))
    });
    assert_eq!(of_schedule.count(), 1);
    agentfs_says(&namespace, "BackupFresh", "True").await.map(drop)
}
