//! How an AgentFSRestore stands, as `kubectl get afsr -w` and its conditions tell.

use agentfs_contract::progress::Progress;
use agentfs_contract::termination::{AlreadyDone, RestoreReport, UnfinishedRestore};
use agentfs_contract::verification::Step;
use agentfs_operator::crd::{self, AgentFSRestore};
use agentfs_operator::kit::conditions::{Failure, State};
use agentfs_operator::kit::reasons::Reason;
use agentfs_operator::task::Task as _;
use agentfs_operator::task::observe::Seen;
use agentfs_operator::task::outcome::Stage;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::golden::bound;
use crate::restore::{made, restore, seen};

const BACKUP: &str = "agentfs_20261127_020000";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A restore in place whose stages are told one after the other.
struct Watched {
    restore: AgentFSRestore,
    seen: Seen,
    /// The state of `Ready`, as it was told last.
    ready: Option<State>,
}

impl Watched {
    fn new(spec: &Value) -> Self {
        let record = json!({"apiVersion": "agentfs.io/v1alpha1", "kind": "AgentFSBackup",
            "metadata": {"name": "memory-x7k2p", "namespace": "agents"}, "spec": {"agentFS": "memory"},
            "status": made(BACKUP, "/backups")});
        let backups = vec![serde_json::from_value(record).unwrap()];
        let seen = Seen { backups, ..seen() };
        Self { restore: restore("undo", spec, &json!({})), seen, ready: None }
    }

    fn in_place() -> Self {
        Self::new(&json!({"source": {"latestVerified": true}, "target": {"inPlace": {}}}))
    }

    /// What is told of a stage, as a row of `kubectl get`.
    fn told(&mut self, stage: &Stage) -> String {
        let report = self.restore.report(stage, &self.seen);
        let (kind, ready) = report.states.into_iter().next().unwrap();
        assert_eq!(kind, "Ready");
        self.ready = Some(ready);
        self.restore.status = Some(report.status);
        self.row()
    }

    fn progress(&mut self, progress: &Progress) -> String {
        self.told(&Stage::Running { progress: Some(progress.clone()), trouble: None })
    }

    fn row(&self) -> String {
        let object = serde_json::to_value(&self.restore).unwrap();
        let cells = columns().into_iter().map(|(_, path)| {
            let pointer = path.replace('.', "/");
            object.pointer(&pointer).and_then(Value::as_str).unwrap_or("-").to_owned()
        });
        std::iter::once("undo".to_owned()).chain(cells).map(padded).collect()
    }

    fn status(&self) -> Value {
        serde_json::to_value(self.restore.status.as_ref().unwrap()).unwrap()
    }

