//! The claim of the database volume. The operator makes it itself, and not by a template of the
//! StatefulSet: so it can grow, and it is plain that nobody owns it and nobody deletes it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::kept;
use crate::agentfs::names::Component;
use crate::agentfs::plan::{EmbeddedPlan, Plan};

pub(super) fn build(plan: &Plan, database: &EmbeddedPlan) -> PersistentVolumeClaim {
    let size = Quantity(database.size.as_str().to_owned());
    PersistentVolumeClaim {
        metadata: kept(plan, plan.names.volume(), Component::Database),
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".into()]),
            storage_class_name: database.storage_class.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".to_owned(), size)])),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}
