//! Makes a backup: a dump and its manifest. Expired backups are pruned before it, for its room, and after it.

use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::time::Duration;

use agentfs_contract::manifest::{Encryption, FORMAT, Manifest, Purpose, Scope};
use agentfs_contract::request::Request;
use agentfs_contract::verification::Step;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::catalogue::{Backup, Catalogue, MANIFEST, Reader};
use super::dump::{self, Digest, Dumped, Wanted};
use super::encryption::{self, Recipients};
use super::error::RecoveryError;
use super::fault_point::{FaultPoint, reach};
use super::forget::{self, Forgotten, LOCK};
use super::instance::Instance;
use super::location::Location;
use super::programs::{Programs, environment};
use super::progress;
use super::request;
use super::restore::in_place::clean::refuse_emptied;
use super::restore::in_place::drop_expired;
use super::retention::Retention;
use super::steps::Steps;
use super::storage::{Lock, Removal, Storage, StorageError, Upload};
use super::sweep::sweep;
use super::unless::unless;
use crate::settings::DatabaseUrl;
use crate::store::connection::address::DatabaseAddress;
use crate::store::connection::snapshot::{self, Snapshot};
use crate::store::fingerprint::TableName;

/// How long a dump waits for a table that somebody else holds, unless it is told otherwise.
const LOCK_WAIT: Duration = Duration::from_mins(1);
/// Tables that can be made anew from the others.
const DERIVED: [&str; 4] = ["embedding_chunks", "embedding_jobs", "embeddings", "search_documents"];

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
    /// Whom the dump is encrypted to; `None` leaves it in clear.
    pub recipients: Option<Recipients>,
    /// What the backup is for.
    pub purpose: Purpose,
    /// How long a table is waited for that somebody else holds.
    pub lock_wait: Duration,
    /// Which backups expire; `None` removes none.
    pub retention: Option<Retention>,
    /// The folder of PostgreSQL's programs, where they are not on PATH.
    pub pg_bin: Option<PathBuf>,
    /// The request that it is done for.
    pub request: Option<Request>,
}

impl BackupOptions {
    /// A full backup in clear that removes nothing.
    pub fn new(url: DatabaseUrl, location: Location) -> Self {
        Self {
            url,
            copy: None,
            location,
            scope: Scope::Full,
            keep_derived: true,
            recipients: None,
            purpose: Purpose::Backup,
            lock_wait: LOCK_WAIT,
            retention: None,
            pg_bin: None,
            request: None,
        }
    }
}

/// A backup that was made.
#[derive(Debug, Clone)]
pub struct Report {
    /// Where it is: the location and the dump's name there.
    pub path: String,
    /// Its manifest.
    pub manifest: Manifest,
    /// What became of expired backups.
    pub expired: Forgotten,
    /// How long each step took.
    pub steps: Vec<Step>,
}

/// Makes a backup, unless `stop` resolves before its dump is whole: with the error that it ends with then. If it fails, nothing of
/// it is left.
pub async fn back_up(
    options: &BackupOptions,
    stop: impl Future<Output = RecoveryError>,
) -> Result<Report, RecoveryError> {
    let mut stop = pin!(stop);
    let dropping = async {
        drop_expired(&options.url).await;
        Ok(())
    };
    unless(&mut stop, Box::pin(dropping)).await?;
    let mut maker = unless(&mut stop, Box::pin(Maker::begin(options))).await?;
    let made = match maker.made_before().await {
        Ok(Some(report)) => Ok(report),
        Ok(None) => maker.make(&mut stop).await,
        Err(error) => Err(error),
    };
    maker.lock.release().await;
    let full = |error: RecoveryError| match error {
        error if error.is_out_of_space() => RecoveryError::Full {
            location: options.location.to_string(),
            advice: advice(options.retention.as_ref()),
            error: Box::new(error),
        },
        error => error,
    };
    made.map_err(full)
}

/// What helps a location that is full, but for more room.
fn advice(retention: Option<&Retention>) -> String {
    let by_hand = "remove some backups with `agentfs-server forget`";
    match retention {
        Some(retention) => {
            format!("keep fewer backups (now {retention}; what had expired is gone), or {by_hand}")
        }
        None => by_hand.to_owned(),
    }
}

/// What it takes to make one backup.
struct Maker<'a> {
    options: &'a BackupOptions,
    storage: Storage,
    programs: Programs,
    instance: Instance,
    snapshot: Snapshot,
    lock: Lock,
    catalogue: Reader,
    steps: Steps,
}

