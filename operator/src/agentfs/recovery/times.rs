//! When the works of a schedule are due, and when they were done: what alerts go by.

use jiff::{SignedDuration, Timestamp};

use super::runs::{Work, begun, is_active, succeeded};
use crate::agentfs::parts::backup::scheduled::since;
use crate::agentfs::status_inputs::StatusInputs;
use crate::kit::schedule::Schedule;

/// How long after it was due the first drill counts as missed.
pub const MAY_BE_LATE: SignedDuration = SignedDuration::from_hours(1);

/// When a work is to be done.
#[derive(Clone, Debug)]
pub struct Timing {
    /// By which schedule.
    pub schedule: Schedule,
    /// The same as it was written, with its time zone.
    pub text: String,
    /// How old the newest of it may be.
    pub max_age: SignedDuration,
    /// Since when it is due by that schedule: what was due before nobody had to do. `None` before its CronJob is there.
    pub since: Option<Timestamp>,
}

/// What is known of one work that a schedule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunTimes {
    /// The work: `backup`, `verify` or `drill`.
    pub task: &'static str,
    /// When it was done last; `None` where it never was.
    pub last_success: Option<Timestamp>,
    /// When the newest run was due that was begun, or the work was tried otherwise; `None` where it never was.
    pub last_attempt: Option<Timestamp>,
    /// Whether the newest attempt that has ended failed.
    pub failed: bool,
    /// Whether a run is under way.
    pub running: bool,
    /// By when it is due; `None` while it is suspended.
    pub due: Option<Due>,
    /// Its schedule with the time zone.
    pub schedule: String,
    /// Since when it is due by that; what was due before nobody had to do.
    pub since: Option<Timestamp>,
}

impl RunTimes {
    /// When it was due last, where that was since it has been due by this schedule.
    pub fn previous(&self) -> Option<Timestamp> {
        let previous = self.due.as_ref()?.previous?;
        Some(previous).filter(|due| self.since.is_none_or(|since| *due > since))
    }
}

/// By when a work is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// When it was due last.
    pub previous: Option<Timestamp>,
    /// When it is due next.
    pub next: Option<Timestamp>,
    /// How old the newest of it may be.
    pub max_age: SignedDuration,
}

impl StatusInputs<'_> {
    /// When `work` is to be done, where it is.
    pub fn timing(&self, work: Work) -> Option<Timing> {
        let spec = &self.plan.parts.backup.wanted.enabled()?.spec;
        let (verify, drill) = (&spec.verify, &spec.drill);
        let hours = |hours: i32| SignedDuration::from_hours(hours.into());
        let (enabled, schedule, max_age) = match work {
            Work::Backup => (true, &spec.schedule, hours(spec.max_age_hours)),
            Work::Verify => (verify.enabled, &verify.schedule, hours(verify.max_age_hours)),
            Work::Drill => (drill.enabled, &drill.schedule, hours(drill.max_age_days) * 24),
        };
        let schedule = enabled.then_some(schedule)?;
        Some(Timing {
            schedule: Schedule::parse(schedule, &spec.time_zone).ok()?,
            text: format!("{schedule} {}", spec.time_zone),
            max_age,
            since: self.cronjob(work).and_then(since),
        })
    }

    /// What is known of each work that a schedule does.
    pub fn run_times(&self) -> Vec<RunTimes> {
        let is_paused = self.paused().is_some();
        let times = |work| {
            let timing = self.timing(work)?;
            let cronjob = self.cronjob(work)?;
            let (last_success, tried, failed) = self.outcome(work);
            let now = self.observed.now;
            let due = Due {
                previous: timing.schedule.previous(now),
                next: timing.schedule.next(now),
                max_age: timing.max_age,
            };
            Some(RunTimes {
                task: work.as_str(),
                last_success,
                last_attempt: begun(cronjob).max(tried),
                failed,
                running: is_active(cronjob),
                due: Some(due).filter(|_| !is_paused),
                schedule: timing.text,
                since: timing.since,
            })
        };
        Work::ALL.into_iter().filter_map(times).collect()
    }

    /// When `work` was done last, when it was tried last as the records say, and whether that failed.
    fn outcome(&self, work: Work) -> (Option<Timestamp>, Option<Timestamp>, bool) {
        let (backups, drills) = (self.observed.backups(), self.observed.drills());
        let (success, tried, refuted) = match work {
            Work::Backup => {
                let last = self.plan.parts.backup.last;
                (last, last, false)
            }
            Work::Verify => {
                let proof = self.level().and_then(|level| backups.last_proof(level));
                let refuted = self.level().and_then(|level| backups.newest_refuted(level));
                // Without a record the CronJob alone tells that one was verified.
                let by_cronjob =
                    self.cronjob(work).and_then(succeeded).filter(|_| backups.is_empty());
                (proof.or(by_cronjob), backups.last_verification(), refuted.is_some())
            }
            Work::Drill => {
                let passed = self.last_passed_drill();
                let newest = drills.newest();
                let failed = newest.and_then(|newest| self.drill_failed(newest, passed));
                (passed, newest.map(|drill| drill.finished), failed.is_some())
            }
        };
        let failed = refuted || self.run_failed(work, success.max(tried)).is_some();
        (success, tried, failed)
    }
}
