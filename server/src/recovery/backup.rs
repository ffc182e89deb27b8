//! Makes a backup: a dump and its manifest. Expired backups are pruned before it, for its room, and after it.

use std::path::PathBuf;
use std::time::Duration;

use agentfs_contract::manifest::{FORMAT, Manifest, Purpose, Scope};
use agentfs_contract::verification::Step;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::catalogue::{Catalogue, MANIFEST, remove};
use super::dump::{self, Wanted};
use super::error::RecoveryError;
use super::instance::Instance;
use super::location::Location;
use super::programs::{Programs, environment};
use super::retention::Retention;
use super::steps::Steps;
use super::storage::Storage;
use crate::settings::DatabaseUrl;
use crate::store::connection::address::DatabaseAddress;
use crate::store::connection::snapshot::Snapshot;
use crate::store::fingerprint::TableName;
use crate::store::schema::{SCHEMA_VERSION, TABLES};

/// The lock of an instance's backups; hidden, so that it is no object.
const LOCK: &str = ".lock";
/// A partial dump that nobody has written to for so long was left by a backup that died.
const PARTIAL_FOR: Duration = Duration::from_hours(24);
/// Tables that can be made anew from the others.
const DERIVED: [&str; 3] = ["embedding_jobs", "embeddings", "search_documents"];

/// What to back up, and where to.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    /// The database.
    pub url: DatabaseUrl,
    /// What tells the database from copies with the same history.
    pub copy: Option<String>,
    /// Where the backups are.
    pub location: Location,
    /// How much of the database.
    pub scope: Scope,
    /// Whether rows that can be made anew are in the dump.
    pub keep_derived: bool,
    /// What the backup is for.
    pub purpose: Purpose,
    /// Which backups expire; `None` removes none.
    pub retention: Option<Retention>,
    /// The folder of PostgreSQL's programs, where they are not on PATH.
    pub pg_bin: Option<PathBuf>,
}

/// A backup that was made.
#[derive(Debug, Clone)]
pub struct Report {
    /// Where it is: the location and the dump's name there.
    pub path: String,
    /// Its manifest.
    pub manifest: Manifest,
    /// Old backups that were removed.
    pub removed: usize,
    /// How long each step took.
    pub steps: Vec<Step>,
}

/// Makes a backup. If it fails, nothing of it is left.
pub async fn back_up(options: &BackupOptions) -> Result<Report, RecoveryError> {
    let made = back_up_where_there_is_room(options).await;
    made.map_err(|error| match &options.retention {
        Some(retention) if error.is_out_of_space() => RecoveryError::Full {
            location: options.location.to_string(),
            days: retention.days,
            keep_last: retention.keep_last,
            error: Box::new(error),
        },
        _ => error,
    })
}

async fn back_up_where_there_is_room(options: &BackupOptions) -> Result<Report, RecoveryError> {
    let mut steps = Steps::default();
    let storage = Storage::create(&options.location).await?;
    let snapshot = steps.time("snapshot", Snapshot::take(&DatabaseAddress::of(&options.url))).await;
    let mut snapshot = snapshot?;
    if snapshot.schema.version == 0 {
        return Err(RecoveryError::NoSchema(options.url.endpoint()));
    }
    let programs = Programs::find(options.pg_bin.as_deref(), snapshot.major).await?;
    let instance = Instance::of(&snapshot.identity, options.copy.as_deref());
    let folder = format!("{instance}/");
    let lock = storage.lock(&format!("{folder}{LOCK}")).await?;
    storage.sweep(&folder, PARTIAL_FOR).await?;
    let before = prune(options, &storage, &instance).await.unwrap_or_else(|error| {
        tracing::warn!(
            "an expired backup could not be removed before the new one is made: {error}"
        );
        0
    });
    let mut maker =
        Maker { options, storage: &storage, programs: &programs, instance: &instance, steps };
    let mut made = maker.make(&mut snapshot).await;
    if made.as_ref().is_err_and(RecoveryError::is_out_of_space)
        && storage.sweep(&folder, Duration::ZERO).await? > 0
    {
        made = maker.make(&mut snapshot).await;
    }
    let manifest = made?;
    let mut steps = maker.steps;
    lock.check().await?;
    let path = format!("{}/{folder}{}", options.location, manifest.file);
    let pruned = steps.time("prune", prune(options, &storage, &instance)).await;
    lock.release().await;
    match pruned {
        Ok(after) => {
            Ok(Report { path, manifest, removed: before + after, steps: steps.into_vec() })
        }
        Err(error) => Err(RecoveryError::Prune { made: path, error: Box::new(error) }),
    }
}

