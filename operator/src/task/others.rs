//! The other tasks of an AgentFS: who of them has the turn, and their Jobs.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::json;

use super::observe::{self, Seen};
use super::turn::{Contender, claim, holder, runs, scheduled};
use super::{Like, Task, outcome};
use crate::crd::fields::Conditions;
use crate::crd::{AgentFSBackup, AgentFSDrill, AgentFSRestore};
use crate::kit::labels::{MANAGED_BY, MANAGER};
use crate::kit::ownership::{Owner, Ownership, ownership};
use crate::kit::reads::{Reader, read};

/// All tasks of a namespace, and the Jobs of those of one AgentFS.
struct Tasks {
    backups: Vec<AgentFSBackup>,
    restores: Vec<AgentFSRestore>,
    drills: Vec<AgentFSDrill>,
    jobs: Vec<Job>,
}

/// Reads the tasks of the AgentFS `agentfs` into what was `seen` of `owner`, with who has the turn. It gives the Jobs of the
/// others that are neither ended nor suspended: before `owner` begins or goes on, they have to be.
pub(super) async fn read_tasks(
    client: &Client,
    owner: &Owner,
    agentfs: &str,
    seen: &mut Seen,
) -> Result<Vec<Job>, kube::Error> {
    let reader = Reader::new(client, owner);
    let of = agentfs_contract::record::OF;
    let ours = ListParams::default().labels(&format!("{MANAGED_BY}={MANAGER},{of}={agentfs}"));
    let Tasks { mut backups, mut restores, mut drills, jobs } = read!(Tasks {
        backups: reader.all(),
        restores: reader.all(),
        drills: reader.all(),
        jobs: reader.list(ours),
    });
    backups.retain(|backup| backup.spec.agent_fs == agentfs);
    restores.retain(|restore| restore.spec.agent_fs == agentfs);
    drills.retain(|drill| drill.spec.agent_fs == agentfs);
    let mut contenders = Vec::new();
    let asked_for = backups.iter().filter(|backup| backup.spec.record_of.is_none());
    contenders.extend(asked_for.filter_map(|backup| contender(backup, &jobs, owner)));
    contenders.extend(restores.iter().filter_map(|restore| contender(restore, &jobs, owner)));
    let asked_for = drills.iter().filter(|drill| drill.spec.record_of.is_none());
    contenders.extend(asked_for.filter_map(|drill| contender(drill, &jobs, owner)));
    let is_other =
        |contender: &&Contender| (&contender.kind, &contender.name) != (&owner.kind, &owner.name);
    seen.turn_of = holder(&contenders).filter(is_other).map(ToString::to_string);
    if seen.turn_of.is_none() {
        if seen.cronjobs.is_empty() {
            seen.cronjobs = observe::cronjobs(reader, seen.agentfs.as_ref()).await?;
        }
        // A verification restores into a PostgreSQL of its own, for hours, and keeps nobody from the database.
        let verify = Like::Verify.cronjob(agentfs);
        let of_database = seen.cronjobs.iter().filter(|(name, _)| **name != verify);
        let active = of_database.flat_map(|(_, cronjob)| runs(cronjob));
        let of_schedules = reader.get_all(active.map(|(job, _)| job)).await?;
        seen.turn_of = scheduled(&seen.cronjobs, &of_schedules);
    }
    (seen.backups, seen.restores) = (backups, restores);
    let active = |job: &Job| {
        let is_others = ownership(job, owner) != Ownership::Owned;
        is_others && outcome::is_unfinished(job) && !outcome::is_suspended(job)
    };
    Ok(jobs.into_iter().filter(active).collect())
}

/// A task as a contender, unless it has ended or goes away; `asking` is the one for which it is looked whose turn it is.
fn contender<T: Task>(task: &T, jobs: &[Job], asking: &Owner) -> Option<Contender> {
    let metadata = task.meta();
    if task.ended_at().is_some() || metadata.deletion_timestamp.is_some() {
        return None;
    }
    let owner = Owner::of(task)?;
    let job = jobs.iter().find(|job| ownership(*job, &owner) == Ownership::Owned);
    let conditions = task.status().map(Conditions::conditions).unwrap_or_default();
    Some(Contender {
        created: metadata.creation_timestamp.as_ref().map_or(Timestamp::MIN, |time| time.0),
        claim: claim(job, conditions, owner == *asking),
        kind: owner.kind,
        name: owner.name,
    })
}

/// Lets no pods of `job` run while `suspend` is true, and those go on when it is not.
pub(super) async fn set_suspended(
    client: &Client,
    job: &Job,
    suspend: bool,
) -> Result<(), kube::Error> {
    let (name, namespace) = (job.name_any(), job.namespace().unwrap_or_default());
    tracing::info!(name, namespace, suspend, "setting whether a Job is suspended");
    let api: Api<Job> = Api::namespaced(client.clone(), &namespace);
    let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({"metadata": {"uid": job.uid()}, "spec": {"suspend": suspend}}));
    match api.patch(&name, &params, &patch).await {
        Ok(_) => Ok(()),
        // It is gone, and its pods with it.
        Err(kube::Error::Api(refusal)) if refusal.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}
