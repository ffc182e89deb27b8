//! `spec.upgrades`: how a new image of the server takes over.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How a new image of the server takes over. The API of the image before serves until the schema is migrated.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Upgrades {
    /// Whether a backup is made before the schema is migrated for a new image: an AgentFSBackup `<name>-before-…`, where spec.backup
    /// makes backups. Where it fails, the schema stays as it is and the API of the image before goes on; the backup is tried again.
    #[serde(default = "Upgrades::default_backup_before")]
    pub backup_before: bool,

    /// Whether an upgrade is rehearsed first: that backup is restored into a PostgreSQL of its own, migrated by the new image and served
    /// from. Where that fails, the schema stays as it is and the API of the image before goes on. It takes as long, and as much room, as a
    /// verification (spec.backup.verify).
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
