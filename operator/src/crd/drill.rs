//! The kind `AgentFSDrill`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::fields::Conditions;
use super::fields::conditions::conditions;
use super::fields::moment::date_time;
use super::fields::names::object_name;
use super::task::{agentfs_name, immutable, short_name};

/// What is to be drilled. It cannot be changed: a drill is carried out once. For another one create another AgentFSDrill.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "agentfs.io",
    version = "v1alpha1",
    kind = "AgentFSDrill",
    plural = "agentfsdrills",
    singular = "agentfsdrill",
    shortname = "afsd",
    namespaced,
    status = "AgentFSDrillStatus",
    derive = "PartialEq",
    doc = "AgentFSDrill is a disaster recovery drill of an AgentFS: an entry is written by its API, backed up, restored into a PostgreSQL of its own and found there again; or, with spec.backup, a backup that is there already is restored there. It measures the recovery point and the recovery time, and touches nothing that serves.",
    printcolumn(name = "AgentFS", type_ = "string", description = "Whose drill it is.", json_path = ".spec.agentFS"),
    printcolumn(name = "Result", type_ = "string", description = "How it ended.", json_path = ".status.result"),
    printcolumn(name = "RPO", type_ = "string", description = "The most time whose writes a disaster would have lost.", json_path = ".status.rpo"),
    printcolumn(name = "RTO", type_ = "string", description = "How long the restore took until the API served.", json_path = ".status.rto"),
    printcolumn(name = "Objectives", type_ = "string", description = "Whether both are within spec.backup.objectives of the AgentFS.", json_path = ".status.objectives"),
    printcolumn(name = "Backup", type_ = "string", description = "The backup that was to be restored, where it is not one of its own.", json_path = ".spec.backup", priority = 1),
    printcolumn(name = "Message", type_ = "string", description = "How it stands, as a sentence.", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = short_name()
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = immutable())]
pub struct AgentFSDrillSpec {
    /// The AgentFS, in this namespace.
    #[serde(rename = "agentFS")]
    #[schemars(schema_with = "agentfs_name", description = "The AgentFS, in this namespace.")]
    pub agent_fs: String,

    /// The AgentFSBackup that is restored, and served from there; no entry is written, and no backup made. The recovery point is then the age
    /// of its snapshot as the drill begins, and not held to the AgentFS's objective: the backup may be any. Left out, the drill writes an
    /// entry and makes a backup of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        schema_with = "object_name",
        description = "The AgentFSBackup that is restored, and served from there; no entry is written, and no backup made. The recovery point is then the age of its snapshot as the drill begins, and not held to the AgentFS's objective: the backup may be any. Left out, the drill writes an entry and makes a backup of its own."
    )]
    pub backup: Option<String>,

    /// The moment of a drill that was carried out by the schedule: this resource is its record, and nothing is done for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]*$"))]
    pub record_of: Option<String>,

    /// How many seconds after its end the resource is deleted. Left out, it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub ttl_seconds_after_finished: Option<i64>,
}

/// How the drill stands.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct AgentFSDrillStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready: whether the drill passed; Reconciling while it is under way, Stalled where it did not pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,

    /// `Running`, `Succeeded`, `Failed`, or `AlreadyDone` where a resource of this name and spec was carried out before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub result: Option<String>,

    /// The step that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub step: Option<String>,

    /// The most time whose writes a disaster would have lost, for example `21h52m`. With spec.backup, the age of that backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub rpo: Option<String>,

    /// How long the restore took until the API served, for example `58s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub rto: Option<String>,

    /// The recovery point in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_seconds: Option<i64>,

    /// The recovery time in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto_seconds: Option<i64>,

    /// `met` or `missed`; left out where the AgentFS declares none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub objectives: Option<String>,

    /// How long each step took.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub steps: Vec<TimedStep>,

    /// When it ended, well or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time", description = "When it ended, well or not.")]
    pub finished_time: Option<Time>,
}

/// A step of a drill or a restore.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TimedStep {
    /// What was done.
    #[schemars(length(max = 64))]
    pub name: String,
    /// How long it took, in milliseconds.
    pub milliseconds: i64,
}

impl Conditions for AgentFSDrillStatus {
    const IS_SHARED: bool = true;

    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}
