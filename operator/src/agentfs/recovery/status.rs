//! `status.backup`: what is known of the backups in moments and sizes.

use agentfs_contract::termination::BackupReport;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::records::{Backups, Drills, Recorded};
use super::runs::Work;
use crate::agentfs::observe::Observed;
use crate::agentfs::status_inputs::StatusInputs;
use crate::crd::agentfs::{BackupStatus, DrillStatus, Level};
use crate::crd::fields::Quantity;
use crate::kit::pods;
use crate::kit::volumes::size;

impl Observed {
    /// The backups that have a record.
    pub fn backups(&self) -> Backups<'_> {
        Backups::of(&self.recovery.backups)
    }

    /// The drills that have ended.
    pub fn drills(&self) -> Drills<'_> {
        Drills::of(&self.recovery.drills)
    }
}

impl StatusInputs<'_> {
    /// The same of an AgentFS that has backups.
    pub fn backups(&self) -> Backups<'_> {
        self.observed.backups()
    }

    /// The field by which no backups are made, where one says so.
    pub fn paused(&self) -> Option<&'static str> {
        let backup = self.plan.parts.backup.wanted.enabled()?;
        if self.plan.suspended {
            return Some("spec.suspend");
        }
        backup.spec.suspend.then_some("spec.backup.suspend")
    }

    /// What is known of the backups, where there are to be any.
    pub fn backup_status(&self) -> Option<BackupStatus> {
        let backup = self.plan.parts.backup.wanted.enabled()?;
        let backups = self.backups();
        let holds = |backup: Option<&Recorded<'_>>| backup.map(|backup| time(backup.snapshot()));
        Some(BackupStatus {
            last_successful_time: self.plan.parts.backup.last.map(time),
            next_time: backup.next.map(time),
            volume_size: self.children.backup.volume.as_ref().and_then(size),
            database_size: self.database_size(&backups),
            first_recoverable_time: holds(backups.oldest_restorable()),
            latest_verified_time: holds(backups.newest_proven(Level::Restore)),
            drill: self.last_drill(),
        })
    }

    /// How large the database was, as the newest backup says: its record, or its pod while that is there.
    fn database_size(&self, backups: &Backups<'_>) -> Option<Quantity> {
        let bytes = || {
            let pods = self.observed.pods_of(Work::Backup.component());
            let left = pods::left_by_the_newest_success(&pods)?;
            Some(BackupReport::read(&left)?.database_bytes)
        };
        let recorded = backups.newest().map(|backup| backup.facts.database_bytes);
        let recorded = recorded.and_then(|bytes| u64::try_from(bytes).ok());
        recorded.filter(|bytes| *bytes > 0).or_else(bytes).map(Quantity::of_bytes)
    }

    /// The newest drill that passed: its record says it, or what is remembered where that is younger or the record is gone.
    fn last_drill(&self) -> Option<DrillStatus> {
        let drills = self.observed.drills();
        let recorded = drills.newest_passed().map(|drill| DrillStatus {
            last_time: Some(time(drill.finished)),
            rpo_seconds: drill.rpo_seconds,
            rto_seconds: drill.rto_seconds,
        });
        let remembered = self.observed.recovery.remembered.clone();
        let ended = |drill: &DrillStatus| drill.last_time.as_ref().map(|time| time.0);
        recorded.into_iter().chain(remembered).max_by_key(ended)
    }
}

/// A moment as a status has it. A fraction of a second would not come back as it was written.
fn time(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// What is known of the backups `now`. Where no records say it, a CronJob that was deleted and made again knows of no success, and
/// the backup is there nevertheless; so it is when its pod is gone.
pub fn remembered(
    now: BackupStatus,
    former: Option<&BackupStatus>,
    is_recorded: bool,
) -> BackupStatus {
    let Some(former) = former.cloned() else { return now };
    let last_success = former.last_successful_time.filter(|_| !is_recorded);
    BackupStatus {
        last_successful_time: now.last_successful_time.or(last_success),
        database_size: now.database_size.or(former.database_size),
        ..now
    }
}
