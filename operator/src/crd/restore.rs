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

/// What is to be restored. It cannot be changed, and is carried out once for ever: for another one create another AgentFSRestore, with
/// another name.
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
    doc = "AgentFSRestore restores a backup of an AgentFS: in place, while the API serves, or into a new database for a look. A restore in place can be undone by another AgentFSRestore with spec.undo. Each is carried out once for ever, also where the same manifest is applied again after it was deleted. Deleting it before the switch cancels it, unless it has emptied the live tables (strategy Clean): then they stay empty until the same, or another backup, is restored by Clean.",
    printcolumn(name = "AgentFS", type_ = "string", description = "What is restored.", json_path = ".spec.agentFS"),
    printcolumn(name = "Source", type_ = "string", description = "The backup, or the restore that is undone.", json_path = ".status.source"),
    printcolumn(name = "Step", type_ = "string", description = "The step that is under way.", json_path = ".status.step"),
    printcolumn(name = "Progress", type_ = "string", description = "How much of the step is done.", json_path = ".status.progress"),
    printcolumn(name = "Downtime", type_ = "string", description = "How long requests waited for the switch at most.", json_path = ".status.downtime"),
    printcolumn(name = "Result", type_ = "string", description = "How it ended.", json_path = ".status.result"),
    printcolumn(name = "Lost", type_ = "integer", description = "Versions that are not live any more.", json_path = ".status.lostVersions", priority = 1),
    printcolumn(name = "Message", type_ = "string", description = "How it stands, as a sentence.", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = short_name(),
    validation = Rule::new("!has(self.spec.undo) || self.spec.undo != self.metadata.name").message(
        "spec.undo: name the AgentFSRestore that is taken back, not this one"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = immutable(),
    validation = Rule::new("has(self.undo) != has(self.source)").message(
        "set exactly one of source (to restore a backup) and undo (to take a restore in place back)"
    ),
    validation = Rule::new("!has(self.source) || has(self.target)").message(
        "target: say where the backup is restored to: inPlace: {} or newDatabase: {name: …}"
    ),
    validation = Rule::new("!has(self.undo) || !has(self.target) || !has(self.target.newDatabase)").message(
        "undo takes a restore in place back: leave target.newDatabase out"
    ),
    validation = Rule::new("self.security == 'Live' || (has(self.source) && (!has(self.target) || has(self.target.inPlace)))").message(
        "security is for source with target.inPlace: leave it out with target.newDatabase, which takes all from the backup, and with undo"
    ),
    validation = Rule::new("!self.allowForeign || has(self.source)").message(
        "allowForeign is for a backup: leave it out with undo"
    )
)]
pub struct AgentFSRestoreSpec {
    /// The AgentFS, in this namespace.
    #[serde(rename = "agentFS")]
    #[schemars(schema_with = "agentfs_name", description = "The AgentFS, in this namespace.")]
    pub agent_fs: String,

    /// Which backup is restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,

    /// The AgentFSRestore that is taken back: what was live before it is live again. It must be the last one in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        schema_with = "object_name",
        description = "The AgentFSRestore that is taken back: what was live before it is live again. It must be the last one in place."
    )]
    pub undo: Option<String>,

    /// Where it is restored to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,

    /// Whose tenants and keys are valid after a restore in place.
    #[serde(default)]
    pub security: Security,

    /// Also a backup of another database, or of another history of this one.
    #[serde(default)]
    pub allow_foreign: bool,

    /// How many seconds after its end the resource is deleted. Left out, it stays. Deleted or not, it is not carried out again.
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

/// Which backup is restored.
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
    /// The AgentFSBackup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "object_name", description = "The AgentFSBackup.")]
    pub backup: Option<String>,

    /// The id of a backup in the catalogue, as `kubectl get afsb -o wide` shows it; perhaps with its instance before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = "^[A-Za-z0-9][A-Za-z0-9_./~-]*$"))]
    pub id: Option<String>,

    /// The newest backup.
    #[serde(default)]
    pub latest: bool,

    /// The newest backup that was proven by a restore.
    #[serde(default)]
    pub latest_verified: bool,

    /// Where it is, if not at the destination of the AgentFS: `s3://bucket/prefix`, or a folder in its volume of backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = "^(s3://[^ ]+|/backups(/[^ ]*)?)$"))]
    pub location: Option<String>,
}

