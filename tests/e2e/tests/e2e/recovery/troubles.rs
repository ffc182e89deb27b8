//! What goes wrong is told by one condition and one Event, with a sentence that says what to do; mended, it goes on by itself.

use agentfs_e2e::Failure;
use agentfs_e2e::kubectl::{at_last, condition, eventually, with_input};
use agentfs_e2e::namespace::Namespace;
use agentfs_e2e::node::SmallFolder;
use agentfs_e2e::recovery::{Kind, Task, ready};
use agentfs_e2e::s3;
use serde_json::{Value, json};

use super::{SPEC, fill, has, is_sound, put, run_now, served, with_bucket, with_lunch};

/// Waits until the task is not Ready and says all of `words`, and one Event of it does.
async fn told(task: &Task<'_>, words: &[&str]) -> Result<(), Failure> {
    told_of(task.namespace, task.kind.name(), task.name, words).await
}

/// Waits until a condition of an object is False and says all of `words`, and one Event of it does. What a task says of its steps is no
/// trouble yet.
async fn told_of(
    namespace: &Namespace,
    kind: &str,
    name: &str,
    words: &[&str],
) -> Result<(), Failure> {
    let has_all = |text: &Value| {
        text.as_str().is_some_and(|text| words.iter().all(|word| text.contains(word)))
    };
    let tells = |condition: &&Value| {
        let is_trouble = condition["status"] == "False" && condition["reason"] != "Running";
        is_trouble && has_all(&condition["message"])
    };
    let conditions = async || {
        let mut object = namespace.object(kind, name).await?;
        let conditions = object["status"]["conditions"].take();
        Ok(conditions.as_array().cloned().unwrap_or_default())
    };
    let what = format!("a condition of {kind} {name} says {words:?}");
    let conditions = eventually(&what, conditions, |all| all.iter().any(|c| tells(&c))).await?;
    let condition = conditions.iter().find(tells).ok_or("no condition")?;
    let reason = condition["reason"].as_str().unwrap_or_default();
    eprintln!("{kind} {name} {reason}: {}", condition["message"]);
    let of_it = format!("involvedObject.name={name},type=Warning,reason={reason}");
    let events = async || {
        let get = ["get", "events", "--field-selector", &of_it, "-o", "json"];
        let events: Value = serde_json::from_str(&namespace.kubectl(&get).await?)?;
        let events = events["items"].as_array().cloned().unwrap_or_default();
        let of_kind = |event: &&Value| event["involvedObject"]["kind"].as_str() == Some(kind);
        Ok(events.iter().filter(of_kind).filter(|event| has_all(&event["message"])).count())
    };
    let count = eventually("an Event says the same", events, |count| *count > 0).await?;
    assert_eq!(count, 1, "one Event each");
    Ok(())
}

/// A volume of a folder of the node; it goes with the test.
struct Volume(String);

impl Volume {
    /// One of the class `class`, which nobody makes volumes of.
    async fn make(name: &str, path: &str, mode: &str, class: &str) -> Result<Self, Failure> {
        let volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
            "spec": {"capacity": {"storage": "1Gi"}, "accessModes": [mode], "hostPath": {"path": path}, "storageClassName": class,
                     "persistentVolumeReclaimPolicy": "Retain"},
        });
        with_input(&["create", "-f", "-"], &volume.to_string()).await?;
        Ok(Self(name.to_owned()))
    }

    /// One with the claim `attic`.
    async fn claimed(namespace: &Namespace, path: &str, mode: &str) -> Result<Self, Failure> {
        let name = namespace.name();
        let volume = Self::make(name, path, mode, name).await?;
        let claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "attic"},
            "spec": {"accessModes": [mode], "storageClassName": name, "volumeName": name,
                     "resources": {"requests": {"storage": "1Gi"}}},
        });
        namespace.apply(&claim.to_string()).await?;
        Ok(volume)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let delete = ["delete", "persistentvolume", &self.0, "--wait=false"];
        at_last(&delete, &format!("PersistentVolume {} is left behind", self.0));
    }
}

#[tokio::test]
#[ignore = "needs the node of tests/cluster: make test-recovery"]
async fn a_volume_that_is_full() -> Result<(), Failure> {
    let namespace = Namespace::create().await?;
    let folder = SmallFolder::make(namespace.name(), 2)?;
    let _volume = Volume::claimed(&namespace, &folder.path(), "ReadWriteOnce").await?;
    namespace
        .agentfs("memory", &SPEC.replace("volume: {size: 1Gi}", "existingClaim: attic"))
        .await?;
    namespace.ready("memory").await?;
    let mut agent = with_lunch(&namespace, "peanuts").await?;
    // Of random text, which cannot be compressed.
    let noise = "INSERT INTO entry_versions (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at)
        SELECT '00000000-0000-0000-0000-000000000000', gen_random_uuid(), 'noise', '/' || n, 1,
               to_json((SELECT string_agg(gen_random_uuid()::text, '') FROM generate_series(1, 1000) WHERE n > 0)), '{}', 0, false, now()
          FROM generate_series(1, 500) n";
    namespace.sql("memory", "agentfs", noise).await?;
    let backup = Task::create(&namespace, Kind::Backup, "first", json!({})).await?;
    told(&backup, &["no space is left"]).await?;
    has(&mut agent, "peanuts").await?;
    folder.grow(512)?;
    backup.succeeded().await?;
    run_now(&namespace, "backup", "nightly").await?;
    Task::done(&namespace, Kind::Backup, "second", json!({})).await.map(drop)
}

