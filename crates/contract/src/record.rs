//! The record of a backup in Kubernetes: what an AgentFSBackup says of it, and by what it is found. Pods that make, verify or
//! prune backups write records themselves, so that they are there though the operator is not.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::manifest::hex;

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
/// Longest name of a record, and of any AgentFSBackup: those of Jobs and pods are made from it.
pub const MAX_NAME: usize = 52;

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
    /// `True` where a restore has proven it, `False` where it does not restore, `Unknown` where only its archive was read.
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
/// Where that is too long, the name of the AgentFS is cut, and a hash of it stands in its place.
pub fn name(agentfs: &str, id: &str) -> String {
    let stamp = id.strip_prefix("agentfs_").unwrap_or(id);
    let tail: String = stamp
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    let tail = tail.trim_matches('-');
    let name = format!("{agentfs}-{tail}");
    if name.len() <= MAX_NAME {
        return name;
    }
    let hash = hex(&Sha256::digest(name)[..4]);
    let room = MAX_NAME.saturating_sub(tail.len() + hash.len() + 2);
    let begin = &agentfs[..agentfs.floor_char_boundary(room)];
    format!("{begin}-{hash}-{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_named_after_its_moment() {
        assert_eq!(name("memory", "agentfs_20261127_020000"), "memory-20261127-020000");
        assert_eq!(
            name("memory", "agentfs_entries_20261127_020000"),
            "memory-entries-20261127-020000"
        );
    }

    #[test]
    fn a_name_leaves_room_for_those_of_jobs_and_pods() {
        let long = |last: char| format!("{}{last}", "m".repeat(39));
        let id = "agentfs_entries_20261127_020000";
        let named = name(&long('a'), id);
        assert!(named.len() <= MAX_NAME && named.ends_with("-entries-20261127-020000"), "{named}");
        assert!(named.starts_with("mmmm"), "{named}");
        assert_ne!(named, name(&long('b'), id));
    }
}
