//! Ownership: whose an object is, by its owner reference and labels, never by its name.

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

    /// Whether a reference is to a resource of the kind and name of this one, which is gone.
    fn had_the_name(&self, reference: &OwnerReference) -> bool {
        let group =
            |api_version: &str| api_version.rsplit_once('/').map(|(group, _)| group.to_owned());
        group(&reference.api_version) == group(&self.api_version)
            && (&reference.kind, &reference.name) == (&self.kind, &self.name)
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

/// Whose an object is that has no controller, and not our labels.
pub const SOMEBODY_ELSE: &str = "somebody else";

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
        Some(reference) if owner.had_the_name(reference) => Ownership::Terminating,
        Some(reference) => Ownership::Foreign(format!("{} {}", reference.kind, reference.name)),
        None if is_labelled(live, owner) => terminating_or_owned(live),
        None => Ownership::Foreign(SOMEBODY_ELSE.into()),
    }
}

fn terminating_or_owned<K: Resource>(live: &K) -> Ownership {
    if live.meta().deletion_timestamp.is_some() { Ownership::Terminating } else { Ownership::Owned }
}

/// The label of the instance must be there. Where that of the manager was taken off by hand, the object
/// is known by who wrote it.
fn is_labelled<K: Resource>(live: &K, owner: &Owner) -> bool {
    let is_ours = live.labels().get(MANAGED_BY).map(String::as_str) == Some(MANAGER);
    is_of(live, &owner.kind, &owner.name) && (is_ours || is_written_by_us(live))
}

/// Whether the labels of an object name the resource `name` of `kind`. Where somebody hands an object
/// over, the kind may be left out.
pub fn is_of<K: Resource>(object: &K, kind: &str, name: &str) -> bool {
    let labels = object.labels();
    labels.get(INSTANCE).map(String::as_str) == Some(name)
        && labels.get(APPLICATION).is_none_or(|application| *application == kind.to_lowercase())
}

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
            {"apiVersion": "agentfs.io/v1alpha1", "kind": kind, "name": name, "uid": uid, "controller": true}]})
    }

    #[test]
    fn owned_labelled_or_written_by_us_is_ours() {
        assert_eq!(ownership_of(controller("AgentFS", "memory", "u1")), Ownership::Owned);
        assert_eq!(
            ownership_of(json!({"labels": {MANAGED_BY: MANAGER, INSTANCE: "memory"}})),
            Ownership::Owned
        );
        let written = json!([{"manager": MANAGER, "operation": "Apply"}]);
        assert_eq!(
            ownership_of(json!({"labels": {INSTANCE: "memory"}, "managedFields": written})),
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

    #[test]
    fn what_was_written_for_another_instance_or_kind_is_not_adopted() {
        let theirs = Ownership::Foreign("somebody else".into());
        let written = json!([{"manager": MANAGER, "operation": "Apply"}]);
        assert_eq!(ownership_of(json!({"managedFields": written})), theirs);
        assert_eq!(
            ownership_of(json!({"labels": {INSTANCE: "other"}, "managedFields": written})),
            theirs
        );
        let labels =
            |kind: &str| json!({MANAGED_BY: MANAGER, INSTANCE: "memory", APPLICATION: kind});
        assert_eq!(ownership_of(json!({"labels": labels("agentfs")})), Ownership::Owned);
        assert_eq!(ownership_of(json!({"labels": labels("agentfsbackup")})), theirs);
    }

    #[test]
    fn a_kind_of_the_name_in_another_group_is_another_kind() {
        let other = json!({"ownerReferences": [{"apiVersion": "example.com/v1", "kind": "AgentFS",
            "name": "memory", "uid": "u9", "controller": true}]});
        assert_eq!(ownership_of(other), Ownership::Foreign("AgentFS memory".into()));
    }
}
