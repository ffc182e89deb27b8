//! Each resource is carried out once for ever, one at a time, and one that failed or was deleted blocks nobody.

use agentfs_e2e::Failure;
use agentfs_e2e::kubectl::eventually;
use agentfs_e2e::recovery::{Kind, Task, ready};
use agentfs_e2e::step::Steps;
use serde_json::{Value, json};

use super::{SPEC, fill, has, is_sound, put, served, switches};

fn in_place() -> Value {
    json!({"source": {"latest": true}, "target": {"inPlace": {}}})
}

#[tokio::test]
#[ignore = "needs a cluster: make test-recovery"]
async fn the_same_resource_made_again_does_nothing_and_another_name_does() -> Result<(), Failure> {
    let (namespace, mut agent) = served(SPEC).await?;
    Task::done(&namespace, Kind::Backup, "first", json!({})).await?;
    put(&mut agent, "walnuts").await?;
    let restore = Task::create(&namespace, Kind::Restore, "back", in_place()).await?;
    restore.succeeded().await?;
    put(&mut agent, "almonds").await?;

    restore.delete().await?;
    let again = Task::done(&namespace, Kind::Restore, "back", in_place()).await?;
    assert_eq!(again["status"]["result"], "AlreadyDone", "{again}");
    let (_, sentence) = ready(&again);
    assert!(sentence.contains("UTC"), "it says when: {sentence}");
    has(&mut agent, "almonds").await?;
    assert_eq!(switches(&namespace).await?, 1);

    // Its spec cannot be changed.
    let patch = json!({"spec": {"security": "FromBackup"}}).to_string();
    let refused = ["patch", "afsr", "back", "--type=merge", "-p", &patch];
    let refused = namespace
        .kubectl(&refused)
        .await
        .map_or_else(|error| error.to_string(), |_| "taken".into());
    assert!(refused.contains("create another resource with another name"), "{refused}");

    Task::done(&namespace, Kind::Restore, "back-again", in_place()).await?;
    has(&mut agent, "peanuts").await?;
    // The last one in place is another now.
    let undo = Task::create(&namespace, Kind::Restore, "undo", json!({"undo": "back"})).await?;
    undo.failed(&["back"]).await?;
    has(&mut agent, "peanuts").await?;
    Task::done(&namespace, Kind::Restore, "undo-last", json!({"undo": "back-again"})).await?;
    has(&mut agent, "almonds").await
}

#[tokio::test]
#[ignore = "needs a cluster: make test-recovery"]
async fn a_restore_that_is_deleted_before_the_switch_changes_nothing() -> Result<(), Failure> {
    let (namespace, mut agent) = served(SPEC).await?;
    fill(&namespace, 200_000).await?;
    Task::done(&namespace, Kind::Backup, "first", json!({})).await?;
    put(&mut agent, "walnuts").await?;
    let steps = Steps::open().await?;
    let restore = Task::create(&namespace, Kind::Restore, "cancelled", in_place()).await?;
    let standing = steps.reached(&restore, |standing| standing.step() == "load").await?;
    assert!(standing.is_some(), "it never loads");
    // Two that wait for their turn: a backup and a restore.
    let backup = Task::create(&namespace, Kind::Backup, "second", json!({})).await?;
    let other = json!({"source": {"backup": "first"}, "target": {"inPlace": {}}});
    let next = Task::create(&namespace, Kind::Restore, "next", other).await?;
    let waiting = async || next.get().await;
    let waits = |object: &Value| {
        let (_, sentence) = ready(object);
        object["status"]["step"] == "Waiting" && sentence.contains("cancelled")
    };
    eventually("the others wait, and say for whom", waiting, waits).await?;

    restore.delete().await?;
    backup.succeeded().await?;
    assert_eq!(switches(&namespace).await?, 0, "it was cancelled");
    next.succeeded().await?;
    has(&mut agent, "peanuts").await?;
    assert_eq!(switches(&namespace).await?, 1);
    is_sound(&namespace).await
}

#[tokio::test]
#[ignore = "needs a cluster: make test-recovery"]
async fn the_deletion_of_a_restore_after_the_switch_leaves_the_rest_to_the_agentfs()
-> Result<(), Failure> {
    let (namespace, mut agent) = served(SPEC).await?;
    fill(&namespace, 200_000).await?;
    Task::done(&namespace, Kind::Backup, "first", json!({})).await?;
    put(&mut agent, "walnuts").await?;
    let steps = Steps::open().await?;
    let restore = Task::create(&namespace, Kind::Restore, "back", in_place()).await?;
    let switched = steps.reached(&restore, |standing| standing.progress["switched_at"].is_string());
    assert!(switched.await?.is_some(), "it is over before anybody sees it switched");
    restore.delete().await?;
    has(&mut agent, "peanuts").await?;
    // The next job of any kind brings it to its end.
    Task::done(&namespace, Kind::Backup, "second", json!({})).await?;
    has(&mut agent, "peanuts").await?;
    assert_eq!(switches(&namespace).await?, 1);
    let unfinished =
        "SELECT count(*) FROM agentfs_meta.restores WHERE phase IN ('staging', 'switched')";
    let ended = async || namespace.sql("memory", "agentfs", unfinished).await;
    eventually("no restore is unfinished", ended, |count| count == "0").await?;
    namespace.ready("memory").await.map(drop)
}
