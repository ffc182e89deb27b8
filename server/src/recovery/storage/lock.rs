//! A lock at a location: one process has it at a time.

use std::fs::File;

use nix::fcntl::Flock;

use super::error::StorageError;
use super::s3::BucketLock;

/// A lock that is held. It ends with the value, or with the process, however that ends; the one of a bucket ends some time later
/// then, by itself.
#[derive(Debug)]
pub enum Lock {
    /// Of a folder: released by the kernel.
    Folder(Flock<File>),
    /// Of a bucket: renewed while it is held.
    Bucket(BucketLock),
    /// Of a bucket without conditional writes: it keeps nobody out, and the lock in the database has to do.
    Unguarded,
}

impl Lock {
    /// Fails where the lock is no longer held: whoever has it now may be at work. To be asked before each step that must not be
    /// done twice.
    #[expect(clippy::unused_async, reason = "a storage may have to ask")]
    pub async fn check(&self) -> Result<(), StorageError> {
        match self {
            Self::Folder(_) | Self::Unguarded => Ok(()),
            Self::Bucket(lock) => lock.check(),
        }
    }

    /// Gives the lock back.
    pub async fn release(self) {
        if let Self::Bucket(lock) = self {
            lock.release().await;
        }
    }
}
