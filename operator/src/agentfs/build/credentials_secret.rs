//! The Secret with the database's credentials. It has no owner: the data it opens outlives the
//! AgentFS as well.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use secrecy::ExposeSecret as _;

use crate::agentfs::credentials::Credentials;
use crate::agentfs::names::{self, POSTGRES_PORT};
use crate::agentfs::plan::Plan;
use crate::kit::secrets::data;

pub(super) fn build(plan: &Plan, credentials: &Credentials) -> Secret {
    let url = credentials.url(&plan.names.postgres_host(&plan.owner.namespace), POSTGRES_PORT);
    Secret {
        metadata: plan.kept(plan.names.credentials(), names::POSTGRES),
        type_: Some("Opaque".into()),
        data: Some(BTreeMap::from([
            data("username", &credentials.username),
            data("password", credentials.password.expose_secret()),
            data("database", &credentials.database),
            data("DATABASE_URL", url.expose_secret()),
        ])),
        ..Secret::default()
    }
}
