//! The Service by which the API reaches the connection pool.

use k8s_openapi::api::core::v1::Service;

use crate::agentfs::names::{self, POOLER_PORT};
use crate::agentfs::plan::Plan;
use crate::kit::pod;

pub(super) fn build(plan: &Plan) -> Service {
    Service {
        metadata: plan.owner.owned(plan.names.pooler(), names::POOLER),
        spec: Some(pod::service(&plan.owner, names::POOLER, "pgbouncer", POOLER_PORT)),
        status: None,
    }
}
