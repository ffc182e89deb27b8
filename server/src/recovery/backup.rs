//! `agentfs-server backup`: writes a dump and its manifest, then prunes expired backups.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;

use agentfs_contract::manifest::{FORMAT, Manifest, Scope};
use jiff::Timestamp;

use super::catalog::{Catalog, PartialDump};
use super::error::BackupError;
use super::programs::{Programs, environment};
use super::retention::Retention;
use crate::settings::DatabaseSettings;
use crate::store::connection::address::DatabaseAddress;
use crate::store::connection::snapshot::Snapshot;

/// How long a dump waits for a table that somebody else holds, such as a migration.
const LOCK_WAIT: &str = "--lock-wait-timeout=60s";

/// Arguments of `agentfs-server backup`.
#[derive(Debug, clap::Args)]
pub struct BackupArgs {
    /// The folder of the backups; it is made where it is missing
    #[arg(long)]
    dir: PathBuf,
    /// How much of the database: all of it, or what nothing else can bring back (the tables tenants, api_keys, entries,
    /// entry_versions)
    #[arg(long, value_enum, default_value_t = Scope::Full)]
    scope: Scope,
    /// Remove backups that are older than this many days
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=36_500))]
    retention_days: u32,
    /// Keep this many of the newest backups, however old they are; never less than one
    #[arg(long, default_value_t = 3)]
    keep_last: usize,
    /// The folder of PostgreSQL's programs, where they are not on PATH
    #[arg(long)]
    pg_bin: Option<PathBuf>,
}

/// The result of a backup.
#[derive(Debug)]
pub struct Report {
    /// The new dump.
    pub path: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
    /// How large the database is on its server's disk, in bytes.
    pub database_bytes: u64,
    /// Old backups that were removed.
    pub removed: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Manifest { bytes, rows, finished_at, snapshot_at, .. } = &self.manifest;
        write!(
            f,
            "Backup complete: {} ({} KiB, {} rows of {} tables, {:.1} s); old ones removed: {}",
            self.path.display(),
            bytes.div_ceil(1024),
            rows.values().sum::<i64>(),
            rows.len(),
            (*finished_at - *snapshot_at).total(jiff::Unit::Second).unwrap_or_default(),
            self.removed
        )
    }
}

/// Makes a backup, and prunes expired ones before it, for its room, and after it. If it fails, nothing of it is left.
pub async fn back_up(args: &BackupArgs) -> Result<Report, BackupError> {
    let made = back_up_where_there_is_room(args).await;
    made.map_err(|error| match error {
        error if error.is_out_of_space() => BackupError::Full {
            folder: args.dir.clone(),
            days: args.retention_days,
            keep_last: args.keep_last,
            error: Box::new(error),
        },
        error => error,
    })
}

async fn back_up_where_there_is_room(args: &BackupArgs) -> Result<Report, BackupError> {
    let url = DatabaseSettings::url_from_env()?;
    let catalog = Catalog::open(&args.dir)?;
    let mut snapshot = Snapshot::take(&DatabaseAddress::of(&url)).await?;
    if snapshot.schema.version == 0 {
        return Err(BackupError::NoSchema(url.endpoint()));
    }
    let programs = Programs::find(args.pg_bin.as_deref(), snapshot.major).await?;
    // The server that has the snapshot.
    let variables = environment(url.hosts()[snapshot.host].text());
    let retention = Retention {
        days: args.retention_days,
        keep_last: args.keep_last,
        scope: args.scope,
        instance: snapshot.instance.clone(),
    };
    let before = prune(&catalog, &retention).unwrap_or_else(|error| {
        tracing::warn!(
            "an expired backup could not be removed before the new one is made: {error}"
        );
        0
    });
    let dumping = async |snapshot: &mut Snapshot| {
        make(&catalog, args.scope, snapshot, &programs, &variables).await
    };
    let mut result = dumping(&mut snapshot).await;
    if result.as_ref().is_err_and(BackupError::is_out_of_space) && catalog.remove_partial()? > 0 {
        result = dumping(&mut snapshot).await;
    }
    let (path, manifest) = result?;
    match prune(&catalog, &retention) {
        Ok(after) => Ok(Report {
            path,
            manifest,
            database_bytes: snapshot.database_bytes,
            removed: before + after,
        }),
        Err(error) => Err(BackupError::Prune { made: path, error: Box::new(error) }),
    }
}

