//! The condition of the workers.

use k8s_openapi::api::apps::v1::Deployment;

use super::objects::{COMPONENT, PODS};
use crate::agentfs::plan::Part;
use crate::agentfs::reasons;
use crate::agentfs::status_inputs::StatusInputs;
use crate::crd::agentfs::WorkerStatus;
use crate::kit::conditions::{Failure, State};
use crate::kit::rollout::replica_failure;

/// The worker pods are ready to embed.
pub const WORKERS_READY: &str = "WorkersReady";

impl StatusInputs<'_> {
    /// The rollout of the workers, while there is one.
    pub fn workers_rollout(&self) -> Option<State> {
        let deployment = self.children.workers.deployment.as_ref()?;
        self.rollout(deployment, Self::worker_failure, "The worker pods are being replaced.")
    }

    /// The workers, where there are any.
    pub fn workers(&self) -> Option<State> {
        let counts = self.worker_counts()?;
        if self.plan.suspended {
            return Some(if self.observed.pods_of(COMPONENT).is_empty() {
                State::false_because(reasons::SUSPENDED, "The workers are stopped.")
            } else {
                State::progressing(reasons::STOPPING, "The workers finish what is under way")
            });
        }
        let Some(deployment) = &self.children.workers.deployment else {
            return Some(match self.plan.parts.workers.wanted {
                Part::Blocked => State::progressing(
                    reasons::AWAITING_CREDENTIALS,
                    "The workers wait for the Secret of spec.embeddings",
                ),
                _ => {
                    State::progressing(reasons::AWAITING_SCHEMA, "The workers wait for the schema")
                }
            });
        };
        let WorkerStatus { ready, desired, .. } = counts;
        if desired == 0 {
            return Some(State::true_because(
                reasons::SCALED_TO_ZERO,
                "spec.worker.replicas is 0: nothing is embedded, and jobs wait.",
            ));
        }
        if ready >= desired {
            let sentence = format!("{desired} worker pods compute embeddings.");
            return Some(State::true_because(reasons::SERVING, sentence));
        }
        Some(match self.worker_failure(deployment) {
            Some(failure) => State::Failed(failure),
            None => State::progressing(
                reasons::STARTING,
                format!("{ready} of {desired} worker pods are ready"),
            ),
        })
    }

    /// The workers' pods, where there are to be any.
    pub fn worker_counts(&self) -> Option<WorkerStatus> {
        if matches!(self.plan.parts.workers.wanted, Part::Disabled) {
            return None;
        }
        let deployment = self.children.workers.deployment.as_ref();
        let status = deployment.and_then(|workers| workers.status.as_ref());
        let ready = status.and_then(|status| status.ready_replicas).unwrap_or(0);
        let live = || deployment.and_then(|workers| workers.spec.as_ref()?.replicas);
        let desired = self
            .plan
            .parts
            .workers
            .wanted
            .enabled()
            .map(|plan| plan.replicas)
            .or_else(live)
            .unwrap_or(0);
        Some(WorkerStatus { ready, desired, summary: format!("{ready}/{desired}") })
    }

    pub(super) fn worker_failure(&self, deployment: &Deployment) -> Option<Failure> {
        let said = self.observed.unready(COMPONENT);
        self.observed
            .pod_failure(COMPONENT)
            .or_else(|| Some(self.reported_by_pod("worker", said?)))
            .or_else(|| replica_failure(deployment, PODS))
    }
}
