//! What is found of the connection pool.

use k8s_openapi::api::apps::v1::Deployment;

use super::Facts;
use crate::agentfs::plan::Part;
use crate::agentfs::{names, reasons};
use crate::kit::conditions::{Finding, Trouble};
use crate::kit::pods;
use crate::kit::rollout::replica_failure;

impl Facts<'_> {
    /// The connection pool, where there is one.
    pub(in crate::agentfs) fn pooler(&self) -> Option<Finding> {
        match &self.plan.pooling {
            Part::Off => return None,
            // An obstacle tells why.
            Part::Barred => {
                let unknown = "The connection pool's Secret was not read.";
                return Some(Finding::unknown(reasons::NOT_SEEN_YET, unknown));
            }
            Part::On(_) => {}
        }
        let deployment = self.children.pooler.deployment.as_ref();
        let status = deployment.and_then(|d| d.status.as_ref());
        if self.plan.suspended {
            return Some(if status.and_then(|s| s.replicas).unwrap_or(0) > 0 {
                Finding::waiting(
                    reasons::STOPPING,
                    "The connection pool stops when the API has stopped",
                )
            } else {
                Finding::not(reasons::SUSPENDED, "The connection pool is stopped.")
            });
        }
        let Some(deployment) = deployment else {
            let (reason, what) = self.awaited();
            let sentence = format!("The connection pool waits for {what}");
            return Some(Finding::waiting(reason, sentence));
        };
        let ready = status.and_then(|s| s.ready_replicas).unwrap_or(0);
        if ready >= 1 {
            let desired = deployment.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
            return Some(Finding::fine(
                reasons::SERVING,
                format!("{ready} of {desired} pods of the connection pool take connections."),
            ));
        }
        Some(match self.pooler_trouble(deployment) {
            Some(trouble) => Finding::Wrong(trouble),
            None => Finding::waiting(reasons::STARTING, "The connection pool is starting"),
        })
    }

    pub(super) fn pooler_trouble(&self, deployment: &Deployment) -> Option<Trouble> {
        let pods = self.observed.pods_of(names::POOLER);
        pods::trouble(&pods).or_else(|| replica_failure(deployment))
    }
}
