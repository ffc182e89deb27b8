//! The backups to be.

use crate::agentfs::observe::Observed;
use crate::agentfs::plan::{BackupPlan, BackupVolume, Part};
use crate::crd::agentfs::Backup;
use crate::kit::pod::PodPlan;
use crate::kit::validation::{Invalid, amounts_are_valid};
use crate::kit::volumes::VolumePlan;

pub(super) fn plan(spec: &Backup, observed: &Observed) -> Result<Part<BackupPlan>, Invalid> {
    amounts_are_valid("spec.backup.resources", spec.resources.as_ref())?;
    let pods = PodPlan::of("spec.backup.affinity", &spec.pods)?;
    if !spec.enabled {
        return Ok(Part::Disabled);
    }
    let volume = match &spec.existing_claim {
        Some(claim) => BackupVolume::Existing(claim.clone()),
        None => BackupVolume::Own(VolumePlan::wanted(
            "spec.backup.volume.size",
            &spec.volume,
            observed.backups.as_ref(),
        )?),
    };
    Ok(Part::Enabled(Box::new(BackupPlan { spec: spec.clone(), volume, pods })))
}
