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
    /// Look whether each manifest can be read and each dump is there and whole, and whether anything was left; ends with 1 where
    /// somebody has to mend something
    Check(CheckArgs),
    /// In a pod of Kubernetes, have the AgentFSBackups of the AgentFS that AGENTFS_RECORDS_OF names say what the catalogue does: make
    /// those that are missing, and tell which backups are gone
    Sync(SyncArgs),
}

#[derive(Debug, clap::Args)]
struct CheckArgs {
    /// Where the backups are kept: a folder, or s3://bucket/prefix. Defaults to BACKUP_LOCATION
    #[arg(long, visible_alias = "dir", value_name = "LOCATION")]
    from: Option<String>,
    /// Also read each dump, and compare it with the SHA-256 in its manifest
    #[arg(long)]
    sums: bool,
    /// How the result is printed
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
