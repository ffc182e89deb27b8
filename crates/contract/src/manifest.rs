//! The manifest of a backup: what is known of it without reading it.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The form of the manifest that is written now.
pub const FORMAT: u32 = 1;

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

/// What is known of a backup. All of it is of the very moment that was dumped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of this manifest.
    pub format: u32,
    /// How much of the database it is.
    pub scope: Scope,
    /// The dump's file name, beside the manifest.
    pub file: String,
    /// The dump's size.
    pub bytes: u64,
    /// SHA-256 of the dump, in hexadecimal.
    pub sha256: String,
    /// Which database it is: PostgreSQL's system identifier and the database's name.
    pub instance: String,
    /// The schema of the data.
    pub schema_version: i32,
    /// The oldest schema that a program may have been built for and still work on the data.
    pub min_compatible: i32,
    /// The version of PostgreSQL.
    pub postgres: String,
    /// The version of the program that made the backup.
    pub program: String,
    /// The moment that was dumped.
    pub snapshot_at: Timestamp,
    /// When the dump was whole.
    pub finished_at: Timestamp,
    /// Rows of each table that the dump holds.
    pub rows: BTreeMap<String, i64>,
}
