//! The location of backups: a folder, or a prefix of an S3 bucket.

use std::fmt;
use std::path::PathBuf;

use super::error::RecoveryError;

/// Where backups are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A prefix of an S3 bucket.
    Bucket {
        /// The bucket's name.
        bucket: String,
        /// What all names in it begin with, without slashes at its ends; may be empty.
        prefix: String,
    },
}

impl Location {
    /// Parses `s3://bucket/prefix`, or the path of a folder.
    pub fn parse(text: &str) -> Result<Self, RecoveryError> {
        let Some(rest) = text.strip_prefix("s3://") else {
            return match text.split_once("://") {
                Some((scheme, _)) => Err(RecoveryError::Location(format!(
                    "{scheme}:// is no location of backups: give a folder, or s3://bucket/prefix"
                ))),
                None if text.is_empty() => Err(RecoveryError::Location(
                    "it is empty: give a folder, or s3://bucket/prefix".into(),
                )),
                None => Ok(Self::Folder(text.into())),
            };
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(RecoveryError::Location(
                "s3:// lacks the name of a bucket: give s3://bucket/prefix".into(),
            ));
        }
        Ok(Self::Bucket { bucket: bucket.into(), prefix: prefix.trim_matches('/').into() })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(f),
            Self::Bucket { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::Bucket { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}
