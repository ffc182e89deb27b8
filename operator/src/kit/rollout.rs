//! The rollout of a workload: whether it is complete, and why Kubernetes makes no pods.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};

use super::conditions::Failure;
use super::pods::{self, PodsOf};

/// Whether all pods that are wanted are of the newest kind, and no others are there.
pub fn is_rolled_out(deployment: &Deployment) -> bool {
    let Some(status) = &deployment.status else { return false };
    let wanted = deployment.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
    status.observed_generation >= deployment.metadata.generation
        && status.updated_replicas.unwrap_or(0) == wanted
        && status.replicas.unwrap_or(0) == wanted
}

/// Whether the pods of a StatefulSet are of the newest kind.
pub fn is_updated(set: &StatefulSet) -> bool {
    set.status.as_ref().is_none_or(|status| {
        status.observed_generation >= set.metadata.generation
            && status.current_revision == status.update_revision
    })
}

/// How many pods of a Deployment are ready; 0 where there is none.
pub fn ready_replicas(deployment: Option<&Deployment>) -> i32 {
    deployment.and_then(|of| of.status.as_ref()?.ready_replicas).unwrap_or(0)
}

/// Why Kubernetes makes no pods for a Deployment.
pub fn replica_failure(deployment: &Deployment, of: PodsOf) -> Option<Failure> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let failure = conditions.iter().find(|c| c.type_ == "ReplicaFailure" && c.status == "True")?;
    Some(pods::refusal(failure.message.as_deref()?, of))
}
