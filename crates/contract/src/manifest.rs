//! The manifest of a backup: what is known of it without reading the dump. It holds no value, path or name of memory, so that it
//! stays readable where the dump is encrypted.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The format of the manifest that is written now.
pub const FORMAT: u32 = 2;

/// The field that holds the manifest's own checksum.
const CHECKSUM: &str = "checksum";

/// How much of the database a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Scope {
    /// All of it.
    Full,
    /// Tenants, keys, entries and their versions: what nothing else can bring back.
    Entries,
}

impl Scope {
    /// The tables of a scope that is not everything.
    pub fn tables(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Full => None,
            Self::Entries => Some(&["api_keys", "entries", "entry_versions", "tenants"]),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Entries => "entries",
        })
    }
}

/// Why a backup was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// To be kept.
    #[default]
    Backup,
    /// For a drill, which removes it at its end. It counts neither as the latest backup nor for the recovery point.
    Drill,
}

/// What a backup holds of one table, as it is in the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its rows.
    pub rows: i64,
    /// Bytes of all rows in PostgreSQL's binary format. Not in manifests of format 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
    /// The XOR of the hashes of all rows, in hexadecimal: it changes with each change of a row, and is the same in each version of
    /// PostgreSQL. Not in manifests of format 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// How a dump is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// The format of the file; `age` is the only one.
    pub scheme: String,
    /// Bytes of the dump before it was encrypted.
    pub plain_bytes: u64,
    /// SHA-256 of the dump before it was encrypted, in hexadecimal.
    pub plain_sha256: String,
}

/// What is known of a backup. All of it is of the very moment that was dumped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format of this manifest.
    pub format: u32,
    /// Why the backup was made.
    #[serde(default)]
    pub purpose: Purpose,
    /// How much of the database it is.
    pub scope: Scope,
    /// The dump's file name, beside the manifest.
    pub file: String,
    /// The file's size in bytes.
    pub bytes: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// How the file is encrypted, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// Which database it is of, and which history of that: see `Instance` of the server.
    pub instance: String,
    /// The schema of the data.
    pub schema_version: i32,
    /// The oldest schema that a program may have been built for and still work on the data.
    pub min_compatible: i32,
    /// The version of PostgreSQL.
    pub postgres: String,
    /// The version of `pg_dump`: a `pg_restore` of that major version or of a newer one reads the dump. Empty in format 1.
    #[serde(default)]
    pub pg_dump: String,
    /// The version of the program that made the backup.
    pub program: String,
    /// The moment that was dumped.
    pub snapshot_at: Timestamp,
    /// When the dump was whole.
    pub finished_at: Timestamp,
    /// How large the database was on its server's disk, in bytes; 0 in format 1.
    #[serde(default)]
    pub database_bytes: u64,
    /// What the dump holds of each table, by name.
    #[serde(default)]
    pub tables: BTreeMap<String, Table>,
    /// Derived tables whose rows are not in the dump: they can be made anew from the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// SHA-256 of the manifest itself without this field, as JSON with sorted keys and no spaces. Empty in format 1.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub checksum: String,
}

/// Why a manifest cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is no JSON, or lacks a field.
    #[error("the manifest cannot be read: {0}")]
    Unreadable(String),
    /// A newer release wrote it.
    #[error(
        "the manifest has format {0}, and this release reads up to {FORMAT}: use a newer agentfs-server"
    )]
    Newer(u32),
    /// Its checksum is another one: it was changed or damaged.
    #[error("the manifest was changed or damaged: its checksum is another one")]
    Damaged,
}

impl Manifest {
    /// Reads a manifest of this format or an earlier one, and checks its checksum.
    pub fn read(json: &[u8]) -> Result<Self, ManifestError> {
        let unreadable = |error: serde_json::Error| ManifestError::Unreadable(error.to_string());
        let mut value: Value = serde_json::from_slice(json).map_err(unreadable)?;
        let format = value["format"].as_u64().unwrap_or_default();
        if format > u64::from(FORMAT) {
            return Err(ManifestError::Newer(u32::try_from(format).unwrap_or(u32::MAX)));
        }
        if format == 1 {
            let rows = value["rows"].as_object().cloned().unwrap_or_default();
            let tables =
                rows.into_iter().map(|(name, rows)| (name, serde_json::json!({ "rows": rows })));
            value["tables"] = Value::Object(tables.collect());
        } else if value[CHECKSUM] != checksum_of(&value).as_str() {
            return Err(ManifestError::Damaged);
        }
        serde_json::from_value(value).map_err(unreadable)
    }

