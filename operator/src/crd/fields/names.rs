//! Names of Secrets, ConfigMaps and their entries, as the API server bounds them.

use schemars::{Schema, SchemaGenerator, json_schema};

/// The pattern of a Secret's or ConfigMap's name.
pub(in crate::crd) const NAME: &str = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";
/// The pattern of a key in a Secret or ConfigMap.
pub(in crate::crd) const ENTRY: &str = "^[-._a-zA-Z0-9]+$";

/// The schema of the name of a Secret or ConfigMap.
pub(in crate::crd) fn object_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 253, "pattern": NAME})
}

/// The schema of a key of a Secret or ConfigMap.
pub(in crate::crd) fn entry_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 253, "pattern": ENTRY})
}
