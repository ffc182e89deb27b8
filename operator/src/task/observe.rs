//! What is read for a task.

use std::collections::BTreeMap;

use agentfs_contract::progress::Progress;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;

use super::Task;
use crate::crd::{AgentFS, AgentFSBackup, AgentFSRestore};

/// Everything that was seen of one task at one moment.
#[derive(Clone, Debug)]
pub struct Seen<T> {
    /// When it was seen.
    pub now: Timestamp,
    /// Its AgentFS, where there is one.
    pub agentfs: Option<AgentFS>,
    /// The CronJobs of that AgentFS by name, as far as they are there and the AgentFS's.
    pub cronjobs: BTreeMap<String, CronJob>,
    /// The Job of the task.
    pub job: Option<Job>,
    /// The pods of that Job.
    pub pods: Vec<Pod>,
    /// How far its pod says that it is.
    pub progress: Option<Progress>,
    /// What Kubernetes says of objects that are stuck, by the object's name.
    pub warnings: BTreeMap<String, String>,
    /// Who has the turn, if somebody else has: kind and name, as `AgentFSRestore undo`.
    pub turn_of: Option<String>,
    /// The AgentFSBackups of that AgentFS.
    pub backups: Vec<AgentFSBackup>,
    /// Its AgentFSRestores.
    pub restores: Vec<AgentFSRestore>,
    /// The kind.
    pub of: std::marker::PhantomData<T>,
}

/// What a task is told of others.
pub fn observe<T: Task>() {}
