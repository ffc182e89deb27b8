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

/// What is to be backed up. It cannot be changed: a backup is made once. For another one create another AgentFSBackup.
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
    doc = "AgentFSBackup is a backup of an AgentFS. Create one to have a backup made now; those of the schedule appear by themselves. Deleting it does not delete the backup, which stays at its destination for as long as spec.backup of the AgentFS says, unless spec.deletionPolicy is Delete.",
    printcolumn(name = "AgentFS", type_ = "string", description = "Whose backup it is.", json_path = ".spec.agentFS"),
    printcolumn(name = "Scope", type_ = "string", description = "How much of the database.", json_path = ".spec.scope"),
    printcolumn(name = "Size", type_ = "string", description = "The size of the dump.", json_path = ".status.backup.size"),
    printcolumn(name = "Entries", type_ = "integer", description = "How many entries it holds.", json_path = ".status.backup.entries"),
    printcolumn(name = "Duration", type_ = "string", description = "How long it took.", json_path = ".status.backup.duration"),
    printcolumn(name = "Verified", type_ = "string", description = "Whether a restore of it was tried and went well.", json_path = ".status.verification.verified"),
    printcolumn(name = "Reason", type_ = "string", description = "How it stands.", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", priority = 1),
    printcolumn(name = "Message", type_ = "string", description = "The same as a sentence.", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = 1),
    printcolumn(name = "ID", type_ = "string", description = "Its id in the catalogue.", json_path = ".status.backup.id", priority = 1),
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

    /// How much of the database.
    #[serde(default)]
    pub scope: Scope,

    /// How the backup is tried once it is made.
    #[serde(default)]
    pub verify: Verify,

    /// The id of a backup that is there already: this resource is its record. Those of the schedule have it, and nothing is done for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]*$"))]
    pub record_of: Option<String>,

    /// Whether the backup stays at its destination when the resource is deleted, by hand or by ttlSecondsAfterFinished.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// How many seconds after its end the resource is deleted, and by its deletionPolicy the backup. Left out, both stay.
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
    /// Tenants, keys, entries and their versions: what nothing else can bring back.
    Entries,
}

/// How a backup is tried once it is made.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Verify {
    /// Not at once. The schedule of the AgentFS tries the newest one.
    #[default]
    None,
    /// All of it is read and compared with its manifest.
    Archive,
    /// It is restored into a PostgreSQL of its own, compared, and served from.
    Restore,
}

/// What becomes of a backup when its resource is deleted.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DeletionPolicy {
    /// It stays, for as long as spec.backup of the AgentFS says.
    #[default]
    Retain,
    /// It is deleted as well, and the resource goes once that is done. The newest verified backup and the last one are not deleted: the
    /// resource then waits for others. Where the AgentFS or the namespace is gone, the backup stays.
    Delete,
}

/// How the backup stands.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct AgentFSBackupStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready: whether the backup is made and there; Reconciling while it is being made, Stalled where it failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,

    /// The backup, as its manifest says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupFacts>,

    /// The newest verification of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<VerificationFacts>,

    /// When the backup was found to be gone from its destination, though nobody removed it by the schedule's rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        schema_with = "date_time",
        description = "When the backup was found to be gone from its destination, though nobody removed it by the schedule's rules."
    )]
    pub vanished_time: Option<Time>,

    /// When it ended, well or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time", description = "When it ended, well or not.")]
    pub finished_time: Option<Time>,
}

/// A backup, as its manifest says. The fields are those of `agentfs_contract::record::BackupRecord`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BackupFacts {
    /// Its id in the catalogue.
    #[schemars(length(max = 128))]
    pub id: String,
    /// Where it is: `s3://bucket/prefix`, or the folder in its volume.
    #[schemars(length(max = 2048))]
    pub location: String,
    /// The database and history that it is of.
    #[schemars(length(max = 256))]
    pub instance: String,
    /// How much of the database it holds.
    #[schemars(length(max = 16))]
    pub scope: String,
    /// The moment that it holds.
    #[schemars(schema_with = "date_time", description = "The moment that it holds.")]
    pub snapshot_time: Time,
    /// When it was whole.
    #[schemars(schema_with = "date_time", description = "When it was whole.")]
    pub finished_time: Time,
    /// How long it took.
    #[schemars(length(max = 32))]
    pub duration: String,
    /// The size of the dump.
    #[schemars(length(max = 32))]
    pub size: String,
    /// The size of the dump in bytes.
    pub bytes: i64,
    /// How many entries it holds.
    pub entries: i64,
    /// How large the database was on its server's disk, in bytes.
    pub database_bytes: i64,
    /// The version of PostgreSQL.
    #[schemars(length(max = 64))]
    pub postgres: String,
    /// Whether it is encrypted.
    pub encrypted: bool,
}

/// A verification. The fields are those of `agentfs_contract::record::VerificationRecord`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct VerificationFacts {
    /// `True` where the backup restores, `False` where it does not.
    #[schemars(length(max = 8))]
    pub verified: String,
    /// How much was tried.
    #[schemars(length(max = 16))]
    pub level: String,
    /// When it ended.
    #[schemars(schema_with = "date_time", description = "When it ended.")]
    pub time: Time,
    /// How long it took, in whole seconds.
    pub seconds: i64,
    /// What is wrong with the backup, where something is.
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
