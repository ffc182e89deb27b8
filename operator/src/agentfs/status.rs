//! The fifth call of a reconcile: say how the AgentFS is.
//!
//! [`report`] and [`render`] are pure. What they say of the children they say of applied ones only.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::apply::Outcome;
use super::observe::Observed;
use super::parts::api::condition::counts;
use super::parts::{CONDITIONS, Statuses, Weight};
use super::plan::Plan;
use super::reasons;
use super::status_inputs::StatusInputs;
use crate::crd::agentfs::AgentFSStatus;
use crate::kit::blockers::Blocker;
use crate::kit::conditions::{Failure, PROGRESSING, READY, State, condition};
use crate::kit::reconcile::Reconciled;
use crate::kit::validation::Invalid;

/// What was found of an AgentFS.
#[derive(Clone, Debug)]
pub struct StatusReport {
    /// The state of each condition, by the condition's type. One that is not among them was not looked
    /// at, and its condition stays.
    pub states: Vec<(&'static str, State)>,
    /// What there is to say of the parts besides, where they were looked at.
    pub parts: Option<Statuses>,
}

impl StatusReport {
    /// Whether everything is as the spec asks and nothing is on its route.
    pub fn is_settled(&self) -> bool {
        let settled = |kind: &str, state: &State| match kind {
            PROGRESSING => matches!(state, State::False { .. }),
            _ if weight(kind) == Weight::Never => !state.is_failed(),
            _ => state.is_at_rest(),
        };
        self.is_complete() && self.states.iter().all(|(kind, f)| settled(kind, f))
    }

    /// How the reconcile that found it ended.
    pub fn reconciled(&self) -> Reconciled {
        if self.needs_somebody() {
            Reconciled::NeedsAttention
        } else if self.is_settled() {
            Reconciled::Settled
        } else {
            Reconciled::InProgress
        }
    }

    /// Whether everything that there is was looked at.
    fn is_complete(&self) -> bool {
        self.parts.is_some()
    }

    /// Whether it stays as it is until somebody does something.
    pub fn needs_somebody(&self) -> bool {
        self.states.iter().any(|(_, state)| state.is_failed())
    }
}

/// How a condition counts for Ready and Progressing.
fn weight(kind: &str) -> Weight {
    let part = CONDITIONS.iter().find(|of| of.kind == kind);
    part.map_or(Weight::Always, |of| of.weight)
}

/// What is to be said of what became of `plan`.
pub fn report(plan: &Plan, outcome: &Outcome, observed: &Observed) -> StatusReport {
    let children = &outcome.children;
    let counts = counts(plan, children);
    let inputs = StatusInputs { plan, children, observed, counts: &counts };
    // What keeps a part from being made says more of it than what is there in its stead.
    let found = |of: &str, state: State| {
        outcome.blockers.iter().find(|blocker| blocker.of == of).map_or(state, Blocker::state)
    };
    let parts: Vec<_> = CONDITIONS
        .iter()
        .filter_map(|part| Some((part.kind, found(part.kind, (part.state)(&inputs)?))))
        .collect();
    let counting: Vec<&State> = parts
        .iter()
        .filter(|(kind, state)| match weight(kind) {
            Weight::Always => true,
            Weight::Failures => state.is_failed(),
            Weight::Never => false,
        })
        .map(|(_, state)| state)
        .collect();
    let progressing = match found(PROGRESSING, inputs.progressing(&counting)) {
        State::Progressing { reason, message } => State::True { reason, message },
        state => state,
    };
    let mut states = vec![(READY, inputs.ready(&counting)), (PROGRESSING, progressing)];
    states.extend(parts);
    StatusReport { states, parts: Some(inputs.statuses()) }
}

/// What is to be said when there is no plan.
pub fn report_invalid(invalid: &Invalid) -> StatusReport {
    let failure = Failure::new(
        reasons::INVALID_SPEC,
        invalid.to_string(),
        "Correct the field; nothing is changed until then.",
    );
    StatusReport { states: vec![(READY, State::Failed(failure))], parts: None }
}

/// The status that says what was found. Conditions that were not looked at stay as they are.
pub fn render(
    report: &StatusReport,
    before: Option<&AgentFSStatus>,
    generation: Option<i64>,
    now: Timestamp,
) -> AgentFSStatus {
    let former = before.map(|s| s.conditions.as_slice()).unwrap_or_default();
    let not_yet = State::unknown(
        reasons::AWAITING_RECONCILE,
        "The operator has not reconciled this resource yet.",
    );
    let of_parts = CONDITIONS.iter().map(|part| (part.kind, part.optional));
    let kinds = [(READY, false), (PROGRESSING, false)].into_iter().chain(of_parts);
    let conditions = kinds.filter_map(|(kind, optional)| {
        let found = report.states.iter().find(|(of, _)| *of == kind).map(|(_, f)| f);
        let kept = || former.iter().find(|c| c.type_ == kind).cloned();
        match found {
            Some(state) => Some(condition(kind, state, former, generation, now)),
            // What there is not has no condition.
            None if report.is_complete() => None,
            None if optional => kept(),
            None => {
                let unknown = || condition(kind, &not_yet, former, generation, now);
                Some(kept().unwrap_or_else(unknown))
            }
        }
    });
    let conditions = conditions.collect::<Vec<Condition>>();
    let parts = match &report.parts {
        Some(parts) => parts.clone().after(before),
        None => before.cloned().unwrap_or_default(),
    };
    AgentFSStatus { observed_generation: generation, conditions, ..parts }
}
