//! Finds which AgentFS works on which external database: two on one would migrate it against each other.

use std::sync::Arc;

use crate::agentfs::parts::migration::condition::SCHEMA_READY;
use crate::crd::AgentFS;

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

/// What others than `own` claim. The one that migrated it has it; where both did, or neither, the older
/// of the two.
pub fn of_others(known: &[Arc<AgentFS>], own: &AgentFS) -> Vec<DatabaseUse> {
    let identity = |agentfs: &AgentFS| agentfs.status.as_ref()?.database.as_ref()?.identity.clone();
    let age = |agentfs: &AgentFS| {
        let created = agentfs.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (created, agentfs.metadata.uid.clone())
    };
    let migrated = |agentfs: &AgentFS, database: &String| {
        let conditions = agentfs.status.iter().flat_map(|status| &status.conditions);
        let mut schema = conditions.filter(|c| c.type_ == SCHEMA_READY && c.status == "True");
        identity(agentfs).as_ref() == Some(database) && schema.next().is_some()
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
                    (true, true) | (false, false) => age(other) < age(own),
                },
                identity: theirs,
                by: format!("{}/{}", name(&of.namespace), name(&of.name)),
            })
        })
        .collect()
}
