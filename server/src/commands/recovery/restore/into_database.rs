//! `restore --into-database`: makes a new database of a backup, beside what is live.

use std::fmt;

use agentfs_contract::request::Request;
use agentfs_contract::termination::RestoreReport;
use agentfs_contract::verification::Step;
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::arguments::RestoreArgs;
use super::{Done, Failure};
use crate::commands::output::Seconds;
use crate::recovery::RecoveryError;
use crate::recovery::restore::{Restored, Source, restore};
use crate::runtime::exit::write_termination_message;

pub(super) async fn run(
    args: &RestoreArgs,
    request: Option<Request>,
    ended: impl Future<Output = RecoveryError>,
) -> Result<Done, Failure> {
    let options = args.options(request)?;
    let restored = Box::pin(restore(&options, ended)).await?;
    Ok(Done::New(Box::new(Printed::new(restored, &options.source))))
}

/// A restore as it is printed.
#[derive(Debug, Serialize)]
pub(super) struct Printed {
    /// What the operator reads of it beside.
    #[serde(skip)]
    id: Uuid,
    #[serde(skip)]
    named_at: Timestamp,
    database: String,
    backup: String,
    location: String,
    instance: String,
    snapshot_at: String,
    was_verified: bool,
    rows: i64,
    tables: usize,
    left_out: Vec<String>,
    removed_unfinished: bool,
    steps: Vec<Step>,
    serving_seconds: f64,
    indexed_seconds: Option<f64>,
    without_index: Vec<String>,
    ended_keys: Option<Vec<String>>,
    notes: Vec<String>,
}

impl Printed {
    fn new(restored: Restored, source: &Source) -> Self {
        let manifest = restored.manifest;
        Self {
            id: restored.id,
            named_at: restored.named_at,
            database: restored.database,
            backup: manifest.id().to_owned(),
            location: source.to_string(),
            snapshot_at: manifest.snapshot_at.to_string(),
            was_verified: restored.was_verified,
            rows: manifest.rows(),
            tables: manifest.tables.len(),
            instance: manifest.instance,
            left_out: manifest.left_out,
            removed_unfinished: restored.removed_unfinished,
            steps: restored.steps,
            serving_seconds: restored.serving_seconds,
            indexed_seconds: restored.indexed_seconds,
            without_index: restored.without_index,
            ended_keys: restored.ended_keys,
            notes: restored.notes,
        }
    }

    /// What was done, in one sentence.
    pub(super) fn sentence(&self) -> String {
        format!("Restored {} into the database {}", self.backup, self.database)
    }

    /// Tells Kubernetes and whoever asked.
    pub(super) fn tell(&self, args: &RestoreArgs) -> Result<(), Failure> {
        write_termination_message(&self.for_kubernetes().write());
        args.output.print(self).map_err(|error| Failure::of_output(&error))
    }

    /// What the operator reads. Nothing that is live was changed, so nothing is lost and there is nothing to undo.
    fn for_kubernetes(&self) -> RestoreReport {
        RestoreReport {
            restore: self.id.to_string(),
            backup: self.backup.clone(),
            undone: false,
            switched_at: self.named_at,
            switch_seconds: 0.0,
            lost_versions: 0,
            lost_tenants: 0,
            lost: Vec::new(),
            serving_seconds: self.serving_seconds,
            indexed_seconds: self.indexed_seconds,
            previous_until: self.named_at,
            steps: self.steps.clone(),
        }
    }
}

impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { database, backup, snapshot_at, rows, tables, serving_seconds, .. } = self;
        if self.removed_unfinished {
            writeln!(f, "An unfinished restore into {database} was there, and was removed first.")?;
        }
        writeln!(
            f,
            "Restored {backup} ({rows} rows of {tables} tables, as of {snapshot_at}) into the database {database}"
        )?;
        // Nothing verifies a file.
        if !self.was_verified && !self.instance.is_empty() {
            writeln!(
                f,
                "It had not been verified before; `agentfs-server verify` proves backups before they are needed."
            )?;
        }
        write!(f, "{}", Seconds(&self.steps))?;
        write!(f, "\nServing after {serving_seconds:.1} s, ")?;
        match self.indexed_seconds {
            Some(seconds) => write!(f, "indexed after {seconds:.1} s.")?,
            None => write!(
                f,
                "not indexed: build the vector indexes by `agentfs-server admin embeddings index MODEL` ({}).",
                self.without_index.join(", ")
            )?,
        }
        if !self.left_out.is_empty() {
            write!(
                f,
                "\nNot in the backup, and rebuilt by the API and the workers: {}.",
                self.left_out.join(", ")
            )?;
        }
        if let Some(ended) = self.ended_keys.as_ref().filter(|ended| !ended.is_empty()) {
            write!(
                f,
                "\nKeys that are valid in {database} and ended in the database of DATABASE_URL: {} ({}). End them there too, by \
                 `agentfs-server admin revoke-key ID` with its DATABASE_URL, before anything serves from it.",
                ended.len(),
                ended.join(", ")
            )?;
        }
        self.notes.iter().try_for_each(|note| write!(f, "\n{note}"))
    }
}
