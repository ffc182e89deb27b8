//! What is found of each matter of an AgentFS, from its applied children.

mod api;
mod backup;
mod database;
mod pooler;
mod schema;
mod worker;

use crate::kit::reasons::Reason;
use k8s_openapi::api::apps::v1::Deployment;

use super::build::Children;
use super::observe::Observed;
use super::plan::{DatabasePlan, Plan};
use super::reasons;
use crate::crd::agentfs::ApiStatus;
use crate::kit::blockers::{Blocker, Problem};
use crate::kit::conditions::{Failure, State};
use crate::kit::desired::Applied;
use crate::kit::rollout::is_rolled_out;
use crate::kit::sentences::without_full_stop;

/// Everything that states are made from.
#[derive(Clone, Copy)]
pub(super) struct StatusInputs<'a> {
    pub(super) plan: &'a Plan,
    pub(super) children: &'a Children<Applied>,
    pub(super) observed: &'a Observed,
    pub(super) counts: &'a ApiStatus,
}

impl StatusInputs<'_> {
    /// The Secrets in use.
    pub(super) fn credentials(&self) -> State {
        // Where they cannot be used, a blocker tells why.
        let database = match &self.plan.database {
            DatabasePlan::Embedded(_) => &self.plan.names.credentials(),
            DatabasePlan::External { secret } => secret,
        };
        let admin_key = self.plan.names.admin_key();
        State::true_because(
            reasons::PRESENT,
            format!("The Secrets {database} and {admin_key} can be used."),
        )
    }

    /// What has to come before anything works on the database, when nothing may.
    fn awaited(&self) -> (Reason, &'static str) {
        let in_use = |blocker: &Blocker| matches!(&blocker.problem, Problem::Other(failure) if failure.reason == reasons::DATABASE_IN_USE);
        if self.plan.blockers.iter().any(in_use) {
            (reasons::AWAITING_DATABASE, "the database")
        } else {
            (reasons::AWAITING_CREDENTIALS, "the Secrets")
        }
    }

    /// What to look at when an external database does not answer.
    fn check_the_secret(&self) -> String {
        match (&self.plan.database, &self.plan.access) {
            (DatabasePlan::External { .. }, Some(access)) => format!(
                " Check that PostgreSQL runs at {} and that Secret {}/{} key {} is right.",
                access.url.endpoint(),
                self.plan.owner.namespace,
                access.secret,
                access.key
            ),
            _ => String::new(),
        }
    }

    /// Where to look when the way to the database leads through the connection pool.
    fn ask_the_pooler(&self) -> String {
        match self.plan.pooling.enabled() {
            Some(_) => format!(
                " The API connects through the connection pool, whose log tells what PostgreSQL \
                 answers: kubectl logs -n {} deployment/{}.",
                self.plan.owner.namespace,
                self.plan.names.pooler()
            ),
            None => String::new(),
        }
    }

    /// Whether something is on its route. A rollout that is stuck while the old pods go on serving is
    /// told here, and leaves Ready as it is.
    pub(super) fn progressing(&self, others: &[&State]) -> State {
        if let Some(wrong) = others.iter().find(|state| state.is_failed()) {
            return (*wrong).clone();
        }
        let waiting = others.iter().find_map(|state| match state {
            State::Progressing { reason, message } | State::Unknown { reason, message } => {
                Some((*reason, message))
            }
            _ => None,
        });
        if let Some((reason, message)) = waiting {
            return State::true_because(reason, format!("{}.", without_full_stop(message)));
        }
        for (deployment, failure, what) in [
            (
                &self.children.api.deployment,
                Self::api_failure as fn(&Self, &Deployment) -> Option<Failure>,
                "The API pods are being replaced.",
            ),
            (
                &self.children.pooler.deployment,
                Self::pooler_failure,
                "The pods of the connection pool are being replaced.",
            ),
            (
                &self.children.workers.deployment,
                Self::worker_failure,
                "The worker pods are being replaced.",
            ),
        ] {
            if let Some(deployment) = deployment.as_ref().filter(|of| !is_rolled_out(of)) {
                return match failure(self, deployment) {
                    Some(failure) => State::Failed(failure),
                    None => State::true_because(reasons::ROLLING_OUT, what),
                };
            }
        }
        if let Some(failure) = self.autoscaler_failure() {
            return State::Failed(failure);
        }
        State::false_because(reasons::SETTLED, "Everything is as the spec asks.")
    }

    /// Whether everything is well: the first of `others` that is not says why not.
    pub(super) fn ready(&self, others: &[&State]) -> State {
        let wrong = others.iter().find(|f| f.is_failed());
        if wrong.is_none() && self.plan.suspended {
            return State::false_because(
                reasons::SUSPENDED,
                "spec.suspend is true: nothing runs, and all data is kept. Set it to false to go on.",
            );
        }
        match wrong.or_else(|| others.iter().find(|f| !f.is_true())) {
            Some(state) => (*state).clone(),
            None => State::true_because(
                reasons::READY,
                format!("The API answers at {}.", self.counts.url),
            ),
        }
    }
}
