//! Scheduling, labels and annotations, which every kind of pod of an AgentFS takes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::names::object_name;

/// Scheduling, labels and annotations of pods. The fields have the names that they have in a pod.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct PodSettings {
    /// Labels that a node must have to run the pods, for example `{kubernetes.io/arch: amd64}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "node_selector")]
    pub node_selector: BTreeMap<String, String>,

    /// Node taints that the pods tolerate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "tolerations")]
    pub tolerations: Vec<core::Toleration>,

    /// Node affinity, pod affinity and anti-affinity, as in a pod (`kubectl explain pod.spec.affinity`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "affinity")]
    pub affinity: Option<Affinity>,

    /// How the pods are spread over nodes and zones. Defaults to a spread over both, as far as possible. It applies to
    /// the pods of this component, so it takes no labelSelector.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "topology_spread_constraints")]
    pub topology_spread_constraints: Vec<core::TopologySpreadConstraint>,

    /// The PriorityClass of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub priority_class_name: Option<String>,

    /// Additional labels of the pods. The prefix `app.kubernetes.io/` is reserved for the operator.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "pod_labels")]
    pub pod_labels: BTreeMap<String, String>,

    /// Additional annotations of the pods. The prefix `agentfs.io/` is reserved for the operator.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "pod_annotations")]
    pub pod_annotations: BTreeMap<String, String>,
}

/// An affinity as it was written. Its whole schema would be 24 KB for each kind of pod, most of the
/// definition, so the operator checks it, and says what is wrong with it in the condition Ready.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(transparent)]
pub struct Affinity(Value);

/// More than any affinity that people write.
const LONGEST_AFFINITY: usize = 16 * 1024;

impl Affinity {
    /// The affinity in Kubernetes' own type, or what is wrong with it.
    pub fn parsed(&self) -> Result<core::Affinity, String> {
        let written = self.0.to_string();
        if written.len() > LONGEST_AFFINITY {
            return Err(format!("it has {} bytes, and at most 16384 are taken", written.len()));
        }
        let parsed: core::Affinity =
            serde_json::from_str(&written).map_err(|error| error.to_string())?;
        let understood = serde_json::to_value(&parsed).map_err(|error| error.to_string())?;
        match lost("", &self.0, &understood) {
            Some(path) => Err(format!("it has no field {path}")),
            None => Ok(parsed),
        }
    }
}

/// The first path of `written` that `understood` lacks: a name that is spelled wrong.
fn lost(path: &str, written: &Value, understood: &Value) -> Option<String> {
    match (written, understood) {
        (Value::Object(written), Value::Object(understood)) => {
            written.iter().filter(|(_, value)| !value.is_null()).find_map(|(key, value)| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match understood.get(key) {
                    Some(understood) => lost(&path, value, understood),
                    None => Some(path),
                }
            })
        }
        (Value::Array(written), Value::Array(understood)) => written
            .iter()
            .zip(understood)
            .enumerate()
            .find_map(|(at, (w, u))| lost(&format!("{path}[{at}]"), w, u)),
        _ => None,
    }
}

/// The pattern of a label's key or a taint's.
const KEY: &str =
    "^([a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?/)?[a-zA-Z0-9]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?$";
/// The pattern of a label's value.
const VALUE: &str = "^([a-zA-Z0-9]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?)?$";

fn labels(max: u32) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": max,
        "additionalProperties": {"type": "string", "maxLength": 63, "pattern": VALUE},
    })
}

fn node_selector(_: &mut SchemaGenerator) -> Schema {
    labels(16)
}

fn pod_labels(_: &mut SchemaGenerator) -> Schema {
    let mut schema = labels(32);
    schema.insert(
        "x-kubernetes-validations".into(),
        serde_json::json!([{
            "rule": "!self.exists(key, key.startsWith('app.kubernetes.io/'))",
            "message": "labels that begin with app.kubernetes.io/ are the operator's; choose another prefix",
        }]),
    );
    schema
}

fn pod_annotations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": {"type": "string", "maxLength": 4096},
        "x-kubernetes-validations": [{
            "rule": "!self.exists(key, key.startsWith('agentfs.io/'))",
            "message": "annotations that begin with agentfs.io/ are the operator's; choose another prefix",
        }],
    })
}

