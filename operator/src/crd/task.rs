//! What the kinds that are carried out once have in common: AgentFSBackup, AgentFSRestore, AgentFSDrill.

use kube::core::Rule;
use schemars::{Schema, SchemaGenerator, json_schema};

/// The schema of the name of an AgentFS.
pub(super) fn agentfs_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 40, "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$"})
}

/// The rule by which a spec stays as it is.
pub(super) fn immutable() -> Rule {
    Rule::new("self == oldSelf").message(
        "the spec is immutable, since it is carried out only once; create another resource with another name",
    )
}

/// The rule by which a name leaves room for those of Jobs and pods.
pub(super) fn short_name() -> Rule {
    Rule::new("self.metadata.name.size() <= 52").message(
        "metadata.name: at most 52 characters, since the names of Jobs and pods are made from it",
    )
}
