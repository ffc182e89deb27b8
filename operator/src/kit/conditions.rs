//! Conditions: how a finding becomes one, with a sentence that does not change by itself.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::reasons::Reason;
use super::sentences::unpunctuated;

/// Everything works as the spec asks.
pub const READY: &str = "Ready";
/// Something is being made or changed.
pub const PROGRESSING: &str = "Progressing";
/// Why something does not run, in words for a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// One word for programs.
    pub reason: Reason,
    /// What is wrong; no full stop at its end.
    pub what: String,
    /// What to do about it, a whole sentence.
    pub remedy: String,
}

impl Trouble {
    /// A trouble from its three parts.
    pub fn new(reason: Reason, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { reason, what: what.into(), remedy: remedy.into() }
    }
}

/// What was found of one matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is as it should be.
    Fine {
        /// One word.
        reason: Reason,
        /// One sentence.
        message: String,
    },
    /// It is on its way; nobody has to do anything.
    Waiting {
        /// One word.
        reason: Reason,
        /// One sentence.
        message: String,
    },
    /// It is not so, and that is well.
    Not {
        /// One word.
        reason: Reason,
        /// One sentence.
        message: String,
    },
    /// Somebody has to do something.
    Wrong(Trouble),
    /// It cannot be told.
    Unknown {
        /// One word.
        reason: Reason,
        /// One sentence.
        message: String,
    },
}

impl Finding {
    /// It is as it should be.
    pub fn fine(reason: Reason, message: impl Into<String>) -> Self {
        Self::Fine { reason, message: message.into() }
    }

    /// It is on its way.
    pub fn waiting(reason: Reason, message: impl Into<String>) -> Self {
        Self::Waiting { reason, message: message.into() }
    }

    /// It is not so, and that is well.
    pub fn not(reason: Reason, message: impl Into<String>) -> Self {
        Self::Not { reason, message: message.into() }
    }

    /// It cannot be told.
    pub fn unknown(reason: Reason, message: impl Into<String>) -> Self {
        Self::Unknown { reason, message: message.into() }
    }

    /// Whether it is as it should be.
    pub fn is_fine(&self) -> bool {
        matches!(self, Self::Fine { .. })
    }

    /// Whether somebody has to do something.
    pub fn is_wrong(&self) -> bool {
        matches!(self, Self::Wrong(_))
    }

    /// Whether nobody has to do anything and nothing is on its way.
    pub fn is_at_rest(&self) -> bool {
        matches!(self, Self::Fine { .. } | Self::Not { .. })
    }

    fn status(&self) -> &'static str {
        match self {
            Self::Fine { .. } => "True",
            Self::Not { .. } | Self::Waiting { .. } | Self::Wrong(_) => "False",
            Self::Unknown { .. } => "Unknown",
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::Fine { reason, .. }
            | Self::Waiting { reason, .. }
            | Self::Not { reason, .. }
            | Self::Unknown { reason, .. } => *reason,
            Self::Wrong(trouble) => trouble.reason,
        }
    }

    fn message(&self, since: Timestamp) -> String {
        match self {
            Self::Fine { message, .. }
            | Self::Not { message, .. }
            | Self::Unknown { message, .. } => message.clone(),
            Self::Waiting { message, .. } => {
                format!("{} (since {}).", unpunctuated(message), clock(since))
            }
            Self::Wrong(Trouble { what, remedy, .. }) => {
                format!("{} (since {}). {remedy}", unpunctuated(what), clock(since))
            }
        }
    }
}

/// The condition `kind` for `finding`. Its time of change is kept from `before` while the status
/// stays, so that an unchanged finding gives an unchanged condition.
pub fn condition(
    kind: &str,
    finding: &Finding,
    before: &[Condition],
    generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    let same = before.iter().find(|c| c.type_ == kind && c.status == finding.status());
    let since = same.map_or_else(|| whole_second(now), |c| c.last_transition_time.0);
    Condition {
        type_: kind.into(),
        status: finding.status().into(),
        reason: finding.reason().to_string(),
        message: finding.message(since),
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
            Finding::Wrong(Trouble::new(reasons::CRASHING, "It ends again", "Look at its log."));
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
        let wrong = Finding::Wrong(Trouble::new(reasons::CRASHING, "It ends again", "Look."));
        let other = Finding::Wrong(Trouble::new(reasons::IMAGE_PULL_FAILED, "No image", "Check."));
        let first = condition(READY, &wrong, &[], None, at(0));
        let second = condition(READY, &other, std::slice::from_ref(&first), None, at(60));
        assert_eq!(second.last_transition_time, first.last_transition_time);
        let fine =
            condition(READY, &Finding::fine(reasons::READY, "Well."), &[second], None, at(120));
        assert_ne!(fine.last_transition_time, first.last_transition_time);
    }
}
