//! The conditions of the backups.

use agentfs_contract::termination::BackupReport;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use super::destination::Destination;
use super::objects::{COMPONENT, PODS};
use super::plan::BackupPlan;
use crate::agentfs::reasons;
use crate::agentfs::status_inputs::StatusInputs;
use crate::crd::agentfs::BackupStatus;
use crate::crd::fields::Quantity;
use crate::kit::conditions::{Failure, State, clock};
use crate::kit::pods;
use crate::kit::sentences::without_full_stop;
use crate::kit::volumes::{size, volume_failure};

/// Backups will be made.
pub const BACKUPS_SCHEDULED: &str = "BackupsScheduled";
/// The newest backup is young enough. It never makes Ready false.
pub const BACKUP_FRESH: &str = "BackupFresh";

impl StatusInputs<'_> {
    /// Whether backups will be made.
    pub fn backups_scheduled(&self) -> Option<State> {
        let backup = self.plan.parts.backup.wanted.enabled()?;
        if let Some(reason) = self.backups_paused(backup) {
            return Some(State::false_because(reasons::SUSPENDED, reason));
        }
        if self.children.backup.cronjob.is_none() {
            let (reason, what) = match backup.attachments {
                Some(_) => self.awaited(),
                // Which database it is, is not known yet.
                None => (reasons::AWAITING_DATABASE, "the database"),
            };
            return Some(State::progressing(reason, format!("The backups wait for {what}")));
        }
        if let Some(failure) = self.backup_volume_failure() {
            return Some(State::Failed(failure));
        }
        let (name, spec) = (self.plan.names.backup(), &backup.spec);
        Some(State::true_because(
            reasons::SCHEDULED,
            format!(
                "The CronJob {name} makes backups at \"{}\" ({}).",
                spec.schedule, spec.time_zone
            ),
        ))
    }

    /// Why the volume of the backups will not be there. A claim that only waits for its first pod has no failure.
    fn backup_volume_failure(&self) -> Option<Failure> {
        let Destination::Own(volume) = &self.plan.parts.backup.wanted.enabled()?.destination else {
            return None;
        };
        let claim = self.children.backup.volume.as_ref()?;
        let said = self.observed.warnings.get(&claim.name_any());
        let too_small = || volume.too_small.clone();
        volume_failure(claim, said, "spec.backup.volume").or_else(too_small)
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
    pub fn backup_fresh(&self) -> Option<State> {
        let backup = self.plan.parts.backup.wanted.enabled()?;
        let Some(cronjob) = self.children.backup.cronjob.as_ref() else {
            return Some(State::unknown(reasons::NO_BACKUP_YET, "No backup was made yet."));
        };
        let last = self.plan.parts.backup.last;
        if let Some(reason) = self.backups_paused(backup) {
            let last = last.map(|at| format!(" The last one succeeded at {}.", clock(at)));
            return Some(State::false_because(
                reasons::SUSPENDED,
                format!("{reason}{}", last.unwrap_or_default()),
            ));
        }
        if let Some(failure) = self.backup_failure(cronjob, last) {
            return Some(State::Failed(failure));
        }
        let begun = moment(cronjob.metadata.creation_timestamp.as_ref());
        if let Some(failure) = self.backup_overdue(backup, last, begun) {
            return Some(State::Failed(failure));
        }
        Some(match last {
            Some(at) => State::true_because(
                reasons::FRESH,
                format!("The last backup succeeded at {}.", clock(at)),
            ),
            None if is_active(cronjob) => {
                State::unknown(reasons::BACKING_UP, "The first backup is being made.")
            }
            None => State::unknown(
                reasons::NO_BACKUP_YET,
                match backup.next {
                    Some(next) => {
                        format!("No backup is known; the next one is due at {}.", clock(next))
                    }
                    None => "No backup is known.".to_owned(),
                },
            ),
        })
    }

    /// What keeps the backup that is under way from being made, or why the last one was not.
    fn backup_failure(&self, cronjob: &CronJob, last: Option<Timestamp>) -> Option<Failure> {
        let pods = self.observed.pods_of(COMPONENT);
        if is_active(cronjob) {
            let said = || active(cronjob).find_map(|job| self.observed.warnings.get(job));
            let refused = || Some(pods::refusal(said().filter(|_| pods.is_empty())?, PODS));
            return self.observed.pod_failure(COMPONENT).or_else(refused);
        }
        let scheduled = moment(status(cronjob)?.last_schedule_time.as_ref())?;
        if last.is_some_and(|last| last >= scheduled) {
            return None;
        }
        let words = pods::termination_message(&pods)
            .unwrap_or_else(|| "its pod is gone without a word".into());
        let name = self.plan.names.backup();
        let before = last.map_or_else(
            || "No backup has succeeded before".to_owned(),
            |last| format!("The last success was at {}", clock(last)),
        );
        Some(Failure::new(
            reasons::BACKUP_FAILED,
            format!("The backup of {} failed: {}", clock(scheduled), without_full_stop(&words)),
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
    ) -> Option<Failure> {
        let hours = backup.spec.max_age_hours;
        let since = last.or(begun)?;
        let age = self.observed.now.duration_since(since);
        if age <= SignedDuration::from_hours(hours.into()) {
            return None;
        }
        Some(Failure::new(
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
    pub fn backup_status(&self) -> Option<BackupStatus> {
        let backup = self.plan.parts.backup.wanted.enabled()?;
        Some(BackupStatus {
            last_successful_time: self.plan.parts.backup.last.map(Time),
            next_time: backup.next.map(Time),
            volume_size: self.children.backup.volume.as_ref().and_then(size),
            database_size: self.database_size(),
        })
    }

    /// How large the database was, as the pod of the newest backup says while it is there.
    fn database_size(&self) -> Option<Quantity> {
        let left = pods::left_by_the_newest_success(&self.observed.pods_of(COMPONENT))?;
        Some(Quantity::of_bytes(BackupReport::read(&left)?.database_bytes))
    }
}

fn status(cronjob: &CronJob) -> Option<&CronJobStatus> {
    cronjob.status.as_ref()
}

fn is_active(cronjob: &CronJob) -> bool {
    active(cronjob).next().is_some()
}

/// The names of the Jobs of a CronJob that have not ended.
pub fn active(cronjob: &CronJob) -> impl Iterator<Item = &String> {
    let jobs = status(cronjob).and_then(|status| status.active.as_ref());
    jobs.into_iter().flatten().filter_map(|job| job.name.as_ref())
}

fn moment(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| time.0)
}

/// What is known of the backups `now`. A CronJob that was deleted and made again knows of no success, and
/// the backup is there nevertheless; so it is when its pod is gone.
pub fn remembered(now: BackupStatus, former: Option<&BackupStatus>) -> BackupStatus {
    let Some(former) = former.cloned() else { return now };
    BackupStatus {
        last_successful_time: now.last_successful_time.or(former.last_successful_time),
        database_size: now.database_size.or(former.database_size),
        ..now
    }
}
