//! What comes before a migration: the end of a restore in place, and the backup before an upgrade, which that may be rehearsed on.

use agentfs_contract::record;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;

use super::objects::COMPONENT;
use super::plan as tries;
use super::plan::{ATTEMPT, Attempt, AttemptState, Next, SchemaFacts};
use crate::agentfs::plan::Plan;
use crate::agentfs::reasons;
use crate::agentfs::status_inputs::StatusInputs;
use crate::crd::AgentFSBackup;
use crate::crd::backup::{AgentFSBackupSpec, DeletionPolicy, Scope, UPGRADE, Verify};
use crate::kit;
use crate::kit::conditions::{Failure, READY, STALLED, State};
use crate::kit::desired::Desired;
use crate::kit::digest;
use crate::kit::reasons::Reason;
use crate::kit::sentences::without_full_stop;

/// What to do where a rehearsal fails.
const REMEDY_OF_REHEARSAL: &str = "The schema is as it was, and the API of the previous image keeps serving. Set spec.image to a \
                                   fixed image; or fix what the message names, and it is rehearsed again by itself, after an \
                                   hour to a day. \
                                   To upgrade without that, set spec.upgrades.rehearse to false.";

/// What comes before a migration.
#[derive(Clone, Debug)]
pub struct Before {
    /// What is to be done about the schema: what was to be done, unless that has to wait.
    pub next: Next,
    /// The AgentFSBackup of the current try, where it is to be made.
    pub backup: Desired<AgentFSBackup>,
    /// The name of the current try, also where it is there.
    pub current: Option<String>,
    /// The AgentFSBackups that are of no more use. One that succeeded is the record of a backup, and stays for as long as that does.
    pub obsolete: Vec<String>,
}

/// What comes before the migration `hash`, whose `next` step is known but for that.
pub fn before(plan: &Plan, hash: &str, next: Next) -> Before {
    let facts = &plan.parts.migration;
    let nothing = |next, obsolete| Before { next, backup: Desired::Keep, current: None, obsolete };
    let attempt = match next {
        Next::Run { attempt } => attempt,
        Next::Pause { .. } | Next::Done { .. } => return nothing(next, unmade(&facts.backups)),
        _ => return nothing(next, Vec::new()),
    };
    let is_there = facts.attempts.iter().any(|of| of.hash == hash && of.number == attempt);
    if !is_there && plan.parts.restore.as_ref().is_some_and(|restore| restore.in_place) {
        return nothing(Next::AwaitRestore, Vec::new());
    }
    match upgrade(plan, hash).filter(|_| !is_there && attempt == 1) {
        Some(upgrade) => backed_up(plan, &upgrade, next),
        None => nothing(next, unmade(&facts.backups)),
    }
}

/// The upgrade that the migration `hash` is, where it is one that a backup is to be made before: an API of another image works on
/// this database. The same one again, after going back, is another upgrade, and so is one that is rehearsed with other room.
fn upgrade(plan: &Plan, hash: &str) -> Option<String> {
    let facts = &plan.parts.migration;
    let live = plan.parts.api.live.as_ref().filter(|_| facts.backs_up && !plan.is_elsewhere())?;
    let (from, to) = (live.image.as_deref()?, plan.images.server.as_str());
    let former = |of: &&Attempt| of.hash != hash && of.state == AttemptState::Succeeded;
    let former = facts.attempts.iter().find(former).map_or("", |of| of.uid.as_str());
    let room = facts.rehearsal.as_ref().map(|rehearsal| rehearsal.room.as_str());
    let parts = [from, to, former].into_iter().chain(room);
    (from != to).then(|| digest::hash(parts).chars().take(8).collect())
}

