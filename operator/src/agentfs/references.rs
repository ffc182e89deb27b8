//! What of others an AgentFS names.

use crate::crd::AgentFSSpec;

/// The names of the Secrets of others that `spec` names.
pub fn secrets(spec: &AgentFSSpec) -> impl Iterator<Item = &str> {
    spec.database.external.iter().map(|external| external.secret_ref.name.as_str())
}
