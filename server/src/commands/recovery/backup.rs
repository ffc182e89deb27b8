//! `agentfs-server backup`: makes a backup, until it is done, a signal asks for the end or its time is over.

use std::fmt;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use agentfs_contract::manifest::{Manifest, Scope};
use agentfs_contract::request::Request;
use agentfs_contract::setting::{BACKUP_INSTANCE, BACKUP_RECIPIENTS};
use agentfs_contract::termination::BackupReport;
use agentfs_contract::verification::{Level, Step, Verification};
use clap::ArgAction;
use futures::FutureExt as _;
use jiff::{SignedDuration, SignedDurationRound, Timestamp, Unit};
use serde::Serialize;

use super::abandoned::end_abandoned;
use super::recorded::{self, Made, Trial};
use super::requested::{begin, first_line, not_done};
use super::retention::{RetentionArgs, told};
use super::{duration, duration_with_unit, ended, location, setting, start_logging};
use crate::commands::in_runtime;
use crate::commands::output::Output;
use crate::recovery::forget::{Forgotten, Protected};
use crate::recovery::{BackupOptions, Location, Recipients, RecoveryError, Report, newer_than};
use crate::runtime::exit::{after_failure, failed, write_termination_message};
use crate::settings::DatabaseSettings;

const SETTINGS: &str = "\
Settings (environment variables; default in parentheses):
  DATABASE_URL       postgres://user:password@host:5432/database, of PostgreSQL itself, not of a connection pool (required)
  BACKUP_LOCATION    where backups are stored: a folder, or s3://bucket/prefix (none)
  BACKUP_INSTANCE    tells the database apart from copies with the same history, such as the UID of its PersistentVolumeClaim (none)
  BACKUP_RECIPIENTS  age recipients that backups are encrypted to, separated by commas (none)
With --verify and --rehearse also:
  BACKUP_IDENTITY_FILE  the file with age identities that decrypt the backup (none)
  BACKUP_SCRATCH_URL    a PostgreSQL server to restore into (a throwaway one on this machine)
  TMPDIR                a folder with space for the restored database (/tmp)";

/// Arguments of `agentfs-server backup`.
#[derive(Debug, clap::Args)]
#[command(after_help = SETTINGS)]
pub struct BackupArgs {
    /// Where backups are stored: a folder, which is created if it is missing, or s3://bucket/prefix. Defaults to
    /// BACKUP_LOCATION
    #[arg(long, visible_alias = "dir", value_name = "LOCATION")]
    to: Option<String>,
    /// How much of the database to back up: all of it, or only what cannot be computed again (the tables tenants,
    /// api_keys, entries, entry_versions)
    #[arg(long, value_enum, default_value_t = Scope::Full)]
    scope: Scope,
    /// Whether the dump includes embeddings, search documents and embedding jobs, which can be computed again from the
    /// entries
    #[arg(long, value_enum, default_value_t = Derived::Keep)]
    derived: Derived,
    /// Encrypt the dump to this age recipient (age1…); may be repeated. Defaults to BACKUP_RECIPIENTS
    #[arg(long, value_name = "RECIPIENT")]
    encrypt_to: Vec<String>,
    /// Do nothing if there is a backup of this database and scope that is newer than this, such as 20h: for machines
    /// that are off at times
    #[arg(long, value_name = "DURATION", value_parser = duration_with_unit)]
    unless_newer_than: Option<Duration>,
    /// The time limit, in seconds or such as 30m or 6h; then it stops and leaves no backup. Defaults to none
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    deadline: Option<Duration>,
    /// How long to wait for a table that another session has locked
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "60s")]
    lock_wait: Duration,
    /// Verify the backup right after it is made, as `verify` does; if it is bad, it stays and the command fails
    #[arg(long, value_enum, value_name = "LEVEL")]
    verify: Option<Level>,
    /// Rehearse the upgrade to this program's version right after the backup is made: restore it into a copy, migrate
    /// that as `migrate` would, and serve from it. If that fails, the backup stays and the command fails. Skipped if
    /// the database's schema is newer than this program
    #[arg(long, conflicts_with_all = ["verify", "unless_newer_than"])]
    rehearse: bool,
    /// Whether to remove expired backups, before and after the new one is made
    #[arg(long, action = ArgAction::Set, default_value_t = true)]
    prune: bool,
    #[command(flatten)]
    retention: RetentionArgs,
    /// The folder of PostgreSQL's programs, if they are not on PATH
    #[arg(long)]
    pg_bin: Option<PathBuf>,
    /// The output format
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// What is done with rows that can be computed again.
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
    if let Err(sentence) = start_logging() {
        return failed(sentence);
    }
    let ended = match ended("backup", args.deadline) {
        Ok(ended) => ended,
        Err(sentence) => return failed(sentence),
    };
    let (board, requested) = match begin().await {
        Ok(begun) => begun,
        Err(code) => return code,
    };
    let (request, ended) = (requested.request(), requested.ended(ended));
    let made = Box::pin(board.of(back_up_unless_newer(&args, request, ended))).await;
    let came_out = match &made {
        Ok(Done { not_verified: Some(error), .. }) | Err(error) => {
            Err((error.to_string(), error.is_transient()))
        }
        Ok(Done { printed, .. }) => match printed.flaw() {
            None => Ok(first_line(printed)),
            Some(sentence) => Err((sentence, false)),
        },
    };
    let noted = requested.end(came_out).await;
    match made.and_then(|made| noted.map(|()| made)) {
        Ok(Done { printed, report, not_verified }) => {
            write_termination_message(&report.write());
            if let Some(error) = not_verified {
                failed(&error);
                return after_failure(error.is_transient());
            }
            let code = match (args.output.print(&printed), printed.flaw()) {
                (Err(error), _) => failed(error),
                (Ok(()), None) => ExitCode::SUCCESS,
                (Ok(()), Some(sentence)) => failed(sentence),
            };
            end_abandoned().await;
            code
        }
        Err(error) => not_done(&error),
    }
}

