//! Volumes that hold data: what they are to be, their claims, and why a claim has no volume.
//!
//! The operator makes the claims itself, and not by a template: so they can grow, and it is plain that
//! nobody owns them and nobody deletes them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;

use super::conditions::Failure;
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
}

impl VolumePlan {
    /// A volume that is there, as its claim has it.
    pub fn of(claim: &PersistentVolumeClaim) -> Option<Self> {
        let spec = claim.spec.as_ref()?;
        let size = spec.resources.as_ref()?.requests.as_ref()?.get("storage")?;
        let storage_class = spec.storage_class_name.clone();
        Some(Self { size: Quantity::new(&size.0), storage_class })
    }

    /// A volume as the spec wants it, `field` being its size. One that is there keeps its class and
    /// never shrinks, so that a resource that is made again finds its data whatever its manifest says
    /// of the size.
    pub fn wanted(
        field: &'static str,
        wanted: &Storage,
        live: Option<&PersistentVolumeClaim>,
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
            });
        };
        let is_larger = held.size.compare(&wanted.size) == Some(std::cmp::Ordering::Greater);
        let size = if is_larger { held.size } else { wanted.size.clone() };
        Ok(Self { size, storage_class: held.storage_class })
    }
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
