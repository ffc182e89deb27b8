//! Backups by command: the arguments, and what is printed.

pub mod backup;

use agentfs_contract::setting::BACKUP_LOCATION;

use crate::recovery::{Location, RecoveryError};

/// The location that was given by an option, or by the setting.
fn location(given: Option<&str>, option: &str) -> Result<Location, RecoveryError> {
    let setting = std::env::var(BACKUP_LOCATION).ok().filter(|text| !text.is_empty());
    match given.map(str::to_owned).or(setting) {
        Some(text) => Location::parse(&text),
        None => Err(RecoveryError::Location(format!(
            "none is given: name a folder or s3://bucket/prefix with {option}, or set {BACKUP_LOCATION}"
        ))),
    }
}
