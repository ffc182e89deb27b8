//! The kind `AgentFSRestore`: what its Job does ([`orders`]), and how it stands ([`report`]).
//!
//! Deleting a restore deletes its Job, which then ends before the switch. What follows the switch belongs to the AgentFS: the next
//! command of any kind on its database does it. So a restore needs no finalizer, and nobody waits for one that is gone.

pub mod orders;
pub mod reasons;
pub mod report;
mod step;
mod undo;
mod volume;

use agentfs_contract::progress::Progress;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::crd::AgentFSRestore;
use crate::crd::restore::AgentFSRestoreStatus;
use crate::kit::conditions::Failure;
use crate::task::observe::Seen;
use crate::task::outcome::Stage;
use crate::task::{Orders, Report, Task, scratch};

impl Task for AgentFSRestore {
    const WHAT: &'static str = "restore";

    fn agentfs(&self) -> &str {
        &self.spec.agent_fs
    }

    fn ended_at(&self) -> Option<Timestamp> {
        Some(self.status.as_ref()?.finished_time.as_ref()?.0)
    }

    fn ttl_seconds(&self) -> Option<i64> {
        self.spec.ttl_seconds_after_finished
    }

    fn step(status: &AgentFSRestoreStatus) -> Option<&str> {
        status.step.as_deref()
    }

    fn wants_backups(&self, progress: Option<&Progress>) -> bool {
        let is_named = self.status.as_ref().is_some_and(|status| status.source.is_some());
        // One that has ended may have been too quick to be asked.
        !is_named && progress.is_none_or(|progress| progress.backup.is_some())
    }

    fn orders(&self, seen: &Seen) -> Orders {
        orders::orders(self, seen)
    }

    fn failure(&self, left: &str, seen: &Seen) -> Option<Failure> {
        // PostgreSQL says the same where the disk of the database is full, without the system's number.
        let is_ours = left.contains("(os error ");
        let of_scratch = || scratch::too_small(self, left, seen.job.as_ref());
        volume::too_small(self, left).or_else(|| of_scratch().filter(|_| is_ours))
    }

    fn report(&self, stage: &Stage, seen: &Seen) -> Report<AgentFSRestoreStatus> {
        report::report(self, stage, seen)
    }

    fn with_conditions(
        status: AgentFSRestoreStatus,
        conditions: Vec<Condition>,
        generation: Option<i64>,
    ) -> AgentFSRestoreStatus {
        AgentFSRestoreStatus { conditions, observed_generation: generation, ..status }
    }
}
