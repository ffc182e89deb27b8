//! Temporary files without a name: nothing is left of them, whatever ends this process.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use super::error::RecoveryError;

/// A file that is gone once it is closed.
#[derive(Debug)]
pub(super) struct Unnamed(File);

impl Unnamed {
    /// An empty one, on the file system of `folder`.
    pub(super) fn new(folder: &Path) -> Result<Self, RecoveryError> {
        tempfile::tempfile_in(folder).map(Self).map_err(RecoveryError::WorkFolder)
    }

    /// The file, to write it.
    pub(super) fn file(&self) -> &File {
        &self.0
    }

    /// Where this process and its children open it, for as long as this value lives.
    pub(super) fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()).into()
    }
}
