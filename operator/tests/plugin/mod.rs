//! `kubectl agentfs` as people run it: the program, a kubeconfig, and an API server behind it.

mod completion;
mod errors;
mod krew;
mod restoring;
mod server;

use serde_json::{Value, json};

use self::server::Server;

/// A condition Ready.
fn ready(status: &str, reason: &str, message: &str) -> Value {
    json!([{"type": "Ready", "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-11-28T14:08:00Z"}])
}

/// The record of a backup of that day, proven where it is said.
fn record(day: u8, proven: bool) -> Value {
    let at = format!("2026-11-{day:02}T02:00:00Z");
    let mut record = json!({
        "apiVersion": "agentfs.io/v1alpha1", "kind": "AgentFSBackup", "metadata": {"creationTimestamp": at},
        "spec": {"agentFS": "memory", "recordOf": format!("agentfs_202611{day:02}_020000")},
        "status": {"conditions": ready("True", "Succeeded", "It is there."), "backup": {
            "id": format!("agentfs_202611{day:02}_020000"), "location": "/backups", "instance": "0199", "scope": "Full",
            "snapshotTime": at, "finishedTime": at, "duration": "41s", "size": "1.2Gi", "bytes": 1_288_490_188_i64,
            "entries": 1_048_576, "databaseBytes": 4_000_000_000_i64, "postgres": "17.6", "encrypted": false}},
    });
    if proven {
        record["status"]["verification"] = json!({"verified": "True", "level": "Restore",
            "time": format!("2026-11-{day:02}T02:04:00Z"), "seconds": 34});
    }
    record
}

#[tokio::test]
async fn status_shows_what_is_proven_and_prints_objects_as_they_were_sent() {
    let server = Server::start().await;
    server.put("agentfsbackups", "memory-b", record(27, true));
    let page = server.run("status memory").await;
    assert_eq!((page.code, page.stderr.as_str()), (Some(0), ""));
    assert!(page.stdout.contains("by a restore of memory-b at 2026-11-27 02:04 UTC"), "{page:?}");
    let json = server.run("status memory -o json").await;
    let list: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(list["kind"], "List");
    assert_eq!(
        list["items"][0]["status"]["ofTomorrow"], "kept",
        "a field of a newer release is lost"
    );
    assert_eq!(list["items"][1]["metadata"]["name"], "memory-b");
    assert!(!json.stdout.contains("managedFields"), "{}", json.stdout);
    let yaml = server.run("backups memory --output yaml").await;
    let list: Value = serde_yaml_ng::from_str(&yaml.stdout).unwrap();
    assert_eq!(list["items"][0]["status"]["backup"]["size"], "1.2Gi");
    let names = server.run("backups memory -o name").await;
    assert_eq!(names.stdout, "agentfsbackup.agentfs.io/memory-b\n");
    let all = server.run("status").await;
    assert!(all.stdout.starts_with("NAME     READY   API"), "{all:?}");
}

#[tokio::test]
async fn a_backup_is_created_and_followed_to_its_end() {
    let server = Server::start().await;
    let mut made = record(28, true)["status"].clone();
    made["finishedTime"] = json!("2026-11-28T14:09:00Z");
    let waiting = json!({"conditions": ready("False", "Waiting", "AgentFSRestore undo is first.")});
    let running = json!({"conditions": ready("False", "Running", "It runs.")});
    server.then("agentfsbackups", [waiting.clone(), waiting.clone(), waiting, running, made]);
    let ran = server.run("backup memory --verify restore --scope entries").await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    let created = server.created().remove(0);
    assert_eq!(created["metadata"], json!({"generateName": "memory-"}));
    assert_eq!(
        created["spec"],
        json!({"agentFS": "memory", "scope": "Entries", "verify": "Restore", "deletionPolicy": "Retain"})
    );
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines[0], "memory: backing up as memory-7d2kq");
    assert!(lines[1].starts_with("  Waiting   "), "{ran:?}");
    assert_eq!(lines[2], "  AgentFSRestore undo is first.");
    assert!(lines[3].starts_with("  Running   "), "{ran:?}");
    assert_eq!(
        lines[4..],
        [
            "  backed up   1,048,576 entries   1.2Gi   41s   the moment 2026-11-28 02:00 UTC",
            "  verified    by a restore   34 s"
        ]
    );
}

