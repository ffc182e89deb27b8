//! The kind `AgentFSDrill`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::fields::Conditions;
use super::fields::conditions::conditions;
use super::fields::moment::date_time;
use super::fields::names::object_name;
use super::task::{agentfs_name, immutable, short_name};

/// What to drill. Immutable, since a drill runs once; create another AgentFSDrill to run another drill.
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
    doc = "AgentFSDrill is a disaster recovery drill of an AgentFS. It writes an entry through the API, makes a backup, restores it into a throwaway PostgreSQL and finds the entry there; with spec.backup it restores an existing backup instead. It measures the recovery point and the recovery time, and does not affect what is live.",
    printcolumn(name = "AgentFS", type_ = "string", description = "The AgentFS that is drilled.", json_path = ".spec.agentFS"),
    printcolumn(name = "Result", type_ = "string", description = "The result of the drill.", json_path = ".status.result"),
    printcolumn(name = "RPO", type_ = "string", description = "The measured recovery point: the longest span of writes that a disaster would have lost.", json_path = ".status.rpo"),
    printcolumn(name = "RTO", type_ = "string", description = "The measured recovery time: how long the restore took until the API served.", json_path = ".status.rto"),
    printcolumn(name = "Objectives", type_ = "string", description = "Whether both meet spec.backup.objectives of the AgentFS.", json_path = ".status.objectives"),
    printcolumn(name = "Backup", type_ = "string", description = "The existing backup that the drill restores, if it makes none of its own.", json_path = ".spec.backup", priority = 1),
    printcolumn(name = "Message", type_ = "string", description = "The message of the condition Ready.", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = 1),
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

    /// An existing AgentFSBackup to restore and serve from. The drill then writes no entry and makes no backup, and the
    /// recovery point is the age of that backup's snapshot when the drill begins; it is not compared with the
    /// objective. Without it, the drill writes an entry and makes its own backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        schema_with = "object_name",
        description = "An existing AgentFSBackup to restore and serve from. The drill then writes no entry and makes no backup, and the recovery point is the age of that backup's snapshot when the drill begins; it is not compared with the objective. Without it, the drill writes an entry and makes its own backup."
    )]
    pub backup: Option<String>,

    /// The time of a scheduled drill, of which this resource is only a record. The operator then runs no drill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]*$"))]
    pub record_of: Option<String>,

    /// How many seconds after it finished the resource is deleted. Without it, the resource stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub ttl_seconds_after_finished: Option<i64>,
}

/// The observed state of the drill.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct AgentFSDrillStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready: whether the drill passed. Reconciling while it runs, Stalled if it did not pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,

    /// `Running`, `Succeeded`, `Failed`, or `AlreadyDone` if a resource with this name and spec ran before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub result: Option<String>,

    /// The current step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub step: Option<String>,

    /// The measured recovery point: the longest span of writes that a disaster would have lost, for example `21h52m`.
    /// With spec.backup, the age of that backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub rpo: Option<String>,

    /// The measured recovery time: how long the restore took until the API served, for example `58s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub rto: Option<String>,

    /// The measured recovery point in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_seconds: Option<i64>,

    /// The measured recovery time in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto_seconds: Option<i64>,

    /// `met` or `missed`. Not set if the AgentFS declares no objectives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub objectives: Option<String>,

    /// How long each step took.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub steps: Vec<TimedStep>,

    /// When it finished, successfully or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time", description = "When it finished, successfully or not.")]
    pub finished_time: Option<Time>,
}

/// A step of a drill or a restore.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TimedStep {
    /// The name of the step.
    #[schemars(length(max = 64))]
    pub name: String,
    /// How long the step took, in milliseconds.
    pub milliseconds: i64,
}

impl Conditions for AgentFSDrillStatus {
    const IS_SHARED: bool = true;

    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}
