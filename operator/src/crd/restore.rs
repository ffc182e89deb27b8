//! The kind `AgentFSRestore`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::drill::TimedStep;
use super::fields::Conditions;
use super::fields::conditions::conditions;
use super::fields::moment::date_time;
use super::fields::names::object_name;
use super::task::{agentfs_name, immutable, short_name};

/// What to restore. Immutable, since a restore runs only once; create another AgentFSRestore with another name to
/// restore again.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "agentfs.io",
    version = "v1alpha1",
    kind = "AgentFSRestore",
    plural = "agentfsrestores",
    singular = "agentfsrestore",
    shortname = "afsr",
    namespaced,
    status = "AgentFSRestoreStatus",
    derive = "PartialEq",
    doc = "AgentFSRestore restores a backup of an AgentFS: in place, while the API serves, or into a new database for inspection. Another AgentFSRestore with spec.undo undoes a restore in place. Each runs only once, even if the same manifest is deleted and applied again. Deleting it before the switch cancels it, unless it has already emptied the live tables (strategy Clean): then they stay empty until a backup is restored with Clean.",
    printcolumn(name = "AgentFS", type_ = "string", description = "The AgentFS that is restored.", json_path = ".spec.agentFS"),
    printcolumn(name = "Source", type_ = "string", description = "The backup that is restored, or the restore that is undone.", json_path = ".status.source"),
    printcolumn(name = "Step", type_ = "string", description = "The current step.", json_path = ".status.step"),
    printcolumn(name = "Progress", type_ = "string", description = "Progress of the current step.", json_path = ".status.progress"),
    printcolumn(name = "Downtime", type_ = "string", description = "How long requests waited at most during the switch.", json_path = ".status.downtime"),
    printcolumn(name = "Result", type_ = "string", description = "The result of the restore.", json_path = ".status.result"),
    printcolumn(name = "Lost", type_ = "integer", description = "The number of versions that are no longer live.", json_path = ".status.lostVersions", priority = 1),
    printcolumn(name = "Message", type_ = "string", description = "The message of the condition Ready.", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = short_name(),
    validation = Rule::new("!has(self.spec.undo) || self.spec.undo != self.metadata.name").message(
        "spec.undo must name another AgentFSRestore, the one to undo"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = immutable(),
    validation = Rule::new("has(self.undo) != has(self.source)").message(
        "set exactly one of source (to restore a backup) and undo (to undo a restore in place)"
    ),
    validation = Rule::new("!has(self.source) || has(self.target)").message(
        "target: set where to restore to: inPlace: {} or newDatabase: {name: …}"
    ),
    validation = Rule::new("!has(self.undo) || !has(self.target) || !has(self.target.newDatabase)").message(
        "undo is always in place: leave target.newDatabase out"
    ),
    validation = Rule::new("self.security == 'Live' || (has(self.source) && (!has(self.target) || has(self.target.inPlace)))").message(
        "security applies to a restore in place: leave it out with undo, and with target.newDatabase, which takes everything from the backup"
    ),
    validation = Rule::new("!self.allowForeign || has(self.source)").message(
        "allowForeign applies to source: leave it out with undo"
    )
)]
pub struct AgentFSRestoreSpec {
    /// The AgentFS, in this namespace.
    #[serde(rename = "agentFS")]
    #[schemars(schema_with = "agentfs_name", description = "The AgentFS, in this namespace.")]
    pub agent_fs: String,

    /// The backup to restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,

    /// The AgentFSRestore to undo: what was live before it becomes live again. It must be the last restore in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        schema_with = "object_name",
        description = "The AgentFSRestore to undo: what was live before it becomes live again. It must be the last restore in place."
    )]
    pub undo: Option<String>,

    /// Where to restore to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,

    /// Which tenants and keys are valid after a restore in place.
    #[serde(default)]
    pub security: Security,

    /// Whether to accept a backup of another database, or of another history of this one.
    #[serde(default)]
    pub allow_foreign: bool,

    /// How many seconds after it finished the resource is deleted. Without it, the resource stays. Either way it does
    /// not run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub ttl_seconds_after_finished: Option<i64>,
}

impl AgentFSRestoreSpec {
    /// The name of the new database, where it makes one. Any other restore, and any undoing, takes the place of what is live.
    pub fn new_database(&self) -> Option<&str> {
        let new = self.target.as_ref()?.new_database.as_ref()?;
        Some(&new.name)
    }
}

/// The backup to restore.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.backup), has(self.id), self.latest, self.latestVerified].filter(set, set).size() == 1").message(
        "set exactly one of backup, id, latest, latestVerified"
    ),
    validation = Rule::new("!has(self.location) || !self.location.matches('(^|/)[.][.](/|$)')").message(
        "location: name the folder itself, without '..'"
    )
)]
pub struct Source {
    /// The name of the AgentFSBackup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "object_name", description = "The name of the AgentFSBackup.")]
    pub backup: Option<String>,

