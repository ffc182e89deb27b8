//! The validated backups: where they are kept, when they are made and tried, and what their pods need.

use agentfs_contract::setting;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use k8s_openapi::api::batch::v1::CronJob;
use kube::ResourceExt as _;

use super::attachments::Attachments;
use super::destination::Destination;
use super::encryption;
use super::objects::Seen;
use super::scratch::ScratchPlan;
use crate::agentfs::database::Database;
use crate::agentfs::plan::Part;
use crate::agentfs::validate::PlanInputs;
use crate::crd::agentfs::{Backup, DeletionPolicy};
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
    /// Whether that volume goes with the AgentFS.
    pub deletion_policy: DeletionPolicy,
    /// When the newest one was made, as far as is known.
    pub last: Option<Timestamp>,
}

/// The backups to be.
#[derive(Clone, Debug)]
pub struct BackupPlan {
    /// What the spec says.
    pub spec: Backup,
    /// Where they are kept.
    pub destination: Destination,
    /// What their pods are given. `None` where a part of it cannot be had yet.
    pub attachments: Option<Attachments>,
    /// The volume that one is restored into to try it.
    pub scratch: ScratchPlan,
    /// The CronJobs that are there.
    pub former: Vec<CronJob>,
    /// When the next one is due.
    pub next: Option<Timestamp>,
    /// Where their pods run, and what they carry.
    pub pods: PodPlan,
}

impl BackupPlan {
    /// Whether the newest one is tried by a schedule.
    pub fn is_verified(&self) -> bool {
        self.spec.verify.enabled && self.can_be_read()
    }

    /// Whether drills are carried out by a schedule.
    pub fn is_drilled(&self) -> bool {
        self.spec.drill.enabled && self.can_be_read()
    }

    /// Whether the pods can read what they make: nothing decrypts without an identity.
    pub fn can_be_read(&self) -> bool {
        self.spec.encryption.as_ref().is_none_or(|of| of.identity_secret_ref.is_some())
    }
}

/// The annotation of the volume's claim that says when the newest backup was made. A claim outlives its
/// AgentFS, and a CronJob that is made again knows of no success.
pub const LAST_BACKUP: &str = "agentfs.io/last-backup";

/// When the newest backup was made: as the CronJob says, or the claim of the volume.
pub fn last_by_cronjob(seen: &Seen) -> Option<Timestamp> {
    let status = seen.cronjob.as_ref().and_then(|cronjob| cronjob.status.as_ref());
    let by_cronjob = status.and_then(|status| status.last_successful_time.as_ref()).map(|at| at.0);
    let claim = seen.volume.as_ref().or(seen.leaving.as_deref());
    let noted = claim.and_then(|claim| claim.annotations().get(LAST_BACKUP));
    by_cronjob.or_else(|| noted?.parse().ok())
}

/// The backups of the `database` that the spec asks for.
pub fn plan(
    inputs: &PlanInputs<'_>,
    database: &Database,
    blockers: &mut Vec<Blocker>,
) -> Result<Backups, Invalid> {
    let (spec, seen) = (&inputs.spec.backup, &inputs.observed.parts.backup);
    resources_are_valid("spec.backup.resources", spec.resources.as_ref())?;
    resources_are_valid("spec.backup.verify.resources", spec.verify.resources.as_ref())?;
    let pods = PodPlan::of("spec.backup.affinity", &spec.pods)?;
    let backups = |wanted| Backups {
        wanted,
        kept: seen.volume.as_ref().and_then(VolumePlan::of),
        deletion_policy: spec.deletion_policy,
        last: inputs.newest_backup(),
    };
    warn(inputs, blockers);
    if !spec.enabled {
        return Ok(backups(Part::Disabled));
    }
    let schedule = schedules(spec)?;
    objectives_are_valid(spec)?;
    let destination = Destination::of(spec, inputs)?;
    let attachments = [
        instance(database),
        destination.attachments(inputs, blockers),
        encryption::attachments(spec.encryption.as_ref(), inputs, blockers),
    ];
    let attachments = attachments.into_iter().reduce(|all, more| Some(all?.and(more?))).flatten();
    let is_paused = inputs.spec.suspend || spec.suspend;
    Ok(backups(Part::Enabled(Box::new(BackupPlan {
        spec: spec.clone(),
        destination,
        attachments,
        scratch: ScratchPlan::of(&spec.verify.storage, &inputs.observed.recovery.backups)?,
        former: seen.cronjobs().map(|(_, cronjob)| cronjob.clone()).collect(),
        next: schedule.next(inputs.observed.now).filter(|_| !is_paused),
        pods,
    }))))
}

/// The schedule of the backups, once all schedules are seen to be right.
fn schedules(spec: &Backup) -> Result<Schedule, Invalid> {
    let schedule = |field, text: &str| {
        Schedule::parse(text, &spec.time_zone).map_err(|wrong| match wrong {
            Wrong::Schedule(problem) => Invalid { field, problem },
            Wrong::TimeZone(problem) => Invalid { field: "spec.backup.timeZone", problem },
        })
    };
    if spec.verify.enabled {
        schedule("spec.backup.verify.schedule", &spec.verify.schedule)?;
    }
    if spec.drill.enabled {
        schedule("spec.backup.drill.schedule", &spec.drill.schedule)?;
    }
    schedule("spec.backup.schedule", &spec.schedule)
}

/// Checks that what backups are held to are durations.
fn objectives_are_valid(spec: &Backup) -> Result<(), Invalid> {
    let Some(objectives) = &spec.objectives else { return Ok(()) };
    for (field, time) in [
        ("spec.backup.objectives.rpo", &objectives.rpo),
        ("spec.backup.objectives.rto", &objectives.rto),
    ] {
        let Some(text) = time else { continue };
        let problem = || {
            format!(
                "{text:?} is not a duration: give numbers with units from the largest to the smallest (d, h, m, s), each once; \
                 examples: 26h, 1d12h, 15m"
            )
        };
        duration(text).ok_or_else(|| Invalid { field, problem: problem() })?;
    }
    Ok(())
}

/// A duration such as 26h or 1h30m, longer than nothing; a day has 24 hours.
pub fn duration(text: &str) -> Option<SignedDuration> {
    let span: Span = text.parse().ok()?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Some(duration).filter(SignedDuration::is_positive)
}

/// What tells an embedded database from copies of it: which one it is in which volume. `None` before the volume has a claim.
fn instance(database: &Database) -> Option<Attachments> {
    if database.embedded().is_none() {
        return Some(Attachments::default());
    }
    let current = database.kept.identity.current.clone()?;
    Some(Attachments::variables([(setting::BACKUP_INSTANCE, current)]))
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
            "{}Or copy them elsewhere now; docs/OPERATIONS.md says under \"A backup every night\" how. The deletion cannot be \
             undone, and a new volume is made afterwards.",
            keep_the_volume(claim)
        ),
    );
    will_lose(blockers, claim, loss);
}
