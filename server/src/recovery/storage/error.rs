//! Errors of the storage of backups.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

/// Why an object could not be read, written or removed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A file or folder cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// There is such an object already.
    #[error("{0} is there already; try again in a second")]
    Exists(String),
    /// An object that has to fit into memory is too large.
    #[error("{0} is too large to be what its name says")]
    TooLarge(String),
    /// Another process has the lock.
    #[error("another process is at work in {0}; wait for its end")]
    Busy(String),
    /// This build cannot use such a location.
    #[error("this location cannot be used")]
    Unsupported,
}

impl StorageError {
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::Exists(_))
    }

    /// Whether no space is left.
    pub fn is_out_of_space(&self) -> bool {
        matches!(self, Self::File { error, .. } if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
    }

    /// An error of the file or folder at `path`.
    pub(super) fn of(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::File { path, error }
    }
}
