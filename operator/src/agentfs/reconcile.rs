//! One reconcile: observe, validate, build, apply, status.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::events::Reporter;
use kube::runtime::reflector::Store;
use kube::{Client, Resource as _, ResourceExt as _};
use serde_json::json;

use super::names::Names;
use super::observe::Observed;
use super::parts::admin_key::rotated;
use super::parts::migration::plan::Next;
use super::status::{StatusReport, render, report, report_invalid};
use super::validate::validate;
use super::{apply, build, observe};
use crate::crd::AgentFS;
use crate::kit::blockers::{Blocker, Problem};
use crate::kit::conditions::{Failure, PROGRESSING};
use crate::kit::desired::Desired;
use crate::kit::labels::MANAGER;
use crate::kit::ownership::Owner;
use crate::kit::readiness::Readiness;
use crate::kit::reasons;
use crate::kit::reconcile::{Failures, Reconciled, patch_status, publish};
use crate::kit::sentences::without_full_stop;
use crate::process::metrics::Metrics;
use crate::process::settings::Images;

/// How soon an AgentFS that is not settled is looked at again, besides the watches.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// How soon what a person has to mend is looked at again.
const AFTER_REFUSAL: Duration = Duration::from_secs(30);
/// How often an AgentFS at rest is looked at, should a watch have missed something.
const AT_REST: Duration = Duration::from_mins(10);

