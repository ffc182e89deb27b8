//! The connection pool to be.

use crate::agentfs::credentials::Credentials;
use crate::agentfs::names::Names;
use crate::agentfs::observe::Observed;
use crate::agentfs::plan::{Part, PoolerPlan};
use crate::crd::agentfs::Pooler;
use crate::kit::obstacles::Obstacle;
use crate::kit::pod::PodPlan;
use crate::kit::validation::{Invalid, amounts_are_fit};

/// What is there of the pool's configuration is made anew where it is not as it was made, so it is
/// never an obstacle, unless it is somebody else's.
pub(super) fn plan(
    spec: &Pooler,
    names: &Names,
    observed: &Observed,
    obstacles: &[Obstacle],
) -> Result<Part<PoolerPlan>, Invalid> {
    amounts_are_fit("spec.pooler.resources", spec.resources.as_ref())?;
    let pods = PodPlan::of("spec.pooler.affinity", &spec.pods)?;
    if !spec.enabled {
        return Ok(Part::Off);
    }
    if obstacles.iter().any(|obstacle| obstacle.bars("Secret", &names.pooler())) {
        return Ok(Part::Barred);
    }
    Ok(Part::On(Box::new(PoolerPlan {
        spec: spec.clone(),
        pods,
        credentials: Credentials::regenerate(observed.pooler_config.as_ref()),
    })))
}
