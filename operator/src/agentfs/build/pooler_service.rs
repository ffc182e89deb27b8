//! The Service by which the API reaches the connection pool.

use k8s_openapi::api::core::v1::Service;

use super::{owned, pod};
use crate::agentfs::names::{Component, POOLER_PORT};
use crate::agentfs::plan::Plan;

pub(super) fn build(plan: &Plan) -> Service {
    Service {
        metadata: owned(plan, plan.names.pooler(), Component::Pooler),
        spec: Some(pod::service(plan, Component::Pooler, "pgbouncer", POOLER_PORT)),
        status: None,
    }
}
