//! Finds which AgentFS works on which external database: two on one would migrate it against each other.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::agentfs::parts::migration::condition::SCHEMA_READY;
use crate::crd::AgentFS;
use crate::crd::agentfs::AgentFSStatus;

/// That another AgentFS works on a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseUse {
    /// Which database, in the words of `DatabaseUrl::identity`.
    pub identity: String,
    /// Whose claim it is, as `namespace/name`.
    pub by: String,
    /// Whether it is before ours: the other was there first.
    pub comes_first: bool,
}

/// Whether `status` says that the AgentFS migrated the database that it names.
pub fn was_migrated(status: &AgentFSStatus) -> bool {
    let noted = status.database.as_ref().and_then(|database| database.migrated);
    // Operators before 0.2 note no such thing. Pods are ready on a migrated schema alone.
    let is_ready = |of: &Condition| of.type_ == SCHEMA_READY && of.status == "True";
    let serves = || status.api.as_ref().is_some_and(|api| api.ready > 0);
    noted.unwrap_or_else(|| status.conditions.iter().any(is_ready) || serves())
}

/// What others than `own` claim. The one that migrated it has it; where neither has, or both, the older of the two.
pub fn of_others(known: &[Arc<AgentFS>], own: &AgentFS) -> Vec<DatabaseUse> {
    let identity = |agentfs: &AgentFS| agentfs.status.as_ref()?.database.as_ref()?.identity.clone();
    let age = |agentfs: &AgentFS| {
        let created = agentfs.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (created, agentfs.metadata.uid.clone())
    };
    let migrated = |agentfs: &AgentFS, database: &String| {
        identity(agentfs).as_ref() == Some(database)
            && agentfs.status.as_ref().is_some_and(was_migrated)
    };
    known
        .iter()
        .filter(|other| other.metadata.uid != own.metadata.uid)
        .filter(|other| other.metadata.deletion_timestamp.is_none())
        .filter_map(|other| {
            let of = &other.metadata;
            let name = |part: &Option<String>| part.clone().unwrap_or_default();
            let theirs = identity(other)?;
            Some(DatabaseUse {
                comes_first: match (migrated(other, &theirs), migrated(own, &theirs)) {
                    (true, false) => true,
                    (false, true) => false,
                    _ => age(other) < age(own),
                },
                identity: theirs,
                by: format!("{}/{}", name(&of.namespace), name(&of.name)),
            })
        })
        .collect()
}
