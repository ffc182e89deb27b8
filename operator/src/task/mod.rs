//! What is carried out once, by one Job: backups, restores and drills that a resource asks for.
//!
//! A task is a resource ([`Task`]). Its reconcile is the same for all kinds: [`observe`](observe::observe) reads what is there, the
//! task says by [`Task::orders`] what its Job does (or what it waits for), [`job`] makes that from the AgentFS's CronJob,
//! [`outcome`] tells how far the Job is, and [`Task::report`] what the status says of that. Which task is next [`turn`] decides:
//! one at a time for each AgentFS.

pub mod controller;
pub mod deletion;
pub mod events;
pub mod job;
pub mod named;
pub mod observe;
mod others;
pub mod outcome;
pub mod progress;
pub mod reasons;
pub mod reconcile;
pub mod scratch;
pub mod turn;
pub mod turns;
mod waiting;

use std::fmt::Debug;

use agentfs_contract::progress::Progress;
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource;
use kube::core::object::{HasSpec, HasStatus};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::deletion::Deletion;
use self::observe::Seen;
use self::outcome::Stage;
use crate::agentfs::names::Names;
use crate::crd::fields::Conditions;
use crate::kit::conditions::{Failure, State};
use crate::kit::reasons::Reason;

/// The CronJob of the AgentFS whose Jobs a task's is like: image, account, volumes, access to the database and to the backups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Like {
    /// `<agentfs>-backup`.
    Backup,
    /// `<agentfs>-verify`, with a volume to restore into.
    Verify,
    /// `<agentfs>-drill`, with the same.
    Drill,
}

impl Like {
    /// The name of the CronJob of the AgentFS of this name.
    pub fn cronjob(self, agentfs: &str) -> String {
        let names = Names::new(agentfs);
        match self {
            Self::Backup => names.backup(),
            Self::Verify => names.verify(),
            Self::Drill => names.drill(),
        }
    }
}

/// What a task's Job does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// Whose Job it is like.
    pub like: Like,
    /// The arguments of `agentfs-server`.
    pub arguments: Vec<String>,
    /// Environment variables besides those of the CronJob's.
    pub variables: Vec<(&'static str, String)>,
}

/// What is to be done for a task that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Orders {
    /// It waits for this, which is looked at again.
    Wait(State),
    /// It can never be carried out, for this reason.
    Refuse(Failure),
    /// This Job.
    Run(Work),
}

impl Orders {
    /// It waits for something that comes by itself.
    pub fn wait(reason: Reason, sentence: impl Into<String>) -> Self {
        Self::Wait(State::progressing(reason, sentence))
    }

    /// It waits for somebody to do something.
    pub fn ask(reason: Reason, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Wait(State::Failed(Failure::new(reason, what, remedy)))
    }

    /// It can never be carried out.
    pub fn refuse(reason: Reason, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Refuse(Failure::new(reason, what, remedy))
    }
}

/// How a task stands, as its status says it.
#[derive(Clone, Debug)]
pub struct Report<S> {
    /// The state of each condition, by its type. `Ready` is the first; the reconcile adds `Reconciling` or `Stalled` after it.
    pub states: Vec<(&'static str, State)>,
    /// The status without conditions and generation, which the reconcile adds.
    pub status: S,
}

/// A kind that is carried out once.
pub trait Task:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + HasSpec<Spec: DeserializeOwned + PartialEq + Serialize>
    + HasStatus<Status: Conditions + Clone + Default + PartialEq + Serialize + Send + Sync>
    + Clone
    + Debug
    + DeserializeOwned
    + Serialize
    + Send
    + Sync
    + 'static
{
    /// What it is, in words, for example `restore`. It is the component of its Job as well.
    const WHAT: &'static str;

    /// The name of its AgentFS.
    fn agentfs(&self) -> &str;

    /// When it ended, well or not, as its status says; `None` while it has not.
    fn ended_at(&self) -> Option<Timestamp>;

    /// How many seconds after its end it is deleted.
    fn ttl_seconds(&self) -> Option<i64>;

    /// Where this resource is the record of what was done elsewhere, so that nothing is executed for it: how that is.
    fn record(&self) -> Option<State> {
        None
    }

    /// What of its status pods write: the operator looks at the resource where this changes.
    fn written_by_pods(&self) -> String {
        String::new()
    }

    /// The step that a status says, where the kind tells of steps. An Event tells of each.
    fn step(_status: &Self::Status) -> Option<&str> {
        None
    }

    /// Whether the AgentFSBackups are to be read although it has a Job, to name the backup. The Job says this of itself; `None` once it has
    /// ended.
    fn wants_backups(&self, _progress: Option<&Progress>) -> bool {
        false
    }

    /// What comes once it is mended what this one failed of, as the end of a sentence.
    fn afterwards(&self) -> String {
        format!(
            "then create another {}, with another name, since each runs only once",
            Self::kind(&())
        )
    }

    /// Whether deleting it deletes more than the resource, by [`Task::deletion`].
    fn deletes_more(&self) -> bool {
        false
    }

    /// What is to be deleted with it, given what was `seen`. Without I/O.
    fn deletion(&self, _seen: &Seen) -> Deletion {
        Deletion::Nothing(format!("Nothing else goes with the {}", Self::WHAT))
    }

    /// What is to be done, given what was `seen`. Without I/O.
    fn orders(&self, seen: &Seen) -> Orders;

    /// What kind of failure it is that the pod `left` this; `None` where the kind knows nothing better than the pod's own
    /// sentence.
    fn failure(&self, _left: &str, _seen: &Seen) -> Option<Failure> {
        None
    }

    /// How it stands, given its `stage`. Without I/O. What the status says already and nobody knows better stays.
    fn report(&self, stage: &Stage, seen: &Seen) -> Report<Self::Status>;

    /// The same status with these conditions, for this generation.
    fn with_conditions(
        status: Self::Status,
        conditions: Vec<Condition>,
        generation: Option<i64>,
    ) -> Self::Status;
}

/// A step as a word for a status and for the reason of an Event: `load` is `Load`, `wait for jobs` is `WaitForJobs`.
pub fn step_word(step: &str) -> String {
    let words = step.split(|c: char| !c.is_ascii_alphanumeric());
    let capital = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    words.map(capital).collect()
}

/// A record of the contract as the part of a status that has the same fields.
pub fn same<T: DeserializeOwned>(record: &impl Serialize) -> Option<T> {
    serde_json::from_value(serde_json::to_value(record).ok()?).ok()
}
