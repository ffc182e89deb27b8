//! The API: stateless pods that are replaced without a failed request.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::server_deployment::{self, ServerPods};
use crate::agentfs::names;
use crate::agentfs::plan::{DatabaseRoute, Plan};

pub(super) fn build(plan: &Plan, route: &DatabaseRoute, image: &str) -> Deployment {
    let pods = ServerPods {
        component: names::API,
        name: plan.names.api(),
        command: "serve",
        environment: plan.api.environment.known(),
        resources: plan.api.resources.as_ref(),
        pods: &plan.api.pods,
        surge: IntOrString::String("25%".into()),
        is_served: true,
    };
    server_deployment::build(plan, &pods, route, image)
}
