//! What wakes the controller: the resources themselves, and everything that belongs to them.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use futures::{Stream, StreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, ObjectMeta};
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{Config, Controller};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{PredicateConfig, WatchStreamExt as _, predicates, watcher};
use kube::{Client, Resource, ResourceExt as _};
use tokio_util::sync::CancellationToken;

use super::names::{INSTANCE, managed};
use super::references::{config_maps, secrets};
use crate::crd::AgentFS;
use crate::crd::agentfs::AgentFSSpec;

/// A controller that is woken by the resources of `namespace` (all where it is empty) and by what
/// belongs to them, works on at most `concurrency` at once, and ends with `stop`; and the resources.
pub fn start(
    namespace: &str,
    concurrency: u16,
    client: &Client,
    stop: CancellationToken,
) -> (Controller<AgentFS>, Store<AgentFS>) {
    let scope = Scope { client, namespace };
    let (store, writer) = reflector::store();
    // Our own writes of the status change no generation, so they wake nobody.
    let resources = watcher(scope.api::<AgentFS>(), in_pages())
        .default_backoff()
        .modify(|agentfs| agentfs.managed_fields_mut().clear())
        .reflect(writer)
        .applied_objects()
        .predicate_filter(predicates::generation, PredicateConfig::default());
    let ours = in_pages().labels(&managed());
    let (for_secrets, for_maps) = (store.clone(), store.clone());
    let controller = Controller::for_stream(resources, store.clone())
        .with_config(Config::default().concurrency(concurrency))
        .owns(scope.api::<StatefulSet>(), ours.clone())
        .owns(scope.api::<Deployment>(), ours.clone())
        .owns(scope.api::<Service>(), ours.clone())
        .owns(scope.api::<ServiceAccount>(), ours.clone())
        .owns(scope.api::<Job>(), ours.clone())
        .owns(scope.api::<CronJob>(), ours.clone())
        .owns(scope.api::<PodDisruptionBudget>(), ours.clone())
        // Not only ours: one that somebody else made keeps the operator from scaling.
        .watches_stream(autoscalers(scope.api()), |autoscaler| by_target(&autoscaler))
        // Of what is not owned only the metadata is watched: that it changed is all that matters here.
        // Secrets and ConfigMaps of others count when a resource names them, so all are watched.
        .watches(scope.api::<PartialObjectMeta<Secret>>(), in_pages(), move |secret| {
            let named = by_name(&for_secrets, &secret.metadata, |spec, name| {
                secrets(spec).any(|n| n == name)
            });
            by_label(&secret).into_iter().chain(named)
        })
        .watches(scope.api::<PartialObjectMeta<ConfigMap>>(), in_pages(), move |map| {
            by_name(&for_maps, &map.metadata, |spec, name| config_maps(spec).any(|n| n == name))
        })
        .watches(scope.api::<PartialObjectMeta<PersistentVolumeClaim>>(), ours.clone(), |object| {
            by_label(&object)
        })
        .watches(scope.api::<PartialObjectMeta<Pod>>(), ours, |object| by_label(&object))
        .graceful_shutdown_on(stop.cancelled_owned());
    (controller, store)
}

/// Watches begin with a list, all of them at once, and a page of each is in memory as a whole, with the
/// fields' managers: of 300 AgentFS 96 MiB in pages of 500, 43 in these.
fn in_pages() -> watcher::Config {
    watcher::Config::default().page_size(50)
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
    watcher(api, in_pages()).default_backoff().filter_map(move |event| {
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
