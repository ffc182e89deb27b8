//! The Secret with the first API key. It has no owner: the database that knows the key outlives the
//! AgentFS as well.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;

use super::{entry, kept};
use crate::agentfs::credentials::AdminKey;
use crate::agentfs::names::Component;
use crate::agentfs::plan::Plan;

pub(super) fn build(plan: &Plan, admin_key: &AdminKey) -> Secret {
    Secret {
        metadata: kept(plan, plan.names.admin_key(), Component::Api),
        type_: Some("Opaque".into()),
        data: Some(BTreeMap::from([entry("key", admin_key.expose())])),
        ..Secret::default()
    }
}