/// Dumps the snapshot, checks the dump and writes its manifest.
async fn make(
    catalog: &Catalog,
    scope: Scope,
    snapshot: &mut Snapshot,
    programs: &Programs,
    variables: &[(&'static str, String)],
) -> Result<(PathBuf, Manifest), BackupError> {
    let partial = catalog.begin(scope, snapshot.at)?;
    let id = snapshot.id.clone();
    let counted = async { snapshot.rows(scope.tables()).await.map_err(BackupError::from) };
    // Both see the same moment.
    let (rows, ()) = tokio::try_join!(counted, dump(programs, variables, &id, scope, &partial))?;
    holds_all(programs, &partial, rows.keys().map(String::as_str)).await?;
    let (partial, (bytes, sha256)) = digested(partial).await?;
    let manifest = Manifest {
        format: FORMAT,
        scope,
        file: partial.name().to_owned(),
        bytes,
        sha256,
        instance: snapshot.instance.clone(),
        schema_version: snapshot.schema.version,
        min_compatible: snapshot.schema.min_compatible,
        postgres: snapshot.postgres.clone(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        snapshot_at: snapshot.at,
        finished_at: Timestamp::now(),
        rows,
    };
    Ok((catalog.finish(&partial, &manifest)?, manifest))
}

/// Removes expired backups; returns how many.
fn prune(catalog: &Catalog, retention: &Retention) -> Result<usize, BackupError> {
    let old = retention.expired(catalog.backups()?, Timestamp::now());
    old.iter().try_for_each(|backup| catalog.remove(backup))?;
    Ok(old.len())
}

/// Hashes the dump on a thread of its own, so that signals are still handled.
async fn digested(partial: PartialDump) -> Result<(PartialDump, (u64, String)), BackupError> {
    let path = partial.path().to_owned();
    let read =
        tokio::task::spawn_blocking(move || partial.digest().map(|digest| (partial, digest)));
    read.await.map_err(|error| BackupError::of(path)(std::io::Error::other(error)))?
}

async fn dump(
    programs: &Programs,
    variables: &[(&'static str, String)],
    snapshot: &str,
    scope: Scope,
    partial: &PartialDump,
) -> Result<(), BackupError> {
    let snapshot = format!("--snapshot={snapshot}");
    let mut arguments: Vec<&OsStr> =
        ["-Fc", LOCK_WAIT, "--no-password", &snapshot].map(OsStr::new).into();
    arguments.push("--no-unlogged-table-data".as_ref());
    for table in scope.tables().unwrap_or_default() {
        arguments.extend(["-t", table].map(OsStr::new));
    }
    arguments.extend(["-f".as_ref(), partial.path().as_os_str()]);
    programs.run("pg_dump", variables, &arguments).await.map(drop)
}

/// Checks the dump's table of contents: each table must be in it, with its data.
async fn holds_all(
    programs: &Programs,
    partial: &PartialDump,
    tables: impl Iterator<Item = &str>,
) -> Result<(), BackupError> {
    let contents =
        programs.run("pg_restore", &[], &["--list".as_ref(), partial.path().as_os_str()]).await?;
    // "3432; 0 16391 TABLE DATA public entries agentfs"
    let held: Vec<&str> = contents
        .lines()
        .filter_map(|line| line.split_once(" TABLE DATA ")?.1.split_whitespace().nth(1))
        .collect();
    let missing: Vec<&str> = tables.filter(|table| !held.contains(table)).collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(BackupError::Unusable(format!("it lacks the data of {}", missing.join(", "))))
    }
}
