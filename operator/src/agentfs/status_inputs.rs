//! What conditions are made from, and what they have in common: Ready and Progressing, which sum up the
//! parts' own.

use k8s_openapi::api::apps::v1::Deployment;

use super::observe::Observed;
use super::parts::Children;
use super::plan::Plan;
use super::reasons;
use crate::crd::agentfs::ApiStatus;
use crate::kit::blockers::{Blocker, Problem};
use crate::kit::conditions::{Failure, State};
use crate::kit::desired::Applied;
use crate::kit::reasons::Reason;
use crate::kit::rollout::is_rolled_out;
use crate::kit::sentences::without_full_stop;

/// The Secrets are there and can be used.
pub const CREDENTIALS_READY: &str = "CredentialsReady";

/// Everything that states are made from.
#[derive(Clone, Copy)]
pub struct StatusInputs<'a> {
    /// What was to be done.
    pub plan: &'a Plan,
    /// What became of it.
    pub children: &'a Children<Applied>,
    /// What was seen before.
    pub observed: &'a Observed,
    /// The API's pods, counted.
    pub counts: &'a ApiStatus,
}

impl StatusInputs<'_> {
    /// The Secrets in use.
    pub fn credentials(&self) -> State {
        // Where they cannot be used, a blocker tells why.
        let database = self.plan.parts.database.secret(&self.plan.names);
        let admin_key = self.plan.names.admin_key();
        State::true_because(
            reasons::PRESENT,
            format!("The Secrets {database} and {admin_key} can be used."),
        )
    }

    /// What has to come before anything works on the database, when nothing may.
    pub fn awaited(&self) -> (Reason, &'static str) {
        let in_use = |blocker: &Blocker| matches!(&blocker.problem, Problem::Other(failure) if failure.reason == reasons::DATABASE_IN_USE);
        if self.plan.blockers.iter().any(in_use) {
            (reasons::AWAITING_DATABASE, "the database")
        } else {
            (reasons::AWAITING_CREDENTIALS, "the Secrets")
        }
    }

    /// Where to look when the way to the database leads through the connection pool.
    pub fn ask_the_pooler(&self) -> String {
        match self.plan.parts.pooler.enabled() {
            Some(_) => format!(
                " The API connects through the connection pool, whose log shows what PostgreSQL answers: kubectl logs -n {} deployment/{}.",
                self.plan.owner.namespace,
                self.plan.names.pooler()
            ),
            None => String::new(),
        }
    }

    /// Whether something is on its route: the first of `others` that is not at rest says what, since each
    /// needs those before it. One that fails while an earlier one is on its way may fail for that alone.
    /// A rollout that is stuck while the old pods go on serving is told here, and leaves Ready as it is.
    pub fn progressing(&self, others: &[&State]) -> State {
        match others.iter().find(|state| !state.is_at_rest()) {
            Some(State::Progressing { reason, message } | State::Unknown { reason, message }) => {
                State::true_because(*reason, format!("{}.", without_full_stop(message)))
            }
            Some(wrong) => (*wrong).clone(),
            None => self.rollouts().unwrap_or_else(|| {
                State::false_because(reasons::UP_TO_DATE, "Everything matches the spec.")
            }),
        }
    }

    /// Whether everything is as the spec asks: the first of `others` that is not says why not. What is
    /// stopped because the spec says so is.
    pub fn ready(&self, others: &[&State]) -> State {
        let wrong = others.iter().find(|state| state.is_failed());
        if let Some(state) = wrong.or_else(|| others.iter().find(|state| !state.is_at_rest())) {
            return (*state).clone();
        }
        if self.plan.suspended {
            return State::true_because(
                reasons::SUSPENDED,
                "spec.suspend is true: nothing runs, and all data is kept. Set it to false to go on.",
            );
        }
        let stopped = others.iter().find_map(|state| match state {
            State::False { reason, message } => Some((*reason, message.as_str())),
            _ => None,
        });
        match stopped {
            Some((reason, message)) => State::true_because(reason, message),
            None => State::true_because(
                reasons::READY,
                format!("The API answers at {}.", self.counts.url),
            ),
        }
    }

    /// How far the rollout of `deployment` is, while there is one; `failure` tells what keeps its pods
    /// from being ready, `what` is the sentence.
    pub fn rollout(
        &self,
        deployment: &Deployment,
        failure: fn(&Self, &Deployment) -> Option<Failure>,
        what: &str,
    ) -> Option<State> {
        if is_rolled_out(deployment) {
            return None;
        }
        Some(match failure(self, deployment) {
            Some(failure) => State::Failed(failure),
            None => State::true_because(reasons::ROLLING_OUT, what),
        })
    }
}
