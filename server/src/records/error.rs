//! Why records were not brought in line with the catalogue.

use agentfs_contract::setting::{BACKUP_INSTANCE, DATABASE_URL, RECORDS_OF};

use super::kubernetes::KubernetesError;
use crate::recovery::RecoveryError;
use crate::recovery::storage::StorageError;

/// Why records were not brought in line with the catalogue, or not all of them.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// Whose records are meant is not known.
    #[error(
        "whose records are meant is not known: set {RECORDS_OF} to the name of the AgentFS, in a pod of its namespace"
    )]
    NoAgentFS,
    /// Which backups are the AgentFS's is not known.
    #[error(
        "which backups are those of the AgentFS is not known, since there are backups of {0}: set {DATABASE_URL} or \
         {BACKUP_INSTANCE}, or name one with `catalog sync --instance`"
    )]
    Whose(String),
    /// The API server was not asked, or refused all of it.
    #[error(transparent)]
    Kubernetes(#[from] KubernetesError),
    /// The catalogue could not be read.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// Something else has the name of a record.
    #[error(
        "the name {0} is that of another AgentFSBackup; delete that one, or its backup has no record"
    )]
    NameTaken(String),
    /// Some were not written.
    #[error("{failed} of {all} records were not written, the first one because: {first}")]
    Some {
        /// How many.
        failed: usize,
        /// Of how many.
        all: usize,
        /// Why the first of them was not.
        #[source]
        first: Box<RecordsError>,
    },
}

impl From<StorageError> for RecordsError {
    fn from(error: StorageError) -> Self {
        Self::Recovery(error.into())
    }
}

impl RecordsError {
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NoAgentFS | Self::Whose(_) | Self::NameTaken(_) => false,
            Self::Kubernetes(error) => error.is_transient(),
            Self::Recovery(error) => error.is_transient(),
            Self::Some { first, .. } => first.is_transient(),
        }
    }
}
