//! The claims of volumes that hold data. The operator makes them itself, and not by a template: so they
//! can grow, and it is plain that nobody owns them and nobody deletes them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::kept;
use crate::agentfs::names::Component;
use crate::agentfs::plan::{Plan, VolumePlan};

pub(super) fn build(
    plan: &Plan,
    name: String,
    component: Component,
    volume: &VolumePlan,
) -> PersistentVolumeClaim {
    let size = Quantity(volume.size.as_str().to_owned());
    PersistentVolumeClaim {
        metadata: kept(plan, name, component),
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
