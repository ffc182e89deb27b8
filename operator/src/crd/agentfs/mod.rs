//! The kind `AgentFS`; a file for each field of its spec, and one for its status.

mod api;
mod backup;
mod database;
mod embeddings;
mod extra_env;
mod limits;
mod migration;
mod pooler;
mod recovery;
mod status;
mod upgrades;
mod worker;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use api::{Api, Autoscaling};
pub use backup::Backup;
pub use database::{Database, Embedded, External, SecretRef};
pub use embeddings::{Embeddings, KeyRef, Local, OpenAi};
pub use limits::{Quotas, RateLimits};
pub use migration::Migration;
pub use pooler::Pooler;
pub use recovery::{
    Algorithm, Destination, DrillSchedule, Encryption, EntryRef, Keep, Level, Objectives, S3,
    ServerSideEncryption, VerifySchedule,
};
pub use status::{
    AdminKeyStatus, AgentFSStatus, ApiStatus, BackupStatus, DatabaseStatus, DrillStatus,
    WorkerStatus,
};
pub use upgrades::Upgrades;
pub use worker::Worker;

use super::fields::ImagePullSecret;
use super::fields::storage::never_shrinks;

/// The desired state of the AgentFS. The operator creates and maintains everything that it needs: a PostgreSQL
/// database, the API and its Service, schema migrations, passwords and the first API key (Secret `<name>-admin-key`,
/// key `key`).
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "agentfs.io",
    version = "v1alpha1",
    kind = "AgentFS",
    plural = "agentfses",
    singular = "agentfs",
    shortname = "afs",
    namespaced,
    status = "AgentFSStatus",
    derive = "PartialEq",
    doc = "AgentFS is durable memory for AI agents with the shape of a file system: JSON values at paths, with every version kept. Each resource runs an API, behind the Service `<name>-api` on port 8787, and its database. Deleting the resource keeps the data unless spec.deletionPolicy is Delete: volumes and passwords stay, and a new AgentFS of the same name uses them again.",
    scale(
        spec_replicas_path = ".spec.api.replicas",
        status_replicas_path = ".status.api.replicas",
        label_selector_path = ".status.api.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        description = "Whether everything works; `kubectl describe` says why not.",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "API",
        type_ = "string",
        description = "Ready and desired API pods.",
        json_path = ".status.api.summary"
    ),
    printcolumn(
        name = "Workers",
        type_ = "string",
        description = "Ready and desired worker pods.",
        json_path = ".status.worker.summary"
    ),
    printcolumn(
        name = "Database",
        type_ = "string",
        description = "The kind of database.",
        json_path = ".status.database.type"
    ),
    printcolumn(
        name = "Last-Backup",
        type_ = "date",
        description = "Age of the last successful backup.",
        json_path = ".status.backup.lastSuccessfulTime"
    ),
    printcolumn(
        name = "Verified",
        type_ = "date",
        description = "Age of the newest backup that a restore has verified.",
        json_path = ".status.backup.latestVerifiedTime"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        description = "Why the AgentFS is, or is not, ready.",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        description = "The reason as a sentence, and what to do.",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    ),
    printcolumn(
        name = "URL",
        type_ = "string",
        description = "The URL of the API inside the cluster.",
        json_path = ".status.api.url",
        priority = 1
    ),
    printcolumn(
        name = "Image",
        type_ = "string",
        description = "The image of the API's pods.",
        json_path = ".status.api.image",
        priority = 1
    ),
    printcolumn(
        name = "Size",
        type_ = "string",
        description = "Size of the database at the last backup.",
        json_path = ".status.backup.databaseSize",
        priority = 1
    ),
    printcolumn(
        name = "Next-Backup",
        type_ = "string",
        description = "When the next backup is due.",
        json_path = ".status.backup.nextTime",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 40").message(
        "metadata.name: at most 40 characters, since the names of pods and Services are made from it"
    ),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message(
        "metadata.name: lower-case letters, digits and '-' only, beginning with a letter and ending with a letter or digit"
    ),
    validation = never_shrinks("spec.database.embedded.storage.size", "status.database.volumeSize"),
    validation = never_shrinks("spec.backup.volume.size", "status.backup.volumeSize")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.database.embedded) || !self.pooler.enabled || (self.pooler.replicas + 1) * self.pooler.poolSize <= 180").message(
        "pooler: (replicas + 1) * poolSize must be at most 180, since the embedded PostgreSQL accepts 200 connections and a rollout adds a pod"
    ),
    validation = Rule::new("!self.upgrades.rehearse || (self.upgrades.backupBefore && self.backup.enabled)").message(
        "upgrades: rehearse restores the backup that is made before an upgrade; set upgrades.backupBefore and backup.enabled to true, or rehearse to false"
    ),
    validation = Rule::new("!self.upgrades.rehearse || !has(self.backup.encryption) || has(self.backup.encryption.identitySecretRef)").message(
        "upgrades: rehearse must decrypt the backup; name a Secret with an age identity in backup.encryption.identitySecretRef, or set rehearse to false"
    )
)]
pub struct AgentFSSpec {
    /// The image of the AgentFS server, for example `registry.example/agentfs/server:1.4.0`. Defaults to the image of
    /// the operator's release, and is then upgraded with the operator. A new image is rolled out after its migrations
    /// have succeeded; until then the pods of the previous image keep serving.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-zA-Z0-9][a-zA-Z0-9._/:@-]*$')")
            .message("is not the name of an image; example: registry.example/agentfs/server:1.4.0")
    )]
    pub image: Option<String>,

    /// Scales the API, the workers, the pooler and an embedded database to zero while it is true. All data is kept. Set
    /// it to false to start them again.
    #[serde(default)]
    pub suspend: bool,

    /// Whether the data is deleted with the AgentFS: the volume of an embedded database, the credentials and the first
    /// API key. For backups see spec.backup.deletionPolicy.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// Secrets with registry credentials, for pulling the images of all pods of the AgentFS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        extend(
            "x-kubernetes-list-type" = "map",
            "x-kubernetes-list-map-keys" = ["name"]
        )
    )]
    pub image_pull_secrets: Vec<ImagePullSecret>,

    /// Where the data is stored.
    pub database: Database,

    /// The API that agents use: stateless pods behind the Service `<name>-api`, port 8787.
    #[serde(default)]
    pub api: Api,

    /// Schema migrations. They run before a new image is rolled out.
    #[serde(default)]
    pub migration: Migration,

    /// How a new server image is rolled out.
    #[serde(default)]
    pub upgrades: Upgrades,

    /// The model that computes embeddings, for semantic search. Without it, search is full-text only.
    #[serde(default)]
    pub embeddings: Embeddings,

    /// The worker pods, which compute embeddings. There are none without spec.embeddings.
    #[serde(default)]
    pub worker: Worker,

    /// Quotas of each tenant.
    #[serde(default)]
    pub quotas: Quotas,

    /// Rate limits per minute, of keys, tenants and clients without a valid key.
    #[serde(default)]
    pub rate_limits: RateLimits,

    /// The connection pool between the API and PostgreSQL.
    #[serde(default)]
    pub pooler: Pooler,

    /// Scheduled backups of the whole database, their verification and drills.
    #[serde(default)]
    pub backup: Backup,
}

/// Whether data is deleted with the AgentFS.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DeletionPolicy {
    /// It stays, and a new AgentFS of the same name uses it again.
    #[default]
    Retain,
    /// It is deleted too. What the operator did not create is never touched.
    Delete,
}
