//! Pod disruption budgets: how many pods may be away at once, when nodes are drained.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::desired::Desired;
use super::labels::Component;
use super::ownership::Owner;
use super::pod;

/// One pod of `component`, where there are at least two. With one alone a budget would keep its node
/// from ever being emptied.
pub fn build(
    owner: &Owner,
    name: String,
    component: Component,
    replicas: i32,
) -> Desired<PodDisruptionBudget> {
    if replicas < 2 {
        return Desired::Delete;
    }
    Desired::Apply(PodDisruptionBudget {
        metadata: owner.owned(name, component),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(pod::selector(owner, component)),
            // A pod that is not ready anyway keeps no node from being emptied.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    })
}
