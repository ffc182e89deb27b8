//! The configuration of the connection pool, and the URL by which the API reaches it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use secrecy::ExposeSecret as _;

use crate::agentfs::names::{self, POOLER_PORT};
use crate::agentfs::plan::{Access, Plan, PoolerPlan};
use crate::agentfs::pooler::{INI, USERLIST, ini, userlist};
use crate::kit::secrets::data;

pub(super) fn build(plan: &Plan, pooler: &PoolerPlan, access: &Access) -> Secret {
    let credentials = &pooler.credentials;
    let url = credentials.url(&plan.names.pooler_host(&plan.owner.namespace), POOLER_PORT);
    Secret {
        metadata: plan.owner.owned(plan.names.pooler(), names::POOLER),
        type_: Some("Opaque".into()),
        data: Some(BTreeMap::from([
            data(INI, ini(pooler, access).expose_secret()),
            data(USERLIST, userlist(credentials).expose_secret()),
            data("password", credentials.password.expose_secret()),
            data("DATABASE_URL", url.expose_secret()),
        ])),
        ..Secret::default()
    }
}
