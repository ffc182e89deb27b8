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
use crate::kit::conditions::{Finding, Trouble};
use crate::kit::desired::Applied;
use crate::kit::obstacles::{Obstacle, Problem};
use crate::kit::rollout::is_rolled_out;
use crate::kit::sentences::unpunctuated;

/// Everything that findings are made from.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) plan: &'a Plan,
    pub(super) children: &'a Children<Applied>,
    pub(super) observed: &'a Observed,
    pub(super) counts: &'a ApiStatus,
}

impl Facts<'_> {
    /// The Secrets in use.
    pub(super) fn credentials(&self) -> Finding {
        // Where they cannot be used, an obstacle tells why.
        let database = match &self.plan.database {
            DatabasePlan::Embedded(_) => &self.plan.names.credentials(),
            DatabasePlan::External { secret } => secret,
        };
        let admin_key = self.plan.names.admin_key();
        Finding::fine(
            reasons::PRESENT,
            format!("The Secrets {database} and {admin_key} can be used."),
        )
    }

    /// What has to come before anything works on the database, when nothing may.
    fn awaited(&self) -> (Reason, &'static str) {
        let in_use = |obstacle: &Obstacle| matches!(&obstacle.problem, Problem::Other(trouble) if trouble.reason == reasons::DATABASE_IN_USE);
        if self.plan.obstacles.iter().any(in_use) {
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
        match self.plan.pooling.plan() {
            Some(_) => format!(
                " The API connects through the connection pool, whose log tells what PostgreSQL \
                 answers: kubectl logs -n {} deployment/{}.",
                self.plan.owner.namespace,
                self.plan.names.pooler()
            ),
            None => String::new(),
        }
    }

    /// Whether something is on its way. A rollout that is stuck while the old pods go on serving is
    /// told here, and leaves Ready as it is.
    pub(super) fn progressing(&self, others: &[&Finding]) -> Finding {
        if let Some(wrong) = others.iter().find(|finding| finding.is_wrong()) {
            return (*wrong).clone();
        }
        let waiting = others.iter().find_map(|finding| match finding {
            Finding::Waiting { reason, message } | Finding::Unknown { reason, message } => {
                Some((*reason, message))
            }
            _ => None,
        });
        if let Some((reason, message)) = waiting {
            return Finding::fine(reason, format!("{}.", unpunctuated(message)));
        }
        for (deployment, trouble, what) in [
            (
                &self.children.api.deployment,
                Self::api_trouble as fn(&Self, &Deployment) -> Option<Trouble>,
                "The API pods are being replaced.",
            ),
            (
                &self.children.pooler.deployment,
                Self::pooler_trouble,
                "The pods of the connection pool are being replaced.",
            ),
            (
                &self.children.workers.deployment,
                Self::worker_trouble,
                "The worker pods are being replaced.",
            ),
        ] {
            if let Some(deployment) = deployment.as_ref().filter(|of| !is_rolled_out(of)) {
                return match trouble(self, deployment) {
                    Some(trouble) => Finding::Wrong(trouble),
                    None => Finding::fine(reasons::ROLLING_OUT, what),
                };
            }
        }
        if let Some(trouble) = self.autoscaler_trouble() {
            return Finding::Wrong(trouble);
        }
        Finding::not(reasons::SETTLED, "Everything is as the spec asks.")
    }

    /// Whether everything is well: the first of `others` that is not says why not.
    pub(super) fn ready(&self, others: &[&Finding]) -> Finding {
        let wrong = others.iter().find(|f| f.is_wrong());
        if wrong.is_none() && self.plan.suspended {
            return Finding::not(
                reasons::SUSPENDED,
                "spec.suspend is true: nothing runs, and all data is kept. Set it to false to go on.",
            );
        }
        match wrong.or_else(|| others.iter().find(|f| !f.is_fine())) {
            Some(finding) => (*finding).clone(),
            None => {
                Finding::fine(reasons::READY, format!("The API answers at {}.", self.counts.url))
            }
        }
    }
}
