//! The reconcile of a task, of any kind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, DeleteParams, Preconditions};
use kube::runtime::controller::Action;
use kube::runtime::events::Reporter;
use kube::{Client, ResourceExt as _};

use super::observe::{Seen, observe};
use super::outcome::{self, Stage};
use super::progress::{self, Asked};
use super::turns::Turns;
use super::{Orders, Task, Work, deletion, events, job, others, waiting};
use crate::crd::fields::Conditions as _;
use crate::kit::conditions::{READY, RECONCILING, State, condition};
use crate::kit::desired::Desired;
use crate::kit::ownership::{Owner, Ownership, ownership};
use crate::kit::reads::Reader;
use crate::kit::reconcile::{Failures, Reconciled, patch_status, publish};
use crate::kit::writer::{self, Writer};
use crate::process::metrics::Metrics;

/// How soon one that waits is looked at again, besides the watches.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// How soon what a person has to mend is looked at again.
const AFTER_REFUSAL: Duration = Duration::from_secs(30);
/// How long a Job that succeeded is kept, so that its log can be read. Its volume is kept as well.
const KEPT_AFTER_SUCCESS: SignedDuration = SignedDuration::from_hours(1);
/// How long one that failed is.
const KEPT_AFTER_FAILURE: SignedDuration = SignedDuration::from_hours(24);

/// What reconciles work with.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What pods said of how far they are.
    pub asked: Asked,
    /// Held by whoever looks whose turn it is until that one's Job is there. All kinds share it.
    pub turns: Arc<Turns>,
    /// Who Events come from.
    pub reporter: Reporter,
    /// Counts reconciles.
    pub metrics: Metrics,
    /// How often in a row the reconcile of a resource failed.
    pub failures: Failures,
}

