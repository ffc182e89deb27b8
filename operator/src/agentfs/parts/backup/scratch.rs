//! The volume that a backup is restored into by a verification or a drill. It lives as long as the pod.

use k8s_openapi::api::core::v1::{
    EphemeralVolumeSource, PersistentVolumeClaimSpec, PersistentVolumeClaimTemplate, Volume,
    VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource;

use crate::crd::AgentFSBackup;
use crate::crd::fields::{Quantity, Scratch};
use crate::kit::validation::Invalid;

/// How many times the database there is room for: the dump, the restored database, and its log.
const TIMES: u64 = 3;
/// The least that there is room for, in GiB.
const LEAST: u64 = 2;
/// A GiB, in bytes.
const GIB: u64 = 1 << 30;

/// A volume to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScratchPlan {
    /// Its size.
    pub size: Quantity,
    /// Its class, where one is named.
    pub storage_class: Option<String>,
}

impl ScratchPlan {
    /// The volume that `wanted` asks for, or that the newest backup does.
    pub fn of(wanted: &Scratch, records: &[AgentFSBackup]) -> Result<Self, Invalid> {
        if let Some(size) = wanted.size.as_ref().filter(|size| !size.is_valid()) {
            return Err(Invalid {
                field: "spec.backup.verify.storage.size",
                problem: format!("{:?} is not a size; example: 10Gi", size.as_str()),
            });
        }
        let by_default = || needed(database_bytes(records));
        Ok(Self {
            size: wanted.size.clone().unwrap_or_else(by_default),
            storage_class: wanted.storage_class_name.clone(),
        })
    }

    /// The volume of a pod.
    pub fn volume(&self, name: &str) -> Volume {
        let size = resource::Quantity(self.size.as_str().to_owned());
        let claim = PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".into()]),
            storage_class_name: self.storage_class.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), size)].into()),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        };
        let template = PersistentVolumeClaimTemplate { metadata: None, spec: claim };
        Volume {
            name: name.into(),
            ephemeral: Some(EphemeralVolumeSource { volume_claim_template: Some(template) }),
            ..Volume::default()
        }
    }
}

/// The size for a database of so many bytes, in whole GiB, so that it seldom changes, and never less than what is needed.
fn needed(database_bytes: Option<u64>) -> Quantity {
    let bytes = database_bytes.unwrap_or_default().saturating_mul(TIMES);
    Quantity::new(format!("{}Gi", bytes.div_ceil(GIB).max(LEAST)))
}

/// How large the database was when the newest backup was made.
fn database_bytes(records: &[AgentFSBackup]) -> Option<u64> {
    let facts = records.iter().filter_map(|record| record.status.as_ref()?.backup.as_ref());
    let newest = facts.max_by_key(|facts| facts.snapshot_time.0)?;
    u64::try_from(newest.database_bytes).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(at: &str, database_bytes: i64) -> AgentFSBackup {
        serde_json::from_value(json!({
            "apiVersion": "agentfs.io/v1alpha1", "kind": "AgentFSBackup", "metadata": {"name": "x"},
            "spec": {"agentFS": "memory"}, "status": {"backup": {
                "id": "x", "location": "/backups", "instance": "1-1-a", "scope": "full", "snapshotTime": at,
                "finishedTime": at, "duration": "1s", "size": "1Mi", "bytes": 1, "entries": 1,
                "databaseBytes": database_bytes, "postgres": "17.5", "encrypted": false}}}))
        .unwrap()
    }

    fn size(wanted: &Scratch, records: &[AgentFSBackup]) -> String {
        ScratchPlan::of(wanted, records).unwrap().size.as_str().to_owned()
    }

    #[test]
    fn it_is_three_times_the_database_of_the_newest_backup_and_never_less() {
        const GIB: i64 = 1 << 30;
        let unset = Scratch::default();
        assert_eq!(size(&unset, &[]), "2Gi");
        for (bytes, wanted) in
            [(0, "2Gi"), (8_000_000, "2Gi"), (GIB, "3Gi"), (GIB + 1, "4Gi"), (100 * GIB, "300Gi")]
        {
            let older = record("2026-11-21T02:00:00Z", 900 * GIB);
            let records = [older, record("2026-11-23T02:00:00Z", bytes)];
            assert_eq!(size(&unset, &records), wanted, "{bytes}");
        }
    }

    #[test]
    fn the_spec_has_the_last_word() {
        let of = |size: &str| Scratch { size: Some(Quantity::new(size)), ..Scratch::default() };
        let records = [record("2026-11-23T02:00:00Z", 2 << 30)];
        assert_eq!(size(&of("5Gi"), &records), "5Gi");
        assert_eq!(
            ScratchPlan::of(&of("10GB"), &[]).unwrap_err().to_string(),
            "spec.backup.verify.storage.size: \"10GB\" is not a size; example: 10Gi"
        );
    }
}
