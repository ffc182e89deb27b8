//! The validated backups: schedule, volume and pods.

use crate::agentfs::plan::Part;
use crate::agentfs::validate::PlanInputs;
use crate::crd::agentfs::Backup;
use crate::kit::pod::PodPlan;
use crate::kit::validation::{Invalid, resources_are_valid};
use crate::kit::volumes::VolumePlan;

/// The backups to be, and what holds those that were made.
#[derive(Clone, Debug)]
pub struct Backups {
    /// Those that there are to be.
    pub wanted: Part<BackupPlan>,
    /// The volume that the operator made for them, where it is there. It is kept when there are to be
    /// no backups, and whether it goes with the AgentFS is for the spec to say then as well.
    pub kept: Option<VolumePlan>,
}

/// The backups to be.
#[derive(Clone, Debug)]
pub struct BackupPlan {
    /// What the spec says.
    pub spec: Backup,
    /// The volume that holds them.
    pub volume: BackupVolume,
    /// Where their pods run, and what they carry.
    pub pods: PodPlan,
}

/// The volume that holds the backups.
#[derive(Clone, Debug)]
pub enum BackupVolume {
    /// One that the operator makes.
    Own(VolumePlan),
    /// That of this claim, which somebody else made.
    Existing(String),
}

/// The backups that the spec asks for.
pub fn plan(inputs: &PlanInputs<'_>) -> Result<Backups, Invalid> {
    let spec = &inputs.spec.backup;
    let live = inputs.observed.parts.backup.volume.as_ref();
    resources_are_valid("spec.backup.resources", spec.resources.as_ref())?;
    let pods = PodPlan::of("spec.backup.affinity", &spec.pods)?;
    let kept = live.and_then(VolumePlan::of);
    if !spec.enabled {
        return Ok(Backups { wanted: Part::Disabled, kept });
    }
    let volume = match &spec.existing_claim {
        Some(claim) => BackupVolume::Existing(claim.clone()),
        None => {
            BackupVolume::Own(VolumePlan::wanted("spec.backup.volume.size", &spec.volume, live)?)
        }
    };
    let wanted = Part::Enabled(Box::new(BackupPlan { spec: spec.clone(), volume, pods }));
    Ok(Backups { wanted, kept })
}
