//! The Secret with the first API key. It has no owner: the database that knows the key outlives the
//! AgentFS as well.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;

use crate::agentfs::credentials::AdminKey;
use crate::agentfs::names;
use crate::agentfs::plan::Plan;
use crate::kit::secrets::data;

pub(super) fn build(plan: &Plan, admin_key: &AdminKey) -> Secret {
    Secret {
        metadata: plan.kept(plan.names.admin_key(), names::API),
        type_: Some("Opaque".into()),
        data: Some(BTreeMap::from([data("key", admin_key.expose())])),
        ..Secret::default()
    }
}
