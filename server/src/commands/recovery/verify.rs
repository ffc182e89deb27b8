//! `agentfs-server verify`: proves that a backup restores.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use agentfs_contract::manifest::Manifest;
use agentfs_contract::request::Request;
use agentfs_contract::setting::{BACKUP_INSTANCE, BACKUP_SCRATCH_URL, DATABASE_URL};
use agentfs_contract::verification::{Level, Verification};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::abandoned::end_abandoned;
use super::requested::{begin, first_line, not_done};
use super::{duration, ended, identities, location, setting, start_logging};
use crate::commands::in_runtime;
use crate::commands::output::Output;
use crate::records::{self, Run};
use crate::recovery::catalogue::Selector;
use crate::recovery::restore::in_place::drop_expired;
use crate::recovery::{Instance, RecoveryError, Verified, VerifyOptions, grouped, verify};
use crate::runtime::exit::{failed, failed_for_all_to_see};
use crate::settings::{DatabaseSettings, DatabaseUrl};

/// Arguments of `agentfs-server verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// Where backups are stored: a folder, or s3://bucket/prefix. Defaults to BACKUP_LOCATION
    #[arg(long, visible_alias = "dir", value_name = "LOCATION")]
    from: Option<String>,
    /// The backup: its id, or `latest`. With DATABASE_URL, the latest of that database
    #[arg(long, value_name = "ID", default_value = "latest")]
    backup: String,
    /// How thoroughly to verify: `archive` reads all of it and compares it with its manifest; `restore` also restores
    /// it into a throwaway PostgreSQL, compares each row, and serves from it
    #[arg(long, value_enum, default_value_t = Level::Restore)]
    level: Level,
    /// The file with age identities that decrypt the backup. Defaults to BACKUP_IDENTITY_FILE
    #[arg(long, value_name = "FILE")]
    identity_file: Option<PathBuf>,
    /// A PostgreSQL server to restore into, as a role that may create databases; they are dropped at the end. Defaults
    /// to a throwaway PostgreSQL on this machine, with its data in TMPDIR
    #[arg(long, value_name = "URL", env = BACKUP_SCRATCH_URL, hide_env_values = true)]
    scratch_url: Option<SecretString>,
    /// The time limit, such as 30m or 6h; then it stops and cleans up. Defaults to none
    #[arg(long, value_name = "TIME", value_parser = duration)]
    deadline: Option<Duration>,
    /// The folder of PostgreSQL's programs, if they are not on PATH
    #[arg(long, value_name = "DIR")]
    pg_bin: Option<PathBuf>,
    /// The output format
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Runs the command.
pub fn run(args: VerifyArgs) -> ExitCode {
    in_runtime(execute(args))
}

async fn execute(args: VerifyArgs) -> ExitCode {
    if let Err(sentence) = start_logging() {
        return failed(sentence);
    }
    let ended = match ended("verification", args.deadline) {
        Ok(ended) => ended,
        Err(sentence) => return failed(sentence),
    };
    let (board, requested) = match begin().await {
        Ok(begun) => begun,
        Err(code) => return code,
    };
    let (request, ended) = (requested.request(), requested.ended(ended));
    let verified = Box::pin(board.of(verify_as_asked(&args, request, ended))).await;
    let verified = verified.map(Printed::from);
    let came_out = match &verified {
        Ok(printed) => printed.failure().map_or(Ok(first_line(printed)), |why| Err((why, false))),
        Err(error) => Err((error.to_string(), error.is_transient())),
    };
    let noted = requested.end(came_out).await;
    match verified.and_then(|verified| noted.map(|()| verified)) {
        Ok(printed) => {
            let failure = printed.failure();
            let code = match (args.output.print(&printed), failure) {
                (Err(error), _) => failed(error),
                (Ok(()), None) => ExitCode::SUCCESS,
                (Ok(()), Some(sentence)) => failed_for_all_to_see(&sentence, false),
            };
            end_abandoned().await;
            code
        }
        Err(error) => not_done(&error),
    }
}

