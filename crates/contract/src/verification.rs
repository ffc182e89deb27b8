//! The record of a verification, beside the manifest of the backup that was verified.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How much of a backup was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Level {
    /// The checksums and the whole archive, without a server.
    Archive,
    /// A restore into a server of its own, compared with the manifest and served from.
    Restore,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Archive => "archive",
            Self::Restore => "restore",
        })
    }
}

/// One step of a verification, a restore or a drill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What was done, for example `load`.
    pub name: String,
    /// How long it took.
    pub seconds: f64,
}

/// A verification that ended. It is written once; a later one is another object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// The id of the backup.
    pub backup: String,
    /// The checksum of the manifest that was verified: a backup whose manifest is another one is not.
    pub manifest: String,
    /// How much was tried.
    pub level: Level,
    /// What is wrong with the backup; `None` where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// When it ended.
    pub at: Timestamp,
    /// The version of the program that did it.
    pub program: String,
    /// The version of PostgreSQL that the backup was restored into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<String>,
    /// What was done, in order.
    pub steps: Vec<Step>,
}

impl Verification {
    /// Whether it proves that the backup restores.
    pub fn proves(&self) -> bool {
        self.level == Level::Restore && self.failure.is_none()
    }

    /// How long all of it took.
    pub fn seconds(&self) -> f64 {
        self.steps.iter().map(|step| step.seconds).sum()
    }
}
