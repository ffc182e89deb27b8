//! The record of a backup in Kubernetes: what an AgentFSBackup says of it, and by what it is found. Pods that make, verify or
//! prune backups write records themselves, so that they are there though the operator is not.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Group, version and plural of the resource.
pub const API_VERSION: &str = "agentfs.io/v1alpha1";
/// The kind.
pub const KIND: &str = "AgentFSBackup";
/// The resource in paths of the API server.
pub const PLURAL: &str = "agentfsbackups";
/// The field manager of what pods write.
pub const MANAGER: &str = "agentfs-backup";
/// The label of each record with the name of its AgentFS.
pub const OF: &str = "agentfs.io/agentfs";

/// `status.backup`: the backup itself, as its manifest says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupRecord {
    /// Its id in the catalogue.
    pub id: String,
    /// Where it is: `s3://bucket/prefix`, or the folder in its volume.
    pub location: String,
    /// The database and history that it is of.
    pub instance: String,
    /// `Full` or `Entries`.
    pub scope: String,
    /// The moment that it holds.
    pub snapshot_time: Timestamp,
    /// When it was whole.
    pub finished_time: Timestamp,
    /// How long it took, for people, for example `41s`.
    pub duration: String,
    /// Its size, for people, for example `1.2Gi`.
    pub size: String,
    /// Its size in bytes.
    pub bytes: i64,
    /// How many entries it holds.
    pub entries: i64,
    /// How large the database was on its server's disk, in bytes.
    pub database_bytes: i64,
    /// The version of PostgreSQL.
    pub postgres: String,
    /// Whether it is encrypted.
    pub encrypted: bool,
}

/// `status.verification`: the newest verification that decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerificationRecord {
    /// `True` where it restores, `False` where it does not.
    pub verified: String,
    /// `Archive` or `Restore`.
    pub level: String,
    /// When it ended.
    pub time: Timestamp,
    /// How long it took, in whole seconds.
    pub seconds: i64,
    /// What is wrong with the backup, where something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The name of the record of a scheduled backup of the AgentFS `agentfs`: its id without what all ids begin with, with `-` for `_`.
pub fn name(agentfs: &str, id: &str) -> String {
    let stamp = id.strip_prefix("agentfs_").unwrap_or(id);
    let tail: String = stamp
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    format!("{agentfs}-{}", tail.trim_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_named_after_its_moment() {
        assert_eq!(name("memory", "agentfs_20261127_020000"), "memory-20261127-020000");
        assert_eq!(name("memory", "agentfs_entries_20261127_020000"), "memory-entries-20261127-020000");
    }
}
