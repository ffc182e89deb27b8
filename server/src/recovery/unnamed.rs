//! Files that are not opened by a name: temporary ones, of which nothing is left whatever ends this process, and those that another
//! file may take the name of.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use super::error::RecoveryError;

/// An open file. A temporary one is gone once it is closed.
#[derive(Debug)]
pub(super) struct Unnamed(File);

impl From<File> for Unnamed {
    fn from(file: File) -> Self {
        Self(file)
    }
}

impl Unnamed {
    /// An empty temporary one, on the file system of `folder`.
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
