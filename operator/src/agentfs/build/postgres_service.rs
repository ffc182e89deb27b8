//! The Service of PostgreSQL.

use k8s_openapi::api::core::v1::Service;

use crate::agentfs::names::{self, POSTGRES_PORT};
use crate::agentfs::plan::Plan;
use crate::kit::pod;

pub(super) fn build(plan: &Plan) -> Service {
    Service {
        metadata: plan.owner.owned(plan.names.postgres(), names::POSTGRES),
        spec: Some(pod::service(&plan.owner, names::POSTGRES, "postgres", POSTGRES_PORT)),
        status: None,
    }
}
