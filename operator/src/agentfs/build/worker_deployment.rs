//! The workers, which embed what was written. A job of a pod that leaves comes back by itself.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::server_deployment::{self, ServerPods};
use crate::agentfs::names;
use crate::agentfs::plan::{DatabaseRoute, Plan, WorkerPlan};

pub(super) fn build(
    plan: &Plan,
    workers: &WorkerPlan,
    route: &DatabaseRoute,
    image: &str,
) -> Deployment {
    let pods = ServerPods {
        component: names::WORKER,
        name: plan.names.worker(),
        command: "worker",
        environment: &workers.environment,
        resources: workers.resources.as_ref(),
        pods: &workers.pods,
        surge: IntOrString::Int(1),
        is_served: false,
    };
    server_deployment::build(plan, &pods, route, image)
}