/// The backup before `upgrade`, after which comes what is `after` it.
fn backed_up(plan: &Plan, upgrade: &str, after: Next) -> Before {
    let SchemaFacts { backups, now, .. } = &plan.parts.migration;
    let next = tries::next(backups, upgrade, true, *now);
    let mut obsolete = tries::obsolete(backups, upgrade, next);
    obsolete.retain(|name| unmade(backups).contains(name));
    let current = next.attempt();
    let name = current.map(|attempt| plan.names.backup_before(upgrade, attempt));
    let is_there = backups.iter().any(|of| Some(&of.name) == name.as_ref());
    let is_wanted = !is_there && !plan.suspended && can_rehearse(plan);
    let backup = current.filter(|_| is_wanted).map(|attempt| backup(plan, upgrade, attempt));
    Before {
        next: if matches!(next, Next::Done { .. }) { after } else { Next::AwaitBackup },
        backup: Desired::apply_or_keep(backup),
        current: name,
        obsolete,
    }
}

/// Whether the upgrade can be rehearsed, where it is to be: by the image of the upgrade, which the CronJobs have to have that the Job is
/// made like.
fn can_rehearse(plan: &Plan) -> bool {
    let Some(rehearsal) = &plan.parts.migration.rehearsal else { return true };
    let cronjobs = plan.parts.backup.wanted.enabled().map(|backup| &backup.former);
    let has_image = |cronjob: &CronJob| {
        let pod = || cronjob.spec.as_ref()?.job_template.spec.as_ref()?.template.spec.as_ref();
        let mut images = pod().into_iter().flat_map(|pod| &pod.containers).map(|of| &of.image);
        images.all(|image| image.as_ref() == Some(&plan.images.server))
    };
    !rehearsal.waits && cronjobs.is_some_and(|all| !all.is_empty() && all.iter().all(has_image))
}

/// The names of those that were not made.
fn unmade(backups: &[Attempt]) -> Vec<String> {
    let unmade = backups.iter().filter(|of| of.state != AttemptState::Succeeded);
    unmade.map(|of| of.name.clone()).collect()
}

fn backup(plan: &Plan, upgrade: &str, attempt: u32) -> AgentFSBackup {
    let name = plan.names.backup_before(upgrade, attempt);
    let is_rehearsed = plan.parts.migration.rehearsal.is_some();
    let spec = AgentFSBackupSpec {
        agent_fs: plan.owner.name.clone(),
        scope: Scope::Full,
        verify: if is_rehearsed { Verify::Restore } else { Verify::None },
        record_of: None,
        deletion_policy: DeletionPolicy::Retain,
        ttl_seconds_after_finished: None,
    };
    let mut backup = AgentFSBackup::new(&name, spec);
    backup.metadata = plan.owner.unowned(name, COMPONENT);
    backup.labels_mut().insert(record::OF.into(), plan.owner.name.clone());
    backup.annotations_mut().insert(UPGRADE.into(), upgrade.to_owned());
    backup.annotations_mut().insert(ATTEMPT.into(), attempt.to_string());
    backup
}

/// The backups before upgrades that `backups` tell of.
pub fn attempts(backups: &[AgentFSBackup]) -> Vec<Attempt> {
    backups.iter().filter_map(attempt).collect()
}

fn attempt(backup: &AgentFSBackup) -> Option<Attempt> {
    let annotation = |key: &str| backup.annotations().get(key).map(String::as_str);
    Some(Attempt {
        name: backup.name_any(),
        uid: backup.uid().unwrap_or_default(),
        hash: annotation(UPGRADE)?.to_owned(),
        number: annotation(ATTEMPT)?.parse().ok()?,
        state: state(backup),
        left_a_backup: is_made(backup),
    })
}

/// Whether the backup is made, whatever came of its verification.
fn is_made(backup: &AgentFSBackup) -> bool {
    backup.status.as_ref().is_some_and(|status| status.backup.is_some())
}

fn state(backup: &AgentFSBackup) -> AttemptState {
    let finished = backup.status.as_ref().and_then(|status| status.finished_time.as_ref());
    match (finished, condition(backup, READY)) {
        (Some(_), Some(ready)) if ready.status == "True" => AttemptState::Succeeded,
        (Some(at), _) => AttemptState::Failed(at.0),
        (None, _) => AttemptState::Running,
    }
}

