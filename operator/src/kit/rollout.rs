//! The rollout of a Deployment: whether it is complete, and why Kubernetes makes no pods.

use k8s_openapi::api::apps::v1::Deployment;

use super::conditions::Failure;
use super::pods;

/// Whether all pods that are wanted are of the newest kind, and no others are there.
pub fn is_rolled_out(deployment: &Deployment) -> bool {
    let Some(status) = &deployment.status else { return false };
    let wanted = deployment.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
    status.observed_generation >= deployment.metadata.generation
        && status.updated_replicas.unwrap_or(0) == wanted
        && status.replicas.unwrap_or(0) == wanted
}

/// Why Kubernetes makes no pods for a Deployment.
pub fn replica_failure(deployment: &Deployment) -> Option<Failure> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let failure = conditions.iter().find(|c| c.type_ == "ReplicaFailure" && c.status == "True")?;
    Some(pods::refusal(failure.message.as_deref()?))
}
