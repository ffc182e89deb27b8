//! Without the operator the schedule backs up, prunes, verifies and drills, and its pods keep the records; once the operator is
//! back it does none of it again.

use std::collections::BTreeMap;

use agentfs_e2e::Failure;
use agentfs_e2e::kubectl::eventually;
use agentfs_e2e::namespace::Namespace;
use agentfs_e2e::operator::away;
use agentfs_e2e::recovery::{Kind, Task};
use serde_json::{Value, json};

use crate::recovery::{SPEC, agentfs_says, all, has, run_now, served, switches};

/// The objects of a kind: name and uid.
async fn uids(namespace: &Namespace, kind: &str) -> Result<BTreeMap<String, String>, Failure> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let objects = all(namespace, kind).await?;
    Ok(objects
        .iter()
        .map(|o| (text(&o["metadata"]["name"]), text(&o["metadata"]["uid"])))
        .collect())
}

#[tokio::test]
#[ignore = "needs a cluster for itself: make test-recovery"]
async fn the_schedule_goes_on_without_the_operator() -> Result<(), Failure> {
    let spec = SPEC.replace("    volume:", "    retentionDays: 0\n    keepLast: 1\n    volume:");
    let (namespace, mut agent) = served(&spec).await?;
    let operator = away().await?;
    run_now(&namespace, "backup", "first").await?;
    let first = uids(&namespace, "afsb").await?;
    assert_eq!(first.len(), 1, "{first:?}");
    run_now(&namespace, "backup", "second").await?;
    let second = uids(&namespace, "afsb").await?;
    assert_eq!(second.len(), 1, "what was pruned has no record: {second:?}");
    assert_ne!(first, second);
    run_now(&namespace, "verify", "weekly").await?;
    run_now(&namespace, "drill", "quarterly").await?;
    let records = all(&namespace, "afsb").await?;
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0]["status"]["verification"]["verified"], "True", "{records:?}");
    let drills = all(&namespace, "afsd").await?;
    assert_eq!(drills.len(), 1, "{drills:?}");
    assert!(drills[0]["status"]["rto"].is_string(), "{drills:?}");
    // Asked for meanwhile: carried out later, once.
    let ask = async |kind, name, spec| Task::create(&namespace, kind, name, spec).await;
    let asked = ask(Kind::Backup, "asked", json!({})).await?;
    let restore = json!({"source": {"latestVerified": true}, "target": {"inPlace": {}}});
    let restore = ask(Kind::Restore, "back", restore).await?;
    let (backups, drills) = (uids(&namespace, "afsb").await?, uids(&namespace, "afsd").await?);
    let before = uids(&namespace, "jobs").await?;
    drop(operator);

    asked.succeeded().await?;
    restore.succeeded().await?;
    has(&mut agent, "peanuts").await?;
    assert_eq!(switches(&namespace).await?, 1);
    for condition in ["BackupFresh", "RestoreVerified", "DrillCurrent"] {
        agentfs_says(&namespace, condition, "True").await?;
    }
    namespace.ready("memory").await?;
    assert_eq!(uids(&namespace, "afsd").await?, drills);
    // The one that was verified stays besides the new one, which came last.
    assert_eq!(uids(&namespace, "afsb").await?, backups);
    // Of Jobs, those of the two that were asked for came, and no other.
    let jobs = async || {
        let mut after = uids(&namespace, "jobs").await?;
        after.retain(|name, uid| before.get(name) != Some(uid));
        Ok(after.into_keys().collect::<Vec<_>>())
    };
    let come = ["asked-backup", "back-restore"];
    eventually("two Jobs came", jobs, |jobs| *jobs == come).await.map(drop)
}
