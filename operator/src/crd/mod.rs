//! The resource types of the API group `agentfs.io`: a module a kind, and the field types that kinds share.
//!
//! The doc comments of the types are what `kubectl explain` shows, so they speak to the person who
//! writes a manifest. `agentfs-operator crds` prints the definitions that are made from them.

// The derives put a private copy of each type into a module of their own.
#![allow(unreachable_pub)]

pub mod agentfs;
pub mod backup;
pub mod docs;
pub mod drill;
pub mod fields;
pub mod restore;
mod task;

pub use agentfs::AgentFS;
pub use backup::AgentFSBackup;
pub use drill::AgentFSDrill;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt as _;
pub use restore::AgentFSRestore;
use serde_json::json;

/// Every definition that the operator needs in the cluster.
pub fn all() -> Vec<CustomResourceDefinition> {
    [AgentFS::crd(), AgentFSBackup::crd(), AgentFSRestore::crd(), AgentFSDrill::crd()]
        .map(finished)
        .into()
}

/// The definition as the YAML file that is kept in `crds/`.
pub fn to_yaml(crd: &CustomResourceDefinition) -> Result<String, serde_yaml_ng::Error> {
    let body = serde_yaml_ng::to_string(crd)?;
    Ok(format!(
        "# Generated from the types in operator/src/crd by `make generate`; do not edit.\n{body}"
    ))
}

/// The name of that file.
pub fn file_name(crd: &CustomResourceDefinition) -> String {
    format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural)
}

/// A derived definition with what cannot be derived: no field takes null, which would pass for set;
/// a resource that the operator has not seen yet says so in its conditions.
fn finished(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let Some(schema) = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut())
        else {
            continue;
        };
        finish(schema);
        if let Some(status) = schema.properties.as_mut().and_then(|p| p.get_mut("status")) {
            status.default = Some(JSON(json!({"conditions": [{
                "type": "Ready",
                "status": "Unknown",
                "reason": "AwaitingReconcile",
                "message": "The operator has not reconciled this resource yet. Check that agentfs-operator runs and watches this namespace.",
                "lastTransitionTime": "1970-01-01T00:00:00Z",
            }]})));
        }
    }
    crd
}

fn finish(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    // A line of a doc comment is not a line for kubectl, which wraps by itself.
    schema.description = schema.description.take().map(|text| text.replace('\n', " "));
    for property in schema.properties.iter_mut().flat_map(|map| map.values_mut()) {
        finish(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        finish(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        finish(values);
    }
}
