//! `agentfs-server backup`: runs a backup until it is done or a signal asks for the end.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use agentfs_contract::manifest::{Manifest, Purpose, Scope};
use agentfs_contract::setting::BACKUP_INSTANCE;
use agentfs_contract::termination::BackupReport;
use agentfs_contract::verification::Step;
use serde::Serialize;

use super::location;
use crate::commands::in_runtime;
use crate::commands::output::Output;
use crate::recovery::{BackupOptions, RecoveryError, Report, Retention, back_up};
use crate::runtime::exit::{failed, failed_for_all_to_see, write_termination_message};
use crate::runtime::logging;
use crate::runtime::signals::shutdown;
use crate::settings::DatabaseSettings;

/// Arguments of `agentfs-server backup`.
#[derive(Debug, clap::Args)]
pub struct BackupArgs {
    /// Where the backups are kept: a folder, which is made where it is missing, or s3://bucket/prefix. Defaults to BACKUP_LOCATION
    #[arg(long, visible_alias = "dir", value_name = "LOCATION")]
    to: Option<String>,
    /// How much of the database: all of it, or what nothing else can bring back (the tables tenants, api_keys, entries,
    /// entry_versions)
    #[arg(long, value_enum, default_value_t = Scope::Full)]
    scope: Scope,
    /// Whether embeddings, search documents and embedding jobs are in the dump; they can be made anew from the entries
    #[arg(long, value_enum, default_value_t = Derived::Keep)]
    derived: Derived,
    /// Remove backups that are older than this many days
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=36_500))]
    retention_days: u32,
    /// Keep this many of the newest backups, however old they are; never less than one
    #[arg(long, default_value_t = 3)]
    keep_last: usize,
    /// The folder of PostgreSQL's programs, where they are not on PATH
    #[arg(long)]
    pg_bin: Option<PathBuf>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// What is done with rows that can be made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Derived {
    Keep,
    Drop,
}

/// Runs the command.
pub fn run(args: BackupArgs) -> ExitCode {
    in_runtime(execute(args))
}

async fn execute(args: BackupArgs) -> ExitCode {
    if let Err(sentence) = logging::start_beside_output() {
        return failed(sentence);
    }
    let shutdown = match shutdown() {
        Ok(shutdown) => shutdown,
        Err(sentence) => return failed(sentence),
    };
    let made = tokio::select! {
        made = Box::pin(back_up_as_asked(&args)) => made,
        () = shutdown => Err(RecoveryError::Interrupted("backup")),
    };
    match made {
        Ok(report) => {
            let database_bytes = report.manifest.database_bytes;
            write_termination_message(&BackupReport { database_bytes }.write());
            match args.output.print(&Printed::from(report)) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => failed(error),
            }
        }
        Err(error) => failed_for_all_to_see(&error, error.is_transient()),
    }
}

async fn back_up_as_asked(args: &BackupArgs) -> Result<Report, RecoveryError> {
    let options = BackupOptions {
        url: DatabaseSettings::url_from_env()?,
        copy: std::env::var(BACKUP_INSTANCE).ok(),
        location: location(args.to.as_deref(), "--to")?,
        scope: args.scope,
        keep_derived: args.derived == Derived::Keep,
        purpose: Purpose::Backup,
        retention: Some(Retention { days: args.retention_days, keep_last: args.keep_last }),
        pg_bin: args.pg_bin.clone(),
    };
    back_up(&options).await
}

/// A backup as it is printed.
#[derive(Debug, Serialize)]
struct Printed {
    id: String,
    path: String,
    removed: usize,
    steps: Vec<Step>,
    manifest: Manifest,
}

impl From<Report> for Printed {
    fn from(report: Report) -> Self {
        let Report { path, manifest, removed, steps } = report;
        Self { id: manifest.id().to_owned(), path, removed, steps, manifest }
    }
}

impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Manifest { bytes, tables, finished_at, snapshot_at, .. } = &self.manifest;
        write!(
            f,
            "Backup complete: {} ({} KiB, {} rows of {} tables, {:.1} s); old ones removed: {}",
            self.path,
            bytes.div_ceil(1024),
            self.manifest.rows(),
            tables.len(),
            (*finished_at - *snapshot_at).total(jiff::Unit::Second).unwrap_or_default(),
            self.removed
        )
    }
}