/// Where a backup is restored to.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.inPlace) != has(self.newDatabase)")
        .message("set exactly one of inPlace, newDatabase")
)]
pub struct Target {
    /// It takes the place of what is live, while the API serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_place: Option<InPlace>,

    /// A new database on the same server. Nothing that is live is changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_database: Option<NewDatabase>,
}

/// How a backup takes the place of what is live.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct InPlace {
    /// By what it takes the place of what is live. SwapSchema exchanges the tables, and no request fails. RenameDatabase is for a database that
    /// is broken as a whole. Clean is for where there is no room for both: the live tables are emptied and filled again, requests are answered
    /// by 503 meanwhile, and it cannot be undone.
    #[serde(default)]
    pub strategy: Strategy,

    /// How long what was live before stays, so that the restore can be undone: seconds, or such as 30m, 24h or 2d.
    #[serde(default = "InPlace::default_keep_previous")]
    #[schemars(length(min = 1, max = 32), regex(pattern = "^([0-9]+|([0-9]+[dhms])+)$"))]
    pub keep_previous: String,
}

impl InPlace {
    fn default_keep_previous() -> String {
        "24h".into()
    }
}

/// How a restore takes the place of what is live.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Strategy {
    /// One transaction exchanges the tables; no request fails.
    #[default]
    SwapSchema,
    /// A new database gets the name of the live one: for a database that is broken as a whole.
    RenameDatabase,
    /// The live tables are emptied and filled from the backup, with requests answered by 503 meanwhile, where there is no room for both. It
    /// takes a verified backup, backs up what is live before, and cannot be undone by spec.undo.
    Clean,
}

/// A new database.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NewDatabase {
    /// The name of the database, which is made.
    #[schemars(length(min = 1, max = 50), regex(pattern = "^[a-z_][a-z0-9_]*$"))]
    pub name: String,
}

/// Whose tenants and keys are valid afterwards.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Security {
    /// Those of now, so that no revoked key comes back.
    #[default]
    Live,
    /// The backup's alone, revoked ones included.
    FromBackup,
}

/// How the restore stands.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct AgentFSRestoreStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready: whether it is done; Reconciling while it is under way, Stalled where it failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,

    /// The AgentFSBackup, or the id of a backup that has none here; of an undoing, the AgentFSRestore that it takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub source: Option<String>,

    /// `Waiting`, `Starting`, `Loading`, `Verifying`, `Switching`, `Switched`, `Indexing`, `Done` or `Failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub step: Option<String>,

    /// How much of the step is done, for example `37%`.
    // Written as null where there is none: in the patch of a status that takes it away.
    #[serde(default)]
    #[schemars(length(max = 8))]
    pub progress: Option<String>,

    /// How long requests waited for the switch at most, for example `11ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub downtime: Option<String>,

    /// `Succeeded`, `Failed`, or `AlreadyDone` where a resource of this name and spec was carried out before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub result: Option<String>,

    /// Its id in the database's records of restores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub id: Option<String>,

    /// Versions that are not live any more; before the switch an estimate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_versions: Option<i64>,

    /// Since when what was restored is live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time", description = "Since when what was restored is live.")]
    pub switched_time: Option<Time>,

    /// Until when it can be undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time", description = "Until when it can be undone.")]
    pub previous_until: Option<Time>,

    /// How long each step took.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub steps: Vec<TimedStep>,

    /// When it ended, well or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time", description = "When it ended, well or not.")]
    pub finished_time: Option<Time>,
}

impl Conditions for AgentFSRestoreStatus {
    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}
