//! Parts of `spec.backup`: destination, encryption, retention, verification, drills and recovery objectives.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::crd::fields::names::{entry_name, object_name};
use crate::crd::fields::schedule::schedule;
use crate::crd::fields::{Resources, Scratch};

/// Where the backups are stored.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    /// A bucket of S3 or of a compatible object store. Give each AgentFS its own prefix.
    pub s3: S3,
}

/// A bucket of S3 or of a compatible object store.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct S3 {
    /// The name of the bucket, which must exist.
    #[schemars(length(min = 3, max = 63), regex(pattern = "^[a-z0-9][a-z0-9.-]*[a-z0-9]$"))]
    pub bucket: String,

    /// The prefix of all objects, for example `agents/memory`. Defaults to the namespace and name of the AgentFS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 512),
        regex(pattern = "^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$")
    )]
    pub prefix: Option<String>,

    /// The URL of the object store, for example `https://minio.storage.svc:9000`. Defaults to Amazon S3 in the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 512), regex(pattern = "^https?://[^ /?#@]+(/[^ ?#]*)?$"))]
    pub endpoint: Option<String>,

    /// The region. Defaults to us-east-1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[a-z0-9-]+$"))]
    pub region: Option<String>,

    /// The Secret with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and optionally AWS_SESSION_TOKEN. Defaults
    /// to the workload identity of the pods' ServiceAccount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        schema_with = "object_name",
        description = "The Secret with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and optionally AWS_SESSION_TOKEN. Defaults to the workload identity of the pods' ServiceAccount."
    )]
    pub secret_ref: Option<String>,

    /// Annotations of the ServiceAccount of the backup pods, for example `eks.amazonaws.com/role-arn`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(
        schema_with = "annotations",
        description = "Annotations of the ServiceAccount of the backup pods, for example `eks.amazonaws.com/role-arn`."
    )]
    pub service_account_annotations: BTreeMap<String, String>,

    /// CA certificates (PEM) that are trusted for the object store, besides the public certificate authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<EntryRef>,

    /// Server-side encryption by the object store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_side_encryption: Option<ServerSideEncryption>,
}

fn annotations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {"type": "string", "maxLength": 4096},
    })
}

/// Server-side encryption by the object store.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.kmsKeyId) || self.algorithm == 'aws:kms'")
        .message("kmsKeyId is the key of aws:kms; set algorithm to that, or leave the key out")
)]
pub struct ServerSideEncryption {
    /// The algorithm: `AES256` or `aws:kms`.
    pub algorithm: Algorithm,
    /// The KMS key, with algorithm `aws:kms`. Defaults to the account's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub kms_key_id: Option<String>,
}

/// How the object store encrypts.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// Keys that the object store manages.
    #[default]
    AES256,
    /// Keys of a key management service.
    #[serde(rename = "aws:kms")]
    Kms,
}

/// A key of a Secret.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct EntryRef {
    /// The Secret's name, in this namespace.
    #[schemars(schema_with = "object_name", description = "The Secret's name, in this namespace.")]
    pub name: String,
    /// The key in the Secret.
    #[schemars(schema_with = "entry_name", description = "The key in the Secret.")]
    pub key: String,
}

/// How backups are encrypted: with age, before they leave the pod.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Encryption {
    /// The age recipients (`age1…`) that can decrypt them.
    #[schemars(
        length(min = 1, max = 8),
        inner(length(min = 1, max = 4096), regex(pattern = "^[a-z0-9]+1[a-z0-9]+$"))
    )]
    pub recipients: Vec<String>,

    /// The Secret with the age identity that decrypts backups. Without it backups are made, but cannot be verified or
    /// restored in this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_secret_ref: Option<EntryRef>,
}