fn tolerations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "items": {
            "type": "object",
            "properties": {
                "key": {
                    "type": "string", "maxLength": 316, "pattern": KEY,
                    "description": "The key of the taint. Without it, operator Exists tolerates every taint.",
                },
                "operator": {
                    "type": "string", "enum": ["Exists", "Equal"],
                    "description": "Equal compares the value of the taint with value; Exists accepts any value. Defaults to Equal.",
                },
                "value": {
                    "type": "string", "maxLength": 63, "pattern": VALUE,
                    "description": "The value of the taint, with operator Equal.",
                },
                "effect": {
                    "type": "string", "enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"],
                    "description": "The effect of the taint. Defaults to every effect.",
                },
                "tolerationSeconds": {
                    "type": "integer", "format": "int64", "minimum": 0, "maximum": 604_800,
                    "description": "How many seconds a NoExecute taint is tolerated. Defaults to forever.",
                },
            },
            "x-kubernetes-validations": [
                {
                    "rule": "has(self.key) || (has(self.operator) && self.operator == 'Exists')",
                    "message": "name the taint's key, or set operator: Exists to tolerate every taint",
                },
                {
                    "rule": "!has(self.value) || !has(self.operator) || self.operator == 'Equal'",
                    "message": "operator Exists takes no value; leave value out",
                },
            ],
        },
    })
}

fn topology_spread_constraints(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 8,
        "items": {
            "type": "object",
            "required": ["maxSkew", "topologyKey", "whenUnsatisfiable"],
            "properties": {
                "maxSkew": {
                    "type": "integer", "format": "int32", "minimum": 1, "maximum": 100,
                    "description": "By how many pods two topology domains may differ.",
                },
                "topologyKey": {
                    "type": "string", "minLength": 1, "maxLength": 316, "pattern": KEY,
                    "description": "The node label that defines the topology domains, for example topology.kubernetes.io/zone.",
                },
                "whenUnsatisfiable": {
                    "type": "string", "enum": ["DoNotSchedule", "ScheduleAnyway"],
                    "description": "Whether a pod that would break the constraint is scheduled.",
                },
                "minDomains": {
                    "type": "integer", "format": "int32", "minimum": 1, "maximum": 100,
                    "description": "The minimum number of domains that must have a pod; only with DoNotSchedule.",
                },
                "nodeAffinityPolicy": {
                    "type": "string", "enum": ["Honor", "Ignore"],
                    "description": "Whether nodeAffinity and nodeSelector are honored when domains are counted.",
                },
                "nodeTaintsPolicy": {
                    "type": "string", "enum": ["Honor", "Ignore"],
                    "description": "Whether node taints are honored when domains are counted.",
                },
            },
        },
    })
}

fn affinity(_: &mut SchemaGenerator) -> Schema {
    let mut kinds = Map::new();
    for (name, what) in [
        ("nodeAffinity", "Nodes that the pods run on, chosen by the labels of nodes."),
        ("podAffinity", "Pods that they run beside, on the same node or in the same zone."),
        ("podAntiAffinity", "Pods that they stay away from."),
    ] {
        kinds.insert(
            name.into(),
            serde_json::json!({
                "type": "object",
                "maxProperties": 2,
                "x-kubernetes-preserve-unknown-fields": true,
                "description": what,
            }),
        );
    }
    json_schema!({"type": "object", "properties": kinds})
}

/// A Secret with the credentials of an image registry.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ImagePullSecret {
    /// The Secret's name, in the namespace of the AgentFS.
    #[schemars(schema_with = "object_name")]
    pub name: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_affinity_is_read_as_kubernetes_reads_it() {
        let affinity = Affinity(json!({"podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": {
                "topologyKey": "kubernetes.io/hostname",
                "labelSelector": {"matchLabels": {"app": "x"}}}}]}}));
        assert!(affinity.parsed().unwrap().pod_anti_affinity.is_some());
    }

    #[test]
    fn what_is_wrong_with_an_affinity_is_named() {
        let wrong = |value| Affinity(value).parsed().unwrap_err();
        assert_eq!(
            wrong(json!({"nodeAffinity": {"requiredDuringScheduling": {}}})),
            "it has no field nodeAffinity.requiredDuringScheduling"
        );
        let terms = json!([{"weight": 1, "preference": {"matchExpressions": [{"kee": "x"}]}}]);
        assert_eq!(
            wrong(
                json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": terms}})
            ),
            "it has no field nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].kee"
        );
        assert!(wrong(json!({"podAffinity": "none"})).contains("invalid type"));
        assert!(wrong(json!({"podAffinity": {"x": "y".repeat(20_000)}})).contains("at most 16384"));
    }
}
