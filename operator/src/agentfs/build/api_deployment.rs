//! The API: stateless pods that are replaced without a failed request.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::server_deployment::{self, Part};
use crate::agentfs::names;
use crate::agentfs::plan::{Plan, Way};

pub(super) fn build(plan: &Plan, way: &Way, image: &str) -> Deployment {
    let part = Part {
        component: names::API,
        name: plan.names.api(),
        command: "serve",
        environment: plan.api.environment.known(),
        resources: plan.api.resources.as_ref(),
        pods: &plan.api.pods,
        surge: IntOrString::String("25%".into()),
        is_served: true,
    };
    server_deployment::build(plan, &part, way, image)
}