/// What it takes to make one backup.
struct Maker<'a> {
    options: &'a BackupOptions,
    storage: &'a Storage,
    programs: &'a Programs,
    instance: &'a Instance,
    steps: Steps,
}

impl Maker<'_> {
    /// Dumps the snapshot, and writes the manifest last.
    async fn make(&mut self, snapshot: &mut Snapshot) -> Result<Manifest, RecoveryError> {
        let Self { options, storage, programs, instance, steps } = self;
        let known = (snapshot.schema.version <= SCHEMA_VERSION).then_some(&TABLES[..]);
        let tables = snapshot.tables(options.scope.tables().or(known)).await?;
        let is_derived = |table: &&TableName| DERIVED.contains(&&*table.name);
        let left_out: Vec<TableName> = match options.keep_derived {
            true => Vec::new(),
            false => tables.iter().filter(is_derived).cloned().collect(),
        };
        let held: Vec<TableName> =
            tables.iter().filter(|table| !left_out.contains(table)).cloned().collect();

        let name = file_name(options.scope, options.purpose, snapshot.at);
        let object = format!("{instance}/{name}");
        let mut upload = storage.upload(&object).await?;
        // The server that has the snapshot.
        let variables = environment(options.url.hosts()[snapshot.host].text());
        let id = snapshot.id.clone();
        let wanted = Wanted {
            snapshot: &id,
            tables: &tables,
            left_out: &left_out,
            extension: options.scope == Scope::Full,
        };
        let counted = async { snapshot.contents(&held).await.map_err(RecoveryError::from) };
        // Both see the same moment.
        let dumped = dump::dump(programs, &variables, &wanted, &mut upload);
        let both = steps.time("dump", async { tokio::try_join!(counted, dumped) }).await;
        let (contents, digest) = both?;
        let pg_dump = programs.version().await?;
        steps.time("store", upload.finish()).await?;
        let manifest = Manifest {
            format: FORMAT,
            purpose: options.purpose,
            scope: options.scope,
            file: name,
            bytes: digest.bytes,
            sha256: digest.sha256,
            encryption: None,
            instance: instance.name().to_owned(),
            schema_version: snapshot.schema.version,
            min_compatible: snapshot.schema.min_compatible,
            postgres: snapshot.postgres.clone(),
            pg_dump,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            snapshot_at: snapshot.at,
            finished_at: Timestamp::now(),
            database_bytes: snapshot.database_bytes,
            tables: contents,
            left_out: left_out.into_iter().map(|table| table.name).collect(),
            checksum: String::new(),
        };
        let (manifest, json) = manifest.write();
        let beside = format!("{instance}/{}{MANIFEST}", manifest.id());
        if let Err(error) = storage.write_small(&beside, &json).await {
            storage.remove(&object).await?;
            return Err(error.into());
        }
        Ok(manifest)
    }
}

/// The name of a dump, as the runbook has it: the moment of the snapshot in UTC.
fn file_name(scope: Scope, purpose: Purpose, at: Timestamp) -> String {
    let stamp = at.to_zoned(TimeZone::UTC).strftime("%Y%m%d_%H%M%S").to_string();
    match (purpose, scope) {
        (Purpose::Drill, _) => format!("agentfs_drill_{stamp}.dump"),
        (Purpose::Backup, Scope::Full) => format!("agentfs_{stamp}.dump"),
        (Purpose::Backup, Scope::Entries) => format!("agentfs_entries_{stamp}.dump"),
    }
}

/// Removes expired backups; returns how many.
async fn prune(
    options: &BackupOptions,
    storage: &Storage,
    instance: &Instance,
) -> Result<usize, RecoveryError> {
    let Some(retention) = &options.retention else { return Ok(0) };
    let catalogue = Catalogue::read(storage).await?;
    let expired = retention.expired(&catalogue, instance, options.scope, Timestamp::now());
    for backup in &expired {
        remove(storage, backup).await?;
    }
    Ok(expired.len())
}
