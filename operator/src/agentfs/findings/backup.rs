//! What is found of the backups.

use crate::kit::volumes::volume_trouble;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use super::Facts;
use crate::agentfs::plan::BackupPlan;
use crate::agentfs::{names, reasons};
use crate::crd::agentfs::BackupStatus;
use crate::kit::conditions::{Finding, Trouble, clock};
use crate::kit::pods;
use crate::kit::sentences::unpunctuated;

impl Facts<'_> {
    /// Whether backups will be made.
    pub(in crate::agentfs) fn backups_scheduled(&self) -> Option<Finding> {
        let backup = self.plan.backup.plan()?;
        if let Some(reason) = self.backups_paused(backup) {
            return Some(Finding::not(reasons::SUSPENDED, reason));
        }
        if self.children.backup.cronjob.is_none() {
            let (reason, what) = self.awaited();
            return Some(Finding::waiting(reason, format!("The backups wait for {what}")));
        }
        if let Some(trouble) = self.backup_volume_trouble() {
            return Some(Finding::Wrong(trouble));
        }
        let (name, spec) = (self.plan.names.backup(), &backup.spec);
        Some(Finding::fine(
            reasons::SCHEDULED,
            format!(
                "The CronJob {name} makes backups at \"{}\" ({}).",
                spec.schedule, spec.time_zone
            ),
        ))
    }

    /// Why the volume of the backups will not be there. A claim that only waits for its first pod has no trouble.
    fn backup_volume_trouble(&self) -> Option<Trouble> {
        let claim = self.children.backup.volume.as_ref()?;
        let said = self.observed.warnings.get(&claim.name_any());
        volume_trouble(claim, said, "spec.backup.volume")
    }

    fn backups_paused(&self, backup: &BackupPlan) -> Option<&'static str> {
        if self.plan.suspended {
            Some("spec.suspend is true: no backups are made.")
        } else if backup.spec.suspend {
            Some("spec.backup.suspend is true: no backups are made.")
        } else {
            None
        }
    }

    /// Whether the newest backup is young enough.
    pub(in crate::agentfs) fn backup_fresh(&self) -> Option<Finding> {
        let backup = self.plan.backup.plan()?;
        let Some(cronjob) = self.children.backup.cronjob.as_ref() else {
            return Some(Finding::unknown(reasons::NO_BACKUP_YET, "No backup was made yet."));
        };
        let last = status(cronjob).and_then(|status| moment(status.last_successful_time.as_ref()));
        if let Some(reason) = self.backups_paused(backup) {
            let last = last.map(|at| format!(" The last one succeeded at {}.", clock(at)));
            return Some(Finding::not(
                reasons::SUSPENDED,
                format!("{reason}{}", last.unwrap_or_default()),
            ));
        }
        if let Some(trouble) = self.backup_trouble(cronjob, last) {
            return Some(Finding::Wrong(trouble));
        }
        let begun = moment(cronjob.metadata.creation_timestamp.as_ref());
        if let Some(trouble) = self.backup_overdue(backup, last, begun) {
            return Some(Finding::Wrong(trouble));
        }
        Some(match last {
            Some(at) => Finding::fine(
                reasons::FRESH,
                format!("The last backup succeeded at {}.", clock(at)),
            ),
            None if is_active(cronjob) => {
                Finding::unknown(reasons::BACKING_UP, "The first backup is being made.")
            }
            None => Finding::unknown(
                reasons::NO_BACKUP_YET,
                format!("The first backup is made at \"{}\".", backup.spec.schedule),
            ),
        })
    }

    /// What keeps the backup that is under way from being made, or why the last one was not.
    fn backup_trouble(&self, cronjob: &CronJob, last: Option<Timestamp>) -> Option<Trouble> {
        let pods = self.observed.pods_of(names::BACKUP);
        if is_active(cronjob) {
            return pods::trouble(&pods);
        }
        let scheduled = moment(status(cronjob)?.last_schedule_time.as_ref())?;
        if last.is_some_and(|last| last >= scheduled) {
            return None;
        }
        let words =
            pods::last_words(&pods).unwrap_or_else(|| "its pod is gone without a word".into());
        let name = self.plan.names.backup();
        let before = last.map_or_else(
            || "No backup has succeeded before".to_owned(),
            |last| format!("The last success was at {}", clock(last)),
        );
        Some(Trouble::new(
            reasons::BACKUP_FAILED,
            format!("The backup of {} failed: {}", clock(scheduled), unpunctuated(&words)),
            format!(
                "{before}. The next one is made by the schedule; to make one now: kubectl create job -n {} \
                 --from=cronjob/{name} {name}-now",
                self.plan.owner.namespace
            ),
        ))
    }

    fn backup_overdue(
        &self,
        backup: &BackupPlan,
        last: Option<Timestamp>,
        begun: Option<Timestamp>,
    ) -> Option<Trouble> {
        let hours = backup.spec.max_age_hours;
        let since = last.or(begun)?;
        let age = self.observed.now.duration_since(since);
        if age <= SignedDuration::from_hours(hours.into()) {
            return None;
        }
        Some(Trouble::new(
            reasons::BACKUP_OVERDUE,
            format!(
                "No backup has succeeded after {}, and the newest is to be at most {hours} hours old",
                clock(since)
            ),
            format!(
                "Check that the CronJob runs (kubectl describe cronjob -n {} {}), and that \
                 spec.backup.maxAgeHours is more than the schedule's longest pause.",
                self.plan.owner.namespace,
                self.plan.names.backup()
            ),
        ))
    }

    /// What the CronJob tells of its runs, where there are to be backups.
    pub(in crate::agentfs) fn backup_status(&self) -> Option<BackupStatus> {
        self.plan.backup.plan()?;
        let cronjob = self.children.backup.cronjob.as_ref();
        let status = cronjob.and_then(status);
        Some(BackupStatus {
            last_successful_time: status.and_then(|status| status.last_successful_time.clone()),
        })
    }
}

fn status(cronjob: &CronJob) -> Option<&CronJobStatus> {
    cronjob.status.as_ref()
}

fn is_active(cronjob: &CronJob) -> bool {
    status(cronjob).and_then(|status| status.active.as_ref()).is_some_and(|jobs| !jobs.is_empty())
}

fn moment(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| time.0)
}
