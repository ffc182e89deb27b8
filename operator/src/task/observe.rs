//! What is read for a task, from the API server and not from a cache.

use std::collections::BTreeMap;

use agentfs_contract::progress::Progress;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use kube::{Client, ResourceExt};

use super::progress::Asked;
use super::{Like, Task, job, outcome};
use crate::crd::{AgentFS, AgentFSBackup, AgentFSRestore};
use crate::kit::blockers::{Blocker, OwnershipFilter};
use crate::kit::conditions::READY;
use crate::kit::ownership::{Owner, Ownership, ownership};
use crate::kit::pods;
use crate::kit::reads::{Reader, read};
use crate::kit::warnings::warnings;

/// Everything that was seen of one task at one moment.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When it was seen.
    pub now: Timestamp,
    /// Its AgentFS, where there is one.
    pub agentfs: Option<AgentFS>,
    /// The CronJobs of that AgentFS by name, as far as they are there and the AgentFS's. Not read while the Job works.
    pub cronjobs: BTreeMap<String, CronJob>,
    /// The Job of the task.
    pub job: Option<Job>,
    /// What is there in the place of that Job and is not the task's, or goes away.
    pub blocker: Option<Blocker>,
    /// The pods of that Job.
    pub pods: Vec<Pod>,
    /// How far its pod says that it is.
    pub progress: Option<Progress>,
    /// What Kubernetes says of objects that are stuck, by the object's name.
    pub warnings: BTreeMap<String, String>,
    /// Who has the turn, if somebody else has, in words: `AgentFSRestore undo`, or a Job of one of the CronJobs. Not read while the
    /// Job works.
    pub turn_of: Option<String>,
    /// The AgentFSBackups of that AgentFS. Not read while the Job works, unless the task wants them.
    pub backups: Vec<AgentFSBackup>,
    /// Its AgentFSRestores. Not read while the Job works.
    pub restores: Vec<AgentFSRestore>,
}

impl Seen {
    /// Nothing seen at all.
    pub fn nothing(now: Timestamp) -> Self {
        Self {
            now,
            agentfs: None,
            cronjobs: BTreeMap::new(),
            job: None,
            blocker: None,
            pods: Vec::new(),
            progress: None,
            warnings: BTreeMap::new(),
            turn_of: None,
            backups: Vec::new(),
            restores: Vec::new(),
        }
    }

    /// The CronJob of the AgentFS of this name that a Job is to be `like`.
    pub fn cronjob(&self, like: Like, agentfs: &str) -> Option<&CronJob> {
        self.cronjobs.get(&like.cronjob(agentfs))
    }
}

/// What is read in one go.
struct Read {
    agentfs: Option<AgentFS>,
    job: Option<Job>,
}

/// Reads what there is of `task`, which is `owner`; what there is of others is read where it does not work.
pub async fn observe<T: Task>(
    client: &Client,
    asked: &Asked,
    task: &T,
    owner: &Owner,
) -> Result<Box<Seen>, kube::Error> {
    observe_job(client, asked, task, owner, &job::name(task)).await
}

/// The same, where the Job of `task` is that of this name.
pub(super) async fn observe_job<T: Task>(
    client: &Client,
    asked: &Asked,
    task: &T,
    owner: &Owner,
    name: &str,
) -> Result<Box<Seen>, kube::Error> {
    let reader = Reader::new(client, owner);
    let Read { agentfs, job } = read!(Read {
        agentfs: reader.get(task.agentfs().to_owned()),
        job: reader.get(name.to_owned()),
    });
    let mut filter = OwnershipFilter::new(owner);
    let job = filter.owned(READY, job);
    let blocker = filter.blockers.pop();
    let mut seen = Box::new(Seen { agentfs, job, blocker, ..Seen::nothing(Timestamp::now()) });
    if seen.job.is_none() {
        seen.cronjobs = cronjobs(reader, seen.agentfs.as_ref()).await?;
        return Ok(seen);
    }
    // After the Job: a pod that was read before may have ended since, and its last words are read once.
    seen.pods = reader.labelled().await?;
    seen.pods.retain(|pod| pods::is_of_job(pod, name));
    seen.pods.sort_by_key(ResourceExt::name_any);
    let wants_backups = if seen.job.as_ref().is_some_and(outcome::is_unfinished) {
        seen.warnings = Box::pin(warnings(reader, &stuck(&seen, name))).await?;
        seen.progress = asked.progress(owner, &seen.pods).await;
        seen.progress.as_ref().is_some_and(|progress| task.wants_backups(Some(progress)))
    } else {
        task.wants_backups(None)
    };
    if wants_backups {
        seen.backups = reader.all().await?;
        seen.backups.retain(|backup| backup.spec.agent_fs == task.agentfs());
    }
    Ok(seen)
}

/// The CronJobs of an AgentFS that Jobs can be like.
pub(super) async fn cronjobs(
    reader: Reader<'_>,
    agentfs: Option<&AgentFS>,
) -> Result<BTreeMap<String, CronJob>, kube::Error> {
    let Some(whose) = agentfs.and_then(Owner::of) else { return Ok(BTreeMap::new()) };
    let names = [Like::Backup, Like::Verify, Like::Drill].map(|like| like.cronjob(&whose.name));
    let mut cronjobs: BTreeMap<_, CronJob> =
        reader.get_all(names.iter().map(String::as_str)).await?;
    cronjobs.retain(|_, cronjob| ownership(cronjob, &whose) == Ownership::Owned);
    Ok(cronjobs)
}

/// The objects of which nothing comes: the Job `name` that has no pod, pods that their node does not start, and the volumes that
/// pods wait for.
fn stuck(seen: &Seen, name: &str) -> Vec<String> {
    if seen.pods.is_empty() {
        return vec![name.to_owned()];
    }
    let pods = seen.pods.iter().filter(|pod| pods::is_stuck(pod, seen.now));
    let claims = seen.pods.iter().flat_map(pods::claims);
    pods.map(ResourceExt::name_any).chain(claims).collect()
}
