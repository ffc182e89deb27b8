//! Restores, in place and into a new database, and their undoing, while clients inside the cluster work.

use std::time::Duration;

use agentfs_e2e::Failure;
use agentfs_e2e::agent::Agent;
use agentfs_e2e::kubectl::eventually;
use agentfs_e2e::load::{Counts, Load};
use agentfs_e2e::namespace::Namespace;
use agentfs_e2e::recovery::{Kind, Task, Watched};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{LUNCH, SPEC, has, is_sound, put, served};

const CLIENTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(20);
/// The steps of a restore, in their order.
pub(super) const STEPS: [&str; 8] =
    ["Waiting", "Starting", "Loading", "Verifying", "Switching", "Switched", "Indexing", "Done"];

/// What clients saw of a restore, and how it ended.
struct Seen {
    counts: Counts,
    restore: Value,
    pod: String,
}

/// Asks for a restore while clients put and get, and waits until it is done.
async fn under_load(namespace: &Namespace, name: &str, spec: Value) -> Result<Seen, Failure> {
    let watched = Watched::start(namespace, "afsr")?;
    let load = Load::start(namespace, "memory", CLIENTS, PAUSE).await?;
    let pod = load.pod().to_owned();
    let written = format!("SELECT count(*) FROM entries WHERE path LIKE '/load/{pod}/%'");
    let written =
        async || Ok(namespace.sql("memory", "agentfs", &written).await?.parse::<u64>()?);
    eventually("the clients are at work", written, |written| *written > 50).await?;
    let restore = Task::done(namespace, Kind::Restore, name, spec).await?;
    eventually("the clients go on", written, |written| *written > 50).await?;
    let counts = load.stop().await?;
    for line in watched.lines(name) {
        eprintln!("{line}");
    }
    let steps = watched.seen(name, &STEPS);
    let in_order: Vec<_> = STEPS.into_iter().filter(|step| steps.contains(step)).collect();
    assert_eq!(steps, in_order, "the steps are shown in their order");
    assert_eq!(steps.last(), Some(&"Done"), "the end is shown");
    Ok(Seen { counts, restore, pod })
}

/// No request failed, and what is gone is what the restore says. Returns the longest that a client waited around the switch, in
/// milliseconds.
fn nobody_noticed(seen: &Seen) -> Result<i64, Failure> {
    let Seen { counts, restore, .. } = seen;
    let status = &restore["status"];
    let switched: Timestamp = status["switchedTime"].as_str().ok_or("no switchedTime")?.parse()?;
    let gap = counts.longest_gap_around(switched);
    eprintln!(
        "{} requests, longest gap around the switch {gap} ms ({}), downtime {}, {} lost; steps {}",
        counts.requests,
        counts.told_around(switched),
        status["downtime"],
        counts.lost,
        status["steps"]
    );
    assert_eq!(counts.failed, 0, "{counts:?}");
    assert_eq!(status["result"], "Succeeded", "{status}");
    assert_eq!(status["step"], "Done", "{status}");
    assert!(status["downtime"].is_string(), "{status}");
    assert!(status["previousUntil"].is_string(), "{status}");
    // Each acknowledged write is live, or in the list of the lost.
    assert!(counts.lost > 0, "the clients wrote nothing before the switch: {counts:?}");
    assert!(counts.lost < counts.acknowledged, "and nothing after it: {counts:?}");
    Ok(gap)
}

