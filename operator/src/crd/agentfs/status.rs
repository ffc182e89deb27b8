//! What the operator says of an `AgentFS`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::crd::fields::conditions::conditions;
use crate::crd::fields::moment::date_time;
use crate::crd::fields::{Conditions, Quantity};

/// How the AgentFS is, as the operator last saw it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct AgentFSStatus {
    /// The generation of the spec that this status speaks of. Smaller than metadata.generation, the
    /// operator has not looked at the newest spec yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// What holds and what does not, each with one sentence: Ready, Available, Progressing, CredentialsReady,
    /// DatabaseReady, PoolerReady, SchemaReady, APIReady, WorkersReady, BackupsScheduled, BackupFresh, RestoreVerified,
    /// DrillCurrent, ObjectivesMet; and Reconciling or Stalled while they are True. `kubectl wait --for=condition=Ready agentfs/<name>`
    /// waits until all is well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,

    /// The API's pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<ApiStatus>,

    /// The worker's pods, where there are any.
    // Written as null where there are none: in the patch of a status that takes it away.
    #[serde(default)]
    pub worker: Option<WorkerStatus>,

    /// The backups, where there are to be any.
    #[serde(default)]
    pub backup: Option<BackupStatus>,

    /// The database in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseStatus>,

    /// The newest rotation of the first API key (annotation `agentfs.io/rotate-admin-key`), once its key is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_key: Option<AdminKeyStatus>,
}

/// A rotation of the first API key.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct AdminKeyStatus {
    /// The annotation's value that the key in the Secret `<name>-admin-key` was made for.
    #[schemars(length(max = 253))]
    pub rotation: String,

    /// When that key became valid. The one before it ends within two minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        schema_with = "date_time",
        description = "When that key became valid. The one before it ends within two minutes."
    )]
    pub rotated_time: Option<Time>,
}

/// The API's pods, counted.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct ApiStatus {
    /// Pods that answer requests.
    pub ready: i32,
    /// Pods that are wanted.
    pub desired: i32,
    /// Pods that exist, old and new; what the scale subresource reports.
    pub replicas: i32,
    /// Ready of wanted, for example `3/3`.
    #[schemars(length(max = 32))]
    pub summary: String,
    /// The label selector of the API's pods, for the scale subresource.
    #[schemars(length(max = 512))]
    pub selector: String,
    /// The image of the API's pods; while it is replaced, the new one.
    // Written as null where there is none, as above.
    #[serde(default)]
    #[schemars(length(max = 512))]
    pub image: Option<String>,
    /// Where the API answers inside the cluster.
    #[schemars(length(max = 512))]
    pub url: String,
}

/// The worker's pods, counted.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct WorkerStatus {
    /// Pods that are ready to embed.
    pub ready: i32,
    /// Pods that are wanted.
    pub desired: i32,
    /// Ready of wanted, for example `1/1`.
    #[schemars(length(max = 32))]
    pub summary: String,
}

/// The backups.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct BackupStatus {
    /// When the newest backup was made that is there.
    // Written as null where there is none, as above.
    #[serde(default)]
    #[schemars(
        schema_with = "date_time",
        description = "When the newest backup was made that is there."
    )]
    pub last_successful_time: Option<Time>,

    /// When the next backup is due, by spec.backup.schedule. Not there while backups are suspended.
    // Written as null where there is none, as above.
    #[serde(default)]
    #[schemars(
        schema_with = "date_time",
        description = "When the next backup is due, by spec.backup.schedule. Not there while backups are suspended."
    )]
    pub next_time: Option<Time>,
    /// How large the volume is that the operator made for them. spec.backup.volume.size may be set back to it.
    // Written as null where there is none, as below.
    #[serde(default)]
    #[schemars(
        schema_with = "Quantity::size_schema",
        description = "How large the volume is that the operator made for them. spec.backup.volume.size may be set back to it."
    )]
    pub volume_size: Option<Quantity>,
    /// How large the database was when the newest backup was made.
    // Written as null where it is not known, as above.
    #[serde(default)]
    #[schemars(
        schema_with = "Quantity::size_schema",
        description = "How large the database was when the newest backup was made."
    )]
    pub database_size: Option<Quantity>,

    /// The moment that the oldest backup holds which is there and is not known to fail: how far back a restore can go.
    // Written as null where there is none, as above.
    #[serde(default)]
    #[schemars(
        schema_with = "date_time",
        description = "The moment that the oldest backup holds which is there and is not known to fail: how far back a restore can go."
    )]
    pub first_recoverable_time: Option<Time>,

    /// The moment that the newest backup holds which a restore has proven.
    // Written as null where there is none, as above.
    #[serde(default)]
    #[schemars(
        schema_with = "date_time",
        description = "The moment that the newest backup holds which a restore has proven."
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

    /// The most time whose writes a disaster would have lost, in whole seconds.
    // Written as null where it is not known, as above.
    #[serde(default)]
    pub rpo_seconds: Option<i64>,

    /// How long the restore took until the API served, in whole seconds.
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

    /// Which database it is. Of an external one it is a hash of where it is: an AgentFS does not touch a database that
    /// another one works on. Of an embedded one it is known once that is migrated: no empty database takes its place by itself.
    // Written as null where there is none, as above.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub identity: Option<String>,

    /// Whether this AgentFS migrated the external database, once: then it has it before another one. Not there before that.
    #[serde(default)]
    pub migrated: Option<bool>,

    /// How large the volume of an embedded database is. spec.database.embedded.storage.size may be set back to it.
    #[serde(default)]
    #[schemars(
        schema_with = "Quantity::size_schema",
        description = "How large the volume of an embedded database is. spec.database.embedded.storage.size may be set back to it."
    )]
    pub volume_size: Option<Quantity>,
}

impl Conditions for AgentFSStatus {
    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}
