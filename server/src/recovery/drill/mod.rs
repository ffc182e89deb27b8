//! A disaster recovery drill: a marker is put through the API, backed up, restored into a throwaway PostgreSQL and got from the
//! API there. All of it is removed afterwards, whatever happens; what a killed drill has left, by the next one.
//!
//! A drill of a backup that is there already restores that one: nothing is put, and an API there has to answer a sample of its entries.

mod cleaning;
mod error;
mod marker;
mod objectives;

use std::path::PathBuf;
use std::pin::{Pin, pin};

use agentfs_contract::manifest::{Manifest, Purpose};
use agentfs_contract::verification::Step;
use jiff::Timestamp;

use self::cleaning::Cleaning;
pub use self::error::DrillError;
use self::marker::Marker;
pub use self::objectives::{Missed, Objectives, RecoveryPoint, RecoveryTime, TO_SERVING, brief};
use super::api::Api;
use super::archive::Foreign;
use super::backup::{BackupOptions, back_up};
use super::catalogue::{Backup, Catalogue, Selector};
use super::encryption::{Identities, Recipients};
use super::error::RecoveryError;
use super::fault_point::{FaultPoint, reach};
use super::fetch::fetch;
use super::indexes;
use super::instance::Instance;
use super::lease::Lease;
use super::location::Location;
use super::programs::Programs;
use super::restore::{LoadOptions, check, fill, read};
use super::sample;
use super::scratch::Scratch;
use super::steps::Steps;
use super::storage::Storage;
use crate::settings::DatabaseUrl;
use crate::store::connection::address::DatabaseAddress;
use crate::store::databases::Server;
use crate::tenancy::{Administrator, Tenancy};

/// The lock that a drill has.
const LOCK: &str = "drill";

/// What a drill needs.
#[derive(Debug, Clone)]
pub struct DrillOptions {
    /// The live database.
    pub url: DatabaseUrl,
    /// What tells it from copies with the same history.
    pub copy: Option<String>,
    /// The backup that is restored, in place of one that the drill makes.
    pub backup: Option<Selector>,
    /// The API that serves it: `http://host:port`. Not asked where a backup is given.
    pub api: String,
    /// Where the backups are.
    pub location: Location,
    /// Whom the backup is encrypted for.
    pub recipients: Option<Recipients>,
    /// The file of the identities that decrypt it.
    pub identities: Option<PathBuf>,
    /// The folder of PostgreSQL's programs, where they are not on PATH.
    pub pg_bin: Option<PathBuf>,
    /// A server to restore into; a throwaway one is started where none is given.
    pub scratch: Option<DatabaseUrl>,
    /// What is wanted.
    pub objectives: Objectives,
}

/// How a drill ended.
#[derive(Debug)]
pub struct Report {
    /// Which database it was of.
    pub instance: String,
    /// When it began.
    pub begun_at: Timestamp,
    /// The manifest of the backup that was made and removed, or that was given.
    pub manifest: Option<Manifest>,
    /// Whether it was given.
    pub is_given: bool,
    /// Entries of a given backup that the API has answered as it holds them.
    pub served: Option<usize>,
    /// How long each step took.
    pub steps: Vec<Step>,
    /// How much a disaster would have lost.
    pub point: RecoveryPoint,
    /// How long a restore takes.
    pub time: Option<RecoveryTime>,
    /// The objectives that are missed.
    pub missed: Vec<Missed>,
    /// Why the drill failed.
    pub failure: Option<DrillError>,
    /// What could not be removed, and why.
    pub left: Vec<String>,
    /// Until when the location keeps the drill's backup, where it says so by object lock.
    pub protected: Vec<String>,
}

/// Does a drill. It fails with an error where nothing was done; else the report says how it ended. `stop` ends it early.
pub async fn drill(
    options: &DrillOptions,
    stop: impl Future<Output = RecoveryError>,
) -> Result<Report, DrillError> {
    let begun_at = Timestamp::now();
    let identities = options.identities.as_deref().map(Identities::load).transpose();
    let identities = identities.map_err(RecoveryError::from)?;
    let is_given = options.backup.is_some();
    if !is_given && options.recipients.is_some() && identities.is_none() {
        return Err(DrillError::IdentityNeeded);
    }
    let storage = if is_given {
        Storage::open(&options.location).await
    } else {
        Storage::create(&options.location).await
    };
    let storage = storage.map_err(RecoveryError::from)?;
    // Its connection holds the lock.
    let mut server = Server::connect(&options.url).await?;
    if !server.has_database {
        return Err(DrillError::NoDatabase(options.url.database().to_owned()));
    }
    if !server.hold(LOCK).await? {
        return Err(DrillError::Busy);
    }
    let instance = Instance::of(&server.identity, options.copy.as_deref());
    let catalogue = Catalogue::read(&storage).await?;
    let given = options.backup.as_ref().map(|wanted| catalogue.select(wanted, Some(&instance)));
    let given = given.transpose()?;
    let point = match given {
        Some(backup) => RecoveryPoint::of_backup(backup, begun_at),
        None => RecoveryPoint::of(&catalogue, &instance, begun_at, options.objectives.rpo_days),
    };
    let tenancy = Tenancy::direct(DatabaseAddress::of(&options.url));
    let cleaning = Cleaning { storage: &storage, instance: &instance, tenancy: &tenancy };
    cleaning.of_killed_drill().await?;

    let mut drill = Drill {
        options,
        storage: &storage,
        tenancy: &tenancy,
        major: server.major,
        identities,
        steps: Steps::default(),
        manifest: given.map(|backup| backup.manifest.clone()),
        served: None,
        key: None,
        scratch: None,
    };
    let lease = match given {
        Some(backup) => Some(Lease::take(&storage, backup, "drill").await?),
        None => None,
    };
    let done = Box::pin(drill.run(given, pin!(stop))).await;
    let Drill { mut steps, manifest, served, key, scratch, .. } = drill;
    if let Some(lease) = lease {
        lease.release().await;
    }
    let cleaned = steps.time("clean", Box::pin(cleaning.all(scratch, key.as_deref()))).await;
    let steps = steps.into_vec();
    let time = RecoveryTime::of(&steps).filter(|_| done.is_ok());
    Ok(Report {
        instance: instance.name().to_owned(),
        begun_at,
        manifest,
        is_given,
        served,
        missed: options.objectives.missed(&point, time),
        steps,
        point,
        time,
        failure: done.err(),
        left: cleaned.left,
        protected: cleaned.protected,
    })
}

