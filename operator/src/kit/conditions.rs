//! Conditions: turns a state into one, with a sentence that does not change by itself.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::reasons::Reason;
use super::sentences::without_full_stop;

/// Everything works as the spec asks.
pub const READY: &str = "Ready";
/// It serves requests, whatever else is to be done.
pub const AVAILABLE: &str = "Available";
/// Something is being made or changed.
pub const PROGRESSING: &str = "Progressing";
/// Something is on its way: kstatus' word, which is there while it is true.
pub const RECONCILING: &str = "Reconciling";
/// Somebody has to do something before it goes on: kstatus' word, which is there while it is true.
pub const STALLED: &str = "Stalled";

/// Why something does not run, in words for a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// One word for programs.
    pub reason: Reason,
    /// What is wrong; no full stop at its end.
    pub what: String,
    /// What to do about it, a whole sentence.
    pub remedy: String,
}

impl Failure {
    /// A failure from its three parts.
    pub fn new(reason: Reason, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { reason, what: what.into(), remedy: remedy.into() }
    }
}

/// What was found of one matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is as it should be.
    True {
        /// One word.
        reason: Reason,
        /// One sentence.
        message: String,
    },
    /// It is on its way; nobody has to do anything.
    Progressing {
        /// One word.
        reason: Reason,
        /// One sentence.
        message: String,
    },
    /// It is not so, and that is well.
    False {
        /// One word.
        reason: Reason,
        /// One sentence.
        message: String,
    },
    /// Somebody has to do something.
    Failed(Failure),
    /// It cannot be told.
    Unknown {
        /// One word.
        reason: Reason,
        /// One sentence.
        message: String,
    },
}

impl State {
    /// It is as it should be.
    pub fn true_because(reason: Reason, message: impl Into<String>) -> Self {
        Self::True { reason, message: message.into() }
    }

    /// It is on its way.
    pub fn progressing(reason: Reason, message: impl Into<String>) -> Self {
        Self::Progressing { reason, message: message.into() }
    }

    /// It is not so, and that is well.
    pub fn false_because(reason: Reason, message: impl Into<String>) -> Self {
        Self::False { reason, message: message.into() }
    }

    /// It cannot be told.
    pub fn unknown(reason: Reason, message: impl Into<String>) -> Self {
        Self::Unknown { reason, message: message.into() }
    }

    /// Whether it is as it should be.
    pub fn is_true(&self) -> bool {
        matches!(self, Self::True { .. })
    }

    /// Whether somebody has to do something.
    pub fn is_failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }

    /// The condition of kstatus that goes with this state of [`PROGRESSING`]: [`RECONCILING`] or
    /// [`STALLED`], never both, and none at rest.
    pub fn abnormal(&self) -> Option<(&'static str, Self)> {
        match self {
            Self::True { .. } => Some((RECONCILING, self.clone())),
            Self::Failed(Failure { reason, what, remedy }) => {
                let message = format!("{}. {remedy}", without_full_stop(what));
                Some((STALLED, Self::true_because(*reason, message)))
            }
            Self::Progressing { .. } | Self::False { .. } | Self::Unknown { .. } => None,
        }
    }

    /// Whether nobody has to do anything and nothing is on its way.
    pub fn is_at_rest(&self) -> bool {
        matches!(self, Self::True { .. } | Self::False { .. })
    }

    fn status(&self) -> &'static str {
        match self {
            Self::True { .. } => "True",
            Self::False { .. } | Self::Progressing { .. } | Self::Failed(_) => "False",
            Self::Unknown { .. } => "Unknown",
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::True { reason, .. }
            | Self::Progressing { reason, .. }
            | Self::False { reason, .. }
            | Self::Unknown { reason, .. } => *reason,
            Self::Failed(failure) => failure.reason,
        }
    }

    fn message(&self, since: Timestamp) -> String {
        match self {
            Self::True { message, .. }
            | Self::False { message, .. }
            | Self::Unknown { message, .. } => message.clone(),
            Self::Progressing { message, .. } => {
                format!("{} (since {}).", without_full_stop(message), clock(since))
            }
            Self::Failed(Failure { what, remedy, .. }) => {
                format!("{} (since {}). {remedy}", without_full_stop(what), clock(since))
            }
        }
    }
}

/// The condition `kind` for `state`. Its time of change is kept from `before` while the status
/// stays, so that an unchanged state gives an unchanged condition.
pub fn condition(
    kind: &str,
    state: &State,
    before: &[Condition],
    generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    let same = before.iter().find(|c| c.type_ == kind && c.status == state.status());
    let since = same.map_or_else(|| whole_second(now), |c| c.last_transition_time.0);
    Condition {
        type_: kind.into(),
        status: state.status().into(),
        reason: state.reason().to_string(),
        message: state.message(since),
        last_transition_time: Time(since),
        observed_generation: generation,
    }
}

/// Conditions are stored with whole seconds; a fraction would read as a change for ever.
fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// A moment as people read it.
pub fn clock(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::super::reasons;
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::new(1_795_442_531 + second, 123_456_789).unwrap()
    }

    #[test]
    fn an_unchanged_finding_gives_an_unchanged_condition() {
        let wrong =
            State::Failed(Failure::new(reasons::CRASHING, "It ends again", "Look at its log."));
        let first = condition(READY, &wrong, &[], Some(2), at(0));
        let later = condition(READY, &wrong, std::slice::from_ref(&first), Some(2), at(600));
        assert_eq!(first, later);
        assert_eq!(
            first.message,
            "It ends again (since 2026-11-23 14:02:11 UTC). Look at its log."
        );
        assert_eq!(first.last_transition_time.0.subsec_nanosecond(), 0);
    }

    #[test]
    fn the_time_of_change_moves_with_the_status_alone() {
        let wrong = State::Failed(Failure::new(reasons::CRASHING, "It ends again", "Look."));
        let other = State::Failed(Failure::new(reasons::IMAGE_PULL_FAILED, "No image", "Check."));
        let first = condition(READY, &wrong, &[], None, at(0));
        let second = condition(READY, &other, std::slice::from_ref(&first), None, at(60));
        assert_eq!(second.last_transition_time, first.last_transition_time);
        let fine = condition(
            READY,
            &State::true_because(reasons::READY, "Well."),
            &[second],
            None,
            at(120),
        );
        assert_ne!(fine.last_transition_time, first.last_transition_time);
    }
}