    /// The manifest as it is stored, with its checksum.
    pub fn write(mut self) -> (Self, Vec<u8>) {
        self.checksum = String::new();
        let mut value = serde_json::to_value(&self).unwrap_or_default();
        self.checksum = checksum_of(&value);
        value[CHECKSUM] = self.checksum.clone().into();
        let mut json = serde_json::to_vec_pretty(&value).unwrap_or_default();
        json.push(b'\n');
        (self, json)
    }

    /// The backup's id: the file's name without its suffixes.
    pub fn id(&self) -> &str {
        self.file.split_once('.').map_or(&self.file, |(stem, _)| stem)
    }

    /// The major version of PostgreSQL that was dumped; `None` where the manifest has no such.
    pub fn postgres_major(&self) -> Option<u32> {
        major(&self.postgres)
    }

    /// The major version of the oldest `pg_restore` that reads the dump.
    pub fn pg_restore_major(&self) -> Option<u32> {
        major(&self.pg_dump).or_else(|| self.postgres_major())
    }

    /// Rows of all tables.
    pub fn rows(&self) -> i64 {
        self.tables.values().map(|table| table.rows).sum()
    }
}

fn major(version: &str) -> Option<u32> {
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version[..digits].parse().ok()
}

/// The checksum of a manifest, whether or not it has one.
fn checksum_of(manifest: &Value) -> String {
    let mut value = manifest.clone();
    if let Some(fields) = value.as_object_mut() {
        fields.remove(CHECKSUM);
    }
    hex(&Sha256::digest(value.to_string()))
}

/// Bytes in hexadecimal, as checksums stand in manifests.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let at: Timestamp = "2026-11-25T02:00:00Z".parse().unwrap();
        let table = Table { rows: 3, bytes: Some(120), fingerprint: Some("00ff".into()) };
        Manifest {
            format: FORMAT,
            purpose: Purpose::Backup,
            scope: Scope::Full,
            file: "agentfs_20261125_020000.dump.age".into(),
            bytes: 1,
            sha256: "ab".into(),
            encryption: None,
            instance: "7-1-agentfs".into(),
            schema_version: 14,
            min_compatible: 1,
            postgres: "16.9 (Debian)".into(),
            pg_dump: "17.5".into(),
            program: "0.1.0".into(),
            snapshot_at: at,
            finished_at: at,
            database_bytes: 8_000_000,
            tables: [("entries".to_owned(), table)].into(),
            left_out: vec![],
            checksum: String::new(),
        }
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let (written, json) = manifest().write();
        assert_eq!(Manifest::read(&json), Ok(written.clone()));
        assert_eq!((written.id(), written.rows()), ("agentfs_20261125_020000", 3));
        assert_eq!((written.postgres_major(), written.pg_restore_major()), (Some(16), Some(17)));
    }

    #[test]
    fn any_change_of_a_manifest_is_noticed() {
        let json = String::from_utf8(manifest().write().1).unwrap();
        for (from, to) in
            [("02:00:00Z", "03:00:00Z"), ("0.1.0", "0.1.1"), ("\"rows\": 3", "\"rows\": 4")]
        {
            let changed = json.replacen(from, to, 1);
            assert_ne!(changed, json);
            assert_eq!(Manifest::read(changed.as_bytes()), Err(ManifestError::Damaged), "{to}");
        }
        assert!(matches!(Manifest::read(&json.as_bytes()[1..]), Err(ManifestError::Unreadable(_))));
    }

    #[test]
    fn a_manifest_of_a_newer_release_says_so() {
        let newer = br#"{"format": 3, "shape": "round"}"#;
        assert_eq!(Manifest::read(newer), Err(ManifestError::Newer(3)));
    }

    #[test]
    fn a_manifest_of_the_first_format_is_read() {
        let first = br#"{"format": 1, "scope": "full", "file": "agentfs_20260101_000000.dump", "bytes": 5, "sha256": "ab",
            "instance": "7/agentfs", "schema_version": 7, "min_compatible": 1, "postgres": "17.5", "program": "0.1.0",
            "snapshot_at": "2026-01-01T00:00:00Z", "finished_at": "2026-01-01T00:00:01Z", "rows": {"entries": 2}}"#;
        let read = Manifest::read(first).unwrap();
        assert_eq!(read.tables["entries"], Table { rows: 2, bytes: None, fingerprint: None });
        assert_eq!(read.pg_restore_major(), Some(17));
    }
}
