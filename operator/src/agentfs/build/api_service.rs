//! The Service that agents talk to.

use k8s_openapi::api::core::v1::Service;

use super::{owned, pod};
use crate::agentfs::names::{API_PORT, Component};
use crate::agentfs::plan::Plan;

pub(super) fn build(plan: &Plan) -> Service {
    Service {
        metadata: owned(plan, plan.names.api(), Component::Api),
        spec: Some(pod::service(plan, Component::Api, "http", API_PORT)),
        status: None,
    }
}