/// Why a reconcile is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server could not be read.
    #[error("cannot read what is needed: {0}")]
    Observe(#[source] kube::Error),
    /// The Job could not be made.
    #[error("cannot make the Job: {0}")]
    Build(#[source] serde_json::Error),
    /// The Job could not be written.
    #[error(transparent)]
    Apply(#[from] writer::Error),
    /// The Job could not be suspended, or let go on.
    #[error("cannot set whether the Job {name} is suspended: {error}")]
    Suspend {
        /// The Job.
        name: String,
        /// What went wrong.
        #[source]
        error: kube::Error,
    },
    /// The status could not be written.
    #[error("cannot write the status: {0}")]
    Status(#[source] kube::Error),
    /// Its finalizer could not be set, or taken away.
    #[error("cannot set its finalizers: {0}")]
    Finalizer(#[source] kube::Error),
    /// It could not be deleted at the end of its time.
    #[error("cannot delete it at the end of ttlSecondsAfterFinished: {0}")]
    Delete(#[source] kube::Error),
}

impl Error {
    /// The call that failed.
    fn step(&self) -> &'static str {
        match self {
            Self::Observe(_) => "observe",
            Self::Build(_) => "build",
            Self::Apply(_) | Self::Suspend { .. } => "apply",
            Self::Status(_) => "status",
            Self::Finalizer(_) => "finalizer",
            Self::Delete(_) => "delete",
        }
    }
}

/// Has `task` carried out, and says how it stands.
pub async fn reconcile<T: Task>(task: Arc<T>, context: Arc<Context>) -> Result<Action, Error> {
    let begun = Instant::now();
    let result = Box::pin(attempt(&*task, &context)).await;
    let counted = match &result {
        Ok((_, reconciled)) => *reconciled,
        Err(error) => Reconciled::Error { step: error.step() },
    };
    context.metrics.reconciled(&T::kind(&()), begun.elapsed(), counted);
    if result.is_ok() {
        context.failures.forget(&*task);
    }
    result.map(|(action, _)| action)
}

/// When a reconcile that failed is tried again.
pub fn error_policy<T: Task>(task: &T, error: &Error, context: &Context) -> Action {
    context.failures.retry(task, error)
}

async fn attempt<T: Task>(cached: &T, context: &Context) -> Result<(Action, Reconciled), Error> {
    let namespace = cached.namespace().unwrap_or_default();
    let api: Api<T> = Api::namespaced(context.client.clone(), &namespace);
    // The copy of the watch may be older than the status that was written last.
    let task = api.get_opt(&cached.name_any()).await.map_err(Error::Observe)?;
    let Some((owner, task)) = task.and_then(|task| Some((Owner::of(&task)?, task))) else {
        context.asked.forget(&cached.uid().unwrap_or_default());
        return Ok((Action::await_change(), Reconciled::Settled));
    };
    if task.meta().deletion_timestamp.is_some() {
        return Box::pin(deletion::part(&task, context, &owner)).await;
    }
    let task = deletion::hold(task, context).await?;
    let recorded = match task.record() {
        Some(state) => {
            let seen = Seen::nothing(Timestamp::now());
            Some(Box::pin(tell(&task, context, &Stage::Record(state), &seen)).await?)
        }
        None => None,
    };
    let reconciled = recorded.as_ref().map_or(Reconciled::Settled, counted);
    if let Some(at) = task.ended_at() {
        return Ok((Box::pin(clear_up(&task, context, &owner, at)).await?, reconciled));
    }
    if recorded.is_some() {
        return Ok((Action::await_change(), reconciled));
    }
    let seen = observe(&context.client, &context.asked, &task, &owner);
    // The futures are large; on the heap they do not fill the stack of whoever waits for them.
    let mut seen = Box::pin(seen).await.map_err(Error::Observe)?;
    let stage = match Box::pin(carry_out(&task, context, &owner, &mut seen)).await {
        // All that is in it is deleted, the task as well.
        Err(Error::Apply(writer::Error::NamespaceEnds)) => {
            return Ok((Action::await_change(), Reconciled::Settled));
        }
        stage => stage?,
    };
    let ready = tell(&task, context, &stage, &seen).await?;
    let action = match stage.ended_at() {
        Some(at) => {
            context.asked.forget(&owner.uid);
            Box::pin(clear_up(&task, context, &owner, at)).await?
        }
        None => Action::requeue(again(&stage, &ready)),
    };
    Ok((action, counted(&ready)))
}

/// How far `task` is; its Job is made where it can begin.
async fn carry_out<T: Task>(
    task: &T,
    context: &Context,
    owner: &Owner,
    seen: &mut Seen,
) -> Result<Stage, Error> {
    let suspended = waiting::is_suspended(seen);
    let suspended = suspended.then(|| waiting::suspended(T::WHAT, task.agentfs()));
    let Some(job) = seen.job.clone() else {
        return Box::pin(begin(task, context, owner, seen)).await;
    };
    let stage = outcome::stage(task, &job, seen);
    let is_suspended = outcome::is_suspended(&job);
    // Whoever begins suspends one that is stuck, once that has told why.
    if stage.ended_at().is_some() || (!is_suspended && suspended.is_none()) {
        return Ok(stage);
    }
    let _turn = context.turns.of(&owner.namespace, task.agentfs()).await;
    let others = others::read_tasks(&context.client, owner, task.agentfs(), seen).await;
    let others = others.map_err(Error::Observe)?;
    let waits = suspended.or_else(|| seen.turn_of.as_deref().map(waiting::for_turn::<T>));
    if waits.is_none() {
        suspend(context, &others).await?;
    }
    if waits.is_some() != is_suspended {
        set_suspended(context, &job, waits.is_some()).await?;
    }
    Ok(match waits {
        Some(turn) => Stage::Waiting(turn),
        None => stage,
    })
}

/// Begins `task`, whose Job is not there, where nothing keeps it from that.
async fn begin<T: Task>(
    task: &T,
    context: &Context,
    owner: &Owner,
    seen: &mut Seen,
) -> Result<Stage, Error> {
    if let Some(blocker) = &seen.blocker {
        return Ok(Stage::Waiting(blocker.state()));
    }
    if let Some(state) = waiting::for_agentfs(task, seen) {
        return Ok(Stage::Waiting(state));
    }
    let _turn = context.turns.of(&owner.namespace, task.agentfs()).await;
    let others = others::read_tasks(&context.client, owner, task.agentfs(), seen).await;
    let others = others.map_err(Error::Observe)?;
    let work = match task.orders(seen) {
        Orders::Wait(state) => return Ok(Stage::Waiting(state)),
        Orders::Refuse(failure) => {
            let at = Timestamp::from_second(seen.now.as_second()).unwrap_or(seen.now);
            return Ok(Stage::Failed { failure, left: String::new(), at });
        }
        Orders::Run(work) => work,
    };
    let Some(job) = job_of(task, owner, &work, seen).map_err(Error::Build)? else {
        let state = waiting::for_cronjob(T::WHAT, task.agentfs(), work.like, seen);
        return Ok(Stage::Waiting(state));
    };
    if let Some(other) = &seen.turn_of {
        return Ok(Stage::Waiting(waiting::for_turn::<T>(other)));
    }
    suspend(context, &others).await?;
    let mut writer = Writer::new(&context.client, &owner.namespace, Vec::new());
    seen.job = Box::pin(writer.child(READY, Desired::Apply(job), None)).await?;
    Ok(match writer.blockers.first() {
        Some(refused) => Stage::Waiting(refused.state()),
        None => Stage::Running { progress: None, trouble: None },
    })
}

fn job_of<T: Task>(
    task: &T,
    owner: &Owner,
    work: &Work,
    seen: &Seen,
) -> Result<Option<Job>, serde_json::Error> {
    let Some(cronjob) = seen.cronjob(work.like, task.agentfs()) else { return Ok(None) };
    job::job(task, owner, work, cronjob)
}

/// Suspends the Jobs of `others`, which are stuck: those that work have the turn.
async fn suspend(context: &Context, others: &[Job]) -> Result<(), Error> {
    for job in others {
        set_suspended(context, job, true).await?;
    }
    Ok(())
}

async fn set_suspended(context: &Context, job: &Job, suspend: bool) -> Result<(), Error> {
    let set = others::set_suspended(&context.client, job, suspend).await;
    set.map_err(|error| Error::Suspend { name: job.name_any(), error })
}

/// Deletes what has been kept for long enough of `task`, which ended `at` that moment: first its Job, whose report was read, and
/// at the end of `ttlSecondsAfterFinished` the task itself. It is not worked on in any other way.
async fn clear_up<T: Task>(
    task: &T,
    context: &Context,
    owner: &Owner,
    at: Timestamp,
) -> Result<Action, Error> {
    let now = Timestamp::now();
    let ttl =
        task.ttl_seconds().and_then(|ttl| at.checked_add(SignedDuration::from_secs(ttl)).ok());
    if ttl.is_some_and(|ttl| ttl <= now) {
        delete(task, context, owner).await?;
        return Ok(Action::await_change());
    }
    let job = Reader::new(&context.client, owner).get::<Job>(job::name(task)).await;
    let job = job.map_err(Error::Observe)?;
    let mut next = ttl;
    if let Some(job) = job.filter(|job| ownership(job, owner) == Ownership::Owned) {
        let kept = if outcome::succeeded(&job) { KEPT_AFTER_SUCCESS } else { KEPT_AFTER_FAILURE };
        let until = at.checked_add(kept).unwrap_or(Timestamp::MAX);
        if until <= now {
            let only = Preconditions { uid: job.uid(), resource_version: None };
            let writer = Writer::new(&context.client, &owner.namespace, Vec::new());
            writer.delete::<Job>(&job.name_any(), Some(only)).await?;
        } else {
            next = Some(next.map_or(until, |ttl| ttl.min(until)));
        }
    }
    Ok(match next {
        Some(next) => {
            let pause = Duration::try_from(next.duration_since(now)).unwrap_or_default();
            Action::requeue(pause + Duration::from_secs(1))
        }
        None => Action::await_change(),
    })
}

/// Deletes `task`.
async fn delete<T: Task>(task: &T, context: &Context, owner: &Owner) -> Result<(), Error> {
    let Owner { kind, name, namespace, uid, .. } = owner;
    tracing::info!(kind, name, namespace, "deleting it at the end of ttlSecondsAfterFinished");
    let api: Api<T> = Api::namespaced(context.client.clone(), namespace);
    let only = Preconditions { uid: Some(uid.clone()), resource_version: None };
    let params = DeleteParams { preconditions: Some(only), ..DeleteParams::background() };
    match api.delete(&task.name_any(), &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(refusal)) if refusal.code == 404 => Ok(()),
        Err(error) => Err(Error::Delete(error)),
    }
}

/// Writes the status where it changed, then the Events that tell of the change. It gives the state of `Ready`.
pub(super) async fn tell<T: Task>(
    task: &T,
    context: &Context,
    stage: &Stage,
    seen: &Seen,
) -> Result<State, Error> {
    let mut report = task.report(stage, seen);
    let ready = report.states.iter().find(|(kind, _)| *kind == READY).map(|(_, state)| state);
    let ready = ready.cloned().unwrap_or_else(|| stage.ready(task));
    let abnormal = match &ready {
        State::Progressing { reason, message } => {
            Some((RECONCILING, State::true_because(*reason, message)))
        }
        State::Failed(_) => ready.abnormal(),
        _ => None,
    };
    report.states.extend(abnormal);
    let before = task.status().map(|status| status.conditions().to_vec()).unwrap_or_default();
    let generation = task.meta().generation;
    let render = |(kind, state): &(&'static str, State)| {
        condition(kind, state, &before, generation, seen.now)
    };
    let conditions = report.states.iter().map(render).collect();
    let after = T::with_conditions(report.status, conditions, generation);
    let step = match stage {
        Stage::Record(_) => None,
        Stage::Running { progress: Some(progress), .. } => {
            events::steps::<T>(task.status(), &after, Some(&progress.step))
        }
        _ => events::steps::<T>(task.status(), &after, None),
    };
    patch_status(&context.client, &context.reporter, task, &report.states, &after)
        .await
        .map_err(Error::Status)?;
    publish(&context.client, &context.reporter, task, step).await;
    Ok(ready)
}

/// When to look again, besides the watches.
pub(super) fn again(stage: &Stage, ready: &State) -> Duration {
    match stage {
        Stage::Running { .. } if stage.works() => progress::PAUSE,
        _ if ready.is_failed() => AFTER_REFUSAL,
        _ => LOOK_AGAIN,
    }
}

/// What a reconcile counts as that found this state of `Ready`.
pub(super) fn counted(ready: &State) -> Reconciled {
    match ready {
        State::Failed(_) => Reconciled::NeedsAttention,
        ready if ready.is_at_rest() => Reconciled::Settled,
        _ => Reconciled::InProgress,
    }
}
