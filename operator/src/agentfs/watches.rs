//! Watches that wake the controller: the resources themselves, and everything that belongs to them.

use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::core::PartialObjectMeta;
use kube::runtime::controller::Controller;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, Resource, ResourceExt as _};
use tokio_util::sync::CancellationToken;

use super::references::{config_maps, secrets};
use crate::crd::{AgentFS, AgentFSBackup, AgentFSDrill, AgentFSRestore};
use crate::kit::watches::{Scope, autoscalers, by_label, changes, in_pages, naming, of_ours};

/// A controller that is woken by the resources of `namespace` (all where it is empty) and by what
/// belongs to them, works on at most `concurrency` at once, and ends with `stop`; and the resources.
pub fn start(
    namespace: &str,
    concurrency: u16,
    client: &Client,
    stop: CancellationToken,
) -> (Controller<AgentFS>, Store<AgentFS>) {
    let scope = Scope { client, namespace };
    let ours = of_ours();
    let (controller, store) = scope.controller::<AgentFS>(concurrency);
    let (for_secrets, for_maps) = (store.clone(), store.clone());
    let controller = controller
        .owns(scope.api::<StatefulSet>(), ours.clone())
        .owns(scope.api::<Deployment>(), ours.clone())
        .owns(scope.api::<Service>(), ours.clone())
        .owns(scope.api::<ServiceAccount>(), ours.clone())
        .owns(scope.api::<Role>(), ours.clone())
        .owns(scope.api::<RoleBinding>(), ours.clone())
        .owns(scope.api::<Job>(), ours.clone())
        .owns(scope.api::<CronJob>(), ours.clone())
        .owns(scope.api::<PodDisruptionBudget>(), ours.clone())
        // Not only ours: one that somebody else made keeps the operator from scaling.
        .watches_stream(autoscalers(scope.api()), |autoscaler| by_target(&autoscaler))
        // How far one is that is being made, tried, drilled or restored changes all the time, and is not looked at here.
        .watches_stream(changes(scope.api(), of_backup), |backup| {
            of_agentfs(&backup, &backup.spec.agent_fs)
        })
        .watches_stream(changes(scope.api(), of_drill), |drill| {
            of_agentfs(&drill, &drill.spec.agent_fs)
        })
        .watches_stream(changes(scope.api(), of_restore), |restore| {
            of_agentfs(&restore, &restore.spec.agent_fs)
        })
        // Of what is not owned only the metadata is watched: that it changed is all that matters here.
        // Secrets and ConfigMaps of others count when a resource names them, so all are watched.
        .watches(scope.api::<PartialObjectMeta<Secret>>(), in_pages(), move |secret| {
            let named = naming(&for_secrets, &secret.metadata, |agentfs, name| {
                secrets(&agentfs.spec).any(|n| n == name)
            });
            by_label(&secret).into_iter().chain(named)
        })
        .watches(scope.api::<PartialObjectMeta<ConfigMap>>(), in_pages(), move |map| {
            naming(&for_maps, &map.metadata, |agentfs, name| {
                config_maps(&agentfs.spec).any(|n| n == name)
            })
        })
        .watches(scope.api::<PartialObjectMeta<PersistentVolumeClaim>>(), ours.clone(), |object| {
            by_label(&object)
        })
        .watches(scope.api::<PartialObjectMeta<Pod>>(), ours, |object| by_label(&object))
        .graceful_shutdown_on(stop.cancelled_owned());
    (controller, store)
}

/// The AgentFS of that name beside an object.
fn of_agentfs<K: Resource>(object: &K, name: &str) -> Option<ObjectRef<AgentFS>> {
    Some(ObjectRef::new(name).within(&object.namespace()?))
}

/// What an AgentFS looks at of a backup: what was made, what a verification found, and whether one that it waits for has ended.
fn of_backup(backup: &AgentFSBackup) -> u64 {
    let status = backup.status.as_ref();
    let known =
        status.map(|of| (&of.backup, &of.verification, &of.vanished_time, &of.finished_time));
    let conditions = status.iter().flat_map(|status| &status.conditions);
    let conditions: Vec<_> = conditions.map(|of| (&of.type_, &of.status, &of.reason)).collect();
    hash_of(&(known, conditions, backup.metadata.deletion_timestamp.is_some()))
}

/// What it looks at of a drill: how it ended.
fn of_drill(drill: &AgentFSDrill) -> u64 {
    let status = drill.status.as_ref();
    let ended = status.filter(|status| status.finished_time.is_some());
    hash_of(&ended.map(|of| (&of.result, &of.rpo_seconds, &of.rto_seconds, &of.conditions)))
}

/// What it looks at of a restore: its step, and not how much of that is done.
fn of_restore(restore: &AgentFSRestore) -> u64 {
    let status = restore.status.as_ref();
    let step = status.and_then(|status| status.step.as_ref());
    let is_ended = status.is_some_and(|status| status.finished_time.is_some());
    hash_of(&(step, is_ended, restore.metadata.deletion_timestamp.is_some()))
}

fn hash_of(essence: &impl Debug) -> u64 {
    let mut hasher = DefaultHasher::new();
    format!("{essence:?}").hash(&mut hasher);
    hasher.finish()
}

/// The AgentFS whose API an autoscaler scales.
fn by_target(autoscaler: &HorizontalPodAutoscaler) -> Option<ObjectRef<AgentFS>> {
    let target = &autoscaler.spec.as_ref()?.scale_target_ref;
    let name = target.name.strip_suffix("-api").filter(|_| target.kind == "Deployment")?;
    Some(ObjectRef::new(name).within(&autoscaler.namespace()?))
}
