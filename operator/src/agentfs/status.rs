//! The fifth call of a reconcile: say how the AgentFS is.
//!
//! [`report`] and [`render`] are pure. What they say of the children they say of applied ones only.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::apply::Outcome;
use super::names::Names;
use super::observe::Observed;
use super::parts::api::condition::{API_READY, counts};
use super::parts::{CONDITIONS, PartCondition, Statuses, Weight};
use super::plan::Plan;
use super::reasons;
use super::recovery::times::RunTimes;
use super::status_inputs::StatusInputs;
use crate::crd::agentfs::AgentFSStatus;
use crate::kit::blockers::Blocker;
use crate::kit::conditions::{
    AVAILABLE, Failure, PROGRESSING, READY, RECONCILING, STALLED, State, condition,
};
use crate::kit::ownership::Owner;
use crate::kit::reconcile::Reconciled;
use crate::kit::rollout::ready_replicas;
use crate::kit::validation::Invalid;

/// The conditions of the whole, in the order in which they are shown. The last two are there while they
/// are true.
const OF_THE_WHOLE: [&str; 5] = [READY, AVAILABLE, PROGRESSING, RECONCILING, STALLED];

/// What was found of an AgentFS.
#[derive(Clone, Debug)]
pub struct StatusReport {
    /// The state of each condition, by the condition's type. One that is not among them was not looked
    /// at, and its condition stays.
    pub states: Vec<(&'static str, State)>,
    /// What there is to say of the parts besides, where they were looked at.
    pub parts: Option<Statuses>,
    /// When backups, verifications and drills were done and are due.
    pub times: Vec<RunTimes>,
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
    let abnormal = progressing.abnormal();
    let api = parts.iter().find(|(kind, _)| *kind == API_READY).map(|(_, state)| state);
    let available = available(children.api.deployment.as_ref(), &counts.url, api);
    let mut states =
        vec![(READY, inputs.ready(&counting)), (AVAILABLE, available), (PROGRESSING, progressing)];
    states.extend(abnormal);
    states.extend(parts);
    StatusReport { states, parts: Some(inputs.statuses()), times: inputs.run_times() }
}

/// Whether requests are served at `url`: one API pod does for that. Where none is ready, `api` says why.
fn available(deployment: Option<&Deployment>, url: &str, api: Option<&State>) -> State {
    match api {
        Some(state) if ready_replicas(deployment) == 0 => state.clone(),
        _ => State::true_because(reasons::SERVING, format!("The API answers at {url}.")),
    }
}

/// What is to be said when there is no plan. What runs goes on.
pub fn report_invalid(invalid: &Invalid, owner: &Owner, observed: &Observed) -> StatusReport {
    let failed = State::Failed(Failure::new(
        reasons::INVALID_SPEC,
        invalid.to_string(),
        "Correct the field; nothing is changed until then.",
    ));
    let url = Names::new(&owner.name).api_url(&owner.namespace);
    let deployment = observed.parts.api.deployment.as_ref();
    let mut states = vec![
        (READY, failed.clone()),
        (AVAILABLE, available(deployment, &url, Some(&failed))),
        (PROGRESSING, failed.clone()),
    ];
    states.extend(failed.abnormal());
    StatusReport { states, parts: None, times: Vec::new() }
}

/// The status that says what was found. Conditions of parts that were not looked at stay as they are.
pub fn render(
    report: &StatusReport,
    before: Option<&AgentFSStatus>,
    generation: Option<i64>,
    now: Timestamp,
) -> AgentFSStatus {
    let former = before.map(|s| s.conditions.as_slice()).unwrap_or_default();
    let found = |kind: &'static str| {
        let (_, state) = report.states.iter().find(|(of, _)| *of == kind)?;
        Some(condition(kind, state, former, generation, now))
    };
    // What nothing is known of has no condition.
    let unseen = |part: &PartCondition| {
        let kept = former.iter().find(|c| c.type_ == part.kind).cloned();
        let waits = State::unknown(
            reasons::AWAITING_SPEC,
            "Not checked until the spec is valid; the condition Ready says what is wrong with it.",
        );
        let waits = || condition(part.kind, &waits, former, generation, now);
        kept.or_else(|| (!part.optional).then(waits)).filter(|_| !report.is_complete())
    };
    let of_parts = CONDITIONS.iter().map(|part| found(part.kind).or_else(|| unseen(part)));
    let conditions = OF_THE_WHOLE.into_iter().map(found).chain(of_parts).flatten();
    let conditions = conditions.collect::<Vec<Condition>>();
    let parts = match &report.parts {
        Some(parts) => parts.clone().after(before),
        None => before.cloned().unwrap_or_default(),
    };
    AgentFSStatus { observed_generation: generation, conditions, ..parts }
}
