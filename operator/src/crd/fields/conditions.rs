//! `status.conditions`, of every kind.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::{Schema, SchemaGenerator, json_schema};

/// A status that has conditions.
pub trait Conditions {
    /// Whether others than the operator write the status as well: what it makes of a copy that is older than theirs is not written.
    const IS_SHARED: bool = false;

    /// Its conditions.
    fn conditions(&self) -> &[Condition];
}

/// The schema of a list of conditions.
pub(in crate::crd) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": {
                    "type": "string", "maxLength": 316,
                    "description": "The type of the condition, for example Ready.",
                },
                "status": {
                    "type": "string", "enum": ["True", "False", "Unknown"],
                    "description": "True, False or Unknown.",
                },
                "reason": {
                    "type": "string", "minLength": 1, "maxLength": 1024,
                    "description": "Why the condition has its status, in one word for programs.",
                },
                "message": {
                    "type": "string", "maxLength": 32768,
                    "description": "The same in a sentence for people: what is wrong, since when, and what to do.",
                },
                "lastTransitionTime": {
                    "type": "string", "format": "date-time",
                    "description": "When the status last changed.",
                },
                "observedGeneration": {
                    "type": "integer", "format": "int64", "minimum": 0,
                    "description": "The generation of the spec that the condition is about.",
                },
            },
        },
    })
}
