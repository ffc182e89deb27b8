//! What is found of the API.

use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::Deployment;

use super::Facts;
use crate::agentfs::plan::Replicas;
use crate::agentfs::{names, reasons};
use crate::crd::agentfs::ApiStatus;
use crate::kit::conditions::{Finding, Trouble};
use crate::kit::pods;
use crate::kit::readiness::Unready;
use crate::kit::rollout::replica_failure;
use crate::kit::sentences::unpunctuated;

impl Facts<'_> {
    /// The API.
    pub(in crate::agentfs) fn api(&self) -> Finding {
        if self.plan.suspended {
            return if self.plan.api.has_pods {
                Finding::waiting(reasons::STOPPING, "The API answers its last requests")
            } else {
                Finding::not(reasons::SUSPENDED, "The API is stopped.")
            };
        }
        let Some(deployment) = &self.children.api.deployment else {
            return Finding::waiting(reasons::AWAITING_SCHEMA, "The API waits for the schema");
        };
        let ApiStatus { ready, desired, url, .. } = self.counts;
        if *desired == 0 && self.plan.api.replicas == Replicas::Fixed(0) {
            return Finding::not(
                reasons::SCALED_TO_ZERO,
                "spec.api.replicas is 0, so nothing answers. Set it to 1 or more.",
            );
        }
        if ready >= desired {
            return Finding::fine(reasons::SERVING, format!("{desired} API pods answer at {url}."));
        }
        match self.api_trouble(deployment) {
            Some(trouble) => Finding::Wrong(trouble),
            None => Finding::waiting(
                reasons::STARTING,
                format!("{ready} of {desired} API pods are ready"),
            ),
        }
    }

    /// What keeps API pods from being ready: what Kubernetes says of them, or what they say themselves.
    pub(super) fn api_trouble(&self, deployment: &Deployment) -> Option<Trouble> {
        let unready = self.observed.unready.as_ref();
        let said = unready.map(|unready| self.said_by_pod("API", unready));
        pods::trouble(&self.observed.pods_of(names::API))
            .or(said)
            .or_else(|| replica_failure(deployment))
    }

    /// What a pod says of itself; `who` it belongs to.
    pub(super) fn said_by_pod(&self, who: &str, unready: &Unready) -> Trouble {
        let Unready { reason, message } = unready;
        let reason = reasons::of_api_pod(reason);
        let check = match reason {
            reasons::DATABASE_UNREACHABLE => {
                format!("{}{}", self.check_the_secret(), self.ask_the_pooler())
            }
            _ => String::new(),
        };
        Trouble::new(
            reason,
            message,
            format!("The {who} keeps trying, and goes on by itself when this is mended.{check}"),
        )
    }

    /// Why the autoscaler chooses no number. A new one knows nothing of its pods for a while.
    pub(super) fn autoscaler_trouble(&self) -> Option<Trouble> {
        const MAY_LEARN: SignedDuration = SignedDuration::from_mins(3);
        let status = self.children.api.autoscaler.as_ref()?.status.as_ref()?;
        let mut conditions = status.conditions.iter().flatten();
        let active = conditions.find(|c| c.type_ == "ScalingActive" && c.status == "False")?;
        let since = active.last_transition_time.as_ref()?.0;
        if self.observed.now.duration_since(since) < MAY_LEARN {
            return None;
        }
        let said = active.message.as_deref().unwrap_or("it does not say why");
        Some(Trouble::new(
            reasons::AUTOSCALING_FAILED,
            format!("The autoscaler does not know the pods' CPU use: {}", unpunctuated(said)),
            "Check that metrics-server runs (kubectl top pods); until then the number of pods stays \
             as it is.",
        ))
    }
}