fn condition<'a>(backup: &'a AgentFSBackup, kind: &str) -> Option<&'a Condition> {
    let mut conditions = backup.status.iter().flat_map(|status| &status.conditions);
    conditions.find(|condition| condition.type_ == kind)
}

impl StatusInputs<'_> {
    /// What the migration waits for, where that is the backup before it.
    pub fn backup_before(&self) -> State {
        let image = &self.plan.images.server;
        let Some(backup) = self.children.migration.backup.as_ref() else {
            let waits = self.plan.parts.migration.rehearsal.as_ref().is_some_and(|of| of.waits);
            let what = if waits {
                format!(
                    "The upgrade to {image} waits until spec.backup.suspend is false, since spec.upgrades.rehearse rehearses it on a backup first"
                )
            } else {
                format!("A backup is made before the upgrade to {image}")
            };
            return State::progressing(reasons::AWAITING_BACKUP, what);
        };
        if is_stalled(backup) && state(backup) == AttemptState::Running {
            return State::Failed(Failure::new(
                reason_of(backup),
                format!(
                    "The backup that is made before the upgrade to {image} does not go on{}",
                    said(backup)
                ),
                self.remedy(),
            ));
        }
        // Until one succeeds, there is to say what the try before it failed for.
        let mut tries = std::iter::once(backup).chain(self.tried_before(backup));
        if let Some(failed) = tries.find(|of| matches!(state(of), AttemptState::Failed(_))) {
            let said = said(failed);
            return State::Failed(if is_made(failed) {
                let what = format!("The rehearsal of the upgrade to {image} failed{said}");
                Failure::new(reasons::REHEARSAL_FAILED, what, REMEDY_OF_REHEARSAL)
            } else {
                let what =
                    format!("The backup that is made before the upgrade to {image} failed{said}");
                Failure::new(reasons::BACKUP_BEFORE_FAILED, what, self.remedy())
            });
        }
        let (name, said) = (backup.name_any(), said(backup));
        let what = match backup.spec.verify {
            Verify::None => "is made",
            Verify::Archive | Verify::Restore => "is made and rehearsed on a restored copy",
        };
        State::progressing(
            reasons::AWAITING_BACKUP,
            format!(
                "The upgrade to {image} waits for the AgentFSBackup {name}, which {what} first{said}"
            ),
        )
    }

    /// What to do where the backup before an upgrade is not made.
    fn remedy(&self) -> String {
        let is_rehearsed = self.plan.parts.migration.rehearsal.is_some();
        let too = if is_rehearsed { " and spec.upgrades.rehearse" } else { "" };
        format!(
            "It is retried by itself, and the API of the previous image keeps serving. To upgrade without it, set spec.upgrades.backupBefore{too} to \
             false."
        )
    }

    /// The try before that of `backup`.
    fn tried_before(&self, backup: &AgentFSBackup) -> Option<&AgentFSBackup> {
        let backups = &self.observed.parts.migration.backups;
        let (tries, current) = (attempts(backups), attempt(backup)?);
        let is_before = |of: &&Attempt| {
            of.hash == current.hash && of.number.saturating_add(1) == current.number
        };
        let before = tries.iter().find(is_before)?;
        backups.iter().find(|of| of.name_any() == before.name)
    }
}

/// The reason that a backup gives, where that is one which any object can give.
fn reason_of(backup: &AgentFSBackup) -> Reason {
    let given = condition(backup, STALLED).map(|stalled| stalled.reason.as_str());
    let known = kit::reasons::ALL.iter().find(|reason| Some(reason.as_str()) == given);
    known.copied().unwrap_or(reasons::BACKUP_BEFORE_FAILED)
}

fn is_stalled(backup: &AgentFSBackup) -> bool {
    condition(backup, STALLED).is_some_and(|stalled| stalled.status == "True")
}

/// What a backup says of itself, to go on after.
fn said(backup: &AgentFSBackup) -> String {
    let said = condition(backup, READY).map(|ready| without_full_stop(&ready.message));
    said.map(|said| format!(": {said}")).unwrap_or_default()
}
