//! The kind AgentFSRestore: what its Job does, what it waits for, and how it stands.

use agentfs_operator::crd::AgentFSRestore;
use agentfs_operator::kit::conditions::{Failure, State};
use agentfs_operator::task::observe::Seen;
use agentfs_operator::task::{Like, Orders, Task as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use crate::fixtures::{agentfs, now};

/// A restore with this name and spec.
pub(crate) fn restore(name: &str, spec: &Value, status: &Value) -> AgentFSRestore {
    let mut spec = spec.clone();
    spec["agentFS"] = json!("memory");
    let metadata = json!({"name": name, "namespace": "agents", "uid": format!("uid-of-{name}")});
    serde_json::from_value(json!({"apiVersion": "agentfs.io/v1alpha1", "kind": "AgentFSRestore",
        "metadata": metadata, "spec": spec, "status": status}))
    .unwrap()
}

/// What is seen where the schema is migrated.
pub(crate) fn seen() -> Seen {
    let mut agentfs = agentfs("minimal");
    let schema = json!({"type": "SchemaReady", "status": "True", "reason": "Migrated", "message": "It fits.",
                        "lastTransitionTime": "2026-11-23T14:00:00Z"});
    agentfs.status = serde_json::from_value(json!({"conditions": [schema]})).unwrap();
    Seen { agentfs: Some(agentfs), ..Seen::nothing(now()) }
}

/// An AgentFSBackup with this status.
fn backup(name: &str, status: &Value) -> agentfs_operator::crd::AgentFSBackup {
    serde_json::from_value(json!({"apiVersion": "agentfs.io/v1alpha1", "kind": "AgentFSBackup",
        "metadata": {"name": name, "namespace": "agents"}, "spec": {"agentFS": "memory"}, "status": status}))
    .unwrap()
}

/// The status of one that is made.
pub(crate) fn made(id: &str, location: &str) -> Value {
    let at = "2026-11-23T02:00:00Z";
    json!({"finishedTime": at, "backup": {"id": id, "location": location, "instance": "1-2", "scope": "Full",
        "snapshotTime": at, "finishedTime": at, "duration": "41s", "size": "1.2Gi", "bytes": 1, "entries": 1,
        "databaseBytes": 1, "postgres": "17.4", "encrypted": false}})
}

/// The seen with a backup in a volume, one in a bucket, one that is being made, one that failed and one that is gone.
fn with_backups() -> Seen {
    let failed = json!({"finishedTime": "2026-11-23T02:00:00Z", "conditions": [{"type": "Ready", "status": "False",
        "reason": "Failed", "message": "The bucket is not there.", "lastTransitionTime": "2026-11-23T02:00:00Z"}]});
    let mut gone = made("agentfs_20261101_020000", "/backups");
    gone["vanishedTime"] = json!("2026-11-22T02:00:00Z");
    let backups = vec![
        backup("nightly", &made("agentfs_20261123_020000", "/backups")),
        backup("bucket", &made("agentfs_20261122_020000", "s3://old/memory")),
        backup("making", &json!({})),
        backup("failed", &failed),
        backup("gone", &gone),
    ];
    Seen { backups, ..seen() }
}

/// The arguments of the Job of a restore with this spec.
fn arguments(spec: &Value, seen: &Seen) -> String {
    match restore("undo", spec, &json!({})).orders(seen) {
        Orders::Run(work) => work.arguments.join(" "),
        other => panic!("{spec}: {other:?}"),
    }
}

/// What is said in place of a Job, with its kind and reason.
fn said(spec: &Value, seen: &Seen) -> (&'static str, String, String) {
    match restore("undo", spec, &json!({})).orders(seen) {
        Orders::Wait(State::Progressing { reason, message }) => {
            ("waits", reason.to_string(), message)
        }
        Orders::Wait(State::Failed(Failure { reason, what, remedy })) => {
            ("asks", reason.to_string(), format!("{what}. {remedy}"))
        }
        Orders::Refuse(Failure { reason, what, remedy }) => {
            ("refuses", reason.to_string(), format!("{what}. {remedy}"))
        }
        other => panic!("{spec}: {other:?}"),
    }
}

#[test]
fn each_source_and_target_has_its_arguments() {
    let seen = with_backups();
    let in_place = json!({"inPlace": {}});
    for (spec, wanted) in [
        (
            json!({"source": {"latestVerified": true}, "target": in_place}),
            "restore --in-place --yes --backup=latest-verified --strategy=swap-schema --security=live --keep-previous=24h",
        ),
        (
            json!({"source": {"backup": "nightly"}, "target": {"inPlace": {"strategy": "RenameDatabase", "keepPrevious": "2d"}},
                   "security": "FromBackup", "allowForeign": true}),
            "restore --in-place --yes --backup=1-2/agentfs_20261123_020000 --strategy=rename-database --security=from-backup \
             --keep-previous=2d --allow-foreign",
        ),
        (
            json!({"source": {"latestVerified": true}, "target": {"inPlace": {"strategy": "Clean"}}}),
            "restore --in-place --yes --backup=latest-verified --strategy=clean --security=live --keep-previous=24h",
        ),
        (
            json!({"source": {"backup": "bucket"}, "target": {"newDatabase": {"name": "look"}}}),
            "restore --into-database=look --backup=1-2/agentfs_20261122_020000 --from=s3://old/memory",
        ),
        (
            json!({"source": {"id": "1-2/agentfs_20261122_020000", "location": "s3://dr/memory"}, "target": {"newDatabase": {"name": "look"}}}),
            "restore --into-database=look --backup=1-2/agentfs_20261122_020000 --from=s3://dr/memory",
        ),
        (
            json!({"source": {"latest": true, "location": "/backups/old"}, "target": in_place}),
            "restore --in-place --yes --backup=latest --from=/backups/old --strategy=swap-schema --security=live --keep-previous=24h",
        ),
    ] {
        assert_eq!(arguments(&spec, &seen), wanted, "{spec}");
    }
}

#[test]
fn its_job_is_like_a_verification_where_there_are_any() {
    let spec = json!({"source": {"latest": true}, "target": {"inPlace": {}}});
    let mut seen = seen();
    let like = |seen: &Seen| match restore("undo", &spec, &json!({})).orders(seen) {
        Orders::Run(work) => work.like,
        other => panic!("{other:?}"),
    };
    assert_eq!(like(&seen), Like::Backup);
    let requests = json!({"agentfs.io/requests": "true"});
    let cronjob = json!({"metadata": {"name": "memory-verify", "annotations": requests}});
    seen.cronjobs.insert("memory-verify".into(), serde_json::from_value(cronjob).unwrap());
    assert_eq!(like(&seen), Like::Verify);
}

#[test]
fn a_backup_that_is_not_there_is_asked_for_waited_for_or_refused() {
    let seen = with_backups();
    let of = |name: &str| json!({"source": {"backup": name}, "target": {"inPlace": {}}});
    for (name, how, reason, words) in [
        (
            "none",
            "asks",
            "NoSuchBackup",
            "There is no AgentFSBackup none of this AgentFS. The restore begins by itself",
        ),
        (
            "making",
            "waits",
            "AwaitingBackup",
            "The restore waits for the AgentFSBackup making, which is not made yet",
        ),
        (
            "failed",
            "refuses",
            "NoSuchBackup",
            "has ended without a backup: The bucket is not there. Create another",
        ),
    ] {
        let (is, because, message) = said(&of(name), &seen);
        assert_eq!((is, because.as_str()), (how, reason), "{name}: {message}");
        assert!(message.contains(words), "{name}: {message}");
    }
}

/// It may have been carried out before, when the backup was there: the database knows.
#[test]
fn a_backup_that_is_gone_is_left_to_the_command() {
    let mut seen = with_backups();
    let of = |name: &str| json!({"source": {"backup": name}, "target": {"newDatabase": {"name": "look"}}});
    let gone = "restore --into-database=look --backup=1-2/agentfs_20261101_020000";
    assert_eq!(arguments(&of("gone"), &seen), gone);

    let unknown = "restore --into-database=look --backup=AgentFSBackup/again";
    let mut restore = restore("back", &of("again"), &json!({}));
    let mut run = |seconds_ago: i64, seen: &Seen| {
        let created = seen.now - jiff::SignedDuration::from_secs(seconds_ago);
        restore.metadata.creation_timestamp = Some(Time(created));
        match restore.orders(seen) {
            Orders::Run(work) => Some(work.arguments.join(" ")),
            _ => None,
        }
    };
    assert_eq!((run(599, &seen), run(600, &seen).as_deref()), (None, Some(unknown)));
    let done = json!({"finishedTime": "2026-11-23T02:00:00Z", "conditions": [{"type": "Ready", "status": "True",
        "reason": "AlreadyDone", "message": "x", "lastTransitionTime": "2026-11-23T02:00:00Z"}]});
    seen.backups.push(backup("again", &done));
    assert_eq!(run(1, &seen).as_deref(), Some(unknown));
}

#[test]
fn it_waits_for_a_migration_and_not_for_one_that_failed() {
    let spec = json!({"source": {"latest": true}, "target": {"inPlace": {}}});
    let at = |reason: &str| {
        let mut seen = seen();
        let status = seen.agentfs.as_mut().unwrap().status.as_mut().unwrap();
        status.conditions[0].reason = reason.into();
        restore("undo", &spec, &json!({})).orders(&seen)
    };
    for reason in [
        "Migrating",
        "AwaitingDatabase",
        "AwaitingCredentials",
        "AwaitingReconcile",
        "AwaitingBackup",
    ] {
        assert!(matches!(at(reason), Orders::Wait(State::Progressing { .. })), "{reason}");
    }
    for reason in ["Migrated", "MigrationFailed", "BackupBeforeFailed", "RehearsalFailed"] {
        assert!(matches!(at(reason), Orders::Run(_)), "{reason}");
    }
    let mut unseen = seen();
    unseen.agentfs.as_mut().unwrap().status = None;
    assert_eq!(said(&spec, &unseen).1, "AwaitingSchema");
}

const SWITCHED: &str = "2026-11-23T12:00:00Z";
const BEFORE: &str = "2026-11-23T10:00:00Z";
const LATER: &str = "2026-11-23T13:00:00Z";

/// The status of a restore in place that came to its end.
fn done(switched: &str, until: &str) -> Value {
    json!({"id": "0199aaaa", "step": "Done", "result": "Succeeded", "switchedTime": switched, "finishedTime": switched,
           "previousUntil": until})
}

fn in_place(name: &str, status: &Value) -> AgentFSRestore {
    restore(name, &json!({"source": {"latest": true}, "target": {"inPlace": {}}}), status)
}

#[test]
fn the_last_restore_in_place_is_undone() {
    let earlier = in_place("earlier", &done(BEFORE, "2026-11-24T10:00:00Z"));
    let target = in_place("bring-back", &done(SWITCHED, "2026-11-24T12:00:00Z"));
    let look = restore(
        "look",
        &json!({"source": {"latest": true}, "target": {"newDatabase": {"name": "look"}}}),
        &done(LATER, LATER),
    );
    let seen = Seen { restores: vec![earlier, target, look], ..seen() };
    assert_eq!(
        arguments(&json!({"undo": "bring-back"}), &seen),
        "restore --undo --yes --restore=0199aaaa"
    );
    let kept = json!({"undo": "bring-back", "target": {"inPlace": {"keepPrevious": "1h"}}});
    assert_eq!(
        arguments(&kept, &seen),
        "restore --undo --yes --restore=0199aaaa --keep-previous=1h"
    );
}

#[test]
fn what_cannot_be_undone_is_said() {
    let until = "2026-11-24T12:00:00Z";
    let running = json!({"step": "Indexing", "result": "Succeeded", "switchedTime": SWITCHED});
    let failed = json!({"step": "Failed", "result": "Failed", "finishedTime": SWITCHED});
    let mut without_id = done(SWITCHED, until);
    without_id["id"].take();
    let mut without_previous = done(SWITCHED, until);
    without_previous["previousUntil"].take();
    let new = json!({"source": {"latest": true}, "target": {"newDatabase": {"name": "look"}}});
    let over = "2026-11-23T14:02:11Z";
    for (target, how, reason, words) in [
        (
            in_place("other", &json!({})),
            "asks",
            "NoSuchRestore",
            "There is no AgentFSRestore it of this AgentFS",
        ),
        (
            in_place("it", &running),
            "waits",
            "AwaitingRestore",
            "waits for the end of the AgentFSRestore it",
        ),
        (
            in_place("it", &json!({})),
            "waits",
            "AwaitingRestore",
            "waits for the end of the AgentFSRestore it",
        ),
        (
            in_place("it", &failed),
            "refuses",
            "CannotBeUndone",
            "has restored nothing: its result is Failed. There is",
        ),
        (
            restore("it", &new, &done(SWITCHED, until)),
            "refuses",
            "CannotBeUndone",
            "has made a new database",
        ),
        (
            in_place("it", &done(SWITCHED, over)),
            "refuses",
            "CannotBeUndone",
            "was kept until 2026-11-23 14:02:11 UTC",
        ),
        (
            in_place("it", &without_previous),
            "refuses",
            "CannotBeUndone",
            "it has kept nothing of what was live before. Create an AgentFSRestore with the backup",
        ),
        (in_place("it", &without_id), "refuses", "CannotBeUndone", "is not known"),
    ] {
        let seen = Seen { restores: vec![target], ..seen() };
        let (is, because, message) = said(&json!({"undo": "it"}), &seen);
        assert_eq!((is, because.as_str()), (how, reason), "{message}");
        assert!(message.contains(words), "{message}");
    }
}

/// Its status knows of no switch, and perhaps this very undoing was carried out before as well.
#[test]
fn the_undoing_of_one_that_was_carried_out_before_is_left_to_the_command() {
    let mut status = json!({"step": "Done", "result": "AlreadyDone", "finishedTime": SWITCHED, "id": "0199aaaa"});
    let with = |status: &Value| Seen { restores: vec![in_place("it", status)], ..seen() };
    let undo = json!({"undo": "it"});
    assert_eq!(arguments(&undo, &with(&status)), "restore --undo --yes --restore=0199aaaa");
    status["id"].take();
    let (is, _, message) = said(&undo, &with(&status));
    assert_eq!(is, "refuses");
    assert!(message.contains("is not known, since it ran before"), "{message}");

    // What it takes back is deleted.
    let mut again = restore("undo", &undo, &json!({}));
    again.metadata.creation_timestamp = Some(Time(now() - jiff::SignedDuration::from_mins(10)));
    let Orders::Run(work) = again.orders(&Seen { restores: Vec::new(), ..seen() }) else {
        panic!("it is refused");
    };
    let none = "--restore=00000000-0000-0000-0000-000000000000";
    assert_eq!(work.arguments, ["restore", "--undo", "--yes", none]);
}

#[test]
fn one_that_another_came_after_is_not_undone() {
    let until = "2026-11-24T12:00:00Z";
    let undone = restore("back", &json!({"undo": "it"}), &done(LATER, until));
    let again = in_place(
        "again",
        &json!({"step": "Indexing", "result": "Succeeded", "switchedTime": LATER}),
    );
    for later in [undone, again] {
        let name = later.metadata.name.clone().unwrap();
        let seen = Seen { restores: vec![in_place("it", &done(SWITCHED, until)), later], ..seen() };
        let (is, reason, message) = said(&json!({"undo": "it"}), &seen);
        assert_eq!((is, reason.as_str()), ("refuses", "CannotBeUndone"));
        assert!(
            message.starts_with(&format!("The AgentFSRestore {name} came after it")),
            "{message}"
        );
        assert!(message.contains(&format!("spec.undo: {name}")), "{message}");
    }
}
