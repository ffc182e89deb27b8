//! `agentfs-server catalog sync`: has the records in Kubernetes say what the catalogue does.

use std::fmt;
use std::process::ExitCode;

use agentfs_contract::setting::{BACKUP_INSTANCE, DATABASE_URL};
use serde::Serialize;

use super::running::{Failure, run_to_its_end};
use super::{location, setting};
use crate::commands::output::Output;
use crate::records::{RecordsError, Run, Written, sync};
use crate::recovery::{Instance, RecoveryError};
use crate::settings::DatabaseSettings;

const SETTINGS: &str = "\
Settings (environment variables; default in parentheses):
  AGENTFS_RECORDS_OF  the AgentFS, in the namespace of this pod (required)
  DATABASE_URL        its database, to know which backups are its own (none: by BACKUP_INSTANCE, or the only instance there)
  BACKUP_INSTANCE     tells the database apart from copies with the same history (none)
  BACKUP_LOCATION     where backups are stored: a folder, or s3://bucket/prefix (none)";

#[derive(Debug, clap::Args)]
#[command(after_help = SETTINGS)]
pub(super) struct SyncArgs {
    /// Where backups are stored: a folder, or s3://bucket/prefix. Defaults to BACKUP_LOCATION
    #[arg(long, value_name = "LOCATION")]
    from: Option<String>,
    /// The instance of the AgentFS, as `agentfs-server backups` shows it. Defaults to that of DATABASE_URL
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// The output format
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl Failure for RecordsError {
    fn is_transient(&self) -> bool {
        self.is_transient()
    }
}

/// Runs the command.
pub(super) fn run(args: SyncArgs) -> ExitCode {
    run_to_its_end("sync", args.output, sync_as_asked(args))
}

async fn sync_as_asked(args: SyncArgs) -> Result<(Printed, bool), RecordsError> {
    let location = location(args.from.as_deref(), "--from")?;
    let instance = match args.instance {
        Some(name) => Some(Instance::named(&name)),
        None => of_database().await,
    };
    let run = Run { instance: instance.as_ref(), ..Run::at(&location) };
    Ok((Printed(sync(run).await?), true))
}

/// The instance of DATABASE_URL. That it is lost is no reason not to tell of its backups.
async fn of_database() -> Option<Instance> {
    setting(DATABASE_URL)?;
    let found = async {
        let url = DatabaseSettings::url_from_env()?;
        Instance::of_database(&url, setting(BACKUP_INSTANCE).as_deref()).await
    };
    let warn = |error: &RecoveryError| {
        tracing::warn!("which instance it is is not known by DATABASE_URL: {error}");
    };
    found.await.inspect_err(warn).ok()
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Printed(Written);

impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Written { created, updated, deleted } = self.0;
        write!(f, "Records created: {created}, updated: {updated}, deleted: {deleted}")
    }
}