    /// The reason and sentence of `Ready`, with a word for what it is.
    fn ready(&self) -> (&'static str, String, String) {
        match self.ready.clone().unwrap() {
            State::True { reason, message } => ("True", reason.to_string(), message),
            State::Progressing { reason, message } => ("Progressing", reason.to_string(), message),
            State::Failed(Failure { reason, what, remedy }) => {
                ("Failed", reason.to_string(), format!("{what}. {remedy}"))
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A cell as wide as a column.
#[allow(clippy::needless_pass_by_value)] // for an iterator of them
fn padded(cell: String) -> String {
    format!("{cell:<14}")
}

/// Names and paths of the columns that are always shown, but for the age.
fn columns() -> Vec<(String, String)> {
    let definition =
        crd::all().into_iter().find(|of| of.spec.names.kind == "AgentFSRestore").unwrap();
    let columns = definition.spec.versions[0].additional_printer_columns.clone().unwrap();
    let shown =
        columns.into_iter().filter(|column| column.priority.is_none() && column.type_ != "date");
    shown.map(|column| (column.name.to_uppercase(), column.json_path)).collect()
}

fn loading() -> Progress {
    Progress {
        step: "load".into(),
        of: Some("entries".into()),
        percent: Some(37),
        backup: Some(BACKUP.into()),
        lost_versions: Some(300),
        ..Progress::default()
    }
}

fn switched() -> Progress {
    let switched_at = Some(at("2026-11-28T14:08:00Z"));
    Progress {
        step: "lost".into(),
        percent: Some(5),
        switched_at,
        switch_seconds: Some(0.011_2),
        ..loading()
    }
}

fn report() -> RestoreReport {
    RestoreReport {
        restore: "0199aaaa-0000-7000-8000-000000000001".into(),
        backup: BACKUP.into(),
        undone: false,
        switched_at: at("2026-11-28T14:08:00Z"),
        switch_seconds: 0.011_2,
        lost_versions: 312,
        lost_tenants: 2,
        lost: Vec::new(),
        serving_seconds: 36.0,
        indexed_seconds: Some(80.0),
        previous_until: at("2026-11-29T14:08:00Z"),
        steps: vec![Step { name: "load".into(), seconds: 31.25 }],
    }
}

fn succeeded(left: String) -> Stage {
    Stage::Succeeded { left, at: at("2026-11-28T14:09:00Z") }
}

fn failed(left: String) -> Stage {
    let failure = Failure::new(
        Reason::new("Failed"),
        "The restore failed: the database is away",
        "Look at it.",
    );
    Stage::Failed { failure, left, at: at("2026-11-28T14:09:00Z") }
}

#[test]
fn kubectl_get_shows_each_step() {
    let mut watched = Watched::in_place();
    let head = columns().into_iter().map(|(name, _)| name);
    let head: String = std::iter::once("NAME".to_owned()).chain(head).map(padded).collect();
    let waits = Stage::Waiting(State::progressing(Reason::new("AwaitingTurn"), "It waits"));
    let running = Stage::Running { progress: None, trouble: None };
    let step = |step: &str, percent| Progress { step: step.into(), percent, ..loading() };
    let mut rows = vec![head, watched.told(&waits), watched.told(&running)];
    for progress in [loading(), step("compare", Some(100)), step("switch", None), switched()] {
        rows.push(watched.progress(&progress));
        // Nobody is asked for the backups while the Job works.
        watched.seen.backups.clear();
    }
    rows.push(watched.progress(&Progress {
        step: "index".into(),
        percent: Some(62),
        ..switched()
    }));
    // It does not answer for a moment.
    rows.push(watched.told(&running));
    rows.push(watched.told(&succeeded(report().write())));
    let rows: Vec<_> = rows.iter().map(|row| row.trim_end()).collect();
    bound(|| insta::assert_snapshot!("restore-columns", rows.join("\n")));
}

#[test]
fn a_restore_that_came_to_its_end_tells_what_it_did_and_how_to_take_it_back() {
    let mut watched = Watched::in_place();
    watched.progress(&switched());
    assert_eq!(watched.status()["lostVersions"], 300, "an estimate");
    watched.told(&succeeded(report().write()));
    let (status, reason, message) = watched.ready();
    assert_eq!((status, reason.as_str()), ("True", "Succeeded"));
    assert_eq!(
        message,
        "agentfs_20261127_020000 is live since 2026-11-28 14:08:00 UTC; requests waited 11ms at most. 312 versions of 2 tenants that were \
         written since are not live any more. Until 2026-11-29 14:08:00 UTC another AgentFSRestore with spec.undo: undo undoes it."
    );
    let status = watched.status();
    assert_eq!(status["lostVersions"], 312);
    assert_eq!(status["id"], "0199aaaa-0000-7000-8000-000000000001");
    assert_eq!(status["switchedTime"], "2026-11-28T14:08:00Z");
    assert_eq!(status["previousUntil"], "2026-11-29T14:08:00Z");
    assert_eq!(status["finishedTime"], "2026-11-28T14:09:00Z");
    assert_eq!(status["steps"], json!([{"name": "load", "milliseconds": 31250}]));
    assert!(watched.restore.ended_at().is_some());
}

#[test]
fn nothing_kept_and_nothing_indexed_is_said() {
    let mut watched = Watched::in_place();
    let report = RestoreReport {
        lost_versions: 0,
        lost_tenants: 0,
        indexed_seconds: None,
        previous_until: report().switched_at,
        switch_seconds: 1.26,
        ..report()
    };
    watched.told(&succeeded(report.write()));
    let (_, _, message) = watched.ready();
    assert_eq!(
        message,
        "agentfs_20261127_020000 is live since 2026-11-28 14:08:00 UTC; requests waited 1.3s at most. Some vector indexes are \
         not built, so semantic search is slower; `agentfs-server admin embeddings index` builds them. It cannot be undone, \
         since nothing of \
         what was live before is kept."
    );
    let status = watched.status();
    assert_eq!(status["switchedTime"], "2026-11-28T14:08:00Z");
    assert!(status.get("previousUntil").is_none(), "{status}");
}

#[test]
fn what_has_switched_is_a_success_while_indexing_goes_on() {
    let mut watched = Watched::in_place();
    watched.progress(&switched());
    let status = watched.status();
    assert_eq!((&status["step"], &status["result"]), (&json!("Switched"), &json!("Succeeded")));
    assert_eq!(watched.restore.ended_at(), None, "its Job goes on");
    let (status, reason, message) = watched.ready();
    assert_eq!((status, reason.as_str()), ("Progressing", "Running"));
    assert!(
        message.starts_with("What was restored is live since 2026-11-28 14:08:00 UTC"),
        "{message}"
    );
    // A pod that takes over begins anew.
    watched.progress(&Progress { step: "tables".into(), ..Progress::default() });
    assert_eq!(watched.status()["step"], "Switched");
    watched.told(&Stage::Waiting(State::progressing(Reason::new("Suspended"), "It waits")));
    assert_eq!(watched.status()["step"], "Switched");
}

#[test]
fn what_fails_after_its_switch_has_not_failed() {
    let unfinished =
        UnfinishedRestore { message: "it is switched".into(), transient: true, has_switched: true };
    for (is_seen, left) in [(true, String::new()), (false, unfinished.write())] {
        let mut watched = Watched::in_place();
        if is_seen {
            watched.progress(&switched());
        }
        watched.told(&failed(left));
        let status = watched.status();
        assert_eq!((&status["step"], &status["result"]), (&json!("Done"), &json!("Succeeded")));
        let since = if is_seen { "14:08:00" } else { "14:09:00" };
        let (status, reason, message) = watched.ready();
        assert_eq!((status, reason.as_str()), ("True", "Succeeded"));
        assert_eq!(
            message,
            format!(
                "What was restored is live since 2026-11-28 {since} UTC. Its Job did not come to its end: The restore failed: the database \
                 is away. The next backup, verification, drill, migration or restore of this AgentFS does what is left."
            )
        );
    }
}

#[test]
fn what_fails_before_its_switch_has_failed() {
    let mut watched = Watched::in_place();
    watched.progress(&loading());
    watched.told(&failed(String::new()));
    let status = watched.status();
    assert_eq!(
        (&status["step"], &status["result"], &status["progress"]),
        (&json!("Failed"), &json!("Failed"), &Value::Null)
    );
    assert!(status.get("switchedTime").is_none() && watched.restore.ended_at().is_some());
    let (status, _, message) = watched.ready();
    assert_eq!(
        (status, message.as_str()),
        ("Failed", "The restore failed: the database is away. Look at it.")
    );
}

#[test]
fn one_that_was_carried_out_before_says_when() {
    for (succeeded, step) in [(true, "Done"), (false, "Failed")] {
        let mut watched = Watched::in_place();
        let already_done = at("2026-11-20T10:00:00Z");
        let switched_at = succeeded.then(|| at("2026-11-20T09:59:00Z"));
        let done = AlreadyDone {
            already_done,
            succeeded,
            message: "it is as it was".into(),
            restore: Some("0199-a".into()),
            switched_at,
            previous_until: switched_at.map(|at| at + jiff::SignedDuration::from_hours(24)),
        };
        watched.told(&Stage::AlreadyDone { done, at: at("2026-11-28T14:09:00Z") });
        let status = watched.status();
        assert_eq!((&status["step"], &status["result"]), (&json!(step), &json!("AlreadyDone")));
        assert_eq!(status["id"], "0199-a", "it could not be undone");
        for (field, moment) in
            [("switchedTime", "2026-11-20T09:59:00Z"), ("previousUntil", "2026-11-21T09:59:00Z")]
        {
            assert_eq!(status[field].as_str(), succeeded.then_some(moment), "{field}");
        }
        let (status, reason, message) = watched.ready();
        assert_eq!((status == "True", reason.as_str()), (succeeded, "AlreadyDone"));
        assert!(
            message.contains("2026-11-20 10:00:00 UTC") && message.contains("another name"),
            "{message}"
        );
    }
}

#[test]
fn a_new_database_takes_the_place_of_nothing() {
    let mut watched = Watched::new(
        &json!({"source": {"backup": "memory-x7k2p"}, "target": {"newDatabase": {"name": "look"}}}),
    );
    let row = watched.told(&succeeded(report().write()));
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(cells, ["undo", "memory", "memory-x7k2p", "Done", "-", "-", "Succeeded"]);
    let (_, _, message) = watched.ready();
    assert_eq!(
        message,
        "The database look holds agentfs_20261127_020000. Keys that were ended since are valid in it: end them there as well before \
         anything serves from it."
    );
    let status = watched.status();
    for field in ["switchedTime", "previousUntil", "lostVersions"] {
        assert!(status.get(field).is_none(), "{field}");
    }
}

#[test]
fn an_undoing_names_what_it_takes_back() {
    let mut watched = Watched::new(&json!({"undo": "bring-back"}));
    let row = watched.told(&succeeded(RestoreReport { undone: true, ..report() }.write()));
    assert_eq!(row.split_whitespace().nth(2), Some("bring-back"));
    let (_, _, message) = watched.ready();
    assert!(
        message.starts_with("bring-back is undone: what was live before it is live again since "),
        "{message}"
    );
}

#[test]
fn a_backup_without_a_record_is_named_by_its_id() {
    let mut watched = Watched::in_place();
    watched.seen.backups.clear();
    watched.progress(&loading());
    assert_eq!(watched.status()["source"], BACKUP);
}