/// A drill under way, and what is to be removed of it.
struct Drill<'a> {
    options: &'a DrillOptions,
    storage: &'a Storage,
    tenancy: &'a Tenancy,
    major: u32,
    /// What decrypts the backup.
    identities: Option<Identities>,
    steps: Steps,
    manifest: Option<Manifest>,
    /// Entries that were compared with what a given backup holds.
    served: Option<usize>,
    /// The id of the key.
    key: Option<String>,
    scratch: Option<Scratch>,
}

impl Drill<'_> {
    async fn run(
        &mut self,
        given: Option<&Backup>,
        mut stop: Pin<&mut impl Future<Output = RecoveryError>>,
    ) -> Result<(), DrillError> {
        let (id, marker) = if let Some(backup) = given {
            (backup.path(), None)
        } else {
            // To its end, since what is given up halfway may be done after it was cleaned up.
            let marker = self.put().await?;
            (self.back_up(stop.as_mut()).await?, Some(marker))
        };
        tokio::select! {
            restored = Box::pin(self.restore(&id, marker.as_ref())) => restored,
            error = stop => Err(error.into()),
        }
    }

    /// Puts the marker through the API, with a tenant and a key of its own.
    async fn put(&mut self) -> Result<Marker, DrillError> {
        let by = Administrator::command;
        self.tenancy.keep_drill_tenant(by()).await?;
        reach(FaultPoint::DrillTenantMade);
        let (secret, id) = self.tenancy.create_drill_key(by(), true).await?;
        self.key = Some(id);
        reach(FaultPoint::DrillKeyMade);
        let api = Api::new(&self.options.api, &secret)?;
        let marker = self.steps.time("put", Marker::put(&api)).await?;
        reach(FaultPoint::DrillMarkerPut);
        Ok(marker)
    }

    /// Takes a backup as every night, and returns its id with its folder.
    async fn back_up(
        &mut self,
        stop: impl Future<Output = RecoveryError>,
    ) -> Result<String, DrillError> {
        let DrillOptions { url, location, .. } = self.options;
        let options = BackupOptions {
            copy: self.options.copy.clone(),
            recipients: self.options.recipients.clone(),
            purpose: Purpose::Drill,
            pg_bin: self.options.pg_bin.clone(),
            ..BackupOptions::new(url.clone(), location.clone())
        };
        let backing_up = Box::pin(back_up(&options, stop));
        let made = self.steps.time("backup", backing_up).await?;
        reach(FaultPoint::DrillBackedUp);
        let id = format!("{}/{}", made.manifest.instance, made.manifest.id());
        self.manifest = Some(made.manifest);
        Ok(id)
    }

    /// Restores the backup into a throwaway server, serves from it, and gets the marker, or else a sample of entries.
    async fn restore(&mut self, id: &str, marker: Option<&Marker>) -> Result<(), DrillError> {
        let Self { options, storage, major, identities, steps, scratch, .. } = self;
        let catalogue = Catalogue::read(storage).await?;
        let backup = catalogue.select(&Selector::Id(id.to_owned()), None)?;
        let manifest = &backup.manifest;
        check(manifest, *major)?;
        let folder = std::env::temp_dir();
        let fetching = fetch(storage, backup, identities.as_ref(), &folder);
        let fetched = steps.time("fetch", fetching).await?;
        reach(FaultPoint::Fetched);
        let pg_bin = options.pg_bin.as_deref();
        let archive = manifest.pg_restore_major().unwrap_or(*major);
        let programs = Programs::find_for_archive(pg_bin, archive, *major).await?;
        let reading = read(&programs, &fetched, manifest, Foreign::Refused);
        let archive = steps.time("archive", reading).await?;
        let starting = Scratch::start(*major, pg_bin, options.scratch.as_ref(), &folder);
        let scratch = scratch.insert(steps.time("start", Box::pin(starting)).await?);
        reach(FaultPoint::ScratchStarted);
        let url = steps.time("create", scratch.database(&archive.schema)).await?;
        reach(FaultPoint::DatabaseMade);
        let load = LoadOptions::default();
        fill(&programs, &fetched, manifest, &url, load, steps).await?;
        reach(FaultPoint::DrillRestored);
        let served = steps.time("serve", Box::pin(scratch.serve(&url))).await?;
        reach(FaultPoint::Served);
        if let Some(marker) = marker {
            // The key of the live database may have ended since.
            let restored = Tenancy::direct(DatabaseAddress::of(&url));
            let (secret, _) = restored.create_drill_key(Administrator::command(), false).await?;
            steps.time("marker", marker.get(&served, &secret, id)).await?;
            reach(FaultPoint::DrillMarkerFound);
        } else {
            let compared = steps.time("sample", sample::compare(&served, &url)).await?;
            self.served = Some(compared);
        }
        served.end().await;
        let models = indexes::of_dump(&programs, &fetched).await?;
        steps.time("index", indexes::build(&url, &models, None, load.jobs)).await?;
        Ok(())
    }
}
