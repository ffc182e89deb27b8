//! The deletion of a task that deletes more than the resource: a Job does that first, and a finalizer keeps the resource until then.
//!
//! It waits for nothing that may not come: where there is nothing to delete, or nothing left that it could be deleted with, the resource
//! goes, and an Event says what stays.

use jiff::SignedDuration;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType};
use serde_json::json;

use super::observe::{Seen, cronjobs, observe_job};
use super::outcome::{self, Stage};
use super::reconcile::{Context, Error, LOOK_AGAIN, again, counted, tell};
use super::{Task, Work, job, reasons, waiting};
use crate::kit::blockers::Problem;
use crate::kit::conditions::{Failure, READY, State};
use crate::kit::desired::Desired;
use crate::kit::labels::{Component, MANAGER};
use crate::kit::ownership::Owner;
use crate::kit::pods;
use crate::kit::reads::Reader;
use crate::kit::reconcile::{Reconciled, publish};
use crate::kit::sentences::without_full_stop;
use crate::kit::writer::{self, Writer};

/// The finalizer of a resource whose deletion deletes more.
pub const FINALIZER: &str = "agentfs.io/deletion-policy";
/// What Kubernetes does to the objects of a resource before it goes. It would take the Job for one of them.
const OF_KUBERNETES: [&str; 2] = ["foregroundDeletion", "orphan"];
/// How long a Job may take, its pod's start included: one that is stuck keeps a volume from others that one pod at a time may have.
const ENDS_AFTER_SECONDS: i64 = 1800;
/// How long a Job that failed is kept before another one tries again.
const AFTER_FAILURE: SignedDuration = SignedDuration::from_mins(10);
/// The reason of the Event that all is deleted.
const DELETED: &str = "BackupDeleted";
/// The reason of the Event that there was nothing to delete, or that it stays.
const NOT_DELETED: &str = "BackupNotDeleted";

/// What the deletion of a task deletes besides the resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// Nothing, for this reason, which is a sentence without a full stop.
    Nothing(String),
    /// This, in words, by a Job.
    Of(String, Work),
}

