//! `BackupFresh`: whether the newest backup is young enough.

use jiff::{SignedDuration, Timestamp};

use super::records::Recorded;
use super::runs::{Work, is_active, made, succeeded};
use crate::agentfs::observe::Observed;
use crate::agentfs::parts::backup::plan::{BackupPlan, last_by_cronjob};
use crate::agentfs::parts::migration::objects::no_backups;
use crate::agentfs::reasons;
use crate::agentfs::status_inputs::StatusInputs;
use crate::kit::conditions::{Failure, State, clock};
use crate::kit::sentences::without_full_stop;

/// The newest backup is young enough. It never makes Ready false.
pub const BACKUP_FRESH: &str = "BackupFresh";

impl Observed {
    /// When the newest backup was made that is there, as far as is known: as the records say, and where there are none, as the
    /// CronJob does.
    pub fn newest_backup(&self) -> Option<Timestamp> {
        let backups = self.backups();
        if backups.is_empty() {
            return last_by_cronjob(&self.parts.backup);
        }
        backups.newest().map(Recorded::finished)
    }
}

impl StatusInputs<'_> {
    /// Whether the newest backup is young enough.
    pub fn backup_fresh(&self) -> Option<State> {
        let backup = self.plan.parts.backup.wanted.enabled()?;
        let last = self.plan.parts.backup.last;
        let cronjob = self.cronjob(Work::Backup);
        if cronjob.is_none() && last.is_none() {
            return Some(State::unknown(reasons::NO_BACKUP_YET, "No backup was made yet."));
        }
        if let Some(field) = self.paused() {
            let last = last.map(|at| format!(" The last one succeeded at {}.", clock(at)));
            return Some(State::false_because(
                reasons::SUSPENDED,
                format!("{field} is true: no backups are made.{}", last.unwrap_or_default()),
            ));
        }
        let failure = self
            .backup_vanished()
            .or_else(|| self.database_unsupported(last))
            .or_else(|| self.trouble(Work::Backup, last))
            .or_else(|| self.backup_overdue(backup, last));
        if let Some(failure) = failure {
            return Some(State::Failed(failure));
        }
        Some(match (last, backup.next) {
            (Some(at), _) => State::true_because(
                reasons::FRESH,
                format!("The last backup succeeded at {}.", clock(at)),
            ),
            (None, _) if cronjob.is_some_and(is_active) => {
                State::unknown(reasons::BACKING_UP, "The first backup is being made.")
            }
            (None, Some(next)) => State::unknown(
                reasons::NO_BACKUP_YET,
                format!("No backup is known; the next one is due at {}.", clock(next)),
            ),
            (None, None) => State::unknown(reasons::NO_BACKUP_YET, "No backup is known."),
        })
    }

    fn backup_vanished(&self) -> Option<Failure> {
        let backups = self.observed.backups();
        let gone = backups.newest_if_vanished()?;
        let left = backups.newest().map_or_else(
            || "No other backup is left".to_owned(),
            |left| {
                format!("The newest that is left is {}, of {}", left.name(), clock(left.snapshot()))
            },
        );
        Some(Failure::new(
            reasons::BACKUP_VANISHED,
            format!(
                "The newest backup, {} of {}, is gone from {} since {}, and the rules of spec.backup did not remove it",
                gone.name(),
                clock(gone.snapshot()),
                gone.facts.location,
                clock(gone.vanished?)
            ),
            format!("{left}. Find out who deleted it; {}", self.how_to_run(Work::Backup)),
        ))
    }

    /// Why the first backup will fail. Once there is one, the migration knew less than is known now.
    fn database_unsupported(&self, last: Option<Timestamp>) -> Option<Failure> {
        let why = no_backups(self.observed).filter(|_| last.is_none())?;
        Some(Failure::new(
            reasons::DATABASE_UNSUPPORTED,
            format!("No backup of the database can be made: {}", without_full_stop(&why)),
            format!("Backups are then made by the schedule; {}", self.how_to_run(Work::Backup)),
        ))
    }

    fn backup_overdue(&self, backup: &BackupPlan, last: Option<Timestamp>) -> Option<Failure> {
        let hours = backup.spec.max_age_hours;
        let cronjob = self.cronjob(Work::Backup);
        let since = last.or_else(|| made(cronjob?))?;
        let age = self.observed.now.duration_since(since);
        if age <= SignedDuration::from_hours(hours.into()) {
            return None;
        }
        // Its Jobs succeed, and no record tells of what they made.
        let unrecorded =
            cronjob.and_then(succeeded).filter(|at| last.is_some_and(|last| *at > last));
        let unrecorded = unrecorded.map(|at| {
            format!(
                "A Job has succeeded at {}, and no AgentFSBackup tells of a backup by it: the log of its pod says why. ",
                clock(at)
            )
        });
        Some(Failure::new(
            reasons::BACKUP_OVERDUE,
            format!(
                "No backup has succeeded after {}, and the newest may be at most {hours} hours old",
                clock(since)
            ),
            format!(
                "{}Check that the CronJob runs (kubectl describe cronjob -n {} {}), and that \
                 spec.backup.maxAgeHours is more than the longest interval of the schedule.",
                unrecorded.unwrap_or_default(),
                self.plan.owner.namespace,
                self.plan.names.backup()
            ),
        ))
    }
}
