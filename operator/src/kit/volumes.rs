//! Volumes that hold data: what they are to be, their claims, and why a claim has no volume.
//!
//! The operator makes the claims itself, and not by a template: so they can grow, and it is plain that
//! nobody owns them and nobody deletes them.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;

use super::conditions::Failure;
use super::reads::Reader;
use super::reasons;
use super::sentences::without_full_stop;
use super::validation::Invalid;
use crate::crd::fields::{Quantity, Storage};

/// A volume to be.
#[derive(Clone, Debug)]
pub struct VolumePlan {
    /// Its size.
    pub size: Quantity,
    /// Its class, where one is named.
    pub storage_class: Option<String>,
    /// Why it is smaller than it should be, where it cannot grow.
    pub too_small: Option<Failure>,
}

impl VolumePlan {
    /// A volume that is there, as its claim has it.
    pub fn of(claim: &PersistentVolumeClaim) -> Option<Self> {
        let spec = claim.spec.as_ref()?;
        let size = spec.resources.as_ref()?.requests.as_ref()?.get("storage")?;
        let storage_class = spec.storage_class_name.clone();
        Some(Self { size: Quantity::new(&size.0), storage_class, too_small: None })
    }

    /// A volume as the spec wants it, `field` being its size. One that is there keeps its class and
    /// never shrinks, so that a resource that is made again finds its data whatever its manifest says
    /// of the size. It grows where its class is among the `growing` and not known to refuse.
    pub fn wanted(
        field: &'static str,
        wanted: &Storage,
        live: Option<&PersistentVolumeClaim>,
        growing: &BTreeMap<String, Growth>,
    ) -> Result<Self, Invalid> {
        if !wanted.size.is_valid() {
            return Err(Invalid {
                field,
                problem: format!("{:?} is not a size; example: 10Gi", wanted.size.as_str()),
            });
        }
        let Some(held) = live.and_then(Self::of) else {
            return Ok(Self {
                size: wanted.size.clone(),
                storage_class: wanted.storage_class_name.clone(),
                too_small: None,
            });
        };
        if live.is_none_or(|live| class_to_grow_by(wanted, live).is_none()) {
            return Ok(held);
        }
        let class = held.storage_class.clone().unwrap_or_default();
        let why = match growing.get(&class) {
            None | Some(Growth::Allowed) => {
                return Ok(Self { size: wanted.size.clone(), ..held });
            }
            Some(Growth::NotAllowed) => format!(
                "its StorageClass {class} does not let volumes grow (allowVolumeExpansion is not true)"
            ),
            Some(Growth::NoClass) if class.is_empty() => "it has no StorageClass".into(),
            Some(Growth::NoClass) => format!("its StorageClass {class} is not there any more"),
        };
        let (has, wants) = (held.size.as_str(), wanted.size.as_str());
        let too_small = Failure::new(
            reasons::VOLUME_CANNOT_GROW,
            format!("{field} is {wants}, and the volume of {has} cannot grow: {why}"),
            format!(
                "Set {field} back to {has}, or have the class allow it; nothing else waits for it."
            ),
        );
        Ok(Self { too_small: Some(too_small), ..held })
    }
}

/// Whether volumes of a class grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// The class lets them.
    Allowed,
    /// The class does not let them.
    NotAllowed,
    /// There is no such class.
    NoClass,
}

/// The class of a volume that is to grow, empty where it has none. One without a volume yet cannot, whatever its class.
fn class_to_grow_by(wanted: &Storage, live: &PersistentVolumeClaim) -> Option<String> {
    let held = VolumePlan::of(live).filter(|_| !is_unbound(live))?;
    let grows = wanted.size.compare(&held.size) == Some(Ordering::Greater);
    grows.then(|| held.storage_class.unwrap_or_default())
}