/// A pod that holds the claim `attic`.
fn holder(image: &Value) -> Value {
    let restricted = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "holder"},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "holder", "image": image, "command": ["sleep", "3600"], "securityContext": restricted,
                            "volumeMounts": [{"name": "attic", "mountPath": "/attic"}]}],
            "volumes": [{"name": "attic", "persistentVolumeClaim": {"claimName": "attic"}}],
        },
    })
}

#[tokio::test]
#[ignore = "needs the node of tests/cluster: make test-recovery"]
async fn a_volume_that_another_pod_has() -> Result<(), Failure> {
    let namespace = Namespace::create().await?;
    let folder = SmallFolder::make(namespace.name(), 64)?;
    // On a cluster of one node, only this mode keeps a second pod out.
    let _volume = Volume::claimed(&namespace, &folder.path(), "ReadWriteOncePod").await?;
    namespace
        .agentfs("memory", &SPEC.replace("volume: {size: 1Gi}", "existingClaim: attic"))
        .await?;
    namespace.ready("memory").await?;
    let database = namespace.object("pod", "memory-postgres-0").await?;
    namespace.apply(&holder(&database["spec"]["containers"][0]["image"]).to_string()).await?;
    namespace.kubectl(&["wait", "--for=condition=Ready", "pod/holder", "--timeout=60s"]).await?;
    let backup = Task::create(&namespace, Kind::Backup, "first", json!({})).await?;
    told(&backup, &["ReadWriteOncePod"]).await?;
    namespace.kubectl(&["delete", "pod", "holder"]).await?;
    backup.succeeded().await.map(drop)
}

#[tokio::test]
#[ignore = "needs a cluster: make test-recovery"]
async fn a_quota_that_refuses_the_pod() -> Result<(), Failure> {
    let (namespace, mut agent) = served(SPEC).await?;
    Task::done(&namespace, Kind::Backup, "first", json!({})).await?;
    put(&mut agent, "walnuts").await?;
    namespace.kubectl(&["create", "quota", "small", "--hard=pods=1"]).await?;
    let spec = json!({"source": {"latest": true}, "target": {"inPlace": {}}});
    let restore = Task::create(&namespace, Kind::Restore, "back", spec).await?;
    told(&restore, &["exceeded quota: small", "ResourceQuota"]).await?;
    has(&mut agent, "walnuts").await?;
    namespace.kubectl(&["delete", "quota", "small"]).await?;
    restore.succeeded().await?;
    has(&mut agent, "peanuts").await
}

#[tokio::test]
#[ignore = "needs a cluster: make test-recovery"]
async fn a_secret_that_is_missing() -> Result<(), Failure> {
    let namespace = Namespace::create().await?;
    let store = Namespace::create().await?;
    s3::start(&store).await?;
    s3::copy_secret(&store, &namespace, s3::AUTHORITY).await?;
    namespace.agentfs("memory", &with_bucket(&store)).await?;
    told_of(&namespace, "AgentFS", "memory", &[s3::CREDENTIALS, "kubectl create secret generic"])
        .await?;
    let backup = Task::create(&namespace, Kind::Backup, "first", json!({})).await?;
    let get = async || backup.get().await;
    let waits = |object: &Value| condition(object, "Ready") == Some("False");
    eventually("it waits for that", get, waits).await?;
    s3::copy_secret(&store, &namespace, s3::CREDENTIALS).await?;
    backup.succeeded().await?;
    namespace.ready("memory").await.map(drop)
}

