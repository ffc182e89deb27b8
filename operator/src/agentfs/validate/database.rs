//! The database to be, and the way to it.

use crate::agentfs::reasons;
use crate::kit::conditions::Failure;
use crate::kit::digest;
use crate::kit::pod::PodPlan;
use crate::kit::volumes::VolumePlan;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use crate::agentfs::conditions::{CREDENTIALS_READY, DATABASE_READY};
use crate::agentfs::credentials::{self, Credentials, EXAMPLE_URL};
use crate::agentfs::database_url::DatabaseUrl;
use crate::agentfs::names::{Names, POSTGRES_PORT};
use crate::agentfs::observe::Observed;
use crate::agentfs::plan::{Access, Authority, DatabasePlan, EmbeddedPlan};
use crate::agentfs::pooler;
use crate::crd::agentfs::{AgentFSSpec, Embedded, External};
use crate::kit::blockers::{Blocker, Problem, kept_secret};
use crate::kit::ownership::Owner;
use crate::kit::secrets::Unusable;
use crate::kit::validation::{Invalid, amounts_are_valid};

/// The field that names the Secret of an external database.
const SECRET_REF: &str = "spec.database.external.secretRef";

/// The database that `spec` asks for, and how clients reach it, when that is known.
pub(super) fn plan(
    spec: &AgentFSSpec,
    owner: &Owner,
    observed: &Observed,
    blockers: &mut Vec<Blocker>,
) -> Result<(DatabasePlan, Option<Access>), Invalid> {
    let names = Names::new(&owner.name);
    match (&spec.database.embedded, &spec.database.external) {
        (Some(embedded), None) => {
            let plan = embedded_plan(embedded, &names, observed, blockers)?;
            let access = embedded_access(&plan, &names, &owner.namespace, observed);
            Ok((DatabasePlan::Embedded(Box::new(plan)), access))
        }
        (None, Some(external)) => {
            let pooled = spec.pooler.enabled;
            let access = external_access(external, pooled, &owner.namespace, observed, blockers);
            let secret = external.secret_ref.name.clone();
            Ok((DatabasePlan::External { secret }, access))
        }
        _ => Err(Invalid {
            field: "spec.database",
            problem: "set exactly one of embedded, external".into(),
        }),
    }
}

/// Whether PostgreSQL takes connections, as its pod's readiness says.
pub(super) fn postgres_is_ready(observed: &Observed) -> bool {
    let status = observed.postgres.as_ref().and_then(|set| set.status.as_ref());
    status.and_then(|s| s.ready_replicas).unwrap_or(0) >= 1
}

fn embedded_plan(
    embedded: &Embedded,
    names: &Names,
    observed: &Observed,
    blockers: &mut Vec<Blocker>,
) -> Result<EmbeddedPlan, Invalid> {
    amounts_are_valid("spec.database.embedded.resources", embedded.resources.as_ref())?;
    let size = "spec.database.embedded.storage.size";
    Ok(EmbeddedPlan {
        volume: VolumePlan::wanted(size, &embedded.storage, observed.volume.as_ref())?,
        resources: embedded.resources.clone(),
        pods: PodPlan::of("spec.database.embedded.affinity", &embedded.pods)?,
        credentials: kept_secret(
            CREDENTIALS_READY,
            observed.credentials.as_ref(),
            names.credentials(),
            blockers,
            Credentials::from_secret,
            Credentials::generate,
        ),
    })
}

fn embedded_access(
    plan: &EmbeddedPlan,
    names: &Names,
    namespace: &str,
    observed: &Observed,
) -> Option<Access> {
    let credentials = plan.credentials.as_ref()?;
    Some(Access {
        secret: names.credentials(),
        key: "DATABASE_URL".into(),
        url: credentials.address(&names.postgres_host(namespace), POSTGRES_PORT),
        authority: None,
        // Another volume is another database.
        identity: observed.volume.as_ref().and_then(ResourceExt::uid).unwrap_or_default(),
        hash: credentials.hash(),
    })
}

fn external_access(
    external: &External,
    pooled: bool,
    namespace: &str,
    observed: &Observed,
    blockers: &mut Vec<Blocker>,
) -> Option<Access> {
    let (secret, key) = (&external.secret_ref.name, &external.secret_ref.key);
    let read = match observed.references.secrets.get(secret) {
        None => Err(Problem::SecretMissing {
            secret: secret.clone(),
            field: SECRET_REF,
            remedy: format!(
                "Make it, and the operator goes on by itself: kubectl create secret generic {secret} \
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
    let mut claims = observed.claims.iter();
    if let Some(claim) = claims.find(|claim| claim.comes_first && claim.identity == identity) {
        let database = format!("{}/{}", url.endpoint(), url.database);
        let problem = Problem::Other(Failure::new(
            reasons::DATABASE_IN_USE,
            format!("The database {database} is in use by the AgentFS {}", claim.by),
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
    match pooler::objection(&url).filter(|_| pooled) {
        None => Ok((url, hash)),
        Some(objection) => Err((
            Unusable::Malformed(
                key.to_owned(),
                format!("a URL that the connection pool can use: {objection}"),
            ),
            "Correct the Secret, or set spec.pooler.enabled to false; the operator goes on by itself.",
        )),
    }
}
