//! The configuration of the connection pool, and the URL by which the API reaches it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use secrecy::ExposeSecret as _;

use super::{entry, owned};
use crate::agentfs::names::{Component, POOLER_PORT};
use crate::agentfs::plan::{Access, Plan, PoolerPlan};
use crate::agentfs::pooler::{INI, USERLIST, ini, userlist};

pub(super) fn build(plan: &Plan, pooler: &PoolerPlan, access: &Access) -> Secret {
    let credentials = &pooler.credentials;
    let url = credentials.url(&plan.names.pooler_host(&plan.owner.namespace), POOLER_PORT);
    Secret {
        metadata: owned(plan, plan.names.pooler(), Component::Pooler),
        type_: Some("Opaque".into()),
        data: Some(BTreeMap::from([
            entry(INI, ini(pooler, access).expose_secret()),
            entry(USERLIST, userlist(credentials).expose_secret()),
            entry("password", credentials.password.expose_secret()),
            entry("DATABASE_URL", url.expose_secret()),
        ])),
        ..Secret::default()
    }
}
