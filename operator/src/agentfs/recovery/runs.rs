//! What the CronJobs of backups, verifications and drills tell of their runs.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::agentfs::parts::backup::objects::PODS;
use crate::agentfs::parts::backup::runs::{BACKUP, DRILL, VERIFY};
use crate::agentfs::reasons;
use crate::agentfs::status_inputs::StatusInputs;
use crate::crd::fields::Quantity;
use crate::kit::conditions::{Failure, clock};
use crate::kit::labels::Component;
use crate::kit::pods::{self, PodsOf};
use crate::kit::reasons::Reason;
use crate::kit::scratch;
use crate::kit::sentences::without_full_stop;

/// What a CronJob of an AgentFS does by a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// It makes a backup.
    Backup,
    /// It tries the newest one.
    Verify,
    /// It carries out a disaster recovery drill.
    Drill,
}

impl Work {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Backup, Self::Verify, Self::Drill];

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        self.component().as_str()
    }

    /// The component of its pods.
    pub fn component(self) -> Component {
        match self {
            Self::Backup => BACKUP,
            Self::Verify => VERIFY,
            Self::Drill => DRILL,
        }
    }

    /// One run of it, in words.
    fn noun(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Verify => "verification",
            Self::Drill => "drill",
        }
    }

    /// Its pods, in words.
    fn pods(self) -> PodsOf {
        match self {
            Self::Backup => PODS,
            Self::Verify => {
                PodsOf { part: "the verification", resources: "spec.backup.verify.resources" }
            }
            Self::Drill => PodsOf { part: "the drill", resources: "spec.backup.verify.resources" },
        }
    }

    /// The reason of a run that failed.
    fn failed(self) -> Reason {
        match self {
            Self::Backup => reasons::BACKUP_FAILED,
            Self::Verify => reasons::VERIFICATION_NOT_DONE,
            Self::Drill => reasons::DRILL_FAILED,
        }
    }
}

impl StatusInputs<'_> {
    /// The CronJob of `work`, where there is one for certain.
    pub fn cronjob(&self, work: Work) -> Option<&CronJob> {
        let backup = &self.children.backup;
        match work {
            Work::Backup => backup.cronjob.as_ref(),
            Work::Verify => backup.verify.as_ref(),
            Work::Drill => backup.drill.as_ref(),
        }
    }

    /// What keeps the run of `work` that is under way from its work, or why the last one failed; `last` is when one of them, or
    /// somebody else, did the work last.
    pub fn trouble(&self, work: Work, last: Option<Timestamp>) -> Option<Failure> {
        self.run_is_stuck(work).or_else(|| self.run_failed(work, last))
    }

    fn run_is_stuck(&self, work: Work) -> Option<Failure> {
        let cronjob = self.cronjob(work).filter(|cronjob| is_active(cronjob))?;
        let pods = self.observed.pods_of(work.component());
        let said = || active(cronjob).find_map(|job| self.observed.warnings.get(job));
        let refused = || Some(pods::refusal(said().filter(|_| pods.is_empty())?, work.pods()));
        let failure = self.observed.pod_failure(work.component());
        let missing =
            || scratch::missing(&pods, &self.observed.warnings, "spec.backup.verify.storage");
        failure.or_else(missing).or_else(refused)
    }

    /// Why the last run of `work` failed, where it did and nobody did the work since.
    pub fn run_failed(&self, work: Work, last: Option<Timestamp>) -> Option<Failure> {
        let cronjob = self.cronjob(work).filter(|cronjob| !is_active(cronjob))?;
        let scheduled = begun(cronjob)?;
        let last = last.max(succeeded(cronjob));
        if last.is_some_and(|last| last >= scheduled) {
            return None;
        }
        let words = pods::termination_message(&self.observed.pods_of(work.component()))
            .unwrap_or_else(|| "its pod is gone and left no message".into());
        let noun = work.noun();
        let before = last.map_or_else(
            || format!("No {noun} has succeeded before"),
            |last| format!("The last success was at {}", clock(last)),
        );
        let (reason, remedy) = match self.scratch_to_set(work, &words) {
            Some(size) => (
                reasons::SCRATCH_TOO_SMALL,
                format!("Set {} to {} or more. ", scratch::FIELD, size.as_str()),
            ),
            None => (work.failed(), String::new()),
        };
        Some(Failure::new(
            reason,
            format!("The {noun} of {} failed: {}", clock(scheduled), without_full_stop(&words)),
            format!(
                "{remedy}{before}. The next one is made by the schedule; {}",
                self.how_to_run(work)
            ),
        ))
    }

    /// How somebody has the work of a CronJob done now.
    pub fn how_to_run(&self, work: Work) -> String {
        let (namespace, name) = (&self.plan.owner.namespace, self.plan.names.of(work.component()));
        let verb = match work {
            Work::Backup => "make one",
            Work::Verify => "verify",
            Work::Drill => "drill",
        };
        format!("to {verb} now: kubectl create job -n {namespace} --from=cronjob/{name} {name}-now")
    }

    /// How large the volume has to be that backups are restored into, where a run failed since it is too small.
    fn scratch_to_set(&self, work: Work, words: &str) -> Option<Quantity> {
        let backup = self.plan.parts.backup.wanted.enabled()?;
        scratch::to_set(words, &backup.scratch.size).filter(|_| work != Work::Backup)
    }
}

fn status(cronjob: &CronJob) -> Option<&CronJobStatus> {
    cronjob.status.as_ref()
}

fn moment(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| time.0)
}

/// Whether a run of a CronJob is under way.
pub fn is_active(cronjob: &CronJob) -> bool {
    active(cronjob).next().is_some()
}

/// The names of the Jobs of a CronJob that have not ended.
pub fn active(cronjob: &CronJob) -> impl Iterator<Item = &String> {
    let jobs = status(cronjob).and_then(|status| status.active.as_ref());
    jobs.into_iter().flatten().filter_map(|job| job.name.as_ref())
}

/// When the newest run was due that was begun.
pub fn begun(cronjob: &CronJob) -> Option<Timestamp> {
    moment(status(cronjob)?.last_schedule_time.as_ref())
}

/// When a run ended well last.
pub fn succeeded(cronjob: &CronJob) -> Option<Timestamp> {
    moment(status(cronjob)?.last_successful_time.as_ref())
}

/// When a CronJob was made.
pub fn made(cronjob: &CronJob) -> Option<Timestamp> {
    moment(cronjob.metadata.creation_timestamp.as_ref())
}
