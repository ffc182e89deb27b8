//! Restores a backup in place, while the API serves: it is loaded into a schema of its own, and one transaction swaps that with the
//! live one. The tables of before stay for a while, so that it can be undone.

mod abandoned;
pub mod clean;
mod ending;
mod error;
mod indexing;
mod interrupted;
pub mod lost;
mod plan;
mod previous;
mod restoring;
mod session;
pub(super) mod space;
mod stage;
mod switching;
mod undo;

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

pub use self::abandoned::end_abandoned;
pub use self::error::InPlaceError;
pub use self::previous::{Dropped, drop_expired, drop_previous};
pub use self::restoring::restore;
pub use self::space::GivenRoom;
#[cfg(feature = "dev")]
pub use self::stage::stage_backup;
pub use self::undo::{UndoOptions, undo};
use crate::recovery::backup::BackupOptions;
use crate::recovery::restore::RestoreOptions;
use crate::store::in_place::lost::Lost;
use crate::store::in_place::security::Security;

/// How a restore in place goes about it.
#[derive(Debug, Clone)]
pub struct InPlaceOptions {
    /// What is restored, by what programs and with what indexes. Its `name` and `template` mean nothing here.
    pub of: RestoreOptions,
    /// Whose tenants and keys are valid afterwards.
    pub security: Security,
    /// How long the previous tables stay.
    pub keep_previous: Duration,
    /// How long the switch is tried for while others hold the tables.
    pub switch_patience: Duration,
    /// How what is live is backed up before it is emptied, by the strategy that does that; `None` to go without.
    pub safety: Option<BackupOptions>,
}

/// What a restore in place is about to do, for whoever has to agree to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The backup.
    pub backup: String,
    /// Its moment; of an undoing, the one of the switch that it undoes.
    pub snapshot_at: Timestamp,
    /// Whether a restore has proven it, or what is brought back was live.
    pub was_verified: bool,
    /// Versions that were written since, and would be lost: an estimate.
    pub lost_versions: i64,
    /// Versions that only the tables, or the database, of before an earlier restore have, which this one drops: no undoing brings them back
    /// then.
    pub dropped_versions: i64,
    /// Bytes that are needed on the database's volume.
    pub needed_bytes: u64,
    /// Bytes that are free there; `None` where nobody knows.
    pub free_bytes: Option<u64>,
    /// What somebody should know before, as sentences.
    pub notes: Vec<String>,
}

/// A restore in place, or its undoing, that has switched.
#[derive(Debug, Clone, Serialize)]
pub struct Switched {
    /// Its id.
    pub id: String,
    /// The backup; of an undo, the one of the restore that was undone.
    pub backup: String,
    /// Whether it undid an undoing: what the restore had restored is live again.
    #[serde(skip)]
    pub redone: bool,
    /// The moment from which on what was restored was live.
    pub switched_at: Timestamp,
    /// How long requests waited for the switch, in seconds.
    pub switch_seconds: f64,
    /// Until when the previous tables stay.
    pub previous_until: Timestamp,
    /// Whether an interrupted run had switched already, and this one brought it to its end.
    pub had_switched: bool,
    /// Versions that are not live any more, by tenant.
    pub lost: Vec<Lost>,
    /// How long each step took.
    pub steps: Vec<agentfs_contract::verification::Step>,
    /// After how many seconds it served.
    pub serving_seconds: f64,
    /// After how many seconds the vector indexes were built; `None` where there are some that were not.
    pub indexed_seconds: Option<f64>,
    /// What somebody should know, as sentences.
    pub notes: Vec<String>,
}

impl Switched {
    /// One that switched `at` a moment in a run before, and of which no more is known.
    pub(super) fn past(id: Uuid, at: Timestamp, backup: Option<&str>) -> Self {
        let backup = backup.unwrap_or_default();
        Self {
            id: id.to_string(),
            backup: backup.rsplit_once('/').map_or(backup, |(_, id)| id).to_owned(),
            redone: false,
            switched_at: at,
            switch_seconds: 0.0,
            previous_until: at,
            had_switched: true,
            lost: Vec::new(),
            steps: Vec::new(),
            serving_seconds: 0.0,
            indexed_seconds: Some(0.0),
            notes: vec![
                "It was brought to its end by another run, which said what was lost.".to_owned(),
            ],
        }
    }
}
