//! The validated connection pool: its settings, pods, and the credentials that its clients show.

use crate::agentfs::database::credentials::Credentials;
use crate::agentfs::plan::Part;
use crate::agentfs::validate::PlanInputs;
use crate::crd::agentfs::Pooler;
use crate::kit::blockers::Blocker;
use crate::kit::pod::PodPlan;
use crate::kit::validation::{Invalid, resources_are_valid};

/// The connection pool to be.
#[derive(Clone, Debug)]
pub struct PoolerPlan {
    /// What the spec says.
    pub spec: Pooler,
    /// Where its pods run, and what they carry.
    pub pods: PodPlan,
    /// What its clients show to it. It has nothing to do with the database's credentials, so that the
    /// API need not know of new ones.
    pub credentials: Credentials,
}

/// What is there of the pool's configuration is made anew where it is not as it was made, so it is
/// never a blocker, unless it is somebody else's.
pub fn plan(inputs: &PlanInputs<'_>, blockers: &[Blocker]) -> Result<Part<PoolerPlan>, Invalid> {
    let spec = &inputs.spec.pooler;
    resources_are_valid("spec.pooler.resources", spec.resources.as_ref())?;
    let pods = PodPlan::of("spec.pooler.affinity", &spec.pods)?;
    if !spec.enabled {
        return Ok(Part::Disabled);
    }
    if blockers.iter().any(|blocker| blocker.blocks("Secret", &inputs.names.pooler())) {
        return Ok(Part::Blocked);
    }
    Ok(Part::Enabled(Box::new(PoolerPlan {
        spec: spec.clone(),
        pods,
        credentials: Credentials::regenerate(inputs.observed.parts.pooler.config.as_ref()),
    })))
}
