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
                None if text.starts_with("s3:") => Err(RecoveryError::Location(format!(
                    "{text} looks like a bucket and is none: give s3://bucket/prefix, or ./{text} for a folder of that name"
                ))),
                None if text.is_empty() => Err(RecoveryError::Location(
                    "it is empty: give a folder, or s3://bucket/prefix".into(),
                )),
                None => Ok(Self::Folder(text.into())),
            };
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if bucket.is_empty() || !bucket.chars().all(named) {
            return Err(RecoveryError::Location(format!(
                "{text} lacks the name of a bucket: give s3://bucket/prefix"
            )));
        }
        let prefix = prefix.trim_matches('/');
        let is_plain = |part: &str| !matches!(part, "" | "." | "..");
        if !prefix.is_empty() && !prefix.split('/').all(is_plain) {
            return Err(RecoveryError::Location(format!(
                "{prefix} is no prefix of names: it has an empty part, or one of dots"
            )));
        }
        Ok(Self::Bucket { bucket: bucket.into(), prefix: prefix.into() })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_folder_or_a_prefix_of_a_bucket() {
        let shown = |text| Location::parse(text).map(|location| location.to_string()).ok();
        for same in
            ["/backups", "backups", "../b", "./s3:/x", "s3://attic", "s3://my.attic/agentfs/prod"]
        {
            assert_eq!(shown(same).as_deref(), Some(same));
        }
        assert_eq!(shown("s3://attic/").as_deref(), Some("s3://attic"));
        assert_eq!(shown("s3://attic/a/").as_deref(), Some("s3://attic/a"));
        let bucket = Location::Bucket { bucket: "attic".into(), prefix: "a/b".into() };
        assert_eq!(Location::parse("s3://attic/a/b").unwrap(), bucket);
        for wrong in [
            "",
            "s3:/x",
            "s3://",
            "s3:///a",
            "s3://at tic",
            "s3://attic?x",
            "s3://attic/a//b",
            "s3://attic/../b",
            "gs://attic",
        ] {
            assert_eq!(shown(wrong), None, "{wrong}");
        }
    }
}