#[tokio::test]
#[ignore = "needs a cluster: make test-recovery"]
async fn a_backup_of_another_database() -> Result<(), Failure> {
    let store = Namespace::create().await?;
    s3::start(&store).await?;
    let mut shared = s3::destination(&store);
    shared["s3"]["prefix"] = json!("shared");
    let spec = SPEC.replace("volume: {size: 1Gi}", &format!("destination: {shared}"));
    let mut backups = Vec::new();
    for what in ["peanuts", "walnuts"] {
        let namespace = Namespace::create().await?;
        s3::copy_secrets(&store, &namespace).await?;
        namespace.agentfs("memory", &spec).await?;
        namespace.ready("memory").await?;
        let agent = with_lunch(&namespace, what).await?;
        let backup = Task::done(&namespace, Kind::Backup, "first", json!({})).await?;
        backups.push((namespace, agent, backup));
    }
    let [(_first, _, of_first), (namespace, agent, _)] = &mut backups[..] else {
        return Err("two".into());
    };
    let facts = &of_first["status"]["backup"];
    let (Some(instance), Some(id)) = (facts["instance"].as_str(), facts["id"].as_str()) else {
        return Err(format!("no instance and id: {of_first}").into());
    };
    let source = json!({"id": format!("{instance}/{id}")});
    let spec = json!({"source": source, "target": {"inPlace": {}}});
    let restore = Task::create(namespace, Kind::Restore, "theirs", spec).await?;
    told(&restore, &["allowForeign"]).await?;
    restore.failed(&["allowForeign"]).await?;
    has(agent, "walnuts").await?;
    // A spec cannot be changed, so another resource allows it.
    let spec = json!({"source": source, "target": {"inPlace": {}}, "allowForeign": true});
    Task::done(namespace, Kind::Restore, "theirs-allowed", spec).await?;
    has(agent, "peanuts").await
}

#[tokio::test]
#[ignore = "needs the node of tests/cluster: make test-recovery"]
async fn a_throwaway_volume_that_is_too_small() -> Result<(), Failure> {
    let (namespace, _agent) = served(SPEC).await?;
    // One for each try: none is emptied for the next.
    let mut small = Vec::new();
    for n in 0..8 {
        let name = format!("{}-{n}", namespace.name());
        let folder = SmallFolder::make(&name, 50)?;
        let volume = Volume::make(&name, &folder.path(), "ReadWriteOnce", namespace.name()).await?;
        small.push((volume, folder));
    }
    let storage = json!({"size": "1Gi", "storageClassName": namespace.name()});
    namespace.change_spec("memory", &json!({"backup": {"verify": {"storage": storage}}})).await?;
    namespace.ready("memory").await?;
    fill(&namespace, 20_000).await?;
    let backup =
        Task::create(&namespace, Kind::Backup, "first", json!({"verify": "Restore"})).await?;
    told(&backup, &["spec.backup.verify.storage.size"]).await?;
    assert_eq!(ready(&backup.get().await?).0, "ScratchTooSmall");
    namespace.change_spec("memory", &json!({"backup": {"verify": {"storage": null}}})).await?;
    namespace.ready("memory").await?;
    let backup =
        Task::done(&namespace, Kind::Backup, "second", json!({"verify": "Restore"})).await?;
    assert_eq!(backup["status"]["verification"]["verified"], "True", "{backup}");
    Ok(())
}

/// Bytes that a restore takes for free on a database's volume of 1Gi.
const FREE: &str =
    "SELECT (1073741824 / 100 * 95 - (SELECT sum(pg_database_size(oid)) FROM pg_database)
    - (SELECT sum(size) FROM pg_ls_waldir()))::bigint";
/// A file that PostgreSQL counts to a database: it is in the folder of `postgres`, on whatever volume.
const FILLER: &str = "\"$PGDATA\"/base/5/filler";

#[tokio::test]
#[ignore = "needs a cluster: make test-recovery"]
async fn a_database_volume_without_room_for_a_second_copy() -> Result<(), Failure> {
    let (namespace, mut agent) = served(&SPEC.replace("size: 10Gi", "size: 1Gi")).await?;
    fill(&namespace, 20_000).await?;
    Task::done(&namespace, Kind::Backup, "first", json!({})).await?;
    put(&mut agent, "walnuts").await?;
    let in_database = async |script: &str| {
        namespace.kubectl(&["exec", "memory-postgres-0", "--", "sh", "-c", script]).await
    };
    let free: u64 = namespace.sql("memory", "agentfs", FREE).await?.parse()?;
    // It takes no blocks.
    in_database(&format!("truncate --size={} {FILLER}", free - (32 << 20))).await?;
    let spec = json!({"source": {"latest": true}, "target": {"inPlace": {}}});
    let restore = Task::create(&namespace, Kind::Restore, "back", spec.clone()).await?;
    let words = ["it has 1.0 GiB", "spec.database.embedded.storage.size", "to 2Gi or more"];
    told(&restore, &words).await?;
    assert_eq!(ready(&restore.get().await?).0, "VolumeTooSmall");
    put(&mut agent, "cashews").await?;
    has(&mut agent, "cashews").await?;
    is_sound(&namespace).await?;
    in_database(&format!("rm {FILLER}")).await?;
    Task::done(&namespace, Kind::Restore, "again", spec).await?;
    has(&mut agent, "peanuts").await
}
