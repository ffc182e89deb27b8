//! The Secret with the database's credentials. It has no owner: the data it opens outlives the
//! AgentFS as well.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use secrecy::ExposeSecret as _;

use super::{entry, kept};
use crate::agentfs::credentials::Credentials;
use crate::agentfs::names::{Component, POSTGRES_PORT};
use crate::agentfs::plan::Plan;

pub(super) fn build(plan: &Plan, credentials: &Credentials) -> Secret {
    let url = credentials.url(&plan.names.postgres_host(&plan.owner.namespace), POSTGRES_PORT);
    Secret {
        metadata: kept(plan, plan.names.credentials(), Component::Database),
        type_: Some("Opaque".into()),
        data: Some(BTreeMap::from([
            entry("username", &credentials.username),
            entry("password", credentials.password.expose_secret()),
            entry("database", &credentials.database),
            entry("DATABASE_URL", url.expose_secret()),
        ])),
        ..Secret::default()
    }
}
