//! Writes the records of verifications: objects beside the manifest, each written once.

use agentfs_contract::verification::Verification;
use jiff::tz::TimeZone;

use super::catalogue::Backup;
use super::error::RecoveryError;
use super::storage::{Storage, StorageError};

/// Verifications of one backup that may end in one second.
const IN_A_SECOND: u32 = 100;

/// Writes the record of a verification; returns the name of its object.
pub async fn write(
    storage: &Storage,
    backup: &Backup,
    verification: &Verification,
) -> Result<String, RecoveryError> {
    // Its fields are all such that JSON has.
    let json = serde_json::to_vec_pretty(verification).unwrap_or_default();
    let outcome = if verification.failure.is_none() { "verified" } else { "failed" };
    let stamp = verification.at.to_zoned(TimeZone::UTC).strftime("%Y%m%d_%H%M%S").to_string();
    for count in 1..=IN_A_SECOND {
        let more = if count == 1 { String::new() } else { format!("_{count}") };
        let name = backup.object(&format!(".{outcome}_{stamp}{more}.json"));
        match write_once(storage, &name, &json).await {
            Err(StorageError::Exists(_)) if count < IN_A_SECOND => {}
            written => return Ok(written.map(|()| name)?),
        }
    }
    Err(StorageError::Exists(backup.path()).into())
}

/// Writes an object without the lock of the instance. Whoever holds that may sweep it while it is half written: then it is written
/// again.
pub(super) async fn write_once(
    storage: &Storage,
    name: &str,
    json: &[u8],
) -> Result<(), StorageError> {
    match storage.write_small(name, json).await {
        Err(error) if !matches!(error, StorageError::Exists(_)) => {
            storage.write_small(name, json).await
        }
        written => written,
    }
}
