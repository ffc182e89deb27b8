//! The kind `AgentFSBackup`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::Conditions;
use super::fields::conditions::conditions;
use super::fields::moment::date_time;
use super::task::{agentfs_name, immutable, short_name};

/// The annotation of an AgentFSBackup that is made before an upgrade: which one. What verifies it rehearses that.
pub const UPGRADE: &str = "agentfs.io/migration";

/// What to back up. Immutable, since a backup is made once; create another AgentFSBackup to make another backup.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "agentfs.io",
    version = "v1alpha1",
    kind = "AgentFSBackup",
    plural = "agentfsbackups",
    singular = "agentfsbackup",
    shortname = "afsb",
    namespaced,
    status = "AgentFSBackupStatus",
    derive = "PartialEq",
    doc = "AgentFSBackup is a backup of an AgentFS. Create one to make a backup now; scheduled backups appear by themselves. Deleting it keeps the backup at its destination, for as long as spec.backup of the AgentFS says, unless spec.deletionPolicy is Delete.",
    printcolumn(name = "AgentFS", type_ = "string", description = "The AgentFS that was backed up.", json_path = ".spec.agentFS"),
    printcolumn(name = "Scope", type_ = "string", description = "How much of the database is backed up.", json_path = ".spec.scope"),
    printcolumn(name = "Size", type_ = "string", description = "The size of the dump.", json_path = ".status.backup.size"),
    printcolumn(name = "Entries", type_ = "integer", description = "The number of entries in the backup.", json_path = ".status.backup.entries"),
    printcolumn(name = "Duration", type_ = "string", description = "How long the backup took.", json_path = ".status.backup.duration"),
    printcolumn(name = "Verified", type_ = "string", description = "Whether the backup is verified: True, or False if it does not restore.", json_path = ".status.verification.verified"),
    printcolumn(name = "Reason", type_ = "string", description = "The reason of the condition Ready.", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", priority = 1),
    printcolumn(name = "Message", type_ = "string", description = "The message of the condition Ready.", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = 1),
    printcolumn(name = "ID", type_ = "string", description = "The id in the backup catalogue.", json_path = ".status.backup.id", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = short_name()
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = immutable())]
pub struct AgentFSBackupSpec {
    /// The AgentFS, in this namespace.
    #[serde(rename = "agentFS")]
    #[schemars(schema_with = "agentfs_name", description = "The AgentFS, in this namespace.")]
    pub agent_fs: String,

    /// How much of the database is backed up.
    #[serde(default)]
    pub scope: Scope,

    /// How the backup is verified right after it is made.
    #[serde(default)]
    pub verify: Verify,

    /// The id of an existing backup, of which this resource is only a record. Scheduled backups set it; the operator
    /// then makes no backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]*$"))]
    pub record_of: Option<String>,

    /// Whether the backup itself is deleted with this resource, by hand or by ttlSecondsAfterFinished.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// How many seconds after it finished the resource is deleted, and with deletionPolicy Delete the backup too.
    /// Without it, both stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub ttl_seconds_after_finished: Option<i64>,
}

/// How much of the database a backup holds.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Scope {
    /// All of it.
    #[default]
    Full,
    /// Tenants, keys, entries and their versions, without what can be computed again from them.
    Entries,
}

/// How a backup is verified right after it is made.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Verify {
    /// Not now. The schedule of the AgentFS verifies the newest backup.
    #[default]
    None,
    /// All of it is read and compared with its manifest.
    Archive,
    /// It is restored into a throwaway PostgreSQL, compared with its manifest, and served from.
    Restore,
}

/// Whether a backup is deleted with its resource.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DeletionPolicy {
    /// It stays, for as long as spec.backup of the AgentFS says.
    #[default]
    Retain,
    /// It is deleted first, then the resource. The only backup, and the newest verified one, are not deleted: the
    /// resource waits until there are others. If the AgentFS or the namespace is gone, the backup stays.
    Delete,
}

/// The observed state of the backup.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct AgentFSBackupStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready: whether the backup is made and still exists. Reconciling while it is being made, Stalled if it failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,

    /// The backup, as described by its manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupFacts>,

    /// The newest verification of the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<VerificationFacts>,

    /// When the backup was found missing from its destination, although retention had not removed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        schema_with = "date_time",
        description = "When the backup was found missing from its destination, although retention had not removed it."
    )]
    pub vanished_time: Option<Time>,

    /// When it finished, successfully or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time", description = "When it finished, successfully or not.")]
    pub finished_time: Option<Time>,
}

/// A backup, as described by its manifest. The fields are those of `agentfs_contract::record::BackupRecord`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BackupFacts {
    /// The id in the backup catalogue.
    #[schemars(length(max = 128))]
    pub id: String,
    /// Where the backup is stored: `s3://bucket/prefix`, or a folder of the volume.
    #[schemars(length(max = 2048))]
    pub location: String,
    /// The database, and the history of it, that was backed up.
    #[schemars(length(max = 256))]
    pub instance: String,
    /// How much of the database is backed up.
    #[schemars(length(max = 16))]
    pub scope: String,
    /// The point in time that the backup restores.
    #[schemars(
        schema_with = "date_time",
        description = "The point in time that the backup restores."
    )]
    pub snapshot_time: Time,
    /// When the backup was complete.
    #[schemars(schema_with = "date_time", description = "When the backup was complete.")]
    pub finished_time: Time,
    /// How long the backup took.
    #[schemars(length(max = 32))]
    pub duration: String,
    /// The size of the dump.
    #[schemars(length(max = 32))]
    pub size: String,
    /// The size of the dump in bytes.
    pub bytes: i64,
    /// The number of entries in the backup.
    pub entries: i64,
    /// The size of the database on disk, in bytes.
    pub database_bytes: i64,
    /// The version of the PostgreSQL server.
    #[schemars(length(max = 64))]
    pub postgres: String,
    /// Whether the backup is encrypted.
    pub encrypted: bool,
}

/// A verification. The fields are those of `agentfs_contract::record::VerificationRecord`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct VerificationFacts {
    /// `True` if the backup restores, `False` if it does not.
    #[schemars(length(max = 8))]
    pub verified: String,
    /// The level of the verification.
    #[schemars(length(max = 16))]
    pub level: String,
    /// When the verification finished.
    #[schemars(schema_with = "date_time", description = "When the verification finished.")]
    pub time: Time,
    /// How long the verification took, in seconds.
    pub seconds: i64,
    /// What is wrong with the backup, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,
}

impl Conditions for AgentFSBackupStatus {
    const IS_SHARED: bool = true;

    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}
