//! The frame of a reconcile of any kind: how one ends, when it is tried again after an error, and how a
//! status is written.

use std::collections::HashMap;
use std::fmt::{Debug, Display};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, Patch, PatchParams};
use kube::core::object::HasStatus;
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::events::{Event, Recorder, Reporter};
use kube::{Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::conditions::State;
use super::events;
use super::labels::MANAGER;
use crate::crd::fields::Conditions;

/// The longest pause after errors.
const LONGEST_BACKOFF: Duration = Duration::from_mins(1);

/// How a reconcile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconciled {
    /// Everything matches the spec.
    Settled,
    /// Something is on its way.
    InProgress,
    /// Somebody has to do something, and a condition says what.
    NeedsAttention,
    /// It failed, and is tried again.
    Error {
        /// The call that failed.
        step: &'static str,
    },
}

/// How often in a row the reconcile of a resource failed.
#[derive(Debug, Default)]
pub struct Failures(Mutex<HashMap<String, u32>>);

impl Failures {
    /// A reconcile succeeded.
    pub fn forget<K: Resource<DynamicType = ()>>(&self, resource: &K) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(resource));
    }

    /// A reconcile failed with `error`: it is tried again after a pause that doubles with each failure.
    pub fn retry<K: Resource<DynamicType = ()>>(
        &self,
        resource: &K,
        error: &impl Display,
    ) -> Action {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(key(resource)).or_insert(0);
        *count = count.saturating_add(1);
        let pause = Duration::from_secs(1 << (*count - 1).min(10)).min(LONGEST_BACKOFF);
        let jitter = Duration::from_millis(rand::random_range(0..500));
        tracing::warn!(
            %error,
            name = resource.name_any(),
            namespace = resource.namespace(),
            again_in_seconds = pause.as_secs(),
            "the reconcile failed"
        );
        Action::requeue(pause + jitter)
    }
}

fn key<K: Resource<DynamicType = ()>>(resource: &K) -> String {
    let namespace = resource.namespace().unwrap_or_default();
    format!("{}/{namespace}/{}", K::kind(&()), resource.name_any())
}

/// Writes what of the status `after` differs from that of `resource`, then the Events that tell of the
/// change; `states` are those that its conditions were made from. What stays as it is, is left out: it may be somebody else's, who
/// could not take it away any more had it been written here. Where others write the status as well, one that has changed since
/// `resource` was read is a conflict, and left to the next reconcile.
pub async fn patch_status<K>(
    client: &Client,
    reporter: &Reporter,
    resource: &K,
    states: &[(&'static str, State)],
    after: &K::Status,
) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + HasStatus
        + Clone
        + Debug
        + DeserializeOwned,
    K::Status: Conditions + PartialEq + Serialize,
{
    let before = resource.status();
    if before == Some(after) {
        return Ok(());
    }
    let namespace = resource.namespace().unwrap_or_default();
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    let changed = difference(before, after).map_err(kube::Error::SerdeError)?;
    let mut patch = json!({ "status": changed });
    if let Some(version) =
        resource.resource_version().filter(|_| <K::Status as Conditions>::IS_SHARED)
    {
        patch["metadata"] = json!({ "resourceVersion": version });
    }
    let patch = Patch::Merge(patch);
    match api.patch_status(&resource.name_any(), &params, &patch).await {
        Ok(_) => {}
        // It was deleted meanwhile.
        Err(kube::Error::Api(refusal)) if refusal.code == 404 => return Ok(()),
        Err(error) => return Err(error),
    }
    let former = before.map(Conditions::conditions).unwrap_or_default();
    publish(client, reporter, resource, events::changes(states, former, after.conditions())).await;
    Ok(())
}

/// What a merge patch has to say so that `before` becomes `after`.
fn difference<S: Serialize>(before: Option<&S>, after: &S) -> Result<Value, serde_json::Error> {
    let before = before.map(serde_json::to_value).transpose()?.unwrap_or_else(|| json!({}));
    Ok(changes(&before, serde_json::to_value(after)?))
}

fn changes(before: &Value, after: Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (before, after.clone()) else {
        return after;
    };
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    let mut patch: Map<_, _> = gone.map(|key| (key.clone(), Value::Null)).collect();
    for (key, value) in after {
        match before.get(&key) {
            Some(former) if *former == value => {}
            former => drop(patch.insert(key, changes(former.unwrap_or(&Value::Null), value))),
        }
    }
    Value::Object(patch)
}

/// Writes Events of `resource`.
pub async fn publish<K: Resource<DynamicType = ()>>(
    client: &Client,
    reporter: &Reporter,
    resource: &K,
    events: impl IntoIterator<Item = Event>,
) {
    // A recorder that lives on would fold an Event into an earlier one of the same reason and keep the
    // earlier text. What comes here is news already.
    let recorder = Recorder::new(client.clone(), reporter.clone());
    for event in events {
        // The status is written; an Event that is lost is no reason to do it all again.
        if let Err(error) = recorder.publish(&event, &resource.object_ref(&())).await {
            tracing::warn!(%error, reason = event.reason, "cannot write an Event");
        }
    }
}

/// Runs a controller until it ends: `reconcile` for each resource, `retry` after each that failed.
pub async fn run<K, C, E, F>(
    controller: Controller<K>,
    context: Arc<C>,
    reconcile: fn(Arc<K>, Arc<C>) -> F,
    retry: fn(&K, &E, &C) -> Action,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    C: Send + Sync + 'static,
    E: std::error::Error + Send + 'static,
    F: Future<Output = Result<Action, E>> + Send + 'static,
{
    let policy =
        move |resource: Arc<K>, error: &E, context: Arc<C>| retry(&resource, error, &context);
    let results = controller.run(reconcile, policy, context);
    results
        .for_each(|result| async move {
            match result {
                Ok((resource, _)) => tracing::debug!(%resource, "reconciled"),
                // What fails in a reconcile is logged where its pause is chosen.
                Err(controller::Error::ReconcilerFailed(..)) => {}
                // What belonged to a deleted resource goes after it.
                Err(controller::Error::ObjectNotFound(resource)) => {
                    tracing::debug!(%resource, "is gone");
                }
                Err(error) => tracing::warn!(%error, "watching the cluster failed, trying again"),
            }
        })
        .await;
}
