//! The controller process: watches, leader election, probes, and a stop without a cut.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::pin::pin;
use std::sync::Arc;

use anyhow::Context as _;
use futures::{Stream, StreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, ObjectMeta};
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{Config, Controller};
use kube::runtime::events::Reporter;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{PredicateConfig, WatchStreamExt as _, predicates, watcher};
use kube::{Client, Resource, ResourceExt as _};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::names::{INSTANCE, MANAGER, managed};
use super::readiness::HttpReadiness;
use super::reconcile::{Context, error_policy, reconcile};
use super::references::{config_maps, secrets};
use crate::crd::{AgentFS, AgentFSSpec};
use crate::http::Probes;
use crate::leader::Election;
use crate::metrics::Metrics;
use crate::settings::RunSettings;

/// Runs the operator until SIGTERM or until the leadership is lost, which is an error: the process
/// is then started anew.
pub async fn run(settings: RunSettings) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    stop_on_signal(stop.clone())?;
    let config = kube::Config::infer().await.context(
        "no cluster is known: neither a service account of a pod nor a kubeconfig was found",
    )?;
    let namespace = settings.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config).context("cannot make a client of the API server")?;
    let metrics = Metrics::new().context("cannot register the metrics")?;
    let probes = Probes::new(metrics.clone(), stop.clone());
    let served = tokio::spawn(probes.clone().serve(settings.listen));

    let identity =
        settings.identity.clone().unwrap_or_else(|| format!("local-{:08x}", rand::random::<u32>()));
    let election = Election::new(client.clone(), &namespace, identity.clone());
    let mut work = pin!(lead(&settings, client, metrics, probes, &election, identity, &stop));
    let result = tokio::select! {
        result = &mut work => result,
        ended = served => match ended.map_err(std::io::Error::other).flatten() {
            // The probes end when the operator is told to stop; what is under way is not cut off.
            Ok(()) => work.await,
            Err(error) => Err(error)
                .with_context(|| format!("cannot serve the probes on {}", settings.listen)),
        },
    };
    stop.cancel();
    result
}

/// Waits for the Lease, then works while it is held.
async fn lead(
    settings: &RunSettings,
    client: Client,
    metrics: Metrics,
    probes: Probes,
    election: &Election,
    identity: String,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    tracing::info!(identity, "waiting for the Lease");
    let Some(mut held) = election.acquire(stop).await else { return Ok(()) };
    tracing::info!(identity, "leading");
    metrics.set_leader(true);
    let context = Arc::new(Context {
        reporter: Reporter { controller: MANAGER.into(), instance: Some(identity) },
        images: settings.images(),
        readiness: Box::new(HttpReadiness::new().context("cannot make an HTTP client")?),
        metrics: metrics.clone(),
        failures: std::sync::Mutex::default(),
        client,
    });
    let (controller, store) = controller(settings, &context.client, stop.clone());
    probes.show(store);
    let work = controller
        .run(reconcile, |agentfs, error, context| error_policy(&agentfs, error, &context), context)
        .for_each(|result| async move {
            match result {
                Ok((agentfs, _)) => tracing::debug!(%agentfs, "reconciled"),
                // What fails in a reconcile is logged where its pause is chosen.
                Err(kube::runtime::controller::Error::ReconcilerFailed(..)) => {}
                // What belonged to a deleted resource goes after it.
                Err(kube::runtime::controller::Error::ObjectNotFound(agentfs)) => {
                    tracing::debug!(%agentfs, "is gone");
                }
                Err(error) => tracing::warn!(%error, "watching the cluster failed, trying again"),
            }
        });
    let result = tokio::select! {
        () = work => Ok(()),
        lost = held.keep() => Err(anyhow::Error::new(lost)),
    };
    metrics.set_leader(false);
    if result.is_ok() {
        held.release().await;
    }
    result
}

