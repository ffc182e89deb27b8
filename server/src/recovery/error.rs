//! Errors of `agentfs-server backup`.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use crate::settings::SettingsError;
use crate::store::StoreError;

/// Why a backup was not made. Partial files are removed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The environment does not say where the database is.
    #[error(transparent)]
    Settings(#[from] SettingsError),
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
    /// The dump is incomplete.
    #[error("the dump is not usable: {0}; it was removed")]
    Unusable(String),
    /// Another backup is being made at the same place.
    #[error("another backup is being made in {0}; wait for its end")]
    Busy(PathBuf),
    /// A file or folder cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// There is no room for the dump.
    #[error(
        "no space is left in {folder} ({error}), and what had expired is gone: make the volume larger, or keep fewer backups \
         (now those of {days} days, and the last {keep_last} however old they are), or delete some there by hand, each dump \
         with its .manifest.json"
    )]
    Full {
        /// The folder of the backups.
        folder: PathBuf,
        /// Backups older than this expire.
        days: u32,
        /// This many of the newest never expire.
        keep_last: usize,
        /// The error.
        #[source]
        error: Box<BackupError>,
    },
    /// The new backup was made, but an expired one could not be removed.
    #[error("the backup {made} is complete, but an old one could not be removed: {error}")]
    Prune {
        /// The new dump.
        made: PathBuf,
        /// The error.
        #[source]
        error: Box<BackupError>,
    },
    /// Interrupted by a signal.
    #[error("the backup was ended by a signal; nothing of it is left")]
    Interrupted,
}

impl BackupError {
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Busy(_) | Self::Interrupted => true,
            _ => false,
        }
    }

    /// Whether the folder of the backups has no space left. A full disk of the database's is another matter.
    pub(super) fn is_out_of_space(&self) -> bool {
        match self {
            Self::File { error, .. } => {
                matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
            }
            Self::Program { said, .. } => {
                let full = ["No space left on device", "Disk quota exceeded"];
                full.iter().any(|full| said.contains(full)) && !said.contains("ERROR:")
            }
            _ => false,
        }
    }

    /// An error of the file or folder at `path`.
    pub(super) fn of(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::File { path, error }
    }
}
