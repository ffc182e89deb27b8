//! The condition of the connection pool.

use k8s_openapi::api::apps::v1::Deployment;

use super::objects::{COMPONENT, PODS};
use crate::agentfs::plan::Part;
use crate::agentfs::reasons;
use crate::agentfs::status_inputs::StatusInputs;
use crate::kit::conditions::{Failure, State};
use crate::kit::rollout::replica_failure;

/// The connection pool takes connections.
pub const POOLER_READY: &str = "PoolerReady";

impl StatusInputs<'_> {
    /// The rollout of the connection pool, while there is one.
    pub fn pooler_rollout(&self) -> Option<State> {
        let deployment = self.children.pooler.deployment.as_ref()?;
        self.rollout(
            deployment,
            Self::pooler_failure,
            "The pods of the connection pool are being replaced.",
        )
    }

    /// The connection pool, where there is one.
    pub fn pooler(&self) -> Option<State> {
        match &self.plan.parts.pooler {
            Part::Disabled => return None,
            // A blocker tells why.
            Part::Blocked => {
                let unknown = "The connection pool's Secret was not read.";
                return Some(State::unknown(reasons::AWAITING_RECONCILE, unknown));
            }
            Part::Enabled(_) => {}
        }
        let deployment = self.children.pooler.deployment.as_ref();
        let status = deployment.and_then(|d| d.status.as_ref());
        if self.plan.suspended {
            return Some(if status.and_then(|s| s.replicas).unwrap_or(0) > 0 {
                State::progressing(
                    reasons::STOPPING,
                    "The connection pool stops when the API has stopped",
                )
            } else {
                State::false_because(reasons::SUSPENDED, "The connection pool is stopped.")
            });
        }
        let Some(deployment) = deployment else {
            let (reason, what) = self.awaited();
            let sentence = format!("The connection pool waits for {what}");
            return Some(State::progressing(reason, sentence));
        };
        let ready = status.and_then(|s| s.ready_replicas).unwrap_or(0);
        if ready >= 1 {
            let desired = deployment.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
            return Some(State::true_because(
                reasons::SERVING,
                format!("{ready} of {desired} pods of the connection pool accept connections."),
            ));
        }
        Some(match self.pooler_failure(deployment) {
            Some(failure) => State::Failed(failure),
            None => State::progressing(reasons::STARTING, "The connection pool is starting"),
        })
    }

    pub(super) fn pooler_failure(&self, deployment: &Deployment) -> Option<Failure> {
        self.observed.pod_failure(COMPONENT).or_else(|| replica_failure(deployment, PODS))
    }
}
