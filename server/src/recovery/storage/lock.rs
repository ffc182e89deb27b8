//! A lock at a location: one process has it at a time.

use std::fs::File;

use nix::fcntl::Flock;

use super::error::StorageError;

/// A lock that is held. It ends with the value, or with the process, however that ends.
#[derive(Debug)]
pub enum Lock {
    /// Of a folder: released by the kernel.
    Folder(Flock<File>),
}

impl Lock {
    /// Fails where the lock is no longer held: whoever has it now may be at work. To be asked before each step that must not be
    /// done twice.
    pub async fn check(&self) -> Result<(), StorageError> {
        match self {
            Self::Folder(_) => Ok(()),
        }
    }

    /// Gives the lock back.
    pub async fn release(self) {}
}
