//! `extraEnv`: environment variables besides those that the operator sets.

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::crd::fields::names::{ENTRY, NAME};

/// The schema of environment variables that a container is given besides those of the operator.
pub(super) fn extra_env(_: &mut SchemaGenerator) -> Schema {
    let source = |what: &str, of: &str| {
        serde_json::json!({
            "type": "object",
            "required": ["name", "key"],
            "description": what,
            "properties": {
                "name": {
                    "type": "string", "minLength": 1, "maxLength": 253, "pattern": NAME,
                    "description": format!("The {of}'s name, in this namespace."),
                },
                "key": {
                    "type": "string", "minLength": 1, "maxLength": 253, "pattern": ENTRY,
                    "description": format!("The key in the {of}."),
                },
                "optional": {
                    "type": "boolean",
                    "description": format!("Whether the pod may start without the {of}."),
                },
            },
        })
    };
    json_schema!({
        "type": "array",
        "maxItems": 64,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "items": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {
                    "type": "string", "minLength": 1, "maxLength": 128,
                    "pattern": "^[-._a-zA-Z][-._a-zA-Z0-9]*$",
                    "description": "The name of the variable.",
                    "x-kubernetes-validations": [{
                        "rule": "!(self in ['DATABASE_URL', 'LISTEN', 'PORT', 'PORT_OPERATIONS', 'AGENTFS_ADMIN_KEY'])",
                        "message": "the operator sees to DATABASE_URL, LISTEN, PORT, PORT_OPERATIONS and AGENTFS_ADMIN_KEY itself; leave them out",
                    }],
                },
                "value": {
                    "type": "string", "maxLength": 4096,
                    "description": "The value of the variable.",
                },
                "valueFrom": {
                    "type": "object",
                    "description": "The source of the value. The pods are replaced when it changes.",
                    "properties": {
                        "secretKeyRef": source("A key of a Secret.", "Secret"),
                        "configMapKeyRef": source("A key of a ConfigMap.", "ConfigMap"),
                    },
                    "x-kubernetes-validations": [{
                        "rule": "has(self.secretKeyRef) != has(self.configMapKeyRef)",
                        "message": "set exactly one of secretKeyRef, configMapKeyRef",
                    }],
                },
            },
            "x-kubernetes-validations": [{
                "rule": "!(has(self.value) && has(self.valueFrom))",
                "message": "set value or valueFrom, not both",
            }],
        },
    })
}
