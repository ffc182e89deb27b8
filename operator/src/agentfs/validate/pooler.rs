//! The connection pool to be.

use crate::agentfs::credentials::Credentials;
use crate::agentfs::names::Names;
use crate::agentfs::observe::Observed;
use crate::agentfs::plan::{Part, PoolerPlan};
use crate::crd::agentfs::Pooler;
use crate::kit::blockers::Blocker;
use crate::kit::pod::PodPlan;
use crate::kit::validation::{Invalid, amounts_are_valid};

/// What is there of the pool's configuration is made anew where it is not as it was made, so it is
/// never a blocker, unless it is somebody else's.
pub(super) fn plan(
    spec: &Pooler,
    names: &Names,
    observed: &Observed,
    blockers: &[Blocker],
) -> Result<Part<PoolerPlan>, Invalid> {
    amounts_are_valid("spec.pooler.resources", spec.resources.as_ref())?;
    let pods = PodPlan::of("spec.pooler.affinity", &spec.pods)?;
    if !spec.enabled {
        return Ok(Part::Disabled);
    }
    if blockers.iter().any(|blocker| blocker.blocks("Secret", &names.pooler())) {
        return Ok(Part::Blocked);
    }
    Ok(Part::Enabled(Box::new(PoolerPlan {
        spec: spec.clone(),
        pods,
        credentials: Credentials::regenerate(observed.pooler_config.as_ref()),
    })))
}
