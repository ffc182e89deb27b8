//! What is found of the workers.

use k8s_openapi::api::apps::v1::Deployment;

use super::Facts;
use crate::agentfs::plan::Part;
use crate::agentfs::{names, reasons};
use crate::crd::agentfs::WorkerStatus;
use crate::kit::conditions::{Finding, Trouble};
use crate::kit::pods;
use crate::kit::rollout::replica_failure;

impl Facts<'_> {
    /// The workers, where there are any.
    pub(in crate::agentfs) fn workers(&self) -> Option<Finding> {
        let counts = self.worker_counts()?;
        if self.plan.suspended {
            return Some(if self.observed.pods_of(names::WORKER).is_empty() {
                Finding::not(reasons::SUSPENDED, "The workers are stopped.")
            } else {
                Finding::waiting(reasons::STOPPING, "The workers finish what is under way")
            });
        }
        let Some(deployment) = &self.children.workers.deployment else {
            return Some(match self.plan.workers {
                Part::Barred => Finding::waiting(
                    reasons::AWAITING_CREDENTIALS,
                    "The workers wait for the Secret of spec.embeddings",
                ),
                _ => Finding::waiting(reasons::AWAITING_SCHEMA, "The workers wait for the schema"),
            });
        };
        let WorkerStatus { ready, desired, .. } = counts;
        if desired == 0 {
            return Some(Finding::fine(
                reasons::SCALED_TO_ZERO,
                "spec.worker.replicas is 0: nothing is embedded, and what is written waits.",
            ));
        }
        if ready >= desired {
            let sentence = format!("{desired} worker pods embed what is written.");
            return Some(Finding::fine(reasons::SERVING, sentence));
        }
        Some(match self.worker_trouble(deployment) {
            Some(trouble) => Finding::Wrong(trouble),
            None => Finding::waiting(
                reasons::STARTING,
                format!("{ready} of {desired} worker pods are ready"),
            ),
        })
    }

    /// The workers' pods, where there are to be any.
    pub(in crate::agentfs) fn worker_counts(&self) -> Option<WorkerStatus> {
        if matches!(self.plan.workers, Part::Off) {
            return None;
        }
        let deployment = self.children.workers.deployment.as_ref();
        let status = deployment.and_then(|workers| workers.status.as_ref());
        let ready = status.and_then(|status| status.ready_replicas).unwrap_or(0);
        let live = || deployment.and_then(|workers| workers.spec.as_ref()?.replicas);
        let desired = self.plan.workers.plan().map(|plan| plan.replicas).or_else(live).unwrap_or(0);
        Some(WorkerStatus { ready, desired, summary: format!("{ready}/{desired}") })
    }

    pub(super) fn worker_trouble(&self, deployment: &Deployment) -> Option<Trouble> {
        let said = self.observed.unready_worker.as_ref();
        pods::trouble(&self.observed.pods_of(names::WORKER))
            .or_else(|| Some(self.said_by_pod("worker", said?)))
            .or_else(|| replica_failure(deployment))
    }
}
