//! The Secret with the database's credentials. It has no owner: the data it opens outlives the
//! AgentFS as well.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use secrecy::ExposeSecret as _;

use super::{kept, postgres_host};
use crate::agentfs::names::{Component, POSTGRES_PORT};
use crate::agentfs::validate::Plan;

pub(super) fn build(plan: &Plan) -> Secret {
    let credentials = &plan.credentials;
    let url = credentials.url(&postgres_host(plan), POSTGRES_PORT);
    let entry = |key: &str, value: &str| (key.to_owned(), ByteString(value.as_bytes().to_vec()));
    Secret {
        metadata: kept(&plan.owner, &plan.names, plan.names.credentials(), Component::Database),
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
