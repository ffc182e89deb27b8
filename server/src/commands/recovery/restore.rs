//! `agentfs-server restore`: restores a backup into a new database.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use agentfs_contract::setting::BACKUP_INSTANCE;
use agentfs_contract::verification::Step;
use serde::Serialize;

use super::{duration, ended, identities, location, setting};
use crate::commands::in_runtime;
use crate::commands::output::{Output, Seconds};
use crate::recovery::catalogue::Selector;
use crate::recovery::restore::{RestoreOptions, Restored, restore};
use crate::recovery::{Location, RecoveryError};
use crate::runtime::exit::{failed, failed_for_all_to_see};
use crate::runtime::logging;
use crate::settings::DatabaseSettings;

const SETTINGS: &str = "\
Settings (environment variables; default in parentheses):
  DATABASE_URL          postgres://user:password@host:5432/database, the live one, of PostgreSQL itself and not of a pool (required)
  BACKUP_LOCATION       where backups are kept: a folder, or s3://bucket/prefix (none)
  BACKUP_INSTANCE       what tells the database from copies with the same history (none)
  BACKUP_IDENTITY_FILE  the file of the age identities that decrypt backups (none)
  TMPDIR                a folder with room for a dump that is encrypted or not on this machine (/tmp)";

/// Arguments of `agentfs-server restore`.
#[derive(Debug, clap::Args)]
#[command(after_help = SETTINGS)]
pub struct RestoreArgs {
    /// Where the backups are: a folder, or s3://bucket/prefix. Defaults to BACKUP_LOCATION
    #[arg(long, visible_alias = "dir", value_name = "LOCATION")]
    from: Option<String>,
    /// The backup: its id, or `latest`, or `latest-verified`, the newest that a restore has proven
    #[arg(long, value_name = "ID")]
    backup: String,
    /// The new database, on the server of DATABASE_URL. Nothing that is there is changed
    #[arg(long, value_name = "NAME")]
    into_database: String,
    /// The database that the new one begins as a copy of, where the role may not make the extension vector. Defaults to template0
    #[arg(long, value_name = "NAME")]
    template: Option<String>,
    /// When vector indexes (HNSW) are built, without which searches by meaning are exact and slower
    #[arg(long, value_enum, default_value_t)]
    indexes: Indexes,
    /// The maintenance_work_mem that they are built with, such as 2GB. Defaults to what they need, up to 512 MB
    #[arg(long, value_name = "SIZE")]
    index_memory: Option<String>,
    /// Also a backup of another database than that of DATABASE_URL, or of another history of it
    #[arg(long)]
    allow_foreign: bool,
    /// Also a backup whose last verification failed
    #[arg(long)]
    force: bool,
    /// The file of age identities that decrypt the backup. Defaults to BACKUP_IDENTITY_FILE
    #[arg(long, value_name = "FILE")]
    identity_file: Option<PathBuf>,
    /// How long it may take, such as 2h. Defaults to any time
    #[arg(long, value_name = "TIME", value_parser = duration)]
    deadline: Option<Duration>,
    /// The folder of PostgreSQL's programs, where they are not on PATH
    #[arg(long, value_name = "DIR")]
    pg_bin: Option<PathBuf>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// When vector indexes are built.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Indexes {
    #[default]
    Now,
    Later,
}

/// Runs the command.
pub fn run(args: RestoreArgs) -> ExitCode {
    in_runtime(execute(args))
}

async fn execute(args: RestoreArgs) -> ExitCode {
    if let Err(sentence) = logging::start_beside_output() {
        return failed(sentence);
    }
    let ended = match ended("restore", args.deadline) {
        Ok(ended) => ended,
        Err(sentence) => return failed(sentence),
    };
    match restore_as_asked(&args, ended).await {
        Ok(restored) => match args.output.print(&Printed::from(restored)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(error),
        },
        Err(error) => failed_for_all_to_see(&error, error.is_transient()),
    }
}

async fn restore_as_asked(
    args: &RestoreArgs,
    ended: impl Future<Output = RecoveryError>,
) -> Result<(Restored, Location), RecoveryError> {
    let location = location(args.from.as_deref(), "--from")?;
    let options = RestoreOptions {
        url: DatabaseSettings::url_from_env()?,
        copy: setting(BACKUP_INSTANCE),
        location: location.clone(),
        backup: Selector::from(args.backup.as_str()),
        name: args.into_database.clone(),
        template: args.template.clone(),
        builds_indexes: args.indexes == Indexes::Now,
        index_memory: args.index_memory.clone(),
        allow_foreign: args.allow_foreign,
        force: args.force,
        identities: identities(args.identity_file.as_ref()),
        pg_bin: args.pg_bin.clone(),
    };
    Ok((Box::pin(restore(&options, ended)).await?, location))
}

/// A restore as it is printed.
#[derive(Debug, Serialize)]
struct Printed {
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
}

impl From<(Restored, Location)> for Printed {
    fn from((restored, location): (Restored, Location)) -> Self {
        let manifest = restored.manifest;
        Self {
            database: restored.database,
            backup: manifest.id().to_owned(),
            location: location.to_string(),
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
        if !self.was_verified {
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
                "\nNot in the backup, and made anew by the API and the workers: {}.",
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
        Ok(())
    }
}
