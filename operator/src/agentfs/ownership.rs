//! Whose an object is that is found under a name the operator wants to use.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt as _};

use super::names::{INSTANCE, MANAGED_BY, MANAGER};
use crate::crd::AgentFS;

/// The AgentFS on whose behalf objects are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid; a re-created AgentFS has another one.
    pub uid: String,
}

impl Owner {
    /// The owner that `agentfs` is; `None` for one that the API server has not stored.
    pub fn of(agentfs: &AgentFS) -> Option<Self> {
        Some(Self {
            name: agentfs.metadata.name.clone()?,
            namespace: agentfs.metadata.namespace.clone()?,
            uid: agentfs.metadata.uid.clone()?,
        })
    }

    /// The reference that lets Kubernetes delete an object with its AgentFS. It does not block the
    /// deletion, so the operator needs no right on finalizers.
    pub fn reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: AgentFS::api_version(&()).into_owned(),
            kind: AgentFS::kind(&()).into_owned(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            controller: Some(true),
            block_owner_deletion: None,
        }
    }
}

/// Whose an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It belongs to this AgentFS, or to an earlier one of the name and is adopted.
    Ours,
    /// It is being deleted, or will be with an AgentFS that is gone: it must be waited for.
    Leaving,
    /// It belongs to somebody else; whose it is, in words.
    Foreign(String),
}

/// Whose `live` is, seen from `owner`.
pub fn claim<K: Resource>(live: &K, owner: &Owner) -> Claim {
    let controller = live.owner_references().iter().find(|r| r.controller == Some(true));
    match controller {
        Some(reference) if reference.uid == owner.uid => leaving_or_ours(live),
        Some(reference) if reference.kind == AgentFS::kind(&()) && reference.name == owner.name => {
            Claim::Leaving
        }
        Some(reference) => Claim::Foreign(format!("{} {}", reference.kind, reference.name)),
        None if is_labelled(live, owner) || is_written_by_us(live) => leaving_or_ours(live),
        None => Claim::Foreign("somebody else".into()),
    }
}

fn leaving_or_ours<K: Resource>(live: &K) -> Claim {
    if live.meta().deletion_timestamp.is_some() { Claim::Leaving } else { Claim::Ours }
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

    fn claim_of(metadata: Value) -> Claim {
        let owner = Owner { name: "memory".into(), namespace: "agents".into(), uid: "u1".into() };
        let secret: Secret = serde_json::from_value(json!({"metadata": metadata})).unwrap();
        claim(&secret, &owner)
    }

    fn controller(kind: &str, name: &str, uid: &str) -> Value {
        json!({"name": "x", "ownerReferences": [
            {"apiVersion": "v1", "kind": kind, "name": name, "uid": uid, "controller": true}]})
    }

    #[test]
    fn owned_labelled_or_written_by_us_is_ours() {
        assert_eq!(claim_of(controller("AgentFS", "memory", "u1")), Claim::Ours);
        assert_eq!(
            claim_of(json!({"labels": {MANAGED_BY: MANAGER, INSTANCE: "memory"}})),
            Claim::Ours
        );
        assert_eq!(
            claim_of(json!({"managedFields": [{"manager": MANAGER, "operation": "Apply"}]})),
            Claim::Ours
        );
    }

    #[test]
    fn what_goes_away_is_waited_for() {
        assert_eq!(claim_of(controller("AgentFS", "memory", "former")), Claim::Leaving);
        assert_eq!(
            claim_of(json!({"deletionTimestamp": "2026-11-23T14:02:11Z",
                            "labels": {MANAGED_BY: MANAGER, INSTANCE: "memory"}})),
            Claim::Leaving
        );
    }

    #[test]
    fn others_objects_are_theirs() {
        assert_eq!(
            claim_of(controller("Deployment", "shop", "u9")),
            Claim::Foreign("Deployment shop".into())
        );
        assert_eq!(claim_of(json!({"name": "x"})), Claim::Foreign("somebody else".into()));
        assert_eq!(
            claim_of(json!({"labels": {MANAGED_BY: MANAGER, INSTANCE: "other"}})),
            Claim::Foreign("somebody else".into())
        );
    }
}
