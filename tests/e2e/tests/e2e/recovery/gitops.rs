//! Tools that apply the same manifest again and again, and tools that wait until what they applied is there.

use std::process::Stdio;
use std::time::Duration;

use agentfs_e2e::Failure;
use agentfs_e2e::kubectl::{condition, eventually};
use agentfs_e2e::namespace::Namespace;
use agentfs_e2e::recovery::{Kind, Task};
use agentfs_e2e::step::Steps;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::{SPEC, all, fill, has, put, served, switches};

/// How long the manifest is applied, and how often.
const APPLIED: Duration = Duration::from_mins(3);
const EVERY: Duration = Duration::from_secs(5);

#[tokio::test]
#[ignore = "needs a cluster: make test-recovery"]
async fn a_restore_that_is_applied_every_five_seconds_and_deleted_every_ten_is_one()
-> Result<(), Failure> {
    let (namespace, mut agent) = served(SPEC).await?;
    Task::done(&namespace, Kind::Backup, "first", json!({})).await?;
    put(&mut agent, "walnuts").await?;
    let restore = Task { namespace: &namespace, kind: Kind::Restore, name: "back" };
    let manifest = restore.manifest(json!({
        "source": {"backup": "first"}, "target": {"inPlace": {}}, "ttlSecondsAfterFinished": 10,
    }));
    let mut uids = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < APPLIED {
        // It may be on its way out just now.
        if let Err(error) = namespace.apply(&manifest).await {
            eprintln!("{error}");
        }
        if let Ok(object) = restore.get().await
            && !uids.contains(&object["metadata"]["uid"])
        {
            uids.push(object["metadata"]["uid"].clone());
        }
        sleep(EVERY).await;
    }
    eprintln!("made {} times", uids.len());
    assert!(uids.len() > 3, "its time to live ended it {} times", uids.len());
    assert_eq!(switches(&namespace).await?, 1);
    let rows =
        namespace.sql("memory", "agentfs", "SELECT count(*) FROM agentfs_meta.restores").await?;
    assert_eq!(rows, "1");
    has(&mut agent, "peanuts").await?;
    // Left alone, it goes, and nothing of it stays.
    namespace.gone("afsr", "back").await?;
    let jobs = async || all(&namespace, "jobs").await;
    let none =
        |jobs: &Vec<Value>| !jobs.iter().any(|job| job["metadata"]["name"] == "back-restore");
    eventually("its Job is gone", jobs, none).await.map(drop)
}

/// A chart with one restore.
fn chart(folder: &std::path::Path, manifest: &str) -> Result<(), Failure> {
    std::fs::write(folder.join("Chart.yaml"), "{apiVersion: v2, name: back, version: 1.0.0}\n")?;
    std::fs::create_dir(folder.join("templates"))?;
    Ok(std::fs::write(folder.join("templates/restore.yaml"), manifest)?)
}

#[tokio::test]
#[ignore = "needs a cluster: make test-recovery"]
async fn helm_waits_for_a_restore() -> Result<(), Failure> {
    let (namespace, mut agent) = served(SPEC).await?;
    fill(&namespace, 100_000).await?;
    Task::done(&namespace, Kind::Backup, "first", json!({})).await?;
    put(&mut agent, "walnuts").await?;
    let restore = Task { namespace: &namespace, kind: Kind::Restore, name: "back" };
    let folder = tempfile::tempdir()?;
    chart(
        folder.path(),
        &restore.manifest(json!({"source": {"backup": "first"}, "target": {"inPlace": {}}})),
    )?;
    let mut helm = Command::new("helm")
        .args(["upgrade", "--install", "back", ".", "--wait", "--timeout", "3m"])
        .args(["--namespace", namespace.name()])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let steps = Steps::open().await?;
    let get = async || restore.get().await;
    eventually("the restore is there", get, |_| true).await?;
    let loading = steps.reached(&restore, |standing| standing.step() == "load").await?;
    assert!(loading.is_some(), "it never loads");
    assert!(helm.try_wait()?.is_none(), "helm did not wait");
    on_its_way(&namespace).await?;
    assert!(helm.wait().await?.success());
    let object = restore.get().await?;
    assert_eq!(condition(&object, "Ready"), Some("True"), "{object}");
    for kind in ["Reconciling", "Stalled"] {
        assert_eq!(condition(&object, kind), None, "{object}");
    }
    has(&mut agent, "peanuts").await
}

/// What kstatus reads of the restore.
async fn on_its_way(namespace: &Namespace) -> Result<(), Failure> {
    let get = async || namespace.object("afsr", "back").await;
    let is = |object: &Value| {
        condition(object, "Reconciling") == Some("True")
            && condition(object, "Ready") == Some("False")
            && condition(object, "Stalled").is_none()
    };
    eventually("it is on its way, as kstatus reads it", get, is).await.map(drop)
}
