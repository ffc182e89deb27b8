//! The volume of an embedded database is deleted: told before, refused after, and restored from the backup.

use agentfs_e2e::Failure;
use agentfs_e2e::agent::Agent;
use agentfs_e2e::kubectl::eventually;
use agentfs_e2e::namespace::Namespace;
use agentfs_e2e::recovery::{Kind, Task};
use serde_json::{Value, json};

const SPEC: &str = "
  database: {embedded: {storage: {size: 1Gi}}}
  api: {replicas: 1}
  pooler: {replicas: 1}
  backup: {volume: {size: 1Gi}}
";
const CLAIM: &str = "data-memory-postgres-0";
const POD: &str = "memory-postgres-0";

/// A moment that the cluster wrote, without what is less than a second.
fn second(time: &Value) -> &str {
    time.as_str().and_then(|time| time.get(..19)).unwrap_or_default()
}

/// Waits until DatabaseReady is False for `reason`, and an Event tells it that was made since it is False; its sentence.
async fn told(namespace: &Namespace, reason: &str) -> Result<String, Failure> {
    let condition = condition(namespace, reason).await?;
    let since = second(&condition["lastTransitionTime"]);
    let sentence = condition["message"].as_str().unwrap_or_default().to_owned();
    let events = async || {
        let of_it = format!("involvedObject.name=memory,reason={reason},type=Warning");
        let events =
            namespace.kubectl(&["get", "events", "--field-selector", &of_it, "-o", "json"]).await?;
        Ok(serde_json::from_str::<Value>(&events)?["items"].take())
    };
    let is_told = |events: &Value| {
        let mut events = events.as_array().into_iter().flatten();
        events.any(|event| second(&event["metadata"]["creationTimestamp"]) >= since)
    };
    eventually(&format!("an Event tells {reason} since {since}"), events, is_told).await?;
    eprintln!("{reason}: {sentence}");
    Ok(sentence)
}

/// Waits until DatabaseReady is False for `reason`; the condition.
async fn condition(namespace: &Namespace, reason: &str) -> Result<Value, Failure> {
    let get = async || {
        let agentfs = namespace.object("agentfs", "memory").await?;
        let conditions = agentfs["status"]["conditions"].as_array().cloned().unwrap_or_default();
        Ok(conditions.into_iter().find(|c| c["type"] == "DatabaseReady").unwrap_or_default())
    };
    let tells = |condition: &Value| condition["status"] == "False" && condition["reason"] == reason;
    eventually(&format!("DatabaseReady tells {reason}"), get, tells).await
}

/// Waits until PostgreSQL's pod, which is not the one `before`, has found its volume empty.
async fn refuses(namespace: &Namespace, before: &Value) -> Result<(), Failure> {
    let pod = async || namespace.object("pod", POD).await;
    let refuses = |pod: &Value| {
        let container = &pod["status"]["containerStatuses"][0];
        let ended = |state: &str| container[state]["terminated"]["exitCode"] == 66;
        pod["metadata"]["uid"] != before["metadata"]["uid"]
            && (ended("state") || ended("lastState"))
    };
    eventually("the new pod refuses to start empty", pod, refuses).await.map(drop)
}

async fn back_up(namespace: &Namespace, job: &str) -> Result<(), Failure> {
    namespace.kubectl(&["create", "job", "--from=cronjob/memory-backup", job]).await?;
    let done = ["wait", "--for=condition=Complete", &format!("job/{job}"), "--timeout=120s"];
    namespace.kubectl(&done).await.map(drop)
}

async fn identity(namespace: &Namespace) -> Result<String, Failure> {
    let agentfs = namespace.object("agentfs", "memory").await?;
    Ok(agentfs["status"]["database"]["identity"].as_str().unwrap_or_default().to_owned())
}

/// Lets PostgreSQL start empty in place of the database `lost`, and waits until the empty one is migrated.
async fn start_empty(namespace: &Namespace, lost: &str) -> Result<(), Failure> {
    let consent = format!("agentfs.io/start-empty={lost}");
    namespace.kubectl(&["annotate", "agentfs", "memory", "--overwrite", &consent]).await?;
    let now = async || identity(namespace).await;
    let what = "the empty database is migrated";
    eventually(what, now, |now| !now.is_empty() && now != lost).await.map(drop)
}

