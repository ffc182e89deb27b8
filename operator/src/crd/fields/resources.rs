//! CPU and memory of a pod.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::Quantity;

/// CPU and memory of a pod, as in a container's `resources`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.requests) || !has(self.limits) || self.requests.all(name, !(name in self.limits) || !isQuantity(string(self.requests[name])) || !isQuantity(string(self.limits[name])) || !quantity(string(self.requests[name])).isGreaterThan(quantity(string(self.limits[name]))))").message(
        "requests must not be greater than limits"
    )
)]
pub struct Resources {
    /// Resources that are reserved on the node, for example `{cpu: 250m, memory: 256Mi}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(
        schema_with = "requests",
        description = "Resources that are reserved on the node, for example `{cpu: 250m, memory: 256Mi}`."
    )]
    pub requests: BTreeMap<String, Quantity>,

    /// The most that a container may use. A container over its memory limit is killed and restarted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(
        schema_with = "limits",
        description = "The most that a container may use. A container over its memory limit is killed and restarted."
    )]
    pub limits: BTreeMap<String, Quantity>,
}

fn requests(_: &mut SchemaGenerator) -> Schema {
    // Other tools write whole bytes in thousandths too.
    amounts(
        "!string(self['memory']).matches('[num]$') || quantity(string(self['memory'])).compareTo(quantity('0')) == 0 || !quantity(string(self['memory'])).isLessThan(quantity('16Mi'))",
        "memory must not be a fraction of bytes; m stands for a thousandth of a byte, Mi for mebibytes",
    )
}

fn limits(_: &mut SchemaGenerator) -> Schema {
    amounts(
        "!quantity(string(self['memory'])).isLessThan(quantity('16Mi'))",
        "memory must be at least 16Mi; m stands for a thousandth of a byte, Mi for mebibytes",
    )
}

/// Amounts, of which that of memory keeps the rule `memory`.
fn amounts(memory: &str, message: &str) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "x-kubernetes-validations": [{
            "rule": "self.all(name, isQuantity(string(self[name])) && !quantity(string(self[name])).isLessThan(quantity('0')))",
            "message": "every value must be a quantity; examples: cpu: 250m, memory: 512Mi",
        }, {
            "rule": format!("!('memory' in self) || !isQuantity(string(self['memory'])) || {memory}"),
            "message": message,
        }],
        "additionalProperties": Quantity::amount_schema(),
    })
}