/// Whether the classes let those volumes grow that are to. A class that the operator may not look at, as where it has rights in
/// one namespace alone, is not among them: Kubernetes answers when the claim is changed.
pub async fn growth(
    reader: Reader<'_>,
    volumes: impl Iterator<Item = (&Storage, &PersistentVolumeClaim)>,
) -> Result<BTreeMap<String, Growth>, kube::Error> {
    let classes: BTreeSet<String> =
        volumes.filter_map(|(wanted, live)| class_to_grow_by(wanted, live)).collect();
    let mut found = BTreeMap::new();
    for class in classes {
        let growth = match reader.class(&class).await {
            Ok(Some(of)) if of.allow_volume_expansion == Some(true) => Growth::Allowed,
            Ok(Some(_)) => Growth::NotAllowed,
            Ok(None) => Growth::NoClass,
            Err(kube::Error::Api(refusal)) if refusal.code == 403 => continue,
            Err(error) => return Err(error),
        };
        found.insert(class, growth);
    }
    Ok(found)
}

/// The size of the volume that a claim has; while one grows, the size that it has had. None before it has a volume.
pub fn size(claim: &PersistentVolumeClaim) -> Option<Quantity> {
    let asked = VolumePlan::of(claim).filter(|_| !is_unbound(claim))?.size;
    let has = claim.status.as_ref()?.capacity.as_ref()?.get("storage")?;
    let has = Quantity::new(&has.0);
    Some(if has.compare(&asked) == Some(Ordering::Less) { has } else { asked })
}

/// The claim of `volume`.
pub fn claim(metadata: ObjectMeta, volume: &VolumePlan) -> PersistentVolumeClaim {
    let size = resource::Quantity(volume.size.as_str().to_owned());
    PersistentVolumeClaim {
        metadata,
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".into()]),
            storage_class_name: volume.storage_class.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".to_owned(), size)])),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}

/// Whether a volume claim waits for its volume.
pub fn is_unbound(claim: &PersistentVolumeClaim) -> bool {
    claim.status.as_ref().and_then(|s| s.phase.as_deref()) != Some("Bound")
}

/// A sentence on how the volume of a claim that is being deleted is kept, with what it holds; it ends with a space.
pub fn keep_the_volume(claim: &PersistentVolumeClaim) -> String {
    let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_ref());
    volume.map_or_else(String::new, |volume| {
        let retain = r#"'{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'"#;
        format!("To keep the volume itself: kubectl patch pv {volume} -p {retain}. ")
    })
}

/// What keeps a volume claim from being bound; `said` is what Kubernetes says of it in its Events, and `field` that of the spec
/// which describes the volume.
pub fn volume_failure(
    claim: &PersistentVolumeClaim,
    said: Option<&String>,
    field: &str,
) -> Option<Failure> {
    if !is_unbound(claim) {
        return None;
    }
    let spec = claim.spec.as_ref();
    let class = spec.and_then(|s| s.storage_class_name.as_deref()).filter(|c| !c.is_empty());
    let remedy = match class {
        Some(class) => {
            // One that had a volume once may have held data.
            let another = if spec.is_some_and(|spec| spec.volume_name.is_none()) {
                format!(
                    " To use another one, delete the AgentFS and this claim, which holds nothing yet, \
                     and apply the AgentFS with the right {field}.storageClassName."
                )
            } else {
                String::new()
            };
            format!(
                "Check that the StorageClass {class} exists (kubectl get storageclass) and can \
                 provide the size.{another}"
            )
        }
        None => format!(
            "The cluster has no default StorageClass that serves it: make one the default, or name \
             one in {field}.storageClassName."
        ),
    };
    let what =
        format!("The volume claim {} is not bound: {}", claim.name_any(), without_full_stop(said?));
    Some(Failure::new(reasons::VOLUME_PENDING, what, remedy))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_claim_that_had_a_volume_once_is_not_to_be_deleted() {
        let remedy = |spec: Value| {
            let claim = json!({"metadata": {"name": "data"}, "spec": spec});
            let said = "no".to_owned();
            volume_failure(&serde_json::from_value(claim).unwrap(), Some(&said), "f")
                .unwrap()
                .remedy
        };
        assert!(remedy(json!({"storageClassName": "fast"})).contains("delete"));
        let lost = remedy(json!({"storageClassName": "fast", "volumeName": "pv-1"}));
        assert!(!lost.contains("delete"), "{lost}");
    }
}
