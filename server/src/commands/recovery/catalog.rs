//! `agentfs-server catalog`; `check` looks whether a location holds what its catalogue says.

use std::fmt;
use std::process::ExitCode;

use serde::Serialize;

use super::location;
use super::running::run_to_its_end;
use super::sync::{self, SyncArgs};
use crate::commands::output::Output;
use crate::recovery::RecoveryError;
use crate::recovery::check::{Checked, Finding, check};
use crate::recovery::storage::Storage;

/// Arguments of `agentfs-server catalog`.
#[derive(Debug, clap::Args)]
pub struct CatalogArgs {
    #[command(subcommand)]
    command: CatalogCommand,
}

#[derive(Debug, clap::Subcommand)]
enum CatalogCommand {
    /// Check that each manifest can be read and each dump is complete, and look for leftovers; exits with 1 if
    /// something needs repair
    Check(CheckArgs),
    /// In a Kubernetes pod, sync the AgentFSBackups of the AgentFS in AGENTFS_RECORDS_OF with the catalogue: create
    /// missing ones, and mark those whose backups are gone
    Sync(SyncArgs),
}

#[derive(Debug, clap::Args)]
struct CheckArgs {
    /// Where backups are stored: a folder, or s3://bucket/prefix. Defaults to BACKUP_LOCATION
    #[arg(long, visible_alias = "dir", value_name = "LOCATION")]
    from: Option<String>,
    /// Also read each dump and compare it with the SHA-256 in its manifest
    #[arg(long)]
    sums: bool,
    /// The output format
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Runs the command.
pub fn run(args: CatalogArgs) -> ExitCode {
    match args.command {
        CatalogCommand::Check(args) => run_to_its_end("check", args.output, check_as_asked(args)),
        CatalogCommand::Sync(args) => sync::run(args),
    }
}

async fn check_as_asked(args: CheckArgs) -> Result<(Printed, bool), RecoveryError> {
    let storage = Storage::open(&location(args.from.as_deref(), "--from")?).await?;
    let checked = check(&storage, args.sums).await?;
    let is_well = checked.problems.is_empty();
    Ok((Printed(checked), is_well))
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Printed(Checked);

impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Checked { backups, bytes_read, problems, notices } = &self.0;
        for Finding { object, finding } in problems {
            writeln!(f, "problem: {object}: {finding}")?;
        }
        for Finding { object, finding } in notices {
            writeln!(f, "notice: {object}: {finding}")?;
        }
        write!(f, "Backups: {backups}, problems: {}", problems.len())?;
        if *bytes_read > 0 {
            write!(f, ", MiB of dumps read: {}", bytes_read.div_ceil(1 << 20))?;
        }
        Ok(())
    }
}