impl<'a> Maker<'a> {
    /// Takes the snapshot and the locks.
    async fn begin(options: &'a BackupOptions) -> Result<Self, RecoveryError> {
        let mut steps = Steps::default();
        let storage = Storage::create(&options.location).await?;
        let address = DatabaseAddress::of(&options.url);
        let snapshot = steps.time("snapshot", Snapshot::take(&address)).await?;
        reach(FaultPoint::SnapshotTaken);
        if snapshot.schema.version == 0 {
            refuse_emptied(&options.url).await?;
            return Err(RecoveryError::NoSchema(options.url.endpoint()));
        }
        let instance = Instance::of(&snapshot.identity, options.copy.as_deref());
        let programs = Programs::find(options.pg_bin.as_deref(), snapshot.major).await?;
        let lock = storage.lock(&format!("{instance}/{LOCK}")).await?;
        reach(FaultPoint::Locked);
        let catalogue = Reader::default();
        Ok(Self { options, storage, programs, instance, snapshot, lock, catalogue, steps })
    }

    /// The backup that a run of the same request had made and was killed after.
    async fn made_before(&mut self) -> Result<Option<Report>, RecoveryError> {
        let BackupOptions { url, location, request, .. } = self.options;
        let noted = request::look(url, request.as_ref()).await?;
        let Some(path) = noted.backup else { return Ok(None) };
        let catalogue = self.catalogue.read(&self.storage).await?;
        let made = catalogue.backups.iter().find(|backup| backup.path() == path);
        Ok(made.map(|backup| Report {
            path: format!("{location}/{}", backup.dump()),
            manifest: backup.manifest.clone(),
            expired: Forgotten::default(),
            steps: Vec::new(),
        }))
    }

    async fn make(
        &mut self,
        stop: &mut Pin<&mut impl Future<Output = RecoveryError>>,
    ) -> Result<Report, RecoveryError> {
        let (mut expired, upload, manifest) = unless(stop, Box::pin(self.dump())).await?;
        // From here on it takes a moment, and no step in it may be the last that is seen of it.
        let manifest = self.commit(upload, manifest).await?;
        let path = format!("{}/{}/{}", self.options.location, self.instance, manifest.file);
        let mut steps = std::mem::take(&mut self.steps);
        let after = tokio::select! {
            after = steps.time("prune", self.prune()) => after,
            _ = stop => Ok(Forgotten::default()),
        };
        match after {
            Ok(after) => {
                expired.removed.extend(after.removed);
                expired.protected = after.protected;
                Ok(Report { path, manifest, expired, steps: steps.into_vec() })
            }
            Err(error) => Err(RecoveryError::Prune { made: path, error: Box::new(error) }),
        }
    }

