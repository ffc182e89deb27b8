//! Watches that wake the controllers of all kinds, in pages that bound their memory.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use futures::{Stream, StreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::api::{Api, ObjectMeta};
use kube::runtime::controller::{Config, Controller};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{Predicate, PredicateConfig, WatchStreamExt as _, predicates, watcher};
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::labels::{INSTANCE, managed};
use super::ownership::is_of;

/// Watches begin with a list, all of them at once, and a page of each is in memory as a whole, with the
/// fields' managers: of 300 AgentFS 96 MiB in pages of 500, 43 in these.
pub fn in_pages() -> watcher::Config {
    watcher::Config::default().page_size(50)
}

/// Where the operator watches.
pub struct Scope<'a> {
    /// The API server.
    pub client: &'a Client,
    /// The namespace; empty: all of them.
    pub namespace: &'a str,
}

impl Scope<'_> {
    /// The objects of one kind.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        if self.namespace.is_empty() {
            Api::all(self.client.clone())
        } else {
            Api::namespaced(self.client.clone(), self.namespace)
        }
    }

    /// A controller that is woken by resources of the kind `K` and works on at most `concurrency` at
    /// once; and the resources as they were last seen.
    pub fn controller<K>(&self, concurrency: u16) -> (Controller<K>, Store<K>)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + Sync
            + 'static,
    {
        // Our own writes of the status change no generation, so they wake nobody. Annotations are for people to say something.
        self.controller_by(concurrency, predicates::generation.combine(predicates::annotations))
    }

    /// The same, woken by those changes of a resource that are `news`.
    pub fn controller_by<K>(
        &self,
        concurrency: u16,
        news: impl Predicate<K> + Send + 'static,
    ) -> (Controller<K>, Store<K>)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + Sync
            + 'static,
    {
        let (store, writer) = reflector::store();
        let resources = watcher(self.api::<K>(), in_pages())
            .default_backoff()
            .modify(|resource| resource.managed_fields_mut().clear())
            .reflect(writer)
            .applied_objects()
            .predicate_filter(news, PredicateConfig::default());
        let controller = Controller::for_stream(resources, store.clone())
            .with_config(Config::default().concurrency(concurrency));
        (controller, store)
    }
}

/// The watch of the objects that the operator keeps.
pub fn of_ours() -> watcher::Config {
    in_pages().labels(&managed())
}

/// The resource of the kind `K` that an object belongs to, as its label says.
pub fn by_label<K, O>(object: &O) -> Option<ObjectRef<K>>
where
    K: Resource<DynamicType = ()>,
    O: Resource,
{
    let name = object.labels().get(INSTANCE).filter(|name| is_of(object, &K::kind(&()), name))?;
    Some(ObjectRef::new(name).within(&object.namespace()?))
}

/// The autoscalers that come, go, or change in what the operator looks at. An autoscaler's status
/// holds the use of its pods, which changes all the time.
pub fn autoscalers(
    api: Api<HorizontalPodAutoscaler>,
) -> impl Stream<Item = Result<HorizontalPodAutoscaler, watcher::Error>> {
    changes(api, essence)
}

/// The objects that come, go, or change in what the operator looks at, of which `essence` is a hash.
pub fn changes<K>(
    api: Api<K>,
    essence: fn(&K) -> u64,
) -> impl Stream<Item = Result<K, watcher::Error>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut known: HashMap<ObjectRef<K>, u64> = HashMap::new();
    watcher(api, in_pages()).default_backoff().filter_map(move |event| {
        let changed = match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                let essence = essence(&object);
                let before = known.insert(ObjectRef::from_obj(&object), essence);
                (before != Some(essence)).then_some(Ok(object))
            }
            Ok(watcher::Event::Delete(object)) => {
                known.remove(&ObjectRef::from_obj(&object));
                Some(Ok(object))
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

/// The resources in the namespace of an object that name it, as `names` says.
pub fn naming<K>(
    known: &Store<K>,
    object: &ObjectMeta,
    names: impl Fn(&K, &str) -> bool,
) -> Vec<ObjectRef<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let name = object.name.as_deref().unwrap_or_default();
    let resources = known.state().into_iter();
    let beside = resources.filter(|resource| resource.meta().namespace == object.namespace);
    let naming = beside.filter(|resource| names(resource, name));
    naming.map(|resource| ObjectRef::from_obj(&*resource)).collect()
}
