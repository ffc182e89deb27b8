//! What is carried out once, by one Job: backups, restores and drills that a resource asks for.
//!
//! A task is a resource ([`Task`]). Its reconcile is the same for all kinds: [`observe`](observe::observe) reads what is there, the task
//! says by [`Task::orders`] what its Job does (or what it waits for), [`job`] makes that from the AgentFS's CronJob, and
//! [`Task::report`] says how it stands. Which Job is next [`turn`] decides: one at a time for each AgentFS.

pub mod job;
pub mod observe;
pub mod outcome;
pub mod reconcile;
pub mod turn;

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::Resource;
use kube::core::object::{HasSpec, HasStatus};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::observe::Seen;
use self::outcome::Stage;
use crate::crd::fields::Conditions;
use crate::kit::conditions::State;

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
    /// Nothing: this resource is the record of what was done elsewhere, and that is as the state says.
    Record(State),
    /// It waits for this, which is looked at again.
    Wait(State),
    /// It can never be carried out, for this reason.
    Refuse(State),
    /// This Job.
    Run(Work),
}

/// How a task stands, as its status says it.
#[derive(Clone, Debug)]
pub struct Report<S> {
    /// The state of each condition, by its type. `Ready` is the first.
    pub states: Vec<(&'static str, State)>,
    /// The status without conditions and generation, which the reconcile adds.
    pub status: S,
}

/// A kind that is carried out once.
pub trait Task:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + HasSpec<Spec: Serialize>
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

    /// Whether it has ended, well or not, as its status says.
    fn has_ended(&self) -> bool;

    /// How many seconds after its end it is deleted.
    fn ttl_seconds(&self) -> Option<i64>;

    /// What is to be done, given what was `seen`. Without I/O.
    fn orders(&self, seen: &Seen<Self>) -> Orders;

    /// How it stands, given its `stage`. Without I/O. What the status says already and nobody knows better stays.
    fn report(&self, stage: &Stage, seen: &Seen<Self>) -> Report<Self::Status>;

    /// The same status with these conditions, for this generation.
    fn with_conditions(
        status: Self::Status,
        conditions: Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>,
        generation: Option<i64>,
    ) -> Self::Status;
}
