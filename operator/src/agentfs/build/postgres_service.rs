//! The Service of PostgreSQL.

use k8s_openapi::api::core::v1::Service;

use super::{owned, pod};
use crate::agentfs::names::{Component, POSTGRES_PORT};
use crate::agentfs::plan::Plan;

pub(super) fn build(plan: &Plan) -> Service {
    Service {
        metadata: owned(plan, plan.names.postgres(), Component::Database),
        spec: Some(pod::service(plan, Component::Database, "postgres", POSTGRES_PORT)),
        status: None,
    }
}
