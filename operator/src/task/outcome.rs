//! How far a task is, from its Job and the pods of that.

use agentfs_contract::progress::Progress;
use agentfs_contract::termination::AlreadyDone;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use super::observe::Seen;
use super::{Task, reasons, scratch};
use crate::kit;
use crate::kit::conditions::{Failure, State, clock};
use crate::kit::jobs;
use crate::kit::pods::{self, PodsOf};
use crate::kit::sentences::without_full_stop;

/// The pods of a Job, in words for a condition.
const PODS: PodsOf = PodsOf {
    part: "its Job",
    resources: "spec.backup.resources or spec.backup.verify.resources of the AgentFS",
};

/// The field that describes the volume which backups are restored into, in words for a condition.
const SCRATCH: &str = "spec.backup.verify.storage of the AgentFS";

/// How far a task is.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// It is a record of what was done elsewhere.
    Record(State),
    /// It has not begun, or is kept from going on: it waits for this.
    Waiting(State),
    /// Its Job runs, as far as its pod says. `trouble` is what keeps the pod from running, or that its last try failed.
    Running {
        /// How far it is.
        progress: Option<Progress>,
        /// What is wrong.
        trouble: Option<State>,
    },
    /// It ended well, and its pod left this (a report of `agentfs_contract::termination`).
    Succeeded {
        /// What the pod left; empty where it left nothing or is gone.
        left: String,
        /// When.
        at: Timestamp,
    },
    /// A resource of this name and spec was carried out before.
    AlreadyDone {
        /// When, and how it ended.
        done: AlreadyDone,
        /// When that was found.
        at: Timestamp,
    },
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

impl Stage {
    /// When it ended, where it has.
    pub fn ended_at(&self) -> Option<Timestamp> {
        match self {
            Self::Succeeded { at, .. } | Self::AlreadyDone { at, .. } | Self::Failed { at, .. } => {
                Some(*at)
            }
            Self::Record(_) | Self::Waiting(_) | Self::Running { .. } => None,
        }
    }

    /// Whether its Job is there and does what it is for, or is about to.
    pub fn works(&self) -> bool {
        matches!(self, Self::Running { trouble, .. } if !trouble.as_ref().is_some_and(State::is_failed))
    }

    /// The state of `Ready` of `task`, as far as it is the same for all kinds.
    pub fn ready<T: Task>(&self, task: &T) -> State {
        let (what, kind, name) = (T::WHAT, T::kind(&()), task.name_any());
        match self {
            Self::Record(state) | Self::Waiting(state) => state.clone(),
            Self::Running { trouble: Some(trouble), .. } => trouble.clone(),
            Self::Running { progress: Some(progress), .. } => State::progressing(
                reasons::RUNNING,
                format!("The {what} is under way: {}", progress.step),
            ),
            Self::Running { progress: None, .. } => {
                State::progressing(reasons::RUNNING, format!("The {what} is starting"))
            }
            Self::Succeeded { at, .. } => State::true_because(
                reasons::SUCCEEDED,
                format!("The {what} succeeded at {}.", clock(*at)),
            ),
            Self::AlreadyDone { done, .. } => {
                let at = clock(done.already_done);
                let said = without_full_stop(&done.message);
                let said = if said.is_empty() { said } else { format!(": {said}") };
                let another =
                    format!("For another {what} create another {kind}, with another name.");
                if done.succeeded {
                    State::true_because(
                        reasons::ALREADY_DONE,
                        format!(
                            "An {kind} {name} with this spec succeeded at {at}{said}. It did not run again. {another}"
                        ),
                    )
                } else {
                    State::Failed(Failure::new(
                        reasons::ALREADY_DONE,
                        format!(
                            "An {kind} {name} with this spec failed at {at}{said}. It was not tried again"
                        ),
                        another,
                    ))
                }
            }
            Self::Failed { failure, .. } => State::Failed(failure.clone()),
        }
    }
}

/// Whether a Job has not ended.
pub fn is_unfinished(job: &Job) -> bool {
    end(job).is_none()
}

/// Whether a Job ended well.
pub fn succeeded(job: &Job) -> bool {
    end(job).is_some_and(|end| end.type_ == "Complete")
}

/// Whether no pods of a Job are to run for now.
pub fn is_suspended(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true)
}

/// The condition that says how a Job ended, where it has.
fn end(job: &Job) -> Option<&JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    // Each comes once the pods have ended as well.
    conditions.iter().find(|c| c.status == "True" && matches!(&*c.type_, "Complete" | "Failed"))
}

/// How far `task` is, whose `job` is there.
pub fn stage<T: Task>(task: &T, job: &Job, seen: &Seen) -> Stage {
    let pods: Vec<_> = seen.pods.iter().collect();
    let Some(end) = end(job) else {
        let trouble =
            stuck(job, &pods, seen).map(State::Failed).or_else(|| tries_again::<T>(&pods));
        return Stage::Running { progress: seen.progress.clone(), trouble };
    };
    let at = end.last_transition_time.as_ref().map_or(seen.now, |time| time.0);
    if end.type_ == "Complete" {
        let left = pods::left_by_the_newest_success(&pods).unwrap_or_default();
        return match AlreadyDone::read(&left) {
            Some(done) => Stage::AlreadyDone { done, at },
            None => Stage::Succeeded { left, at },
        };
    }
    let left = pods::left_by_the_newest_failure(&pods).unwrap_or_default();
    let failure = task.failure(&left, seen).unwrap_or_else(|| failed(task, &said(job, &pods)));
    Stage::Failed { failure, left, at }
}

/// Why a Job failed, as the last of its `pods` says, or else Kubernetes.
pub(super) fn said(job: &Job, pods: &[&Pod]) -> String {
    let words = pods::termination_message(pods);
    let words = words.or_else(|| end(job).and_then(|end| end.message.clone()));
    words.unwrap_or_else(|| "its pod is gone and left no message".into())
}

/// That `task` failed for the reason that `words` say.
pub fn failed<T: Task>(task: &T, words: &str) -> Failure {
    Failure::new(
        reasons::FAILED,
        format!("The {} failed: {}", T::WHAT, without_full_stop(words)),
        format!("Fix what the message names, {}.", task.afterwards()),
    )
}

/// What keeps the pods of `job` from running, if anything is known.
fn stuck(job: &Job, pods: &[&Pod], seen: &Seen) -> Option<Failure> {
    let refused = || {
        let said = seen.warnings.get(&job.name_any()).filter(|_| pods.is_empty())?;
        Some(pods::refusal(said, PODS))
    };
    let failure = || pods::failure(pods, &seen.warnings).map(scratch::or_in_use);
    let missing = kit::scratch::missing(pods, &seen.warnings, SCRATCH);
    missing.or_else(failure).or_else(refused)
}

/// That the last try failed and the next one is on its way, where none is under way.
fn tries_again<T: Task>(pods: &[&Pod]) -> Option<State> {
    let has_ended = |pod: &&Pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        matches!(phase, Some("Failed" | "Succeeded"))
    };
    if !pods.iter().all(has_ended) {
        return None;
    }
    let words = without_full_stop(&pods::termination_message(pods)?);
    if !pods::code_of_the_newest_failure(pods).is_some_and(jobs::is_tried_again) {
        // Its Job is about to fail.
        let what = format!("The {} ends: {words}", T::WHAT);
        return Some(State::progressing(reasons::RUNNING, what));
    }
    Some(State::progressing(
        reasons::TRYING_AGAIN,
        format!("An attempt of the {} failed and is retried by itself: {words}", T::WHAT),
    ))
}