async fn verify_as_asked(
    args: &VerifyArgs,
    request: Option<Request>,
    ended: impl Future<Output = RecoveryError>,
) -> Result<Verified, RecoveryError> {
    let scratch_url = args.scratch_url.as_ref().filter(|url| !url.expose_secret().is_empty());
    let scratch_url = scratch_url.map(DatabaseUrl::parse).transpose()?;
    let request =
        request.map(|request| Ok::<_, RecoveryError>((request, DatabaseSettings::url_from_env()?)));
    let options = VerifyOptions {
        request: request.transpose()?,
        location: location(args.from.as_deref(), "--from")?,
        backup: Selector::from(args.backup.as_str()),
        instance: instance().await,
        level: args.level,
        identities: identities(args.identity_file.as_ref()),
        scratch_url,
        pg_bin: args.pg_bin.clone(),
    };
    let verified = verify(&options, ended).await?;
    let instance = options.instance.as_ref();
    records::keep(Run { instance, ..Run::at(&options.location) }).await;
    Ok(verified)
}

/// Our instance, where DATABASE_URL leads to it. That it is lost is no reason not to verify its backups. What a restore in place has
/// left there for a while goes when its time is over.
async fn instance() -> Option<Instance> {
    setting(DATABASE_URL)?;
    let copy = setting(BACKUP_INSTANCE);
    let found = async {
        let url = DatabaseSettings::url_from_env()?;
        let instance = Instance::of_database(&url, copy.as_deref()).await?;
        drop_expired(&url).await;
        Ok(instance)
    };
    let warn = |error: &RecoveryError| {
        tracing::warn!("whose backups are meant is not known without DATABASE_URL: {error}");
    };
    found.await.inspect_err(warn).ok()
}

/// A verification as it is printed.
#[derive(Debug, Serialize)]
struct Printed {
    id: String,
    good: bool,
    /// The instance, where it is another than that of DATABASE_URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    another_instance: Option<String>,
    tables: usize,
    rows: i64,
    served: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    more_indexes: Vec<String>,
    seconds: f64,
    verification: Verification,
}

impl From<Verified> for Printed {
    fn from(verified: Verified) -> Self {
        let Verified { manifest, verification, served, indexes, is_foreign } = verified;
        let (tables, rows) = (manifest.tables.len(), manifest.rows());
        let Manifest { instance, .. } = manifest;
        Self {
            id: verification.backup.clone(),
            good: verification.failure.is_none(),
            another_instance: (is_foreign == Some(true)).then_some(instance),
            tables,
            rows,
            served,
            more_indexes: indexes,
            seconds: verification.seconds(),
            verification,
        }
    }
}

impl Printed {
    /// The sentence of a failure.
    fn failure(&self) -> Option<String> {
        let failure = self.verification.failure.as_ref()?;
        Some(format!("the backup {} is not good: {failure}", self.id))
    }
}

impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, tables, served, seconds, .. } = self;
        let rows = grouped(self.rows.unsigned_abs());
        match (&self.verification.failure, self.verification.level) {
            (Some(failure), level) => {
                write!(f, "{id} failed at level {level} after {seconds:.1} s: {failure}")?;
            }
            (None, Level::Archive) => write!(
                f,
                "{id} read as a whole in {seconds:.1} s: {tables} tables, {rows} rows counted; only --level restore proves that it restores"
            )?,
            (None, Level::Restore) => write!(
                f,
                "{id} verified by a restore in {seconds:.1} s: {tables} tables, {rows} rows equal; served {served} of {served} entries"
            )?,
        }
        if let Some(instance) = &self.another_instance {
            write!(
                f,
                "\nIt is a backup of another instance than that of DATABASE_URL: {instance}"
            )?;
        }
        if !self.more_indexes.is_empty() {
            write!(f, "\nIts schema has more indexes: {}", self.more_indexes.join(", "))?;
        }
        Ok(())
    }
}
