//! The controller of a kind that is carried out once, started: what wakes it, and what it works with.

use std::future::Future;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::Controller;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Predicate as _, predicates};
use kube::{Resource, ResourceExt as _};
use tokio_util::sync::CancellationToken;

use super::Task;
use super::progress::Asked;
use super::reconcile::{Context, error_policy, reconcile};
use super::turns::Turns;
use crate::crd::AgentFS;
use crate::kit::labels::INSTANCE;
use crate::kit::ownership::is_of;
use crate::kit::pod_client::PodClient;
use crate::kit::reconcile::{Failures, run};
use crate::kit::watches::{Scope, by_label, in_pages, naming, of_ours};
use crate::process::run::Shared;

/// Begins to watch, and gives the work that follows; it ends when the process is told to stop. The controllers of all kinds that
/// are carried out once share `turns`.
pub fn start<T: Task>(
    shared: &Shared,
    turns: Arc<Turns>,
    pods: PodClient,
) -> impl Future<Output = ()> + use<T> {
    let scope = Scope { client: &shared.client, namespace: &shared.namespace };
    let controller = watches::<T>(&scope, shared.concurrency, shared.stop.clone());
    let context = Context {
        client: shared.client.clone(),
        asked: Asked::new(pods),
        turns,
        reporter: shared.reporter.clone(),
        metrics: shared.metrics.clone(),
        failures: Failures::default(),
    };
    run(controller, Arc::new(context), reconcile::<T>, error_policy::<T>)
}

/// A controller that is woken by the tasks, by what belongs to them, and by what they wait for: their AgentFS, its CronJobs, and
/// the Jobs of other tasks. It works on at most `concurrency` at once, and ends with `stop`.
pub fn watches<T: Task>(
    scope: &Scope<'_>,
    concurrency: u16,
    stop: CancellationToken,
) -> Controller<T> {
    let pods = |task: &T| {
        let mut hasher = DefaultHasher::new();
        task.written_by_pods().hash(&mut hasher);
        Some(hasher.finish())
    };
    let news = predicates::generation.combine(predicates::annotations).combine(pods);
    let (controller, store) = scope.controller_by::<T>(concurrency, news);
    let (of_agentfs, of_cronjob, of_job) = (store.clone(), store.clone(), store);
    controller
        .watches(scope.api::<PartialObjectMeta<AgentFS>>(), in_pages(), move |agentfs| {
            waiting(&of_agentfs, &agentfs, &agentfs.name_any())
        })
        .watches(scope.api::<PartialObjectMeta<CronJob>>(), of_ours(), move |cronjob| {
            let kind = AgentFS::kind(&());
            let name = cronjob.labels().get(INSTANCE).filter(|name| is_of(&cronjob, &kind, name));
            name.map(|name| waiting(&of_cronjob, &cronjob, name)).unwrap_or_default()
        })
        // Its own Job, and those of others after which it may be its turn.
        .watches(scope.api::<PartialObjectMeta<Job>>(), of_ours(), move |job| {
            let name = job.labels().get(agentfs_contract::record::OF);
            let mut woken = name.map(|name| waiting(&of_job, &job, name)).unwrap_or_default();
            woken.extend(by_label(&job));
            woken
        })
        .watches(scope.api::<PartialObjectMeta<Pod>>(), of_ours(), |pod| by_label(&pod))
        .graceful_shutdown_on(stop.cancelled_owned())
}

/// The tasks beside `object` that are to do something with the AgentFS `agentfs`, or are deleted.
fn waiting<T: Task>(store: &Store<T>, object: &impl Resource, agentfs: &str) -> Vec<ObjectRef<T>> {
    naming(store, object.meta(), |task, _| {
        let is_open = task.ended_at().is_none() && task.record().is_none();
        task.agentfs() == agentfs && (is_open || task.meta().deletion_timestamp.is_some())
    })
}
