//! The validated embedded database: volume, pods and credentials.

use super::identity::Identity;
use super::loss;
use super::objects::Seen;
use crate::agentfs::database::access::Access;
use crate::agentfs::database::credentials::Credentials;
use crate::agentfs::names::POSTGRES_PORT;
use crate::agentfs::status_inputs::CREDENTIALS_READY;
use crate::agentfs::validate::PlanInputs;
use crate::crd::agentfs::Embedded;
use crate::crd::fields::Resources;
use crate::kit::blockers::{Blocker, kept_secret};
use crate::kit::pod::PodPlan;
use crate::kit::validation::{Invalid, resources_are_valid};
use crate::kit::volumes::VolumePlan;

/// The embedded database to be.
#[derive(Clone, Debug)]
pub struct EmbeddedPlan {
    /// Its volume.
    pub volume: VolumePlan,
    /// Its CPU and memory, where the spec says so.
    pub resources: Option<Resources>,
    /// Where its pod runs, and what it carries.
    pub pods: PodPlan,
    /// Its credentials: those of the Secret, or new ones where there is none.
    pub credentials: Option<Credentials>,
    /// Whether the claim of its volume is being deleted, and data with it.
    pub is_leaving: bool,
}

/// What an embedded database left, or has. It is kept when there is to be none, and whether it goes with
/// the AgentFS is for the spec to say then as well.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// Its volume.
    pub volume: Option<VolumePlan>,
    /// Its credentials.
    pub credentials: Option<Credentials>,
    /// Which database it is.
    pub identity: Identity,
}

impl Kept {
    /// What there is of it.
    pub fn of(inputs: &PlanInputs<'_>) -> Self {
        let seen = &inputs.observed.parts.database;
        let credentials = seen.credentials.as_ref();
        Self {
            volume: seen.volume.as_ref().and_then(VolumePlan::of),
            credentials: credentials.and_then(|c| Credentials::from_secret(c).ok()),
            identity: Identity::of(inputs),
        }
    }
}

/// The embedded database that the spec asks for.
pub fn plan(
    embedded: &Embedded,
    kept: &Kept,
    inputs: &PlanInputs<'_>,
    blockers: &mut Vec<Blocker>,
) -> Result<EmbeddedPlan, Invalid> {
    let seen = &inputs.observed.parts.database;
    resources_are_valid("spec.database.embedded.resources", embedded.resources.as_ref())?;
    let size = "spec.database.embedded.storage.size";
    let plan = EmbeddedPlan {
        volume: VolumePlan::wanted(
            size,
            &embedded.storage,
            seen.volume.as_ref(),
            &inputs.observed.growth,
        )?,
        resources: embedded.resources.clone(),
        pods: PodPlan::of("spec.database.embedded.affinity", &embedded.pods)?,
        credentials: kept_secret(
            CREDENTIALS_READY,
            seen.credentials.as_ref(),
            inputs.names.credentials(),
            blockers,
            Credentials::from_secret,
            Credentials::generate,
        ),
        is_leaving: seen.leaving.is_some() && kept.identity.expected.is_some(),
    };
    loss::warn(&plan, kept, inputs, blockers);
    Ok(plan)
}

/// How clients reach it, when its credentials are known.
pub fn access(plan: &EmbeddedPlan, kept: &Kept, inputs: &PlanInputs<'_>) -> Option<Access> {
    let PlanInputs { owner, names, .. } = inputs;
    let credentials = plan.credentials.as_ref()?;
    Some(Access {
        secret: names.credentials(),
        key: "DATABASE_URL".into(),
        url: credentials.address(&names.postgres_host(&owner.namespace), POSTGRES_PORT),
        authority: None,
        identity: kept.identity.current.clone().unwrap_or_default(),
        hash: credentials.hash(),
    })
}

/// Whether PostgreSQL accepts connections, as its pod's readiness says.
pub fn is_ready(seen: &Seen) -> bool {
    let status = seen.postgres.as_ref().and_then(|set| set.status.as_ref());
    status.and_then(|s| s.ready_replicas).unwrap_or(0) >= 1
}
