//! The backups to be.

use super::{Invalid, amounts_are_fit, pod_plan, volume_plan};
use crate::agentfs::observe::Observed;
use crate::agentfs::plan::{BackupPlan, BackupVolume, Part};
use crate::crd::agentfs::Backup;

pub(super) fn plan(spec: &Backup, observed: &Observed) -> Result<Part<BackupPlan>, Invalid> {
    amounts_are_fit("spec.backup.resources", spec.resources.as_ref())?;
    let pods = pod_plan("spec.backup.affinity", &spec.pods)?;
    if !spec.enabled {
        return Ok(Part::Off);
    }
    let volume = match &spec.existing_claim {
        Some(claim) => BackupVolume::Existing(claim.clone()),
        None => BackupVolume::Own(volume_plan(
            "spec.backup.volume.size",
            &spec.volume,
            observed.backups.as_ref(),
        )?),
    };
    Ok(Part::On(Box::new(BackupPlan { spec: spec.clone(), volume, pods })))
}
