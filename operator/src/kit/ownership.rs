//! Whose an object is that is found under a name the operator wants to use.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt as _};

use super::labels::{APPLICATION, COMPONENT, Component, INSTANCE, MANAGED_BY, MANAGER};

/// The resource on whose behalf objects are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The group and version of its kind.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid; a re-created resource of the name has another one.
    pub uid: String,
}

impl Owner {
    /// The owner that `resource` is; `None` for one that the API server has not stored.
    pub fn of<K: Resource<DynamicType = ()>>(resource: &K) -> Option<Self> {
        let metadata = resource.meta();
        Some(Self {
            api_version: K::api_version(&()).into_owned(),
            kind: K::kind(&()).into_owned(),
            name: metadata.name.clone()?,
            namespace: metadata.namespace.clone()?,
            uid: metadata.uid.clone()?,
        })
    }

    /// The labels by which a Service or a workload finds the pods of `component`.
    pub fn selector(&self, component: Component) -> BTreeMap<String, String> {
        BTreeMap::from([
            (INSTANCE.to_owned(), self.name.clone()),
            (COMPONENT.to_owned(), component.as_str().to_owned()),
        ])
    }

    /// All labels of an object of `component`.
    pub fn labels(&self, component: Component) -> BTreeMap<String, String> {
        let mut labels = self.selector(component);
        labels.insert(APPLICATION.into(), self.kind.to_lowercase());
        labels.insert(MANAGED_BY.into(), MANAGER.into());
        labels
    }

    /// Metadata of an object that goes when its owner goes.
    pub fn owned(&self, name: String, component: Component) -> ObjectMeta {
        ObjectMeta {
            owner_references: Some(vec![self.reference()]),
            ..self.unowned(name, component)
        }
    }

    /// Metadata of an object that outlives the resource it is made for.
    pub fn unowned(&self, name: String, component: Component) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.namespace.clone()),
            labels: Some(self.labels(component)),
            ..ObjectMeta::default()
        }
    }

    /// The reference that lets Kubernetes delete an object with its owner. It does not block the
    /// deletion, so the operator needs no right on finalizers.
    fn reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            controller: Some(true),
            block_owner_deletion: None,
        }
    }
}

/// Whose an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// It belongs to this owner, or to an earlier one of the name and is adopted.
    Owned,
    /// It is being deleted, or will be with an owner that is gone: it must be waited for.
    Terminating,
    /// It belongs to somebody else; whose it is, in words.
    Foreign(String),
}

/// Whose `live` is, seen from `owner`.
pub fn ownership<K: Resource>(live: &K, owner: &Owner) -> Ownership {
    let controller = live.owner_references().iter().find(|r| r.controller == Some(true));
    match controller {
        Some(reference) if reference.uid == owner.uid => terminating_or_owned(live),
        Some(reference) if reference.kind == owner.kind && reference.name == owner.name => {
            Ownership::Terminating
        }
        Some(reference) => Ownership::Foreign(format!("{} {}", reference.kind, reference.name)),
        None if is_labelled(live, owner) || is_written_by_us(live) => terminating_or_owned(live),
        None => Ownership::Foreign("somebody else".into()),
    }
}

fn terminating_or_owned<K: Resource>(live: &K) -> Ownership {
    if live.meta().deletion_timestamp.is_some() { Ownership::Terminating } else { Ownership::Owned }
}

fn is_labelled<K: Resource>(live: &K, owner: &Owner) -> bool {
    let label = |key: &str| live.labels().get(key).map(String::as_str);
    label(MANAGED_BY) == Some(MANAGER) && label(INSTANCE) == Some(&owner.name)
}

/// An object whose labels were taken off by hand is still known by who wrote it.
fn is_written_by_us<K: Resource>(live: &K) -> bool {
    live.managed_fields().iter().any(|entry| {
        entry.manager.as_deref() == Some(MANAGER) && entry.operation.as_deref() == Some("Apply")
    })
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value)] // `json!` literals are handed over
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use serde_json::{Value, json};

    use super::*;

    fn ownership_of(metadata: Value) -> Ownership {
        let owner = Owner {
            api_version: "agentfs.io/v1alpha1".into(),
            kind: "AgentFS".into(),
            name: "memory".into(),
            namespace: "agents".into(),
            uid: "u1".into(),
        };
        let secret: Secret = serde_json::from_value(json!({"metadata": metadata})).unwrap();
        ownership(&secret, &owner)
    }

    fn controller(kind: &str, name: &str, uid: &str) -> Value {
        json!({"name": "x", "ownerReferences": [
            {"apiVersion": "v1", "kind": kind, "name": name, "uid": uid, "controller": true}]})
    }

    #[test]
    fn owned_labelled_or_written_by_us_is_ours() {
        assert_eq!(ownership_of(controller("AgentFS", "memory", "u1")), Ownership::Owned);
        assert_eq!(
            ownership_of(json!({"labels": {MANAGED_BY: MANAGER, INSTANCE: "memory"}})),
            Ownership::Owned
        );
        assert_eq!(
            ownership_of(json!({"managedFields": [{"manager": MANAGER, "operation": "Apply"}]})),
            Ownership::Owned
        );
    }

    #[test]
    fn what_goes_away_is_waited_for() {
        assert_eq!(ownership_of(controller("AgentFS", "memory", "former")), Ownership::Terminating);
        assert_eq!(
            ownership_of(json!({"deletionTimestamp": "2026-11-23T14:02:11Z",
                            "labels": {MANAGED_BY: MANAGER, INSTANCE: "memory"}})),
            Ownership::Terminating
        );
    }

    #[test]
    fn others_objects_are_theirs() {
        assert_eq!(
            ownership_of(controller("Deployment", "shop", "u9")),
            Ownership::Foreign("Deployment shop".into())
        );
        assert_eq!(ownership_of(json!({"name": "x"})), Ownership::Foreign("somebody else".into()));
        assert_eq!(
            ownership_of(json!({"labels": {MANAGED_BY: MANAGER, INSTANCE: "other"}})),
            Ownership::Foreign("somebody else".into())
        );
    }
}
