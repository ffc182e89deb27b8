//! Proves that a backup restores, or says why not, and writes that beside it.

mod schema;

use std::env;
use std::path::PathBuf;

use agentfs_contract::manifest::Manifest;
use agentfs_contract::request::Request;
use agentfs_contract::verification::{Level, Verification};
use jiff::Timestamp;

use super::archive::{Archive, Foreign};
use super::catalogue::{Backup, Catalogue, Selector};
use super::encryption::Identities;
use super::error::RecoveryError;
use super::fault_point::{FaultPoint, reach};
use super::fetch::{Fetched, fetch};
use super::instance::Instance;
use super::lease::Lease;
use super::loading::{LoadOptions, load_alone};
use super::location::Location;
use super::programs::Programs;
use super::progress;
use super::record;
use super::request;
use super::sample;
use super::scratch::Scratch;
use super::steps::Steps;
use super::storage::Storage;
use crate::settings::DatabaseUrl;
use crate::store::connection::address::DatabaseAddress;
use crate::store::requests::Noted;
use crate::store::restored;
use crate::store::schema::{SCHEMA_VERSION, migrate};

/// What to verify, and how.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Where the backups are.
    pub location: Location,
    /// The backup.
    pub backup: Selector,
    /// The instance whose latest backup is meant, where that is known.
    pub instance: Option<Instance>,
    /// How much of it is tried.
    pub level: Level,
    /// The file of the identities that decrypt the backup.
    pub identities: Option<PathBuf>,
    /// A server to restore into, in place of a throwaway one.
    pub scratch_url: Option<DatabaseUrl>,
    /// The folder of PostgreSQL's programs, where they are not found by themselves.
    pub pg_bin: Option<PathBuf>,
    /// The request that it is done for, and the database that this is noted in.
    pub request: Option<(Request, DatabaseUrl)>,
}

/// A backup that was verified. Whether it is good is in its `verification`.
#[derive(Debug, Clone)]
pub struct Verified {
    /// Its manifest.
    pub manifest: Manifest,
    /// What was found, as it is written beside the backup.
    pub verification: Verification,
    /// Entries that the API has answered as the database holds them.
    pub served: usize,
    /// Indexes that the schema has besides.
    pub indexes: Vec<String>,
    /// Whether the backup is of another instance; `None` where ours is not known.
    pub is_foreign: Option<bool>,
}

/// Verifies a backup, and writes the result beside it. An error says nothing of the backup, and then nothing is written; nothing
/// else is left of it either.
pub async fn verify(
    options: &VerifyOptions,
    ended: impl Future<Output = RecoveryError>,
) -> Result<Verified, RecoveryError> {
    let storage = Storage::open(&options.location).await?;
    let catalogue = Catalogue::read(&storage).await?;
    let noted = match &options.request {
        Some((request, url)) => request::look(url, Some(request)).await?,
        None => Noted::default(),
    };
    let wanted = noted.backup.map_or_else(|| options.backup.clone(), Selector::Id);
    let backup = catalogue.select(&wanted, options.instance.as_ref())?;
    if let Some((request, url)) = &options.request {
        request::note_backup(url, Some(request), &backup.path()).await?;
    }
    progress::backup(backup.id());
    let manifest = &backup.manifest;
    if manifest.schema_version > SCHEMA_VERSION {
        return Err(RecoveryError::NewerSchema {
            id: backup.id().to_owned(),
            schema: manifest.schema_version,
            program: manifest.program.clone(),
        });
    }
    let lease = Lease::take(&storage, backup, "verify").await?;
    reach(FaultPoint::LeaseWritten);
    let mut run = Run::of(options, &storage, backup);
    // Not within the run, which may be cut off: it is ended in any case.
    let mut scratch = None;
    let done = tokio::select! {
        done = Box::pin(run.run(&mut scratch)) => done,
        error = ended => Err(error),
    };
    if let Some(scratch) = scratch
        && let Err(error) = scratch.end().await
    {
        tracing::warn!("{error}");
    }
    let Run { steps, postgres, served, indexes, .. } = run;
    let failure = done.err().map(|error| error.flaw().ok_or(error)).transpose();
    let failure = match failure {
        Ok(failure) => failure,
        Err(error) => {
            lease.release().await;
            return Err(error);
        }
    };
    let verification = Verification {
        backup: backup.id().to_owned(),
        manifest: manifest.checksum.clone(),
        level: options.level,
        failure,
        at: Timestamp::now(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        postgres,
        steps: steps.into_vec(),
    };
    let written = record::write(&storage, backup, &verification).await;
    reach(FaultPoint::VerificationWritten);
    lease.release().await;
    reach(FaultPoint::LeaseRemoved);
    written?;
    let ours = options.instance.as_ref();
    Ok(Verified {
        manifest: manifest.clone(),
        verification,
        served,
        indexes,
        is_foreign: ours.map(|ours| !ours.is(&manifest.instance)),
    })
}

/// A verification under way.
struct Run<'a> {
    options: &'a VerifyOptions,
    storage: &'a Storage,
    backup: &'a Backup,
    steps: Steps,
    postgres: Option<String>,
    served: usize,
    indexes: Vec<String>,
}