/// What reconciles work with.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// The resources that are watched, as they were last seen.
    pub known: Store<AgentFS>,
    /// The images of the children where a resource names none.
    pub images: Images,
    /// Asks API pods why they are not ready.
    pub readiness: Box<dyn Readiness>,
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
    #[error("cannot read what belongs to the AgentFS: {0}")]
    Observe(#[source] kube::Error),
    /// The objects could not be made.
    #[error("cannot make the objects of the AgentFS: {0}")]
    Build(#[source] serde_json::Error),
    /// An object could not be written.
    #[error(transparent)]
    Apply(#[from] apply::Error),
    /// The number of API pods could not be written.
    #[error("cannot write the number of API pods into the AgentFS: {0}")]
    Scale(#[source] kube::Error),
    /// The status could not be written.
    #[error("cannot write the status of the AgentFS: {0}")]
    Status(#[source] kube::Error),
}

impl Error {
    /// The call that failed.
    fn step(&self) -> &'static str {
        match self {
            Self::Observe(_) => "observe",
            Self::Build(_) => "build",
            Self::Apply(_) => "apply",
            Self::Scale(_) => "scale",
            Self::Status(_) => "status",
        }
    }
}

/// Makes what `agentfs` asks for, and says how it is.
pub async fn reconcile(agentfs: Arc<AgentFS>, context: Arc<Context>) -> Result<Action, Error> {
    let begun = Instant::now();
    let result = Box::pin(attempt(&agentfs, &context)).await;
    let counted = match &result {
        Ok((_, reconciled)) => *reconciled,
        Err(error) => Reconciled::Error { step: error.step() },
    };
    context.metrics.reconciled(&AgentFS::kind(&()), begun.elapsed(), counted);
    if result.is_ok() {
        context.failures.forget(&*agentfs);
    }
    result.map(|(action, _)| action)
}

async fn attempt(cached: &AgentFS, context: &Context) -> Result<(Action, Reconciled), Error> {
    let namespace = cached.namespace().unwrap_or_default();
    let api: Api<AgentFS> = Api::namespaced(context.client.clone(), &namespace);
    // The copy of the watch may be older than the status that was written last.
    let agentfs = api.get_opt(&cached.name_any()).await.map_err(Error::Observe)?;
    let Some(agentfs) = agentfs.filter(|agentfs| agentfs.metadata.deletion_timestamp.is_none())
    else {
        // Kubernetes deletes what is owned; the rest is kept on purpose.
        return Ok((Action::await_change(), Reconciled::Settled));
    };

    let Some(owner) = Owner::of(&agentfs) else {
        return Ok((Action::await_change(), Reconciled::Settled));
    };
    // The futures are large; on the heap they do not fill the stack of whoever waits for them.
    let known = context.known.state();
    let observed = observe::observe(&context.client, &*context.readiness, &known, &agentfs, &owner);
    let observed = Box::pin(observed).await.map_err(Error::Observe)?;
    Box::pin(carry_out(&agentfs, context, owner, &observed, &api)).await
}

/// Makes what `agentfs` asks for, given what was `observed`, and says how it is.
async fn carry_out(
    agentfs: &AgentFS,
    context: &Context,
    owner: Owner,
    observed: &Observed,
    api: &Api<AgentFS>,
) -> Result<(Action, Reconciled), Error> {
    let (now, namespace) = (observed.now, owner.namespace.clone());
    let plan = match validate(agentfs, owner.clone(), observed, &context.images) {
        Ok(plan) => plan,
        Err(invalid) => {
            tell(agentfs, context, &report_invalid(&invalid, &owner, observed), now).await?;
            return Ok((Action::requeue(AFTER_REFUSAL), Reconciled::NeedsAttention));
        }
    };
    let mut children = build::build(&plan).map_err(Error::Build)?;
    let mut blockers = plan.blockers.clone();
    if let Some(replicas) = plan.parts.api.left
        && let Some(refused) = set_replicas(api, &owner, replicas).await?
    {
        // The autoscaler keeps the number until it is in the spec, or it would be forgotten.
        children.api.autoscaler = Desired::Keep;
        blockers.push(refused);
    }
    let applied = apply::apply(&context.client, &namespace, children, observed, blockers);
    let outcome = match Box::pin(applied).await {
        // All that is in it is deleted, the AgentFS as well.
        Err(apply::Error::NamespaceEnds) => {
            return Ok((Action::await_change(), Reconciled::Settled));
        }
        outcome => outcome?,
    };
    let report = report(&plan, &outcome, observed);
    let owner = &plan.owner;
    context.metrics.set_run_times(&owner.kind, &namespace, &owner.name, report.times.clone());
    tell(agentfs, context, &report, now).await?;
    let next = outcome.children.migration.next;
    publish(&context.client, &context.reporter, agentfs, rotated(&plan, next)).await;
    let action = Action::requeue(again(&report, next, now));
    Ok((action, report.reconciled()))
}

/// Sets `spec.api.replicas`, as `kubectl scale` does, or says that the API server or a policy refuses it.
async fn set_replicas(
    api: &Api<AgentFS>,
    owner: &Owner,
    replicas: i32,
) -> Result<Option<Blocker>, Error> {
    let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    match api.patch_scale(&owner.name, &params, &patch).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 409 | 422) => {
            let said = without_full_stop(&status.message);
            let problem = Problem::Other(Failure::new(
                reasons::OBJECT_REFUSED,
                format!(
                    "Kubernetes refuses spec.api.replicas: {replicas}, which the autoscaler leaves: {said}"
                ),
                format!(
                    "Until then the autoscaler stays. Set spec.api.replicas yourself, or leave it as it \
                     is and end the autoscaler: kubectl delete horizontalpodautoscaler {} -n {}",
                    Names::new(&owner.name).api(),
                    owner.namespace
                ),
            ));
            Ok(Some(Blocker { of: PROGRESSING, problem }))
        }
        Err(error) => Err(Error::Scale(error)),
    }
}

/// When to look again, besides the watches.
fn again(report: &StatusReport, next: Next, now: Timestamp) -> Duration {
    if report.is_settled() {
        return AT_REST;
    }
    if report.needs_somebody() && !matches!(next, Next::Run { .. } | Next::Pause { .. }) {
        return AFTER_REFUSAL;
    }
    match next {
        Next::Pause { until, .. } => Duration::try_from(until.duration_since(now))
            .unwrap_or_default()
            .clamp(Duration::from_secs(1), LOOK_AGAIN),
        _ => LOOK_AGAIN,
    }
}

/// Writes the status where it changed, then the Events that tell of the change.
async fn tell(
    agentfs: &AgentFS,
    context: &Context,
    report: &StatusReport,
    now: Timestamp,
) -> Result<(), Error> {
    let after = render(report, agentfs.status.as_ref(), agentfs.metadata.generation, now);
    patch_status(&context.client, &context.reporter, agentfs, &report.states, &after)
        .await
        .map_err(Error::Status)
}

/// When a reconcile that failed is tried again.
pub fn error_policy(agentfs: &AgentFS, error: &Error, context: &Context) -> Action {
    context.failures.retry(agentfs, error)
}
