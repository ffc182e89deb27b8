//! How far a task is, from its Job and the pods of that.

use agentfs_contract::progress::Progress;
use agentfs_contract::termination::AlreadyDone;
use jiff::Timestamp;

use crate::kit::conditions::{Failure, State};

/// How far a task is.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// It is a record of what was done elsewhere.
    Record(State),
    /// It has not begun: it waits for this.
    Waiting(State),
    /// Its Job runs, as far as its pod says; `trouble` is what keeps the pod from running, or why its last try failed.
    Running {
        /// How far it is.
        progress: Option<Progress>,
        /// What is wrong.
        trouble: Option<Failure>,
    },
    /// It ended well, and its pod left this (a report of `agentfs_contract::termination`).
    Succeeded {
        /// What the pod left; empty where it left nothing or is gone.
        left: String,
        /// When.
        at: Timestamp,
    },
    /// A resource of this name and spec was carried out before.
    AlreadyDone(AlreadyDone),
    /// It ended without success.
    Failed {
        /// Why, and what to do.
        failure: Failure,
        /// What the pod left; empty where it left nothing or is gone.
        left: String,
        /// When.
        at: Timestamp,
    },
}
