//! Access to an external database, from the Secret that the spec names.

use k8s_openapi::api::core::v1::Secret;

use crate::agentfs::database::DATABASE_READY;
use crate::agentfs::database::access::{Access, Authority};
use crate::agentfs::database::credentials::{self, EXAMPLE_URL};
use crate::agentfs::database::url::DatabaseUrl;
use crate::agentfs::parts::pooler::config;
use crate::agentfs::reasons;
use crate::agentfs::status_inputs::CREDENTIALS_READY;
use crate::agentfs::validate::PlanInputs;
use crate::crd::agentfs::External;
use crate::kit::blockers::{Blocker, Problem};
use crate::kit::conditions::Failure;
use crate::kit::digest;
use crate::kit::secrets::Unusable;

/// The field that names the Secret of an external database.
const SECRET_REF: &str = "spec.database.external.secretRef";

/// How clients reach the database that the spec names, when its URL is known.
pub fn access(
    external: &External,
    inputs: &PlanInputs<'_>,
    blockers: &mut Vec<Blocker>,
) -> Option<Access> {
    let PlanInputs { spec, owner, observed, .. } = inputs;
    let (pooled, namespace) = (spec.pooler.enabled, &owner.namespace);
    let (secret, key) = (&external.secret_ref.name, &external.secret_ref.key);
    let read = match observed.references.secrets.get(secret) {
        None => Err(Problem::SecretMissing {
            secret: secret.clone(),
            field: SECRET_REF,
            remedy: format!(
                "Create it, and the operator continues by itself: kubectl create secret generic {secret} \
                 -n {namespace} --from-literal={key}={EXAMPLE_URL}"
            ),
        }),
        Some(live) => client_of(live, external, pooled).map_err(|(unusable, remedy)| {
            Problem::SecretUnusable { secret: secret.clone(), unusable, remedy }
        }),
    };
    let (url, hash) = match read {
        Ok(read) => read,
        Err(problem) => {
            blockers.push(Blocker { of: CREDENTIALS_READY, problem });
            return None;
        }
    };
    let identity = url.identity();
    let mut uses = observed.database_uses.iter();
    if let Some(used) = uses.find(|of| of.comes_first && of.identity == identity) {
        let database = format!("{}/{}", url.endpoint(), url.database);
        let problem = Problem::Other(Failure::new(
            reasons::DATABASE_IN_USE,
            format!("The database {database} is in use by the AgentFS {}", used.by),
            "Give each AgentFS a database of its own (CREATE DATABASE), or delete the other one.",
        ));
        blockers.push(Blocker { of: DATABASE_READY, problem });
        return None;
    }
    let authority = external.ca_key.clone().map(|key| Authority { secret: secret.clone(), key });
    Some(Access { secret: secret.clone(), key: key.clone(), url, identity, authority, hash })
}

/// The URL that a Secret holds, with a hash of all that it tells clients, or what is wrong with it and
/// what to do.
fn client_of(
    secret: &Secret,
    external: &External,
    pooled: bool,
) -> Result<(DatabaseUrl, String), (Unusable, &'static str)> {
    let key = &external.secret_ref.key;
    let read = || {
        let (url, hash) = credentials::database_url(secret, key)?;
        let Some(authority) = &external.ca_key else { return Ok((url, hash)) };
        let certificates = credentials::certificates(secret, authority)?;
        Ok((url, digest::hash([hash.as_str(), certificates.as_str()])))
    };
    let (url, hash) = read().map_err(|unusable| {
        (
            unusable,
            "Correct the Secret, or name another in spec.database.external.secretRef; the operator \
             goes on by itself.",
        )
    })?;
    match config::objection(&url).filter(|_| pooled) {
        None => Ok((url, hash)),
        Some(objection) => Err((
            Unusable::Malformed(
                key.to_owned(),
                format!("a URL that the connection pool can use: {objection}"),
            ),
            "Correct the Secret, or set spec.pooler.enabled to false; the operator then continues by itself.",
        )),
    }
}
