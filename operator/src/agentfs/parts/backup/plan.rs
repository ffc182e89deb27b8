//! The validated backups: schedule, volume and pods.

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::objects::Seen;
use crate::agentfs::plan::Part;
use crate::agentfs::validate::PlanInputs;
use crate::crd::agentfs::Backup;
use crate::kit::blockers::{Blocker, will_lose};
use crate::kit::conditions::{Failure, clock};
use crate::kit::pod::PodPlan;
use crate::kit::reasons::VOLUME_BEING_DELETED;
use crate::kit::schedule::{Schedule, Wrong};
use crate::kit::validation::{Invalid, resources_are_valid};
use crate::kit::volumes::{VolumePlan, keep_the_volume};

/// The backups to be, and what holds those that were made.
#[derive(Clone, Debug)]
pub struct Backups {
    /// Those that there are to be.
    pub wanted: Part<BackupPlan>,
    /// The volume that the operator made for them, where it is there. It is kept when there are to be
    /// no backups, and whether it goes with the AgentFS is for the spec to say then as well.
    pub kept: Option<VolumePlan>,
    /// When the newest one was made, as far as is known.
    pub last: Option<Timestamp>,
}

/// The backups to be.
#[derive(Clone, Debug)]
pub struct BackupPlan {
    /// What the spec says.
    pub spec: Backup,
    /// The volume that holds them.
    pub volume: BackupVolume,
    /// When the next one is due.
    pub next: Option<Timestamp>,
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

/// The annotation of the volume's claim that says when the newest backup was made. A claim outlives its
/// AgentFS, and a CronJob that is made again knows of no success.
pub const LAST_BACKUP: &str = "agentfs.io/last-backup";

/// When the newest backup was made: as the CronJob says, or the claim of the volume.
pub fn last(seen: &Seen) -> Option<Timestamp> {
    let status = seen.cronjob.as_ref().and_then(|cronjob| cronjob.status.as_ref());
    let by_cronjob = status.and_then(|status| status.last_successful_time.as_ref()).map(|at| at.0);
    let claim = seen.volume.as_ref().or(seen.leaving.as_deref());
    let noted = claim.and_then(|claim| claim.annotations().get(LAST_BACKUP));
    by_cronjob.or_else(|| noted?.parse().ok())
}

/// The backups that the spec asks for.
pub fn plan(inputs: &PlanInputs<'_>, blockers: &mut [Blocker]) -> Result<Backups, Invalid> {
    let spec = &inputs.spec.backup;
    let live = inputs.observed.parts.backup.volume.as_ref();
    resources_are_valid("spec.backup.resources", spec.resources.as_ref())?;
    let pods = PodPlan::of("spec.backup.affinity", &spec.pods)?;
    let kept = live.and_then(VolumePlan::of);
    let last = inputs.newest_backup();
    warn(inputs, blockers);
    if !spec.enabled {
        return Ok(Backups { wanted: Part::Disabled, kept, last });
    }
    let (size, growth) = ("spec.backup.volume.size", &inputs.observed.growth);
    let volume = match &spec.existing_claim {
        Some(claim) => BackupVolume::Existing(claim.clone()),
        None => BackupVolume::Own(VolumePlan::wanted(size, &spec.volume, live, growth)?),
    };
    let schedule =
        Schedule::parse(&spec.schedule, &spec.time_zone).map_err(|wrong| match wrong {
            Wrong::Schedule(problem) => Invalid { field: "spec.backup.schedule", problem },
            Wrong::TimeZone(problem) => Invalid { field: "spec.backup.timeZone", problem },
        })?;
    let is_paused = inputs.spec.suspend || spec.suspend;
    let wanted = Part::Enabled(Box::new(BackupPlan {
        spec: spec.clone(),
        volume,
        next: schedule.next(inputs.observed.now).filter(|_| !is_paused),
        pods,
    }));
    Ok(Backups { wanted, kept, last })
}

/// Tells of a claim that is being deleted that the backups are lost with it, where there are any.
fn warn(inputs: &PlanInputs<'_>, blockers: &mut [Blocker]) {
    let Some((claim, newest)) =
        inputs.observed.parts.backup.leaving.as_deref().zip(inputs.newest_backup())
    else {
        return;
    };
    let loss = Failure::new(
        VOLUME_BEING_DELETED,
        format!(
            "PersistentVolumeClaim {} is being deleted: all backups in it, the newest of {}, are lost when the last pod that \
             uses it ends",
            claim.name_any(),
            clock(newest)
        ),
        format!(
            "{}Or copy them elsewhere now; docs/OPERATIONS.md tells under \"A backup every night\" how. The deletion cannot be \
             taken back, and a new volume is made afterwards.",
            keep_the_volume(claim)
        ),
    );
    will_lose(blockers, claim, loss);
}