/// Backups that are kept longer than retentionDays, by calendar day, week and month in UTC.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Keep {
    /// For how many days to keep the newest backup of each day.
    #[serde(default)]
    #[schemars(range(min = 0, max = 36_500))]
    pub daily: i32,
    /// For how many weeks to keep the newest backup of each week. Weeks begin on Monday.
    #[serde(default)]
    #[schemars(range(min = 0, max = 5200))]
    pub weekly: i32,
    /// For how many months to keep the newest backup of each month.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1200))]
    pub monthly: i32,
}

/// Scheduled verification of the newest backup.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct VerifySchedule {
    /// Whether it is, where there are backups.
    #[serde(default = "yes")]
    pub enabled: bool,

    /// `Restore` restores the backup into a throwaway PostgreSQL in the pod, compares it with its manifest and serves
    /// from it. `Archive` reads all of it and compares it with its manifest.
    #[serde(default)]
    pub level: Level,

    /// When the newest backup is verified, in spec.backup.timeZone. Defaults to once a week.
    #[serde(default = "VerifySchedule::default_schedule")]
    #[schemars(
        schema_with = "schedule",
        description = "When the newest backup is verified, in spec.backup.timeZone. Defaults to once a week."
    )]
    pub schedule: String,

    /// The age in hours at which the newest verified backup is too old, and the condition RestoreVerified becomes
    /// False. Defaults to 8 days.
    #[serde(default = "VerifySchedule::default_max_age_hours")]
    #[schemars(range(min = 1, max = 90_000))]
    pub max_age_hours: i32,

    /// The scratch volume that verifications and drills restore a backup into. It is deleted with their pod.
    #[serde(default)]
    pub storage: Scratch,

    /// CPU and memory of the pods of verifications and drills. Defaults to requests of 100m CPU and 256Mi memory, and a
    /// limit of 1Gi memory; CPU has no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

/// How thoroughly a backup is verified.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Level {
    /// All of it is read and compared with its manifest.
    Archive,
    /// It is restored, compared with its manifest and served from.
    #[default]
    Restore,
}

/// Scheduled disaster recovery drills.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DrillSchedule {
    /// Whether it is, where there are backups.
    #[serde(default = "yes")]
    pub enabled: bool,

    /// When a drill runs, in spec.backup.timeZone. Defaults to once a quarter.
    #[serde(default = "DrillSchedule::default_schedule")]
    #[schemars(
        schema_with = "schedule",
        description = "When a drill runs, in spec.backup.timeZone. Defaults to once a quarter."
    )]
    pub schedule: String,

    /// The age in days at which the newest drill is too old, and the condition DrillCurrent becomes False.
    #[serde(default = "DrillSchedule::default_max_age_days")]
    #[schemars(range(min = 1, max = 3660))]
    pub max_age_days: i32,
}

/// Recovery objectives.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Objectives {
    /// The recovery point objective: the longest span of writes that may be lost, for example `26h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = "^([0-9]+[dhms])+$"))]
    pub rpo: Option<String>,

    /// The recovery time objective: the longest time until the API serves again, for example `15m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = "^([0-9]+[dhms])+$"))]
    pub rto: Option<String>,
}

fn yes() -> bool {
    true
}

impl VerifySchedule {
    fn default_schedule() -> String {
        "0 4 * * 0".into()
    }

    fn default_max_age_hours() -> i32 {
        192
    }
}

impl Default for VerifySchedule {
    fn default() -> Self {
        Self {
            enabled: true,
            level: Level::default(),
            schedule: Self::default_schedule(),
            max_age_hours: Self::default_max_age_hours(),
            storage: Scratch::default(),
            resources: None,
        }
    }
}

impl DrillSchedule {
    fn default_schedule() -> String {
        "0 4 1 1,4,7,10 *".into()
    }

    fn default_max_age_days() -> i32 {
        95
    }
}

impl Default for DrillSchedule {
    fn default() -> Self {
        Self {
            enabled: true,
            schedule: Self::default_schedule(),
            max_age_days: Self::default_max_age_days(),
        }
    }
}
