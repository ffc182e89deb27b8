//! The Service that agents talk to.

use k8s_openapi::api::core::v1::Service;

use crate::agentfs::names::{self, API_PORT};
use crate::agentfs::plan::Plan;
use crate::kit::pod;

pub(super) fn build(plan: &Plan) -> Service {
    Service {
        metadata: plan.owner.owned(plan.names.api(), names::API),
        spec: Some(pod::service(&plan.owner, names::API, "http", API_PORT)),
        status: None,
    }
}
