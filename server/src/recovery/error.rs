//! Errors of backups, verifications, restores and drills.

use agentfs_contract::manifest::ManifestError;

use super::storage::StorageError;
use crate::settings::SettingsError;
use crate::store::StoreError;

/// Why something was not done. Partial files are removed.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The environment does not say where the database is.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The location of the backups is none.
    #[error("the location of the backups cannot be used: {0}")]
    Location(String),
    /// The location of the backups failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The database failed or cannot be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is nothing to back up.
    #[error(
        "the database {0} holds no AgentFS data; check DATABASE_URL, or run `agentfs-server migrate` first"
    )]
    NoSchema(String),
    /// PostgreSQL's program is missing.
    #[error(
        "no {program} that can read PostgreSQL {major} was found; install PostgreSQL's client programs (Debian: apt-get install postgresql-client-{major}), or name their folder with --pg-bin"
    )]
    NoProgram {
        /// The program.
        program: &'static str,
        /// The server's major version.
        major: u32,
    },
    /// A program of PostgreSQL failed.
    #[error("{program} failed: {said}")]
    Program {
        /// The program.
        program: &'static str,
        /// Its error message.
        said: String,
    },
    /// The manifest of a backup cannot be used.
    #[error("the backup {id}: {error}")]
    Manifest {
        /// The backup.
        id: String,
        /// Why not.
        #[source]
        error: ManifestError,
    },
    /// No backup is the one that was asked for.
    #[error("{0}")]
    NoBackup(String),
    /// There is no room for the dump.
    #[error(
        "no space is left in {location} ({error}), and what had expired is gone: make the volume larger, or keep fewer backups \
         (now those of {days} days, and the last {keep_last} however old they are), or remove some with `agentfs-server forget`"
    )]
    Full {
        /// The location of the backups.
        location: String,
        /// Backups older than this expire.
        days: u32,
        /// This many of the newest never expire.
        keep_last: usize,
        /// The error.
        #[source]
        error: Box<RecoveryError>,
    },
    /// The new backup was made, but an expired one could not be removed.
    #[error("the backup {made} is complete, but an old one could not be removed: {error}")]
    Prune {
        /// The new dump.
        made: String,
        /// The error.
        #[source]
        error: Box<RecoveryError>,
    },
    /// It took longer than it may.
    #[error("{what} took longer than the {seconds} s of --deadline; nothing of it is left")]
    Deadline {
        /// What took so long.
        what: &'static str,
        /// How long it may take.
        seconds: u64,
    },
    /// Interrupted by a signal.
    #[error("the {0} was ended by a signal; nothing of it is left")]
    Interrupted(&'static str),
}

impl RecoveryError {
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Storage(error) => error.is_transient(),
            Self::Interrupted(_) => true,
            _ => false,
        }
    }

    /// Whether the location of the backups has no space left. A full disk of the database's is another matter.
    pub(super) fn is_out_of_space(&self) -> bool {
        matches!(self, Self::Storage(error) if error.is_out_of_space())
    }
}
