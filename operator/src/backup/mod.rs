//! The kind `AgentFSBackup`: backups that somebody asks for, and the records of the others.

mod deletion;

use agentfs_contract::setting;
use agentfs_contract::termination::BackupReport;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt as _;

use crate::crd::AgentFSBackup;
use crate::crd::backup::{
    AgentFSBackupStatus, BackupFacts, DeletionPolicy, Scope, UPGRADE, Verify,
};
use crate::kit::conditions::{Failure, READY, State, clock};
use crate::kit::sentences::without_full_stop;
use crate::task::deletion::Deletion;
use crate::task::observe::Seen;
use crate::task::outcome::Stage;
use crate::task::{Like, Orders, Report, Task, Work, reasons, same, scratch};

impl Task for AgentFSBackup {
    const WHAT: &'static str = "backup";

    fn agentfs(&self) -> &str {
        &self.spec.agent_fs
    }

    fn ended_at(&self) -> Option<Timestamp> {
        self.status.as_ref()?.finished_time.as_ref().map(|time| time.0)
    }

    fn ttl_seconds(&self) -> Option<i64> {
        self.spec.ttl_seconds_after_finished
    }

    /// Pods find that a backup is gone, or there again: also one that was made for a resource of its own.
    fn record(&self) -> Option<State> {
        let status = self.status.as_ref();
        let Some(backup) = status.and_then(|status| status.backup.as_ref()) else {
            let id = self.spec.record_of.as_ref()?;
            let message = format!("The backup {id} is being recorded");
            return Some(State::progressing(reasons::RUNNING, message));
        };
        if let Some(since) = status.and_then(|status| status.vanished_time.as_ref()) {
            return Some(State::Failed(vanished(self, backup, since.0)));
        }
        let was_gone = status.is_some_and(|status| {
            let ready = status.conditions.iter().find(|c| c.type_ == READY);
            ready.is_some_and(|ready| ready.reason == reasons::VANISHED.as_str())
        });
        (self.spec.record_of.is_some() || was_gone).then(|| made(backup))
    }

    fn written_by_pods(&self) -> String {
        let status = self.status.as_ref();
        let written = status.map(|s| (&s.backup, &s.verification, &s.vanished_time));
        serde_json::to_string(&written).unwrap_or_default()
    }

    fn afterwards(&self) -> String {
        if self.annotations().contains_key(UPGRADE) {
            return format!("then AgentFS {} makes another one by itself", self.agentfs());
        }
        "then create another AgentFSBackup, with another name, since each runs only once".to_owned()
    }

    fn orders(&self, seen: &Seen) -> Orders {
        let verify = match self.spec.verify {
            Verify::None => None,
            Verify::Restore if self.annotations().contains_key(UPGRADE) => Some("--rehearse"),
            Verify::Archive => Some("--verify=archive"),
            Verify::Restore => Some("--verify=restore"),
        };
        // A restore needs a volume, which Jobs have that are like those of the verifications.
        let restores = self.spec.verify == Verify::Restore;
        let has_volume = seen.cronjob(Like::Verify, self.agentfs()).is_some();
        let scope = match self.spec.scope {
            Scope::Full => "--scope=full",
            Scope::Entries => "--scope=entries",
        };
        // What is removed, and when, the schedule alone says.
        let arguments = ["backup", scope, "--prune=false"].into_iter().chain(verify);
        Orders::Run(Work {
            like: if restores && has_volume { Like::Verify } else { Like::Backup },
            arguments: arguments.map(str::to_owned).collect(),
            variables: vec![(setting::RECORD, self.name_any())],
        })
    }

    fn deletes_more(&self) -> bool {
        self.spec.deletion_policy == DeletionPolicy::Delete
    }

    fn deletion(&self, seen: &Seen) -> Deletion {
        deletion::deletion(self, seen)
    }

    fn failure(&self, left: &str, seen: &Seen) -> Option<Failure> {
        if let Some(full) = scratch::too_small(self, left, seen.job.as_ref()) {
            return Some(full);
        }
        let report = BackupReport::read(left)?;
        let id = report.backup?.id;
        let what = match (report.message, report.verification) {
            (Some(why), _) => {
                format!("The backup {id} is made and was not verified: {}", without_full_stop(&why))
            }
            (None, found) => {
                let found = found.and_then(|found| found.message).unwrap_or_default();
                let found = without_full_stop(&found);
                format!("The backup {id} is made and cannot be relied on: {found}")
            }
        };
        Some(Failure::new(
            reasons::FAILED,
            what,
            format!("Fix what the message names, {}.", self.afterwards()),
        ))
    }

    fn report(&self, stage: &Stage, _seen: &Seen) -> Report<AgentFSBackupStatus> {
        let mut status = self.status.clone().unwrap_or_default();
        if let Stage::Succeeded { left, .. } | Stage::Failed { left, .. } = stage
            && let Some(report) = BackupReport::read(left)
        {
            // Its pod writes both itself, where it can reach the API server.
            status.backup = status.backup.or_else(|| report.backup.and_then(|made| same(&made)));
            status.verification =
                status.verification.or_else(|| report.verification.and_then(|found| same(&found)));
        }
        status.finished_time = status.finished_time.or(stage.ended_at().map(Time));
        let ready = match (stage, &status.backup) {
            (Stage::Succeeded { .. }, Some(backup)) => made(backup),
            _ => stage.ready(self),
        };
        Report { states: vec![(READY, ready)], status }
    }

    fn with_conditions(
        status: AgentFSBackupStatus,
        conditions: Vec<Condition>,
        generation: Option<i64>,
    ) -> AgentFSBackupStatus {
        AgentFSBackupStatus { conditions, observed_generation: generation, ..status }
    }
}

/// That a backup is made and there.
fn made(backup: &BackupFacts) -> State {
    let BackupFacts { id, location, snapshot_time, entries, size, .. } = backup;
    State::true_because(
        reasons::SUCCEEDED,
        format!(
            "The backup {id} of {} is in {location}: {entries} entries, {size}.",
            clock(snapshot_time.0)
        ),
    )
}

/// That a backup is gone.
fn vanished(record: &AgentFSBackup, backup: &BackupFacts, since: Timestamp) -> Failure {
    let BackupFacts { id, location, .. } = backup;
    Failure::new(
        reasons::VANISHED,
        format!(
            "The backup {id} is gone from {location}, which was found at {}; no rule of the schedule removed it",
            clock(since)
        ),
        format!(
            "Bring it back, and find out who removed it. If nobody needs it, delete this record: kubectl delete afsb -n {} {}",
            record.namespace().unwrap_or_default(),
            record.name_any()
        ),
    )
}