    /// The id of a backup in the catalogue, as `kubectl get afsb -o wide` shows it; optionally after its instance and a
    /// `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = "^[A-Za-z0-9][A-Za-z0-9_./~-]*$"))]
    pub id: Option<String>,

    /// Restore the newest backup.
    #[serde(default)]
    pub latest: bool,

    /// Restore the newest backup that a restore has verified.
    #[serde(default)]
    pub latest_verified: bool,

    /// Where the backup is stored, if not at the destination of the AgentFS: `s3://bucket/prefix`, or a folder of its
    /// backup volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = "^(s3://[^ ]+|/backups(/[^ ]*)?)$"))]
    pub location: Option<String>,
}

/// Where to restore to.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.inPlace) != has(self.newDatabase)")
        .message("set exactly one of inPlace, newDatabase")
)]
pub struct Target {
    /// Replace what is live, while the API serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_place: Option<InPlace>,

    /// Restore into a new database on the same server. Nothing that is live changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_database: Option<NewDatabase>,
}

/// How a backup replaces what is live.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct InPlace {
    /// How the backup replaces what is live. SwapSchema exchanges the tables, and no request fails. RenameDatabase
    /// replaces the whole database, if it is broken beyond its tables. Clean is for servers without space for both
    /// copies: it empties the live tables and fills them again, the API answers 503 meanwhile, and it cannot be undone.
    #[serde(default)]
    pub strategy: Strategy,

    /// How long the previous data is kept, so that the restore can be undone: seconds, or a duration such as 30m, 24h
    /// or 2d. A later restore in place ends that earlier.
    #[serde(default = "InPlace::default_keep_previous")]
    #[schemars(length(min = 1, max = 32), regex(pattern = "^([0-9]+|([0-9]+[dhms])+)$"))]
    pub keep_previous: String,
}

impl InPlace {
    fn default_keep_previous() -> String {
        "24h".into()
    }
}

/// How a restore replaces what is live.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Strategy {
    /// One transaction exchanges the tables; no request fails.
    #[default]
    SwapSchema,
    /// A new database takes the name of the live one, which may be broken beyond its tables.
    RenameDatabase,
    /// The live tables are emptied and filled from the backup, for servers without space for both copies. The API
    /// answers 503 meanwhile. It takes a verified backup, first backs up what is live, and cannot be undone by
    /// spec.undo.
    Clean,
}

/// A new database.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NewDatabase {
    /// The name of the database to create.
    #[schemars(length(min = 1, max = 50), regex(pattern = "^[a-z_][a-z0-9_]*$"))]
    pub name: String,
}

/// Which tenants and keys are valid after a restore in place.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Security {
    /// Those of the live database, so that no revoked key becomes valid again.
    #[default]
    Live,
    /// Only those of the backup, including keys that were revoked since.
    FromBackup,
}

/// The observed state of the restore.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct AgentFSRestoreStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready: whether the restore is done. Reconciling while it runs, Stalled if it failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,

    /// The AgentFSBackup that is restored, or the id of a backup without one; with spec.undo, the AgentFSRestore that
    /// is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub source: Option<String>,

    /// `Waiting`, `Starting`, `Loading`, `Verifying`, `Switching`, `Switched`, `Indexing`, `Done` or `Failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub step: Option<String>,

    /// Progress of the current step, for example `37%`.
    // Written as null where there is none: in the patch of a status that takes it away.
    #[serde(default)]
    #[schemars(length(max = 8))]
    pub progress: Option<String>,

    /// How long requests waited at most during the switch, for example `11ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub downtime: Option<String>,

    /// `Succeeded`, `Failed`, or `AlreadyDone` if a resource with this name and spec ran before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub result: Option<String>,

    /// The id of the restore in the database's record of restores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub id: Option<String>,

    /// The number of versions that are no longer live; an estimate before the switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_versions: Option<i64>,

    /// When the restored data became live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time", description = "When the restored data became live.")]
    pub switched_time: Option<Time>,

    /// Until when the restore can be undone. Absent if nothing of what was live before is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        schema_with = "date_time",
        description = "Until when the restore can be undone. Absent if nothing of what was live before is kept."
    )]
    pub previous_until: Option<Time>,

    /// How long each step took.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub steps: Vec<TimedStep>,

    /// When it finished, successfully or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time", description = "When it finished, successfully or not.")]
    pub finished_time: Option<Time>,
}

impl Conditions for AgentFSRestoreStatus {
    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}
