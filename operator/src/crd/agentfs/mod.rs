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

/// What the AgentFS should be. The operator makes and keeps everything that is needed for it:
/// a PostgreSQL database, the API and its Service, the schema migrations, the passwords and the
/// first API key (Secret `<name>-admin-key`, key `key`).
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
    doc = "AgentFS is a durable memory for AI agents with the shape of a file system: JSON values at paths, every version kept. One resource becomes an API Service `<name>-api` on port 8787 with its database. Deleting it deletes no data unless spec.deletionPolicy says so: the volumes and the passwords stay, and an AgentFS of the same name finds them again.",
    scale(
        spec_replicas_path = ".spec.api.replicas",
        status_replicas_path = ".status.api.replicas",
        label_selector_path = ".status.api.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        description = "Whether everything is as it should be; `kubectl describe` says why not.",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "API",
        type_ = "string",
        description = "API pods that are ready, of those wanted.",
        json_path = ".status.api.summary"
    ),
    printcolumn(
        name = "Workers",
        type_ = "string",
        description = "Worker pods that are ready, of those wanted.",
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
        description = "How long ago the last backup succeeded.",
        json_path = ".status.backup.lastSuccessfulTime"
    ),
    printcolumn(
        name = "Verified",
        type_ = "date",
        description = "How old the newest backup is that is proven to restore.",
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
        description = "The same as a sentence, with what to do.",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    ),
    printcolumn(
        name = "URL",
        type_ = "string",
        description = "Where the API answers inside the cluster.",
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
        description = "How large the database was when the last backup was made.",
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
        "pooler: (replicas + 1) * poolSize must be at most 180, since the embedded PostgreSQL takes 200 connections and an update adds a pod"
    ),
    validation = Rule::new("!self.upgrades.rehearse || (self.upgrades.backupBefore && self.backup.enabled)").message(
        "upgrades: rehearse tries an upgrade on the backup that is made before it; set upgrades.backupBefore and backup.enabled to true, or rehearse to false"
    ),
    validation = Rule::new("!self.upgrades.rehearse || !has(self.backup.encryption) || has(self.backup.encryption.identitySecretRef)").message(
        "upgrades: rehearse restores a backup, and nothing here decrypts it; name a Secret with an age identity in backup.encryption.identitySecretRef, or set rehearse to false"
    )
)]
pub struct AgentFSSpec {
    /// The image of the AgentFS server, for example `registry.example/agentfs/server:1.4.0`. Left out,
    /// it is the one that belongs to the operator, and is upgraded with it. A new image is rolled out
    /// after its migrations have succeeded; until then the pods of the previous image keep serving.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-zA-Z0-9][a-zA-Z0-9._/:@-]*$')")
            .message("is not the name of an image; example: registry.example/agentfs/server:1.4.0")
    )]
    pub image: Option<String>,

    /// Stops everything and keeps all data: the API, the worker, the pooler and an embedded database have
    /// no pods while it is true. Set it to false, and they come back.
    #[serde(default)]
    pub suspend: bool,

    /// What becomes of the data when the AgentFS is deleted: the volume of an embedded database, the credentials and the
    /// first API key. Of the backups spec.backup.deletionPolicy says it.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// Secrets with the credentials of the registries that the images are pulled from, for all pods of
    /// the AgentFS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        extend(
            "x-kubernetes-list-type" = "map",
            "x-kubernetes-list-map-keys" = ["name"]
        )
    )]
    pub image_pull_secrets: Vec<ImagePullSecret>,

    /// Where the data is kept.
    pub database: Database,

    /// The API that agents talk to: stateless pods behind the Service `<name>-api`, port 8787.
    #[serde(default)]
    pub api: Api,

    /// The migrations of the schema, which run before a new image is rolled out.
    #[serde(default)]
    pub migration: Migration,

    /// How a new image of the server takes over.
    #[serde(default)]
    pub upgrades: Upgrades,

    /// Who turns texts into vectors, for search by meaning. Left out, search goes by words.
    #[serde(default)]
    pub embeddings: Embeddings,

    /// The pods that embed what was written, where spec.embeddings says by whom.
    #[serde(default)]
    pub worker: Worker,

    /// What a tenant may have, and do in a day.
    #[serde(default)]
    pub quotas: Quotas,

    /// What a key, a tenant, or a client without a key may do in a minute.
    #[serde(default)]
    pub rate_limits: RateLimits,

    /// The connection pool between the API and PostgreSQL.
    #[serde(default)]
    pub pooler: Pooler,

    /// Regular backups of the whole database.
    #[serde(default)]
    pub backup: Backup,
}

/// What becomes of data when the AgentFS is deleted.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DeletionPolicy {
    /// It stays, and an AgentFS of the same name finds it again.
    #[default]
    Retain,
    /// It is deleted as well. What the operator did not make is never touched.
    Delete,
}