#[tokio::test]
#[ignore = "needs a cluster: make test-all"]
async fn a_deleted_claim_is_told_and_no_empty_database_takes_its_place() -> Result<(), Failure> {
    let namespace = Namespace::with_memory(SPEC).await?;
    let mut agent = Agent::of(&namespace, "memory").await?;
    agent.put("/notes/lunch", &json!("peanuts")).await?;
    let lost = identity(&namespace).await?;
    let claim = namespace.object("pvc", CLAIM).await?;
    assert_eq!(claim["metadata"]["uid"], lost.as_str());

    // It serves on, and the last moment for a backup is told.
    namespace.kubectl(&["delete", "pvc", CLAIM, "--wait=false"]).await?;
    let sentence = told(&namespace, "VolumeBeingDeleted").await?;
    let command =
        format!("kubectl create job -n {} --from=cronjob/memory-backup", namespace.name());
    assert!(sentence.contains(&command), "{sentence}");
    back_up(&namespace, "last-moment").await?;
    assert_eq!(agent.get("/notes/lunch").await?, Some(json!("peanuts")));

    namespace.kubectl(&["delete", "pod", POD]).await?;
    let sentence = told(&namespace, "DataLost").await?;
    assert!(sentence.contains("The newest backup is of 20"), "{sentence}");
    assert!(sentence.ends_with(&format!("agentfs.io/start-empty={lost}")), "{sentence}");
    assert!(agent.get("/notes/lunch").await.is_err(), "an empty database answered");
    // A pod made again does not forget it, nor does a Secret made again.
    namespace.comes_back("secret", "memory-credentials").await?;
    let key = async || {
        let secret = namespace.object("secret", "memory-credentials").await?;
        Ok(secret["data"]["expected-database"].as_str().unwrap_or_default().to_owned())
    };
    eventually("the Secret names the lost database", key, |key| !key.is_empty()).await?;
    // The new password replaces the pod as well, which may be away just now.
    let pod = async || namespace.object("pod", POD).await;
    let before = eventually("PostgreSQL has a pod", pod, |_| true).await?;
    namespace.kubectl(&["delete", "pod", POD, "--ignore-not-found", "--wait=false"]).await?;
    refuses(&namespace, &before).await?;
    let sentence = condition(&namespace, "DataLost").await?["message"].take();
    assert!(sentence.to_string().contains(&format!("agentfs.io/start-empty={lost}")), "{sentence}");

    restored(&namespace, &lost).await?;
    let get = async || agent.get("/notes/lunch").await;
    let value = eventually("the memory is served again", get, Option::is_some).await?;
    assert_eq!(value, Some(json!("peanuts")));
    namespace.ready("memory").await?;

    // The consent was to that loss alone: the volume is wiped.
    let new = identity(&namespace).await?;
    let wipe = ["exec", POD, "--", "mv", "/var/lib/postgresql/data", "/var/lib/postgresql/gone"];
    namespace.kubectl(&wipe).await?;
    namespace.kubectl(&["delete", "pod", POD, "--grace-period=1"]).await?;
    let sentence = told(&namespace, "DataLost").await?;
    assert!(sentence.ends_with(&format!("agentfs.io/start-empty={new}")), "{sentence}");
    start_empty(&namespace, &new).await?;
    namespace.ready("memory").await?;
    let get = async || agent.get("/notes/lunch").await;
    eventually("the memory is empty, as somebody wanted", get, Option::is_none).await.map(drop)
}

/// Takes the steps of docs/OPERATIONS.md.
async fn restored(namespace: &Namespace, lost: &str) -> Result<(), Failure> {
    namespace.kubectl(&["scale", "agentfs/memory", "--replicas=0"]).await?;
    start_empty(namespace, lost).await?;
    let system = "SELECT system_identifier FROM pg_control_system()";
    let empty = format!("{}-", namespace.sql("memory", "postgres", system).await?);
    let records = namespace.kubectl(&["get", "afsb", "-o", "json"]).await?;
    let records: Value = serde_json::from_str(&records)?;
    let backups = records["items"].as_array().into_iter().flatten().filter_map(|record| {
        let backup = &record["status"]["backup"];
        let instance = backup["instance"].as_str().filter(|of| !of.starts_with(&empty))?;
        Some((second(&backup["snapshotTime"]), format!("{instance}/{}", backup["id"].as_str()?)))
    });
    let (_, id) = backups.max().ok_or_else(|| format!("no record of a backup: {records}"))?;
    let spec = json!({"source": {"id": id}, "target": {"inPlace": {}}, "allowForeign": true});
    Task::done(namespace, Kind::Restore, "after-the-loss", spec).await?;
    namespace.kubectl(&["scale", "agentfs/memory", "--replicas=1"]).await.map(drop)
}
