//! The condition of the API, and its pods, counted.

use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::Deployment;

use super::objects::{COMPONENT, PODS};
use super::plan::Replicas;
use crate::agentfs::parts::Children;
use crate::agentfs::plan::Plan;
use crate::agentfs::reasons;
use crate::agentfs::server_deployment::Live;
use crate::agentfs::status_inputs::StatusInputs;
use crate::crd::agentfs::ApiStatus;
use crate::kit::conditions::{Failure, State};
use crate::kit::desired::Applied;
use crate::kit::readiness::Unready;
use crate::kit::rollout::{ready_replicas, replica_failure};
use crate::kit::sentences::without_full_stop;

/// The API pods answer.
pub const API_READY: &str = "APIReady";

impl StatusInputs<'_> {
    /// What keeps the autoscaler from choosing a number, where there is one.
    pub fn autoscaling(&self) -> Option<State> {
        self.autoscaler_failure().map(State::Failed)
    }

    /// The rollout of the API, while there is one.
    pub fn api_rollout(&self) -> Option<State> {
        let deployment = self.children.api.deployment.as_ref()?;
        self.rollout(deployment, Self::api_failure, "The API pods are being replaced.")
    }

    /// The API.
    pub fn api(&self) -> State {
        if self.plan.suspended {
            return if self.plan.parts.api.has_pods {
                State::progressing(reasons::STOPPING, "The API is finishing its last requests")
            } else {
                State::false_because(reasons::SUSPENDED, "The API is stopped.")
            };
        }
        let Some(deployment) = &self.children.api.deployment else {
            return State::progressing(reasons::AWAITING_SCHEMA, "The API waits for the schema");
        };
        let ApiStatus { ready, desired, url, .. } = self.counts;
        if *desired == 0 && self.plan.parts.api.replicas == Replicas::Fixed(0) {
            return State::false_because(
                reasons::SCALED_TO_ZERO,
                "spec.api.replicas is 0, so nothing answers. Set it to 1 or more.",
            );
        }
        if ready >= desired {
            return State::true_because(
                reasons::SERVING,
                format!("{desired} API pods answer at {url}."),
            );
        }
        match self.api_failure(deployment) {
            Some(failure) => State::Failed(failure),
            None => State::progressing(
                reasons::STARTING,
                format!("{ready} of {desired} API pods are ready"),
            ),
        }
    }

    /// What keeps API pods from being ready: what Kubernetes says of them, or what they say themselves.
    pub(super) fn api_failure(&self, deployment: &Deployment) -> Option<Failure> {
        let unready = self.observed.unready(COMPONENT);
        let said = unready.map(|unready| self.reported_by_pod("API", unready));
        self.observed.pod_failure(COMPONENT).or(said).or_else(|| replica_failure(deployment, PODS))
    }

    /// What a pod says of itself; `who` it belongs to.
    pub fn reported_by_pod(&self, who: &str, unready: &Unready) -> Failure {
        let Unready { reason, message } = unready;
        let reason = reasons::of_api_pod(reason);
        let check = match reason {
            reasons::DATABASE_UNREACHABLE => {
                format!("{}{}", self.check_the_secret(), self.ask_the_pooler())
            }
            reasons::DATABASE_READ_ONLY => self.check_the_secret(),
            _ => String::new(),
        };
        Failure::new(
            reason,
            message,
            format!("The {who} keeps trying, and recovers by itself once this is fixed.{check}"),
        )
    }

    /// Why the autoscaler chooses no number. A new one knows nothing of its pods for a while.
    fn autoscaler_failure(&self) -> Option<Failure> {
        const MAY_LEARN: SignedDuration = SignedDuration::from_mins(3);
        let status = self.children.api.autoscaler.as_ref()?.status.as_ref()?;
        let mut conditions = status.conditions.iter().flatten();
        let active = conditions.find(|c| c.type_ == "ScalingActive" && c.status == "False")?;
        let since = active.last_transition_time.as_ref()?.0;
        if self.observed.now.duration_since(since) < MAY_LEARN {
            return None;
        }
        let said = active.message.as_deref().unwrap_or("it does not say why");
        Some(Failure::new(
            reasons::AUTOSCALING_FAILED,
            format!(
                "The autoscaler does not know the CPU utilization of the pods: {}",
                without_full_stop(said)
            ),
            "Check that metrics-server runs (kubectl top pods); until then the number of pods stays \
             as it is.",
        ))
    }
}

/// The API's pods, counted.
pub fn counts(plan: &Plan, children: &Children<Applied>) -> ApiStatus {
    let deployment = children.api.deployment.as_ref();
    let status = deployment.and_then(|api| api.status.as_ref());
    let ready = ready_replicas(deployment);
    let desired = match plan.parts.api.replicas {
        Replicas::Fixed(replicas) => replicas,
        Replicas::Autoscaled(_) | Replicas::OthersAutoscaler(_) => {
            deployment.and_then(|api| api.spec.as_ref()?.replicas).unwrap_or(0)
        }
    };
    let selector = plan.owner.selector(COMPONENT);
    ApiStatus {
        ready,
        desired,
        replicas: status.and_then(|s| s.replicas).unwrap_or(0),
        summary: format!("{ready}/{desired}"),
        selector: selector.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(","),
        image: deployment.and_then(|api| Live::of(api, COMPONENT)?.image),
        url: plan.names.api_url(&plan.owner.namespace),
    }
}
