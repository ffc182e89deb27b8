//! `DrillCurrent`: whether a disaster recovery drill passed that is young enough.

use jiff::Timestamp;

use super::records::Drilled;
use super::runs::{Work, is_active, made, succeeded};
use super::times::{MAY_BE_LATE, Timing};
use super::verified::sealed;
use crate::agentfs::reasons;
use crate::agentfs::status_inputs::StatusInputs;
use crate::kit::conditions::{Failure, State, clock};
use crate::kit::sentences::without_full_stop;

/// A disaster recovery drill passed that is young enough. It never makes Ready false.
pub const DRILL_CURRENT: &str = "DrillCurrent";

impl StatusInputs<'_> {
    /// Whether a drill passed that is young enough.
    pub fn drill_current(&self) -> Option<State> {
        let timing = self.timing(Work::Drill)?;
        let drills = self.observed.drills();
        let passed = self.last_passed_drill();
        if let Some(field) = self.paused() {
            let last = passed.map(|at| format!(" The last one passed at {}.", clock(at)));
            return Some(State::false_because(
                reasons::SUSPENDED,
                format!("{field} is true: no drills run.{}", last.unwrap_or_default()),
            ));
        }
        let newest = drills.newest().map(|drill| drill.finished);
        let failure = self
            .trouble(Work::Drill, passed.max(newest))
            .or_else(|| self.drill_failed(drills.newest()?, passed))
            .or_else(|| self.drill_overdue(&timing, passed));
        if let Some(failure) = failure {
            return Some(State::Failed(failure));
        }
        let Some(passed) = passed else {
            if self.is_sealed() {
                return Some(sealed("restore"));
            }
            return Some(State::unknown(reasons::NOT_DRILLED_YET, self.not_drilled_yet(&timing)));
        };
        let drill = drills.newest_passed().filter(|drill| drill.finished >= passed);
        let measured = drill.and_then(Drilled::measured).map(|of| format!(": {of}"));
        let measured = measured.unwrap_or_default();
        Some(State::true_because(
            reasons::DRILLED,
            format!("The last drill passed at {}{measured}.", clock(passed)),
        ))
    }

    /// When a drill passed last: as the records say, or the status, which remembers it when they are gone, or the CronJob.
    pub fn last_passed_drill(&self) -> Option<Timestamp> {
        let recorded = self.observed.drills().newest_passed().map(|drill| drill.finished);
        let remembered = self.observed.recovery.remembered.as_ref();
        let remembered = remembered.and_then(|drill| drill.last_time.as_ref()).map(|time| time.0);
        let by_cronjob = self.cronjob(Work::Drill).and_then(succeeded);
        recorded.max(remembered).or(by_cronjob)
    }

    /// Why the newest drill did not pass, where it did not and none did since.
    pub fn drill_failed(&self, newest: &Drilled<'_>, passed: Option<Timestamp>) -> Option<Failure> {
        if newest.passed || passed.is_some_and(|passed| passed >= newest.finished) {
            return None;
        }
        let before = passed.map_or_else(
            || "No drill has passed before".to_owned(),
            |passed| format!("The last one passed at {}", clock(passed)),
        );
        Some(Failure::new(
            reasons::DRILL_FAILED,
            format!(
                "The drill {} of {} did not pass: {}",
                newest.name(),
                clock(newest.finished),
                without_full_stop(newest.message().unwrap_or("it does not say why"))
            ),
            format!("{before}. Fix what the message names; {}", self.how_to_run(Work::Drill)),
        ))
    }

    fn drill_overdue(&self, timing: &Timing, passed: Option<Timestamp>) -> Option<Failure> {
        let cronjob = self.cronjob(Work::Drill);
        let since = passed.or_else(|| made(cronjob?))?;
        let too_old = self.observed.now.duration_since(since) > timing.max_age;
        // The first one is missed once its time has come and none was begun.
        let first = || timing.schedule.next(timing.since?);
        let first =
            first().filter(|due| passed.is_none() && self.observed.now > *due + MAY_BE_LATE);
        let first = first.filter(|_| !cronjob.is_some_and(is_active));
        if !too_old && first.is_none() {
            return None;
        }
        let what = match (passed, first) {
            (None, Some(due)) => {
                format!("No drill has passed, and the first was due at {}", clock(due))
            }
            _ => format!(
                "No drill has passed after {}, and the newest may be at most {} days old",
                clock(since),
                timing.max_age.as_hours() / 24
            ),
        };
        let (namespace, name) = (&self.plan.owner.namespace, self.plan.names.drill());
        Some(Failure::new(
            reasons::DRILL_OVERDUE,
            what,
            format!(
                "Check that the CronJob runs (kubectl describe cronjob -n {namespace} {name}), and that \
                 spec.backup.drill.maxAgeDays is more than the longest interval of the schedule; {}",
                self.how_to_run(Work::Drill)
            ),
        ))
    }

    fn not_drilled_yet(&self, timing: &Timing) -> String {
        if self.cronjob(Work::Drill).is_some_and(is_active) {
            return "The first drill is under way.".into();
        }
        match timing.schedule.next(self.observed.now) {
            Some(next) => {
                format!("No drill has run yet; the next one is due at {}.", clock(next))
            }
            None => "No drill has run yet.".into(),
        }
    }
}