#[tokio::test]
async fn what_is_not_waited_for_is_named_and_a_format_has_the_output_for_itself() {
    let server = Server::start().await;
    let ran = server.run("drill memory --wait=false").await;
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(0), "agentfsdrill.agentfs.io/memory-7d2kq created\n")
    );
    server.then("agentfsdrills", [json!({"result": "Succeeded", "rpo": "21h52m", "rto": "58s", "objectives": "met",
        "finishedTime": "2026-11-28T14:09:00Z", "conditions": ready("True", "Succeeded", "It passed.")})]);
    let ran = server.run("drill memory -o json").await;
    let drill: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(drill["status"]["rto"], "58s");
    assert!(ran.stderr.contains("RPO 21h52m   RTO 58s   objectives met"), "{ran:?}");
}

#[tokio::test]
async fn a_backup_that_is_drilled_is_there_and_named() {
    let server = Server::start().await;
    server.put("agentfsbackups", "memory-b", record(27, true));
    let ran = server.run("drill memory --backup memory-c --wait=false").await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let why = "there is no AgentFSBackup memory-c of memory. The newest are memory-b; kubectl agentfs backups memory lists all";
    assert!(ran.stderr.contains(why) && !ran.stderr.contains("--id"), "{ran:?}");
    assert_eq!(server.created(), Vec::<Value>::new());
    let ran = server.run("drill memory --backup memory-b --wait=false").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let spec = server.created().remove(0)["spec"].clone();
    assert_eq!(spec, json!({"agentFS": "memory", "backup": "memory-b"}));
    assert_eq!(server.run("drill memory --wait=false").await.code, Some(0));
    assert_eq!(server.created().pop().unwrap()["spec"], json!({"agentFS": "memory"}));
}

#[tokio::test]
async fn a_drill_that_does_not_pass_ends_with_1() {
    let server = Server::start().await;
    server.then(
        "agentfsdrills",
        [json!({"result": "Failed", "finishedTime": "2026-11-28T14:09:00Z",
        "conditions": ready("False", "Failed", "The marker did not come back.")})],
    );
    let ran = server.run("drill memory").await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(
        ran.stderr,
        "error: AgentFSDrill agents/memory-7d2kq failed: The marker did not come back.\n"
    );
}

#[tokio::test]
async fn a_verification_is_a_job_of_the_cronjob() {
    let server = Server::start().await;
    let ran = server.run("verify memory").await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("no CronJob memory-verify"), "{ran:?}");

    server.put("cronjobs", "memory-verify", json!({"apiVersion": "batch/v1", "kind": "CronJob", "spec": {"schedule": "0 4 * * 0",
        "jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "verify", "args": ["verify"]}]}}}}}}));
    server.put("agentfsbackups", "memory-b", record(27, true));
    server.then(
        "jobs",
        [json!({"active": 1}), json!({"conditions": [{"type": "Complete", "status": "True"}]})],
    );
    let ran = server.run("verify memory --backup memory-b").await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    let job = server.created().remove(0);
    assert_eq!(job["metadata"]["ownerReferences"][0]["uid"], "uid-of-memory-verify");
    let args = &job["spec"]["template"]["spec"]["containers"][0]["args"];
    assert_eq!(*args, json!(["verify", "--backup", "agentfs_20261127_020000"]));
    let begin = "memory: verifying agentfs_20261127_020000 by job.batch/memory-verify-7d2kq\n";
    assert!(ran.stdout.starts_with(begin), "{ran:?}");
}