/// Backs up and verifies, restores that in place, and undoes it, all of it under load. Returns the longest that a client waited around
/// each switch, in milliseconds.
pub(super) async fn there_and_back(
    namespace: &Namespace,
    agent: &mut Agent,
) -> Result<[i64; 2], Failure> {
    let backup = Task::done(namespace, Kind::Backup, "first", json!({"verify": "Restore"})).await?;
    assert_eq!(backup["status"]["verification"]["verified"], "True", "{backup}");
    put(agent, "walnuts").await?;

    let latest = json!({"source": {"latestVerified": true}, "target": {"inPlace": {}}});
    let restored = under_load(namespace, "back", latest).await?;
    let there_gap = nobody_noticed(&restored)?;
    has(agent, "peanuts").await?;
    let status = &restored.restore["status"];
    assert_eq!(status["source"], "first", "{status}");
    // Besides those of the clients, the one on walnuts.
    assert_eq!(status["lostVersions"].as_u64(), Some(restored.counts.lost + 1), "{status}");
    is_sound(namespace).await?;

    let undone = under_load(namespace, "undo", json!({"undo": "back"})).await?;
    let back_gap = nobody_noticed(&undone)?;
    has(agent, "walnuts").await?;
    // What the restore had taken away is there again, and what was written after it is not.
    let pod = &restored.pod;
    let there = format!("SELECT count(*) FROM entry_versions WHERE path LIKE '/load/{pod}/%'");
    let there = namespace.sql("memory", "agentfs", &there).await?;
    assert_eq!(there, restored.counts.lost.to_string());
    is_sound(namespace).await?;
    namespace.ready("memory").await?;
    Ok([there_gap, back_gap])
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn smoke_of_a_backup_a_restore_in_place_and_its_undoing() -> Result<(), Failure> {
    let (namespace, mut agent) = served(SPEC).await?;
    there_and_back(&namespace, &mut agent).await.map(drop)
}

#[tokio::test]
#[ignore = "needs a cluster: make test-recovery"]
async fn a_backup_is_restored_into_a_new_database() -> Result<(), Failure> {
    let (namespace, mut agent) = served(SPEC).await?;
    Task::done(&namespace, Kind::Backup, "first", json!({})).await?;
    put(&mut agent, "walnuts").await?;
    let look = |name: &str| json!({"source": {"backup": "first"}, "target": {"newDatabase": {"name": name}}});
    let restore = Task::done(&namespace, Kind::Restore, "look", look("agentfs_look")).await?;
    assert!(restore["status"]["switchedTime"].is_null(), "nothing was switched: {restore}");
    has(&mut agent, "walnuts").await?;
    let value = format!("SELECT value FROM entry_versions WHERE path = '{LUNCH}'");
    assert_eq!(namespace.sql("memory", "agentfs_look", &value).await?, "\"peanuts\"");

    // A name that is taken is refused, and what is there stays.
    let again = Task::create(&namespace, Kind::Restore, "look-again", look("agentfs_look")).await?;
    again.failed(&["agentfs_look"]).await?;
    assert_eq!(namespace.sql("memory", "agentfs_look", &value).await?, "\"peanuts\"");
    // The one that failed blocks nobody.
    Task::done(&namespace, Kind::Restore, "elsewhere", look("agentfs_elsewhere")).await.map(drop)
}

#[tokio::test]
#[ignore = "needs a cluster: make test-recovery"]
async fn a_broken_database_is_replaced_by_renaming() -> Result<(), Failure> {
    let (namespace, mut agent) = served(SPEC).await?;
    Task::done(&namespace, Kind::Backup, "first", json!({})).await?;
    put(&mut agent, "walnuts").await?;
    let rename = json!({"source": {"backup": "first"}, "target": {"inPlace": {"strategy": "RenameDatabase"}}});
    Task::done(&namespace, Kind::Restore, "back", rename).await?;
    has(&mut agent, "peanuts").await?;
    Task::done(&namespace, Kind::Restore, "undo", json!({"undo": "back"})).await?;
    has(&mut agent, "walnuts").await?;
    namespace.ready("memory").await.map(drop)
}

#[tokio::test]
#[ignore = "needs a cluster: make test-recovery"]
async fn a_memory_is_restored_in_the_room_that_it_has() -> Result<(), Failure> {
    let (namespace, mut agent) = served(SPEC).await?;
    Task::done(&namespace, Kind::Backup, "first", json!({"verify": "Restore"})).await?;
    put(&mut agent, "walnuts").await?;
    let clean =
        json!({"source": {"backup": "first"}, "target": {"inPlace": {"strategy": "Clean"}}});
    let restore = Task::done(&namespace, Kind::Restore, "back", clean).await?;
    has(&mut agent, "peanuts").await?;
    let status = &restore["status"];
    assert_eq!((&status["step"], &status["lostVersions"]), (&json!("Done"), &json!(1)), "{status}");
    is_sound(&namespace).await?;

    // Nothing of what was live is kept.
    assert!(status["previousUntil"].is_null(), "{status}");
    let undo = Task::create(&namespace, Kind::Restore, "undo", json!({"undo": "back"})).await?;
    undo.failed(&["AgentFSRestore back has kept nothing", "with the backup that is wanted"])
        .await?;
    put(&mut agent, "almonds").await?;
    namespace.ready("memory").await.map(drop)
}