fn is_held<T: Task>(task: &T) -> bool {
    task.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

/// Gives `task` the finalizer where its deletion deletes more, and it has none yet.
pub(super) async fn hold<T: Task>(task: T, context: &Context) -> Result<T, Error> {
    if !task.deletes_more() || is_held(&task) {
        return Ok(task);
    }
    let mut finalizers = task.finalizers().to_vec();
    finalizers.push(FINALIZER.to_owned());
    Ok(set(&task, context, &finalizers).await?.unwrap_or(task))
}

/// Sets the finalizers of `task`; `None` where it is gone.
async fn set<T: Task>(
    task: &T,
    context: &Context,
    finalizers: &[String],
) -> Result<Option<T>, Error> {
    let namespace = task.namespace().unwrap_or_default();
    let api: Api<T> = Api::namespaced(context.client.clone(), &namespace);
    let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    // A list is replaced as a whole: somebody else's finalizer that came meanwhile would be lost.
    let mut metadata = json!({"uid": task.uid(), "finalizers": finalizers});
    if let Some(version) = task.resource_version() {
        metadata["resourceVersion"] = json!(version);
    }
    let patch = Patch::Merge(json!({ "metadata": metadata }));
    match api.patch(&task.name_any(), &params, &patch).await {
        Ok(task) => Ok(Some(task)),
        Err(kube::Error::Api(refusal)) if refusal.code == 404 => Ok(None),
        Err(error) => Err(Error::Finalizer(error)),
    }
}

/// Does what is to be done before `task`, which is being deleted, goes; then lets it go.
pub(super) async fn part<T: Task>(
    task: &T,
    context: &Context,
    owner: &Owner,
) -> Result<(Action, Reconciled), Error> {
    let soon = || Ok((Action::requeue(LOOK_AGAIN), Reconciled::InProgress));
    if !is_held(task) {
        // Its Job is deleted with it, which cancels what that has not done.
        context.asked.forget(&owner.uid);
        return Ok((Action::await_change(), Reconciled::Settled));
    }
    if task.finalizers().iter().any(|of| OF_KUBERNETES.contains(&of.as_str())) {
        return soon();
    }
    if is_at_work(task, context, owner).await? {
        return soon();
    }
    let name = name(task);
    let seen = observe_job(&context.client, &context.asked, task, owner, &name);
    let mut seen = Box::pin(seen).await.map_err(Error::Observe)?;
    let reader = Reader::new(&context.client, owner);
    let all = cronjobs(reader, seen.agentfs.as_ref()).await;
    seen.cronjobs = all.map_err(Error::Observe)?;
    seen.backups = reader.all().await.map_err(Error::Observe)?;
    let stage = match Box::pin(carry_out(task, context, owner, &seen)).await? {
        Outcome::Goes(event) => return let_go(task, context, owner, event).await,
        Outcome::Stands(state) => Stage::Waiting(state),
    };
    let ready = tell(task, context, &stage, &seen).await?;
    Ok((Action::requeue(again(&stage, &ready)), counted(&ready)))
}

/// Whether the Job of the task itself is there, or goes away; it is cancelled where it has not ended, and its report is read where it has.
async fn is_at_work<T: Task>(task: &T, context: &Context, owner: &Owner) -> Result<bool, Error> {
    let name = job::name(task);
    let seen = observe_job(&context.client, &context.asked, task, owner, &name);
    let seen = Box::pin(seen).await.map_err(Error::Observe)?;
    let Some(job) = &seen.job else {
        let goes = |problem: &Problem| matches!(problem, Problem::Terminating { .. });
        return Ok(seen.blocker.is_some_and(|blocker| goes(&blocker.problem)));
    };
    if outcome::is_unfinished(job) {
        let pods: Vec<_> = seen.pods.iter().collect();
        if pods::left_by_the_newest_success(&pods).is_some() {
            // It is about to have ended, and what its pod left says what is to be deleted.
            return Ok(true);
        }
        // It is gone once its pods are, and makes nothing any more then.
        delete(context, owner, job, DeleteParams::foreground()).await?;
        return Ok(true);
    }
    if task.ended_at().is_some() {
        return Ok(false);
    }
    tell(task, context, &outcome::stage(task, job, &seen), &seen).await?;
    Ok(true)
}

/// How far a deletion is.
enum Outcome {
    /// The resource may go, and this is to be told.
    Goes(Event),
    /// It stays for now.
    Stands(State),
}

async fn carry_out<T: Task>(
    task: &T,
    context: &Context,
    owner: &Owner,
    seen: &Seen,
) -> Result<Outcome, Error> {
    let goes = |type_, reason: &str, sentence: String| {
        Ok(Outcome::Goes(Event {
            type_,
            reason: reason.to_owned(),
            note: Some(sentence.chars().take(1000).collect()),
            action: READY.into(),
            secondary: None,
        }))
    };
    let (what, work) = match task.deletion(seen) {
        Deletion::Nothing(why) => return goes(EventType::Normal, NOT_DELETED, format!("{why}.")),
        Deletion::Of(what, work) => (what, work),
    };
    if seen.job.as_ref().is_some_and(outcome::succeeded) {
        return goes(EventType::Normal, DELETED, format!("{what} is deleted."));
    }
    let stays = |why: &str| goes(EventType::Warning, NOT_DELETED, format!("{what} stays: {why}."));
    let agentfs = task.agentfs();
    if waiting::agentfs(seen).is_none() {
        return stays(&format!("AgentFS {agentfs}, which says how to reach it, no longer exists"));
    }
    if waiting::is_suspended(seen) {
        return Ok(Outcome::Stands(waiting::suspended(DELETION, agentfs)));
    }
    let Some(cronjob) = seen.cronjob(work.like, agentfs) else {
        return Ok(Outcome::Stands(waiting::for_cronjob(DELETION, agentfs, work.like, seen)));
    };
    let Some(job) = &seen.job else {
        if let Some(blocker) = &seen.blocker {
            return Ok(Outcome::Stands(blocker.state()));
        }
        let Some(mut made) = job::like(owner, name(task), COMPONENT, &work, cronjob) else {
            return Ok(Outcome::Stands(waiting::for_cronjob(DELETION, agentfs, work.like, seen)));
        };
        made.spec.get_or_insert_default().active_deadline_seconds = Some(ENDS_AFTER_SECONDS);
        let mut writer = Writer::new(&context.client, &owner.namespace, Vec::new());
        return match Box::pin(writer.child(READY, Desired::Apply(made), None)).await {
            // No Job can be made any more, and nobody waits for ever for a namespace to go.
            Err(writer::Error::NamespaceEnds) => stays("its namespace is being deleted"),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(Outcome::Stands(match writer.blockers.first() {
                Some(refused) => refused.state(),
                None => deleting(&what),
            })),
        };
    };
    Ok(Outcome::Stands(match outcome::stage(task, job, seen) {
        Stage::Running { trouble: Some(trouble), .. } if trouble.is_failed() => trouble,
        Stage::Running { .. } => deleting(&what),
        stage => {
            let since = stage.ended_at().map(|at| seen.now.duration_since(at));
            if since.is_some_and(|since| since >= AFTER_FAILURE) {
                delete(context, owner, job, DeleteParams::background()).await?;
            }
            failed(&what, owner, &outcome::said(job, &seen.pods.iter().collect::<Vec<_>>()))
        }
    }))
}

/// What is done, in words for a condition.
const DELETION: &str = "deletion of the backup";
/// The component of the Job that deletes.
const COMPONENT: Component = Component::new("delete");

/// The name of the Job that deletes.
fn name<T: Task>(task: &T) -> String {
    format!("{}-delete", task.name_any())
}

fn deleting(what: &str) -> State {
    State::progressing(reasons::DELETING, format!("{what} is being deleted"))
}

fn failed(what: &str, owner: &Owner, said: &str) -> State {
    State::Failed(Failure::new(
        reasons::DELETION_FAILED,
        format!("{what} is not deleted: {}", without_full_stop(said)),
        format!(
            "It is tried again every {} minutes. To let the backup stay and this resource go: kubectl patch {} -n {} {} --type merge \
             -p '{{\"metadata\":{{\"finalizers\":null}}}}'",
            AFTER_FAILURE.as_mins(),
            owner.kind.to_lowercase(),
            owner.namespace,
            owner.name
        ),
    ))
}

/// Lets `task` go, and tells of it.
async fn let_go<T: Task>(
    task: &T,
    context: &Context,
    owner: &Owner,
    event: Event,
) -> Result<(Action, Reconciled), Error> {
    let Owner { kind, name, namespace, uid, .. } = owner;
    tracing::info!(kind, name, namespace, why = event.note, "letting it go");
    let others = task.finalizers().iter().filter(|finalizer| *finalizer != FINALIZER);
    set(task, context, &others.cloned().collect::<Vec<_>>()).await?;
    publish(&context.client, &context.reporter, task, Some(event)).await;
    context.asked.forget(uid);
    Ok((Action::await_change(), Reconciled::Settled))
}

async fn delete(
    context: &Context,
    owner: &Owner,
    job: &Job,
    how: DeleteParams,
) -> Result<(), Error> {
    let only = Preconditions { uid: job.uid(), resource_version: None };
    let writer = Writer::new(&context.client, &owner.namespace, Vec::new());
    let params = DeleteParams { preconditions: Some(only), ..how };
    Ok(writer.delete_by::<Job>(&job.name_any(), params).await?)
}
