//! The status of an `AgentFS`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::crd::fields::conditions::conditions;
use crate::crd::fields::moment::date_time;
use crate::crd::fields::{Conditions, Quantity};

/// The observed state of the AgentFS.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct AgentFSStatus {
    /// The generation of the spec that this status is about. While it is smaller than metadata.generation, the operator
    /// has not reconciled the newest spec yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready, Available, Progressing, CredentialsReady, DatabaseReady, PoolerReady, SchemaReady, APIReady,
    /// WorkersReady, BackupsScheduled, BackupFresh, RestoreVerified, DrillCurrent, ObjectivesMet; and Reconciling or
    /// Stalled while they are True. `kubectl wait --for=condition=Ready agentfs/<name>` waits until everything works.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,

    /// The API pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<ApiStatus>,

    /// The worker pods, if there are any.
    // Written as null where there are none: in the patch of a status that takes it away.
    #[serde(default)]
    pub worker: Option<WorkerStatus>,

    /// The backups, if they are enabled.
    #[serde(default)]
    pub backup: Option<BackupStatus>,

    /// The database in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseStatus>,

    /// The latest rotation of the first API key (annotation `agentfs.io/rotate-admin-key`), once the new key is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_key: Option<AdminKeyStatus>,
}

/// A rotation of the first API key.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct AdminKeyStatus {
    /// The value of the annotation that the key in the Secret `<name>-admin-key` was created for.
    #[schemars(length(max = 253))]
    pub rotation: String,

    /// When that key became valid. The previous key expires within two minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        schema_with = "date_time",
        description = "When that key became valid. The previous key expires within two minutes."
    )]
    pub rotated_time: Option<Time>,
}

/// Counts of the API pods.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct ApiStatus {
    /// The number of pods that answer requests.
    pub ready: i32,
    /// The desired number of pods.
    pub desired: i32,
    /// The number of pods that exist, old and new, as the scale subresource reports it.
    pub replicas: i32,
    /// Ready and desired pods, for example `3/3`.
    #[schemars(length(max = 32))]
    pub summary: String,
    /// The label selector of the API pods, for the scale subresource.
    #[schemars(length(max = 512))]
    pub selector: String,
    /// The image of the API pods; during a rollout, the new one.
    // Written as null where there is none, as above.
    #[serde(default)]
    #[schemars(length(max = 512))]
    pub image: Option<String>,
    /// The URL of the API inside the cluster.
    #[schemars(length(max = 512))]
    pub url: String,
}

/// Counts of the worker pods.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct WorkerStatus {
    /// The number of pods that are ready.
    pub ready: i32,
    /// The desired number of pods.
    pub desired: i32,
    /// Ready and desired pods, for example `1/1`.
    #[schemars(length(max = 32))]
    pub summary: String,
}

/// The backups.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct BackupStatus {
    /// When the newest existing backup was made.
    // Written as null where there is none, as above.
    #[serde(default)]
    #[schemars(
        schema_with = "date_time",
        description = "When the newest existing backup was made."
    )]
    pub last_successful_time: Option<Time>,

    /// When the next backup is due, by spec.backup.schedule. Not set while backups are suspended.
    // Written as null where there is none, as above.
    #[serde(default)]
    #[schemars(
        schema_with = "date_time",
        description = "When the next backup is due, by spec.backup.schedule. Not set while backups are suspended."
    )]
    pub next_time: Option<Time>,
    /// The actual size of the volume with the backups. spec.backup.volume.size may be set back to it.
    // Written as null where there is none, as below.
    #[serde(default)]
    #[schemars(
        schema_with = "Quantity::size_schema",
        description = "The actual size of the volume with the backups. spec.backup.volume.size may be set back to it."
    )]
    pub volume_size: Option<Quantity>,
    /// The size of the database at the newest backup.
    // Written as null where it is not known, as above.
    #[serde(default)]
    #[schemars(
        schema_with = "Quantity::size_schema",
        description = "The size of the database at the newest backup."
    )]
    pub database_size: Option<Quantity>,

    /// The earliest point in time that can be restored: the snapshot time of the oldest existing backup that is not
    /// known to be bad.
    // Written as null where there is none, as above.
    #[serde(default)]
    #[schemars(
        schema_with = "date_time",
        description = "The earliest point in time that can be restored: the snapshot time of the oldest existing backup that is not known to be bad."
    )]
    pub first_recoverable_time: Option<Time>,

    /// The snapshot time of the newest backup that a restore has verified.
    // Written as null where there is none, as above.
    #[serde(default)]
    #[schemars(
        schema_with = "date_time",
        description = "The snapshot time of the newest backup that a restore has verified."
    )]
    pub latest_verified_time: Option<Time>,

    /// The newest disaster recovery drill that passed.
    // Written as null where there is none, as above.
    #[serde(default)]
    pub drill: Option<DrillStatus>,
}

/// The newest disaster recovery drill that passed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct DrillStatus {
    /// When it ended.
    // Written as null where it is not known, as above.
    #[serde(default)]
    #[schemars(schema_with = "date_time", description = "When it ended.")]
    pub last_time: Option<Time>,

    /// The measured recovery point in seconds: the longest span of writes that a disaster would have lost.
    // Written as null where it is not known, as above.
    #[serde(default)]
    pub rpo_seconds: Option<i64>,

    /// The measured recovery time in seconds: how long the restore took until the API served.
    // Written as null where it is not known, as above.
    #[serde(default)]
    pub rto_seconds: Option<i64>,
}

/// The database in use.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseStatus {
    /// The kind of database: `embedded` or `external`.
    #[serde(rename = "type")]
    #[schemars(length(max = 32))]
    pub kind: String,

    /// Identifies the database, so that two AgentFS never use the same external one, and an empty one never replaces an
    /// embedded one by accident. It is a hash of an external database's address; an embedded database has it once it is
    /// migrated.
    // Written as null where there is none, as above.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub identity: Option<String>,

    /// Whether this AgentFS has migrated the external database. If so, it takes precedence over another AgentFS that
    /// names the same database.
    #[serde(default)]
    pub migrated: Option<bool>,

    /// The actual size of the volume of an embedded database. spec.database.embedded.storage.size may be set back to
    /// it.
    #[serde(default)]
    #[schemars(
        schema_with = "Quantity::size_schema",
        description = "The actual size of the volume of an embedded database. spec.database.embedded.storage.size may be set back to it."
    )]
    pub volume_size: Option<Quantity>,
}

impl Conditions for AgentFSStatus {
    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}