    /// Makes room, and dumps the snapshot; the manifest says what is in it.
    async fn dump(&mut self) -> Result<(Forgotten, Upload, Manifest), RecoveryError> {
        let tables = self.snapshot.tables(self.options.scope.tables()).await?;
        let is_left_out =
            |table: &TableName| !self.options.keep_derived && DERIVED.contains(&&*table.name);
        let (left_out, held): (Vec<_>, Vec<_>) = tables.iter().cloned().partition(is_left_out);

        if let Err(error) = self.sweep().await {
            tracing::warn!("what runs that died have left could not be removed: {error}");
        }
        let file = file_name(self.options, self.snapshot.at);
        progress::backup(file.split('.').next().unwrap_or_default());
        let mut upload = self.storage.upload(&format!("{}/{file}", self.instance)).await?;
        reach(FaultPoint::DumpBegun);
        let pruned = self.prune().await.unwrap_or_else(|error| {
            tracing::warn!(
                "an expired backup could not be removed before the new one is made: {error}"
            );
            Forgotten::default()
        });

        reach(FaultPoint::PrunedBefore);
        let Self { options, programs, instance, snapshot, steps, .. } = self;
        let id = snapshot.id.clone();
        let wanted = Wanted {
            snapshot: &id,
            tables: &tables,
            left_out: &left_out,
            extension: options.scope == Scope::Full,
            lock_wait: options.lock_wait,
            recipients: options.recipients.as_ref(),
        };
        // The server that has the snapshot.
        let variables = environment(options.url.hosts()[snapshot.host].text());
        let dumped = dump::dump(programs, &variables, &wanted, &mut upload);
        let counted = async { snapshot.contents(&held).await.map_err(RecoveryError::from) };
        // Both see the same moment.
        let both = steps.time("dump", async { tokio::try_join!(counted, dumped) }).await;
        let (contents, Dumped { stored, plain }) = match both {
            Err(error) if error.is_of_a_held_table() => {
                let address = DatabaseAddress::of(&options.url);
                let holder = snapshot::holder(&address, &tables).await.unwrap_or_default();
                let seconds = options.lock_wait.as_secs();
                return Err(RecoveryError::TableHeld { seconds, holder });
            }
            both => both?,
        };
        reach(FaultPoint::DumpWritten);
        let encryption = |Digest { bytes, sha256 }| Encryption {
            scheme: encryption::SCHEME.to_owned(),
            plain_bytes: bytes,
            plain_sha256: sha256,
        };
        let manifest = Manifest {
            format: FORMAT,
            purpose: options.purpose,
            scope: options.scope,
            file,
            bytes: stored.bytes,
            sha256: stored.sha256,
            encryption: plain.map(encryption),
            instance: instance.name().to_owned(),
            schema_version: snapshot.schema.version,
            min_compatible: snapshot.schema.min_compatible,
            postgres: snapshot.postgres.clone(),
            pg_dump: programs.version().to_string(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            snapshot_at: snapshot.at,
            finished_at: Timestamp::now(),
            database_bytes: snapshot.database_bytes,
            tables: contents,
            left_out: left_out.into_iter().map(|table| table.name).collect(),
            checksum: String::new(),
        };
        Ok((pruned, upload, manifest))
    }

    /// Ends the dump, and writes the manifest; where that fails, both are removed.
    async fn commit(
        &mut self,
        upload: Upload,
        manifest: Manifest,
    ) -> Result<Manifest, RecoveryError> {
        let dump = format!("{}/{}", self.instance, manifest.file);
        let beside = format!("{}/{}{MANIFEST}", self.instance, manifest.id());
        let committed = self.write(upload, manifest, &beside).await;
        match &committed {
            // What is there already is another run's.
            Ok(_) | Err(RecoveryError::Storage(StorageError::Exists(_))) => {}
            // Whether a write that failed was done is not always known. The dump stays while there may be a manifest.
            Err(_) => {
                for name in [&beside, &dump] {
                    let why = match self.storage.remove(name).await {
                        Ok(Removal::Removed) => continue,
                        Ok(Removal::Protected(_)) => "its location protects it".to_owned(),
                        Err(error) => error.to_string(),
                    };
                    tracing::warn!("{name} is of no backup, and could not be removed: {why}");
                    break;
                }
            }
        }
        committed
    }

    async fn write(
        &mut self,
        upload: Upload,
        manifest: Manifest,
        beside: &str,
    ) -> Result<Manifest, RecoveryError> {
        self.steps.time("store", upload.finish()).await?;
        reach(FaultPoint::DumpFinished);
        // By now its name is nobody else's.
        let id = format!("{}/{}", self.instance, manifest.id());
        let BackupOptions { url, request, .. } = self.options;
        request::note_backup(url, request.as_ref(), &id).await?;
        // Locks end with their sessions, and not with us.
        self.snapshot.check().await?;
        self.lock.check().await?;
        let (manifest, json) = manifest.write();
        self.storage.write_small(beside, &json).await?;
        reach(FaultPoint::ManifestWritten);
        Ok(manifest)
    }

    /// Removes what runs that died have left. Who has the lock of this instance is the only one to make or remove backups of it.
    async fn sweep(&mut self) -> Result<(), RecoveryError> {
        let catalogue = self.catalogue.read(&self.storage).await?;
        sweep(&self.storage, &catalogue, &self.instance).await?;
        Ok(())
    }

    /// Removes expired backups.
    async fn prune(&mut self) -> Result<Forgotten, RecoveryError> {
        let Some(retention) = &self.options.retention else { return Ok(Forgotten::default()) };
        let catalogue = self.catalogue.read(&self.storage).await?;
        let ours = (&self.instance, self.options.scope);
        forget::prune(&self.storage, &catalogue, retention, ours).await
    }
}

/// The newest whole backup of the same instance and scope, if it is younger than `age`. One that a verification has found wanting
/// is none.
pub async fn newer_than(
    options: &BackupOptions,
    age: Duration,
) -> Result<Option<Manifest>, RecoveryError> {
    let storage = Storage::create(&options.location).await?;
    let instance = Instance::of_database(&options.url, options.copy.as_deref()).await?;
    let catalogue = Catalogue::read(&storage).await?;
    let is_sound = |backup: &&Backup| backup.manifest.scope == options.scope && backup.is_sound();
    let newest = catalogue.of(&instance).rfind(is_sound).map(|backup| backup.manifest.clone());
    let is_young = |manifest: &Manifest| {
        Timestamp::now().duration_since(manifest.snapshot_at).unsigned_abs() < age
    };
    Ok(newest.filter(is_young))
}

/// The name of a dump, as the runbook has it: the moment of the snapshot in UTC.
fn file_name(options: &BackupOptions, at: Timestamp) -> String {
    let stamp = at.to_zoned(TimeZone::UTC).strftime("%Y%m%d_%H%M%S").to_string();
    let suffix = if options.recipients.is_some() { encryption::SUFFIX } else { "" };
    let what = match (options.purpose, options.scope) {
        (Purpose::Drill, _) => "drill_",
        (Purpose::Backup, Scope::Full) => "",
        (Purpose::Backup, Scope::Entries) => "entries_",
    };
    format!("agentfs_{what}{stamp}.dump{suffix}")
}
