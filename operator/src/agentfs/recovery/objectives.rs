//! `ObjectivesMet`: what was measured against what `spec.backup.objectives` declares.

use jiff::{SignedDuration, Timestamp};

use super::durations::brief;
use super::records::Recorded;
use super::runs::Work;
use crate::agentfs::parts::backup::plan::duration;
use crate::agentfs::reasons;
use crate::agentfs::status_inputs::StatusInputs;
use crate::crd::agentfs::DrillStatus;
use crate::kit::conditions::{Failure, State, clock};

/// The recovery point and time are within what is declared. It never makes Ready false.
pub const OBJECTIVES_MET: &str = "ObjectivesMet";

/// What was found of the objectives, in sentences without a full stop.
#[derive(Debug, Default)]
struct Found {
    met: Vec<String>,
    missed: Vec<String>,
    open: Vec<String>,
}

impl StatusInputs<'_> {
    /// Whether what is declared is met. Nothing is held to it while nothing is to run.
    pub fn objectives_met(&self) -> Option<State> {
        let objectives = self.plan.parts.backup.wanted.enabled()?.spec.objectives.as_ref()?;
        let [point, time] = [&objectives.rpo, &objectives.rto].map(|text| declared(text.as_ref()));
        if self.plan.suspended || (point.is_none() && time.is_none()) {
            return None;
        }
        let drill = self.measured();
        let newest = self.newest_recoverable();
        let mut found = Found::default();
        if let Some((text, wanted)) = point {
            found.age(text, wanted, newest, self.observed.now);
            if let Some(seconds) = drill.as_ref().and_then(|drill| drill.rpo_seconds) {
                found.measured("point", ("rpo", text, wanted), seconds);
            }
        }
        if let Some((text, wanted)) = time {
            match drill.as_ref().and_then(|drill| drill.rto_seconds) {
                Some(seconds) => found.measured("time", ("rto", text, wanted), seconds),
                None => found.open.push("No drill has measured a recovery time yet".into()),
            }
        }
        Some(self.judged(found))
    }

    fn judged(&self, found: Found) -> State {
        let Found { met, missed, open } = found;
        let sentences = |of: &[String]| of.join(". ");
        if !missed.is_empty() {
            return State::Failed(Failure::new(
                reasons::OBJECTIVES_MISSED,
                sentences(&missed),
                format!(
                    "For a nearer recovery point make backups more often (spec.backup.schedule); for a shorter recovery time give \
                     the pods more CPU (spec.backup.verify.resources); or declare what can be met. A drill measures both; {}",
                    self.how_to_run(Work::Drill)
                ),
            ));
        }
        if !open.is_empty() {
            let message = format!("{}; {}", sentences(&open), self.how_to_run(Work::Drill));
            return State::unknown(reasons::NOT_MEASURED_YET, message);
        }
        State::true_because(reasons::MET, format!("{}.", sentences(&met)))
    }

    /// The moment that the newest backup holds which would be restored, as far as is known.
    fn newest_recoverable(&self) -> Option<Timestamp> {
        let backups = self.observed.backups();
        if backups.is_empty() {
            return self.plan.parts.backup.last;
        }
        backups.newest_restorable().map(Recorded::snapshot)
    }

    /// What the newest drill measured that measured anything: its record says it, or the status remembers it.
    fn measured(&self) -> Option<DrillStatus> {
        let drills = self.observed.drills();
        let recorded = drills.newest_measured().map(|drill| DrillStatus {
            last_time: None,
            rpo_seconds: drill.rpo_seconds,
            rto_seconds: drill.rto_seconds,
        });
        recorded.or_else(|| self.observed.recovery.remembered.clone())
    }
}

/// An objective as it was written, and what it amounts to.
fn declared(text: Option<&String>) -> Option<(&str, SignedDuration)> {
    let text = text?.as_str();
    Some((text, duration(text)?))
}

impl Found {
    /// How old the newest backup is that would be restored.
    fn age(&mut self, text: &str, rpo: SignedDuration, newest: Option<Timestamp>, now: Timestamp) {
        let Some(at) = newest else {
            self.open.push("No backup is known that can be restored".into());
            return;
        };
        let of = format!("The newest backup that can be restored is of {}", clock(at));
        if now.duration_since(at) > rpo {
            self.missed.push(format!("{of}, and spec.backup.objectives.rpo is {text}"));
        } else {
            self.met.push(format!("{of} (rpo {text})"));
        }
    }

    /// What a drill measured: `what`, and the objective's name, text and length.
    fn measured(&mut self, what: &str, of: (&str, &str, SignedDuration), seconds: i64) {
        let (name, text, wanted) = of;
        let measured = format!("The newest drill measured a recovery {what} of {}", brief(seconds));
        if SignedDuration::from_secs(seconds) > wanted {
            self.missed.push(format!("{measured}, and spec.backup.objectives.{name} is {text}"));
        } else {
            self.met.push(format!("{measured} ({name} {text})"));
        }
    }
}
