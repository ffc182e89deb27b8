//! `spec.upgrades`: how a new server image is rolled out.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How a new server image is rolled out. The API of the previous image serves until the schema is migrated.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Upgrades {
    /// Whether to make a backup before the schema is migrated for a new image: an AgentFSBackup `<name>-before-…`, if
    /// spec.backup is enabled. If the backup fails, it is retried; meanwhile the schema stays as it is and the API of
    /// the previous image keeps serving.
    #[serde(default = "Upgrades::default_backup_before")]
    pub backup_before: bool,

    /// Whether to rehearse an upgrade first: the new image restores that backup into a throwaway PostgreSQL, migrates
    /// it and serves from it. If the rehearsal fails, the schema stays as it is and the API of the previous image keeps
    /// serving. It takes as much time and storage as a verification (spec.backup.verify).
    #[serde(default)]
    pub rehearse: bool,
}

impl Upgrades {
    fn default_backup_before() -> bool {
        true
    }
}

impl Default for Upgrades {
    fn default() -> Self {
        Self { backup_before: Self::default_backup_before(), rehearse: false }
    }
}