/// The watches: the resources themselves, and everything that carries our label.
fn controller(
    settings: &RunSettings,
    client: &Client,
    stop: CancellationToken,
) -> (Controller<AgentFS>, Store<AgentFS>) {
    let scope = Scope { client, namespace: &settings.watch_namespace };
    let (store, writer) = reflector::store();
    // Our own writes of the status change no generation, so they wake nobody.
    let resources = watcher(scope.api::<AgentFS>(), watcher::Config::default())
        .default_backoff()
        .modify(|agentfs| agentfs.managed_fields_mut().clear())
        .reflect(writer)
        .applied_objects()
        .predicate_filter(predicates::generation, PredicateConfig::default());
    let ours = watcher::Config::default().labels(&managed());
    let (for_secrets, for_maps) = (store.clone(), store.clone());
    let controller = Controller::for_stream(resources, store.clone())
        .with_config(Config::default().concurrency(settings.concurrency))
        .owns(scope.api::<StatefulSet>(), ours.clone())
        .owns(scope.api::<Deployment>(), ours.clone())
        .owns(scope.api::<Service>(), ours.clone())
        .owns(scope.api::<Job>(), ours.clone())
        .owns(scope.api::<PodDisruptionBudget>(), ours.clone())
        // Not only ours: one that somebody else made keeps the operator from scaling.
        .watches_stream(autoscalers(scope.api()), |autoscaler| by_target(&autoscaler))
        // Of what is not owned only the metadata is watched: that it changed is all that matters here.
        // Secrets and ConfigMaps of others count when a resource names them, so all are watched.
        .watches(
            scope.api::<PartialObjectMeta<Secret>>(),
            watcher::Config::default(),
            move |secret| {
                let named = by_name(&for_secrets, &secret.metadata, |spec, name| {
                    secrets(spec).any(|n| n == name)
                });
                by_label(&secret).into_iter().chain(named)
            },
        )
        .watches(
            scope.api::<PartialObjectMeta<ConfigMap>>(),
            watcher::Config::default(),
            move |map| {
                by_name(&for_maps, &map.metadata, |spec, name| config_maps(spec).any(|n| n == name))
            },
        )
        .watches(scope.api::<PartialObjectMeta<PersistentVolumeClaim>>(), ours.clone(), |object| {
            by_label(&object)
        })
        .watches(scope.api::<PartialObjectMeta<Pod>>(), ours, |object| by_label(&object))
        .graceful_shutdown_on(stop.cancelled_owned());
    (controller, store)
}

/// Where the operator watches.
struct Scope<'a> {
    client: &'a Client,
    namespace: &'a str,
}

impl Scope<'_> {
    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        if self.namespace.is_empty() {
            Api::all(self.client.clone())
        } else {
            Api::namespaced(self.client.clone(), self.namespace)
        }
    }
}

/// The AgentFS that an object belongs to, as its label says.
fn by_label<K: Resource>(object: &K) -> Option<ObjectRef<AgentFS>> {
    let name = object.labels().get(INSTANCE)?.clone();
    Some(ObjectRef::new(&name).within(&object.namespace()?))
}

/// The autoscalers that come, go, or change in what the operator looks at. An autoscaler's status
/// holds the use of its pods, which changes all the time.
fn autoscalers(
    api: Api<HorizontalPodAutoscaler>,
) -> impl Stream<Item = Result<HorizontalPodAutoscaler, watcher::Error>> {
    let mut known: HashMap<ObjectRef<HorizontalPodAutoscaler>, u64> = HashMap::new();
    watcher(api, watcher::Config::default()).default_backoff().filter_map(move |event| {
        let changed = match event {
            Ok(watcher::Event::Apply(autoscaler) | watcher::Event::InitApply(autoscaler)) => {
                let essence = essence(&autoscaler);
                let before = known.insert(ObjectRef::from_obj(&autoscaler), essence);
                (before != Some(essence)).then_some(Ok(autoscaler))
            }
            Ok(watcher::Event::Delete(autoscaler)) => {
                known.remove(&ObjectRef::from_obj(&autoscaler));
                Some(Ok(autoscaler))
            }
            Ok(watcher::Event::Init | watcher::Event::InitDone) => None,
            Err(error) => Some(Err(error)),
        };
        std::future::ready(changed)
    })
}

/// What of an autoscaler the operator looks at.
fn essence(autoscaler: &HorizontalPodAutoscaler) -> u64 {
    let conditions = autoscaler.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let mut hasher = DefaultHasher::new();
    for condition in conditions {
        (&condition.type_, &condition.status, &condition.message).hash(&mut hasher);
    }
    (format!("{:?}", autoscaler.spec), &autoscaler.metadata.labels).hash(&mut hasher);
    hasher.finish()
}

/// The AgentFS whose API an autoscaler scales.
fn by_target(autoscaler: &HorizontalPodAutoscaler) -> Option<ObjectRef<AgentFS>> {
    let target = &autoscaler.spec.as_ref()?.scale_target_ref;
    let name = target.name.strip_suffix("-api").filter(|_| target.kind == "Deployment")?;
    Some(ObjectRef::new(name).within(&autoscaler.namespace()?))
}

/// The AgentFS resources whose spec names an object.
fn by_name(
    known: &Store<AgentFS>,
    object: &ObjectMeta,
    names: impl Fn(&AgentFSSpec, &str) -> bool,
) -> Vec<ObjectRef<AgentFS>> {
    let name = object.name.as_deref().unwrap_or_default();
    let resources = known.state().into_iter();
    let beside = resources.filter(|agentfs| agentfs.metadata.namespace == object.namespace);
    let naming = beside.filter(|agentfs| names(&agentfs.spec, name));
    naming.map(|agentfs| ObjectRef::from_obj(&*agentfs)).collect()
}

fn stop_on_signal(stop: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        stop.cancel();
    });
    Ok(())
}