/// What became of the backup.
struct Done {
    printed: Printed,
    /// What Kubernetes is told of it.
    report: BackupReport,
    /// Why it could not be verified, where that was wanted.
    not_verified: Option<RecoveryError>,
}

async fn back_up_unless_newer(
    args: &BackupArgs,
    request: Option<Request>,
    ended: impl Future<Output = RecoveryError>,
) -> Result<Done, RecoveryError> {
    let options = BackupOptions { request, ..options(args)? };
    let makes_folder = matches!(&options.location, Location::Folder(folder) if !folder.exists());
    let mut ended = pin!(ended.fuse());
    if let Some(age) = args.unless_newer_than {
        let newer = tokio::select! {
            newer = newer_than(&options, age) => newer?,
            error = &mut ended => return Err(error),
        };
        if let Some(newer) = newer {
            let report = recorded::skipped(&options, &newer).await;
            return Ok(Done { printed: Printed::skipped(&newer), report, not_verified: None });
        }
    }
    let made = recorded::back_up(&options, trial(args), ended).await?;
    if makes_folder {
        eprintln!("The folder {} was missing, and was made.", options.location);
    }
    let report = made.report(&options);
    let Made { backup, verified } = made;
    let path = backup.path.clone();
    let not_verified = |error| RecoveryError::NotVerified { made: path, error: Box::new(error) };
    let (verification, error) = match verified {
        Ok(found) => (found, None),
        Err(error) => (None, Some(not_verified(error))),
    };
    Ok(Done { printed: Printed::made(backup, verification), report, not_verified: error })
}

fn trial(args: &BackupArgs) -> Trial {
    match args.verify {
        _ if args.rehearse => Trial::Rehearse,
        Some(level) => Trial::Verify(level),
        None => Trial::None,
    }
}

fn options(args: &BackupArgs) -> Result<BackupOptions, RecoveryError> {
    let url = DatabaseSettings::url_from_env()?;
    let location = location(args.to.as_deref(), "--to")?;
    let recipients = match &*args.encrypt_to {
        [] => Recipients::parse(setting(BACKUP_RECIPIENTS).as_slice())?,
        given => Recipients::parse(given)?,
    };
    Ok(BackupOptions {
        copy: setting(BACKUP_INSTANCE),
        scope: args.scope,
        keep_derived: args.derived == Derived::Keep,
        recipients,
        lock_wait: args.lock_wait,
        retention: args.prune.then_some(args.retention.policy()),
        pg_bin: args.pg_bin.clone(),
        ..BackupOptions::new(url, location)
    })
}

/// What became of a backup, as it is printed.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Printed {
    Made {
        id: String,
        path: String,
        removed: usize,
        protected: Vec<Protected>,
        steps: Vec<Step>,
        manifest: Box<Manifest>,
        #[serde(skip_serializing_if = "Option::is_none")]
        verification: Option<Box<Verification>>,
    },
    Skipped {
        skipped: bool,
        newer: String,
        snapshot_at: Timestamp,
    },
}

impl Printed {
    fn made(report: Report, verification: Option<Verification>) -> Self {
        let Report { path, manifest, expired: Forgotten { removed, protected }, steps } = report;
        let removed = removed.len();
        let id = manifest.id().to_owned();
        Self::Made {
            id,
            path,
            removed,
            protected,
            steps,
            manifest: Box::new(manifest),
            verification: verification.map(Box::new),
        }
    }

    /// The sentence of a verification that failed.
    fn flaw(&self) -> Option<String> {
        let Self::Made { id, verification: Some(found), .. } = self else { return None };
        let flaw = found.failure.as_ref()?;
        Some(format!("the backup {id} is made, and it is not good: {flaw}"))
    }

    fn skipped(newer: &Manifest) -> Self {
        Self::Skipped {
            skipped: true,
            newer: newer.id().to_owned(),
            snapshot_at: newer.snapshot_at,
        }
    }
}

impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Made { path, removed, protected, manifest, verification, .. } => {
                let Manifest { bytes, tables, finished_at, snapshot_at, .. } = &**manifest;
                write!(
                    f,
                    "Backup complete: {path} ({} KiB, {} rows of {} tables, {:.1} s); old ones removed: {removed}",
                    bytes.div_ceil(1024),
                    manifest.rows(),
                    tables.len(),
                    (*finished_at - *snapshot_at).total(Unit::Second).unwrap_or_default(),
                )?;
                f.write_str(&told(protected))?;
                let Some(found) = verification else { return Ok(()) };
                let how = if found.failure.is_none() { "well" } else { "not good" };
                write!(f, "; verified at level {}: {how}, {:.1} s", found.level, found.seconds())
            }
            Self::Skipped { newer, snapshot_at, .. } => {
                write!(f, "Skipped: {newer} is young enough, of {} ago", age(*snapshot_at))
            }
        }
    }
}

/// How long ago a moment is, to the minute.
fn age(at: Timestamp) -> String {
    let age = Timestamp::now().duration_since(at).max(SignedDuration::ZERO);
    let rounded = age.round(SignedDurationRound::new().smallest(Unit::Minute)).unwrap_or(age);
    format!("{rounded:#}")
}
