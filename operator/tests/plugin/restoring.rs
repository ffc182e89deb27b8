//! Restores: what is asked before, what is told meanwhile, and what Ctrl-C leaves.

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;

use super::server::Server;
use super::{ready, record};

const QUESTION: &str = "All versions written since then";

async fn server() -> Server {
    let server = Server::start().await;
    server.put("agentfsbackups", "memory-a", record(26, true));
    server.put("agentfsbackups", "memory-b", record(27, true));
    server.put("agentfsbackups", "memory-c", record(28, false));
    server
}

/// What a restore in place says from its beginning to its end.
fn statuses() -> [Value; 4] {
    [
        json!({"step": "Starting", "conditions": ready("False", "Running", "It runs.")}),
        json!({"step": "Loading", "progress": "37%", "conditions": ready("False", "Running", "It runs.")}),
        json!({"step": "Indexing", "progress": "62%", "downtime": "11ms", "switchedTime": "2026-11-28T14:08:12Z",
            "conditions": ready("False", "Running", "It runs.")}),
        json!({"step": "Done", "result": "Succeeded", "downtime": "11ms", "switchedTime": "2026-11-28T14:08:12Z",
            "finishedTime": "2026-11-28T14:09:00Z", "previousUntil": "2099-11-29T14:08:00Z", "lostVersions": 312,
            "steps": [{"name": "load", "milliseconds": 31_000}, {"name": "compare", "milliseconds": 4_000},
                {"name": "switch", "milliseconds": 900}, {"name": "index", "milliseconds": 22_000}],
            "conditions": ready("True", "Succeeded", "It is done.")}),
    ]
}

#[tokio::test]
async fn without_a_terminal_it_needs_a_yes_and_nothing_is_done_before() {
    let server = server().await;
    let ran = server.run("restore memory --latest-verified").await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stdout.contains(QUESTION) && ran.stderr.contains("Give --yes to agree"), "{ran:?}");
    assert_eq!(server.created(), Vec::<Value>::new());
}

#[tokio::test]
async fn the_backup_that_was_agreed_to_is_restored_and_its_steps_are_told() {
    let server = server().await;
    server.then("agentfsrestores", statuses());
    let ran = server.run("restore memory --latest-verified --keep-previous 2d --yes").await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    let created = server.created().remove(0);
    assert_eq!(created["metadata"], json!({"generateName": "restore-"}));
    let source = &created["spec"]["source"];
    assert_eq!(
        source["backup"], "memory-b",
        "another backup than that which was shown may be the newest by then"
    );
    assert_eq!(source["latestVerified"], false);
    assert_eq!(
        created["spec"]["target"],
        json!({"inPlace": {"strategy": "SwapSchema", "keepPrevious": "2d"}})
    );
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(
        lines[0],
        "memory: restoring memory-b (2026-11-27 02:00 UTC, verified 2026-11-27 02:04 UTC) in place"
    );
    assert!(
        lines[1].trim_start().starts_with(QUESTION) && lines[1].contains("kept for 2d"),
        "{ran:?}"
    );
    assert_eq!(lines[2], "  as restore-7d2kq");
    assert!(ran.stdout.contains("\n  Loading 37%   "), "{ran:?}");
    assert!(
        ran.stdout.contains("\n  Indexing 62%   the backup serves since 2026-11-28 14:08 UTC   "),
        "{ran:?}"
    );
    assert!(
        ran.stdout.ends_with(
            "\n  loaded      1,048,576 entries   31 s\n  verified    each table equals the backup's   4.0 s\n  switched    11ms\n  \
             indexed     the vectors   22 s\n  312 versions are not live any more\n  \
             undo with: kubectl agentfs restore --undo restore-7d2kq   (until 2099-11-29 14:08 UTC)\n"
        ),
        "{ran:?}"
    );

    // Whoever restores again learns that this is the last moment to undo it.
    let ran = server.run("restore memory --latest").await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.stdout.contains("\n  After this, restore-7d2kq can no longer be undone"),
        "{ran:?}"
    );

    // What is undone is found by its name alone.
    server.then("agentfsrestores", []);
    let ran = server.run("restore --undo restore-7d2kq --yes --wait=false").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("memory: undoing restore-7d2kq"), "{ran:?}");
    let created = server.created().remove(1);
    assert_eq!(created["metadata"], json!({"generateName": "undo-"}));
    assert_eq!(
        (&created["spec"]["agentFS"], &created["spec"]["undo"]),
        (&json!("memory"), &json!("restore-7d2kq"))
    );
    assert!(
        created["spec"].get("source").is_none() && created["spec"].get("target").is_none(),
        "{created}"
    );
}

#[tokio::test]
async fn a_new_database_changes_nothing_and_asks_nothing() {
    let server = server().await;
    let ran = server
        .run("restore memory --id agentfs_20261128_020000 --new-database look --wait=false")
        .await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let shown = "memory: restoring memory-c (2026-11-28 02:00 UTC, not verified) into the new database look\n";
    assert_eq!(ran.stdout, format!("{shown}agentfsrestore.agentfs.io/restore-7d2kq created\n"));
    let created = server.created().remove(0);
    assert_eq!(created["spec"]["source"]["id"], "agentfs_20261128_020000");
    assert_eq!(created["spec"]["target"], json!({"newDatabase": {"name": "look"}}));
}

#[tokio::test]
async fn on_a_terminal_it_asks_and_rewrites_its_line() {
    let server = server().await;
    let ran = server.run_on_terminal("restore memory --latest", "n\n").await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stdout.contains("Continue? [y/N]") && ran.stdout.contains("nothing was done"),
        "{ran:?}"
    );
    assert_eq!(server.created(), Vec::<Value>::new());

    server.then("agentfsrestores", statuses());
    let ran = server.run_on_terminal("restore memory --latest", "y\n").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(server.created()[0]["spec"]["source"]["backup"], "memory-c");
    assert!(ran.stdout.contains("\r\u{1b}[2K  Loading 37%"), "{ran:?}");
    assert!(
        ran.stdout.contains("undo with: kubectl agentfs restore --undo restore-7d2kq"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn ctrl_c_ends_the_waiting_and_says_that_the_restore_goes_on() {
    let server = server().await;
    let mut child = server.command("restore memory --latest --yes -n agents").spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // Once it tells how the restore stands, it waits.
    while !lines.next_line().await.unwrap().unwrap().starts_with("  Waiting") {}
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    assert_eq!(child.wait().await.unwrap().code(), Some(130));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
    assert_eq!(
        said,
        "error: stopped waiting. AgentFSRestore agents/restore-7d2kq goes on in the cluster. See how it goes: kubectl get afsr \
         restore-7d2kq -n agents -w. Before it has switched, this cancels it: kubectl delete afsr restore-7d2kq -n agents\n"
    );
}

#[tokio::test]
async fn one_that_is_deleted_meanwhile_is_told() {
    let server = server().await;
    let mut child = server.command("restore memory --latest --yes").spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while !lines.next_line().await.unwrap().unwrap().starts_with("  Waiting") {}
    server.remove_all("agentfsrestores");
    assert_eq!(child.wait().await.unwrap().code(), Some(1));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
    assert_eq!(
        said,
        "error: AgentFSRestore agents/restore-7d2kq failed: it was deleted before it finished\n"
    );
}