impl<'a> Run<'a> {
    fn of(options: &'a VerifyOptions, storage: &'a Storage, backup: &'a Backup) -> Self {
        Self {
            options,
            storage,
            backup,
            steps: Steps::default(),
            postgres: None,
            served: 0,
            indexes: Vec::new(),
        }
    }

    /// Does all steps of the level. A server that it starts for them is left in `scratch`.
    async fn run(&mut self, scratch: &mut Option<Scratch>) -> Result<(), RecoveryError> {
        let manifest = &self.backup.manifest;
        let flawed = || RecoveryError::Flawed("the manifest names no version of PostgreSQL".into());
        let major = manifest.postgres_major().ok_or_else(flawed)?;
        let archive = manifest.pg_restore_major().unwrap_or(major);
        let identities = self.options.identities.as_deref().map(Identities::load).transpose()?;
        let folder = env::temp_dir();
        let fetching = fetch(self.storage, self.backup, identities.as_ref(), &folder);
        let fetched = self.steps.time("fetch", fetching).await?;
        reach(FaultPoint::Fetched);
        let pg_bin = self.options.pg_bin.as_deref();
        let programs = Programs::find_for_archive(pg_bin, archive, major).await?;
        let reading = Archive::read(&programs, &fetched, manifest, Foreign::Refused);
        let archive = self.steps.time("read", reading).await?;
        let flaws = archive.compare(manifest);
        if !flaws.is_empty() {
            return Err(RecoveryError::Flawed(flaws.join("; ")));
        }
        if self.options.level == Level::Archive {
            return Ok(());
        }
        let url = self.options.scratch_url.as_ref();
        let starting = Scratch::start(major, pg_bin, url, &folder);
        let scratch = scratch.insert(self.steps.time("start", starting).await?);
        reach(FaultPoint::ScratchStarted);
        let restored = Box::pin(self.restore(scratch, &programs, &fetched, &archive)).await;
        let url = unless_gone(scratch, restored).await?;
        let upgraded = Box::pin(self.upgrade(scratch, &url)).await;
        let upgraded = unless_gone(scratch, upgraded).await;
        upgraded.map_err(|error| error.of_upgrade(manifest.schema_version))
    }

    /// Restores into a database, and compares it.
    async fn restore(
        &mut self,
        scratch: &mut Scratch,
        programs: &Programs,
        fetched: &Fetched,
        archive: &Archive,
    ) -> Result<DatabaseUrl, RecoveryError> {
        let manifest = &self.backup.manifest;
        let Self { steps, postgres, indexes, .. } = self;
        let url = scratch.database(&archive.schema).await?;
        let mut connection = DatabaseAddress::of(&url).connect_unlimited().await?;
        *postgres = Some(restored::version(&mut connection).await?);
        drop(connection);
        reach(FaultPoint::DatabaseMade);
        let load = LoadOptions::default();
        load_alone(programs, fetched.path(), manifest, &url, load, steps).await?;
        let comparing = schema::compare(programs, fetched, &url, &archive.schema, manifest);
        *indexes = steps.time("schema", comparing).await?;
        reach(FaultPoint::Compared);
        Ok(url)
    }

    /// Migrates the database to this program's schema, and serves from it.
    async fn upgrade(
        &mut self,
        scratch: &mut Scratch,
        url: &DatabaseUrl,
    ) -> Result<(), RecoveryError> {
        let address = DatabaseAddress::of(url);
        self.steps.time("migrate", migrate(&address)).await?;
        reach(FaultPoint::Migrated);
        let serving = async {
            let served = scratch.serve(url).await?;
            let compared = sample::compare(&served, url).await;
            served.end().await;
            compared
        };
        self.served = self.steps.time("serve", serving).await?;
        reach(FaultPoint::Served);
        Ok(())
    }
}

/// The same, unless it failed since the server is gone that was restored into.
async fn unless_gone<T>(
    scratch: &mut Scratch,
    done: Result<T, RecoveryError>,
) -> Result<T, RecoveryError> {
    if let Err(error) = &done
        && error.flaw().is_some()
    {
        scratch.check().await?;
    }
    done
}
