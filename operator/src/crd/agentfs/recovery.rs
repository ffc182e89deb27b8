//! What belongs to `spec.backup`: where backups are kept, how they are encrypted and tried, and what they are held to.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::crd::fields::names::{entry_name, object_name};
use crate::crd::fields::schedule::schedule;
use crate::crd::fields::{Resources, Scratch};

/// Where the backups are kept.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    /// A bucket of a store that speaks S3. Give each AgentFS a prefix of its own.
    pub s3: S3,
}

/// A bucket of a store that speaks S3.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct S3 {
    /// The bucket, which has to be there.
    #[schemars(length(min = 3, max = 63), regex(pattern = "^[a-z0-9][a-z0-9.-]*[a-z0-9]$"))]
    pub bucket: String,

    /// The prefix of all objects, for example `agents/memory`. Defaults to namespace and name of the AgentFS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 512),
        regex(pattern = "^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$")
    )]
    pub prefix: Option<String>,

    /// The URL of the store, for example `https://minio.storage.svc:9000`. Left out, it is Amazon's in the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 512), regex(pattern = "^https?://[^ /?#@]+(/[^ ?#]*)?$"))]
    pub endpoint: Option<String>,

    /// The region. Defaults to us-east-1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[a-z0-9-]+$"))]
    pub region: Option<String>,

    /// The Secret with the entries AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and perhaps AWS_SESSION_TOKEN. Left out, the pods use the
    /// workload identity of their ServiceAccount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        schema_with = "object_name",
        description = "The Secret with the entries AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and perhaps AWS_SESSION_TOKEN. Left out, the pods use the workload identity of their ServiceAccount."
    )]
    pub secret_ref: Option<String>,

    /// Annotations of the ServiceAccount of the pods of backups, for example `eks.amazonaws.com/role-arn`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(
        schema_with = "annotations",
        description = "Annotations of the ServiceAccount of the pods of backups, for example `eks.amazonaws.com/role-arn`."
    )]
    pub service_account_annotations: BTreeMap<String, String>,

    /// The entry of a Secret with the certificates (PEM) of who signs the store's, besides the public authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<EntryRef>,

    /// What the store encrypts objects with.
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

/// What the store encrypts objects with.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.kmsKeyId) || self.algorithm == 'aws:kms'")
        .message("kmsKeyId is the key of aws:kms; set algorithm to that, or leave the key out")
)]
pub struct ServerSideEncryption {
    /// `AES256` or `aws:kms`.
    pub algorithm: Algorithm,
    /// The key of `aws:kms`. Left out, it is the account's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub kms_key_id: Option<String>,
}

/// How the store encrypts.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// Keys of the store's.
    #[default]
    AES256,
    /// Keys of a key management service.
    #[serde(rename = "aws:kms")]
    Kms,
}

/// An entry of a Secret.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct EntryRef {
    /// The Secret's name, in this namespace.
    #[schemars(schema_with = "object_name", description = "The Secret's name, in this namespace.")]
    pub name: String,
    /// The entry of the Secret.
    #[schemars(schema_with = "entry_name", description = "The entry of the Secret.")]
    pub key: String,
}

/// How the backups are encrypted: by age, before they leave the pod.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Encryption {
    /// The age recipients (`age1…`) that can decrypt them.
    #[schemars(
        length(min = 1, max = 8),
        inner(length(min = 1, max = 4096), regex(pattern = "^[a-z0-9]+1[a-z0-9]+$"))
    )]
    pub recipients: Vec<String>,

    /// The entry of a Secret with an age identity, without which backups are made and can be neither verified nor restored here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_secret_ref: Option<EntryRef>,
}

/// Backups that are kept longer than retentionDays says, by the calendar, in UTC.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Keep {
    /// The newest of each of so many days.
    #[serde(default)]
    #[schemars(range(min = 0, max = 36_500))]
    pub daily: i32,
    /// The newest of each of so many weeks, which begin on Monday.
    #[serde(default)]
    #[schemars(range(min = 0, max = 5200))]
    pub weekly: i32,
    /// The newest of each of so many months.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1200))]
    pub monthly: i32,
}

/// How, and how often, the newest backup is tried.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct VerifySchedule {
    /// Whether it is, where there are backups.
    #[serde(default = "yes")]
    pub enabled: bool,

    /// `Restore` restores it into a PostgreSQL of its own in the pod, compares it and serves from it; `Archive` reads all of it.
    #[serde(default)]
    pub level: Level,

    /// When, in the time zone of the backups. Defaults to once a week.
    #[serde(default = "VerifySchedule::default_schedule")]
    #[schemars(
        schema_with = "schedule",
        description = "When, in the time zone of the backups. Defaults to once a week."
    )]
    pub schedule: String,

    /// How many hours old the newest verified backup may be before the condition RestoreVerified is False. Defaults to 8 days.
    #[serde(default = "VerifySchedule::default_max_age_hours")]
    #[schemars(range(min = 1, max = 90_000))]
    pub max_age_hours: i32,

    /// The volume that a backup is restored into by verifications and drills. It lives as long as their pod.
    #[serde(default)]
    pub storage: Scratch,

    /// CPU and memory of the pods of verifications and drills. Left out: requests of 100m CPU and 256Mi, a limit of 1Gi memory and none
    /// on CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

/// How much of a backup is tried.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Level {
    /// All of it is read and compared with its manifest.
    Archive,
    /// It is restored, compared and served from.
    #[default]
    Restore,
}

/// How often a disaster recovery drill is carried out.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DrillSchedule {
    /// Whether it is, where there are backups.
    #[serde(default = "yes")]
    pub enabled: bool,

    /// When, in the time zone of the backups. Defaults to once a quarter.
    #[serde(default = "DrillSchedule::default_schedule")]
    #[schemars(
        schema_with = "schedule",
        description = "When, in the time zone of the backups. Defaults to once a quarter."
    )]
    pub schedule: String,

    /// How many days old the newest drill may be before the condition DrillCurrent is False.
    #[serde(default = "DrillSchedule::default_max_age_days")]
    #[schemars(range(min = 1, max = 3660))]
    pub max_age_days: i32,
}

/// What backups and drills are held to.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Objectives {
    /// The recovery point objective: the most time whose writes may be lost, for example `26h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = "^([0-9]+[dhms])+$"))]
    pub rpo: Option<String>,

    /// The recovery time objective: the most time until the API serves again, for example `15m`.
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
