//! The objects at a location, by names such as `instance/agentfs_20260128_020000.dump`. Each is written once, whole or not at all,
//! and never changed, so that buckets with object lock hold them as well.

mod error;
mod folder;
mod lock;
mod s3;
mod settling;

use std::fmt;
use std::fs::File;
use std::pin::Pin;
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::AsyncRead;

use self::folder::Folder;
use self::s3::Bucket;
use super::location::Location;
pub use error::StorageError;
pub use lock::Lock;
pub use s3::{BucketError, BucketSettings, Problem};
pub use settling::settled;

/// What is read of an object that has to fit into memory, such as a manifest, in bytes.
pub const SMALL: u64 = 1 << 20;

/// An object that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its name, relative to the location, with `/` between its parts.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was written.
    pub modified: Timestamp,
}

/// How a removal ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// The object is gone, or was not there.
    Removed,
    /// The location keeps it, by object lock: until when, if it says so. That is no error.
    Protected(Option<Timestamp>),
}

/// The storage at a location.
#[derive(Debug, Clone)]
pub enum Storage {
    /// A folder.
    Folder(Folder),
    /// A prefix of a bucket.
    Bucket(Bucket),
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.fmt(f),
            Self::Bucket(bucket) => bucket.fmt(f),
        }
    }
}

impl Storage {
    /// Opens a location to write to; a folder that is missing is made, for its owner alone. A bucket has to be there.
    pub async fn create(location: &Location) -> Result<Self, StorageError> {
        Self::create_with(location, &BucketSettings::from_env()).await
    }

    /// Opens a location to read from; it has to be there.
    pub async fn open(location: &Location) -> Result<Self, StorageError> {
        Self::open_with(location, &BucketSettings::from_env()).await
    }

    /// [`Self::create`] with other settings of buckets than those in the environment.
    pub async fn create_with(
        location: &Location,
        settings: &BucketSettings,
    ) -> Result<Self, StorageError> {
        match location {
            Location::Folder(path) => Folder::create(path).await.map(Self::Folder),
            Location::Bucket { .. } => Self::open_with(location, settings).await,
        }
    }

    /// [`Self::open`] with other settings of buckets than those in the environment.
    pub async fn open_with(
        location: &Location,
        settings: &BucketSettings,
    ) -> Result<Self, StorageError> {
        match location {
            Location::Folder(path) => Folder::open(path).await.map(Self::Folder),
            Location::Bucket { bucket, prefix } => {
                Bucket::open(bucket, prefix, settings).await.map(Self::Bucket)
            }
        }
    }

    /// All objects, sorted by name. What is being written is none.
    pub async fn list(&self) -> Result<Vec<Object>, StorageError> {
        match self {
            Self::Folder(folder) => folder.list().await,
            Self::Bucket(bucket) => bucket.list().await,
        }
    }

    /// A small object; `None` where it is missing. One of more than [`SMALL`] bytes is an error.
    pub async fn read_small(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        checked(name)?;
        match self {
            Self::Folder(folder) => folder.read_small(name).await,
            Self::Bucket(bucket) => bucket.read_small(name).await,
        }
    }

    /// An object from its first byte on.
    pub async fn read(&self, name: &str) -> Result<Pin<Box<dyn AsyncRead + Send>>, StorageError> {
        checked(name)?;
        match self {
            Self::Folder(folder) => folder.read(name).await,
            Self::Bucket(bucket) => bucket.read(name).await,
        }
    }

    /// Opens the file that an object is on this machine, which saves a copy of it; `None` where it is not there.
    pub async fn open_file(&self, name: &str) -> Result<Option<File>, StorageError> {
        checked(name)?;
        match self {
            Self::Folder(folder) => folder.open_file(name).await.map(Some),
            Self::Bucket(_) => Ok(None),
        }
    }

    /// Writes a small object that is not there yet; an error [`StorageError::Exists`] where it is.
    pub async fn write_small(&self, name: &str, content: &[u8]) -> Result<(), StorageError> {
        checked(name)?;
        match self {
            Self::Folder(folder) => folder.write_small(name, content).await,
            Self::Bucket(bucket) => bucket.write_new(name, content.to_vec().into()).await,
        }
    }

    /// Begins a large object. It is there once [`Upload::finish`] has returned; dropped before, nothing of it is left.
    pub async fn upload(&self, name: &str) -> Result<Upload, StorageError> {
        checked(name)?;
        match self {
            Self::Folder(folder) => folder.upload(name).await.map(Upload::Folder),
            Self::Bucket(bucket) => bucket.upload(name).await.map(Box::new).map(Upload::Bucket),
        }
    }

    /// Removes an object. One that is missing counts as removed.
    pub async fn remove(&self, name: &str) -> Result<Removal, StorageError> {
        checked(name)?;
        match self {
            Self::Folder(folder) => folder.remove(name).await,
            Self::Bucket(bucket) => bucket.remove(name).await,
        }
    }

    /// Removes what died uploads left, if nothing has been written to it for `age`; returns how much. Whoever holds the lock of
    /// what they write may take zero.
    pub async fn sweep(&self, prefix: &str, age: Duration) -> Result<usize, StorageError> {
        match self {
            Self::Folder(folder) => folder.sweep(prefix, age).await,
            Self::Bucket(bucket) => bucket.sweep(prefix, age).await,
        }
    }

    /// Takes the lock `name`, which one process has at a time; [`StorageError::Busy`] where another one has it.
    pub async fn lock(&self, name: &str) -> Result<Lock, StorageError> {
        checked(name)?;
        match self {
            Self::Folder(folder) => folder.lock(name).await,
            Self::Bucket(bucket) => bucket.lock(name).await,
        }
    }
}

/// Refuses a name that would lead elsewhere than to the location or a folder there: names come out of manifests too.
fn checked(name: &str) -> Result<(), StorageError> {
    let is_plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']);
    let mut parts = name.split('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(file), None, None) if is_plain(file) => Ok(()),
        (Some(folder), Some(file), None) if is_plain(folder) && is_plain(file) => Ok(()),
        _ => Err(StorageError::Name(name.to_owned())),
    }
}

/// A large object that is being written.
#[derive(Debug)]
pub enum Upload {
    /// Into a folder.
    Folder(folder::FolderUpload),
    /// Into a bucket.
    Bucket(Box<s3::BucketUpload>),
}

impl Upload {
    /// Appends bytes; returns once the storage has taken them, so that a slow one slows its source.
    pub async fn write(&mut self, bytes: bytes::Bytes) -> Result<(), StorageError> {
        match self {
            Self::Folder(upload) => upload.write(bytes).await,
            Self::Bucket(upload) => upload.write(bytes).await,
        }
    }

    /// Ends the object, which is there afterwards, even if the machine loses power then.
    pub async fn finish(self) -> Result<(), StorageError> {
        match self {
            Self::Folder(upload) => upload.finish().await,
            Self::Bucket(upload) => upload.finish().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere_else() {
        for name in
            ["agentfs_1.dump", "7612-1-agentfs/agentfs_1.dump", ".lock", "i/.lock", "a..b/..c"]
        {
            assert!(checked(name).is_ok(), "{name}");
        }
        for name in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../x",
            "i/..",
            "i/../x",
            "i//x",
            "i/",
            "./x",
            "a/b/c",
            "i\\x",
            "x\0",
        ] {
            assert!(matches!(checked(name), Err(StorageError::Name(_))), "{name}");
        }
    }
}
