//! Errors of the storage of backups.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use super::s3::{BucketError, Problem};

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
    /// The folder to read backups from is missing.
    #[error(
        "there is no folder {path}, where backups are looked for: check --from (or BACKUP_LOCATION)",
        path = .0.display()
    )]
    NoFolder(PathBuf),
    /// A bucket cannot be used.
    #[error(transparent)]
    Bucket(#[from] Box<BucketError>),
    /// A setting of buckets is wrong.
    #[error("{name}: {problem}")]
    Setting {
        /// The variable.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// There are no credentials for a bucket.
    #[error(
        "there are no credentials for the bucket: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, \
         AWS_SHARED_CREDENTIALS_FILE or BACKUP_S3_CREDENTIALS_DIR, or give the pod a workload identity"
    )]
    NoCredentials,
    /// The name would lead elsewhere than below the location.
    #[error("{0:?} is no name of an object at a location of backups")]
    Name(String),
    /// There is no such object.
    #[error("there is no {0}, or no longer")]
    Missing(String),
    /// There is such an object already.
    #[error("{0} is there already; try again in a second")]
    Exists(String),
    /// An object that has to fit into memory is too large.
    #[error("{0} is too large to be what its name says")]
    TooLarge(String),
    /// Another process has the lock.
    #[error("another process is at work in {0}; wait for its end")]
    Busy(String),
    /// The lock was not renewed in time, so that another process may have it.
    #[error(
        "the lock of {0} could not be held; another process may be at work there by now, so this one ends"
    )]
    LockLost(String),
}

impl StorageError {
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Busy(_) | Self::Exists(_) | Self::LockLost(_) => true,
            Self::Bucket(error) => error.problem.is_transient(),
            _ => false,
        }
    }

    /// Whether there is no such bucket.
    pub fn is_no_bucket(&self) -> bool {
        matches!(self, Self::Bucket(error) if matches!(error.problem, Problem::NoBucket { .. }))
    }

    /// Whether no space is left.
    pub fn is_out_of_space(&self) -> bool {
        match self {
            Self::File { error, .. } => {
                matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
            }
            Self::Bucket(error) => matches!(error.problem, Problem::Full(_)),
            _ => false,
        }
    }

    /// An error of the file or folder at `path`.
    pub(super) fn of(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::File { path, error }
    }
}
