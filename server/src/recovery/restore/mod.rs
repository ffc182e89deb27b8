//! Restores a backup into a new database, beside whatever is live.
//!
//! The database has another name until it may be served from, so that one of the wanted name is whole. One that a killed restore
//! has left is removed by the next of the same name.

mod error;

use std::path::PathBuf;
use std::pin::pin;
use std::time::Instant;

use agentfs_contract::manifest::{Manifest, Scope};
use agentfs_contract::verification::Step;

pub use self::error::RestoreError;
use super::archive::Archive;
use super::catalogue::{Backup, Catalogue, Selector};
use super::compare;
use super::ddl::Schema;
use super::encryption::Identities;
use super::error::RecoveryError;
use super::fault_point::{FaultPoint, reach};
use super::fetch::{Fetched, fetch};
use super::indexes;
use super::instance::Instance;
use super::lease::Lease;
use super::load::{LoadOptions, Parts, load, load_parts};
use super::location::Location;
use super::programs::Programs;
use super::steps::Steps;
use super::storage::Storage;
use crate::settings::DatabaseUrl;
use crate::store::access::api_keys;
use crate::store::connection::address::DatabaseAddress;
use crate::store::databases::{self, Created, MAX_NAME, Server};
use crate::store::restored;
use crate::store::schema::{self, SCHEMA_VERSION, migrate_to};

/// What the name of a database ends with that is not whole yet.
const UNFINISHED: &str = ".unfinished";
/// The template that every server has.
const TEMPLATE: &str = "template0";

/// What to restore, and where to.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// The live database, which is on the server of the new one, or has been.
    pub url: DatabaseUrl,
    /// What tells the live database from copies with the same history.
    pub copy: Option<String>,
    /// Where the backups are.
    pub location: Location,
    /// The backup.
    pub backup: Selector,
    /// The new database's name.
    pub name: String,
    /// The database that it begins as a copy of.
    pub template: Option<String>,
    /// Whether vector indexes (HNSW) are built.
    pub builds_indexes: bool,
    /// The maintenance_work_mem that they are built with, such as `1GB`; what they need, up to 512 MB, where it is not given.
    pub index_memory: Option<String>,
    /// Whether a backup of another instance may be restored.
    pub allow_foreign: bool,
    /// Whether a backup may be restored whose last verification failed.
    pub force: bool,
    /// The file of the identities that decrypt the backup.
    pub identities: Option<PathBuf>,
    /// The folder of PostgreSQL's programs, where they are not on PATH.
    pub pg_bin: Option<PathBuf>,
}

/// A backup that was restored.
#[derive(Debug, Clone)]
pub struct Restored {
    /// The manifest of the backup.
    pub manifest: Manifest,
    /// Whether the backup had been proven before.
    pub was_verified: bool,
    /// The new database's name.
    pub database: String,
    /// Whether an unfinished restore of that name was removed.
    pub removed_unfinished: bool,
    /// How long each step took.
    pub steps: Vec<Step>,
    /// After how many seconds the database could be served from.
    pub serving_seconds: f64,
    /// After how many seconds its vector indexes were built; `None` where there are some that were not.
    pub indexed_seconds: Option<f64>,
    /// Embedding models whose vector index is not built.
    pub without_index: Vec<String>,
    /// The ids of keys that are valid in the new database and ended in the live one; `None` where there is no live one.
    pub ended_keys: Option<Vec<String>>,
}

/// Restores a backup into a new database. Where it fails, or `stop` resolves before the database is whole, it leaves
/// none.
pub async fn restore(
    options: &RestoreOptions,
    stop: impl Future<Output = RecoveryError>,
) -> Result<Restored, RecoveryError> {
    if options.name.is_empty() || options.name.len() + UNFINISHED.len() > MAX_NAME {
        return Err(RestoreError::DatabaseName(MAX_NAME - UNFINISHED.len()).into());
    }
    let begun = Instant::now();
    let storage = Storage::open(&options.location).await?;
    let mut server = Server::connect(&options.url).await?;
    let instance = Instance::of(&server.identity, options.copy.as_deref());
    let catalogue = Catalogue::read(&storage).await?;
    let backup = choose(&catalogue, options, &instance)?;
    check(backup, server.major)?;
    let unfinished = format!("{}{UNFINISHED}", options.name);
    let removed_unfinished = take_name(&mut server, &options.name, &unfinished).await?;
    let lease = Lease::take(&storage, backup, "restore").await?;
    reach(FaultPoint::LeaseWritten);
    let mut stop = pin!(stop);
    let mut steps = Steps::default();
    let restoring = Restoring { options, backup, storage: &storage, unfinished: &unfinished };
    let made = tokio::select! {
        made = Box::pin(restoring.run(&mut server, &mut steps)) => made,
        error = &mut stop => Err(error),
    };
    lease.release().await;
    reach(FaultPoint::LeaseRemoved);
    // Not to be ended halfway: afterwards it is one or the other.
    let named = match made {
        Ok(models) => {
            let renamed = server.rename(&unfinished, &options.name).await;
            renamed.map(|()| models).map_err(RecoveryError::from)
        }
        Err(error) => Err(error),
    };
    let models = match named {
        Ok(models) => models,
        Err(error) => return Err(remove(&mut server, unfinished, error).await),
    };
    let serving_seconds = begun.elapsed().as_secs_f64();

    let url = options.url.with_database(&options.name);
    let indexing = async {
        if options.builds_indexes || models.is_empty() {
            let built = indexes::build(&url, &models, options.index_memory.as_deref());
            return steps.time("index", built).await.map(|()| Vec::new());
        }
        indexes::names(&url, &models).await
    };
    let indexed = tokio::select! {
        indexed = Box::pin(indexing) => indexed,
        error = stop => Err(error),
    };
    let without_index = indexed.map_err(|error| RestoreError::NotIndexed {
        database: options.name.clone(),
        error: Box::new(error),
    })?;
    let indexed_seconds = without_index.is_empty().then(|| begun.elapsed().as_secs_f64());
    let ended_keys = if server.has_database {
        ended_keys(&options.url, &url).await.unwrap_or_else(|error| {
            tracing::warn!("the keys cannot be compared with those of DATABASE_URL: {error}");
            None
        })
    } else {
        None
    };
    Ok(Restored {
        manifest: backup.manifest.clone(),
        was_verified: backup.is_verified(),
        database: options.name.clone(),
        removed_unfinished,
        steps: steps.into_vec(),
        serving_seconds,
        indexed_seconds,
        without_index,
        ended_keys,
    })
}

/// Removes an unfinished database after `error`; what to report.
async fn remove(server: &mut Server, unfinished: String, error: RecoveryError) -> RecoveryError {
    match server.drop(&unfinished).await {
        Ok(()) => error,
        Err(left) => {
            RestoreError::Unfinished { database: unfinished, left, error: Box::new(error) }.into()
        }
    }
}

/// The ids of keys that are valid in the database `new` and ended in the live one, unless that holds no AgentFS data.
async fn ended_keys(
    live: &DatabaseUrl,
    new: &DatabaseUrl,
) -> Result<Option<Vec<String>>, RecoveryError> {
    let mut live = DatabaseAddress::of(live).connect_unlimited().await?;
    if schema::read(&mut live).await?.version == 0 {
        return Ok(None);
    }
    let mut new = DatabaseAddress::of(new).connect_unlimited().await?;
    let valid = api_keys::live_ids(&mut new).await?;
    Ok(Some(api_keys::ended(&mut live, &valid).await?))
}

/// The backup that is meant, unless it is of another instance or known to be bad.
fn choose<'a>(
    catalogue: &'a Catalogue,
    options: &RestoreOptions,
    instance: &Instance,
) -> Result<&'a Backup, RecoveryError> {
    let ours = (!options.allow_foreign).then_some(instance);
    let backup = match catalogue.select(&options.backup, ours) {
        Err(RecoveryError::NoBackup(_))
            if catalogue.of(instance).next().is_none() && !options.allow_foreign =>
        {
            // Whatever there is is somebody else's.
            catalogue.select(&options.backup, None)
        }
        selected => selected,
    }?;
    let id = || backup.id().to_owned();
    if !options.allow_foreign && !instance.is(&backup.manifest.instance) {
        return Err(RestoreError::Foreign {
            id: id(),
            of: backup.manifest.instance.clone(),
            instance: instance.name().to_owned(),
        }
        .into());
    }
    match backup.known_failure() {
        Some(failure) if !options.force => {
            Err(RestoreError::KnownBad { id: id(), failure: failure.to_owned() }.into())
        }
        _ => Ok(backup),
    }
}

/// Refuses a backup that a server of this major version, or this program, cannot have.
fn check(backup: &Backup, server: u32) -> Result<(), RecoveryError> {
    let manifest = &backup.manifest;
    let id = backup.id().to_owned();
    let dump = manifest.postgres_major().unwrap_or_default();
    if dump > server {
        return Err(RestoreError::NewerPostgres { id, dump, server }.into());
    }
    if manifest.min_compatible > SCHEMA_VERSION {
        let (schema, program) = (manifest.schema_version, manifest.program.clone());
        return Err(RecoveryError::NewerSchema { id, schema, program });
    }
    Ok(())
}

/// Takes the name of the new database, and removes what an interrupted restore left. Whether there was any.
async fn take_name(
    server: &mut Server,
    name: &str,
    unfinished: &str,
) -> Result<bool, RecoveryError> {
    if !server.hold(unfinished).await? {
        return Err(RestoreError::UnderWay(name.to_owned()).into());
    }
    if server.has(name).await? {
        return Err(RestoreError::DatabaseExists(name.to_owned()).into());
    }
    let is_left = server.has(unfinished).await?;
    if is_left {
        // Its programs may still be at work.
        server.drop(unfinished).await?;
    }
    Ok(is_left)
}

/// A restore under way, until the database is whole.
struct Restoring<'a> {
    options: &'a RestoreOptions,
    backup: &'a Backup,
    storage: &'a Storage,
    unfinished: &'a str,
}

impl Restoring<'_> {
    /// Makes the database; the ids of models whose vector index is still to be built.
    async fn run(self, server: &mut Server, steps: &mut Steps) -> Result<Vec<i32>, RecoveryError> {
        let Self { options, backup, storage, unfinished } = self;
        let manifest = &backup.manifest;
        let identities = options.identities.as_deref().map(Identities::load).transpose()?;
        let folder = std::env::temp_dir();
        let fetching = fetch(storage, backup, identities.as_ref(), &folder);
        let fetched = steps.time("fetch", fetching).await?;
        reach(FaultPoint::Fetched);
        let archive = manifest.pg_restore_major().unwrap_or(server.major);
        let pg_bin = options.pg_bin.as_deref();
        let programs = Programs::find_for_archive(pg_bin, archive, server.major).await?;
        let archive = steps.time("archive", read(&programs, &fetched, manifest)).await?;
        let template = options.template.as_deref().unwrap_or(TEMPLATE);
        match server.create(unfinished, template).await? {
            Created::Made => {}
            Created::NoTemplate => return Err(RestoreError::NoTemplate(template.to_owned()).into()),
            Created::NotAllowed => {
                let (role, database) = (server.role.clone(), options.name.clone());
                return Err(RestoreError::NoCreateDb { role, database }.into());
            }
        }
        reach(FaultPoint::DatabaseMade);
        let url = options.url.with_database(unfinished);
        let Schema { name, extension, .. } = &archive.schema;
        let extension = extension.as_deref().unwrap_or("public");
        if !databases::prepare(&url, &server.role, name, extension).await? {
            return Err(RestoreError::NoExtension { role: server.role.clone() }.into());
        }
        fill(&programs, &fetched, manifest, &url, steps).await?;
        steps.time("analyse", databases::analyse(&url)).await?;
        indexes::of_dump(&programs, &fetched).await
    }
}

/// Reads all of a dump before anything of it is executed.
pub(super) async fn read(
    programs: &Programs,
    fetched: &Fetched,
    manifest: &Manifest,
) -> Result<Archive, RecoveryError> {
    let archive = Archive::read(programs, fetched.path(), manifest).await?;
    let flaws = archive.compare(manifest);
    if flaws.is_empty() { Ok(archive) } else { Err(RecoveryError::Flawed(flaws.join("; "))) }
}

/// Loads a backup into an empty database, compares it with the manifest, and migrates it to this program's schema.
pub(super) async fn fill(
    programs: &Programs,
    fetched: &Fetched,
    manifest: &Manifest,
    url: &DatabaseUrl,
    steps: &mut Steps,
) -> Result<(), RecoveryError> {
    let address = DatabaseAddress::of(url);
    let options = LoadOptions::default();
    match manifest.scope {
        Scope::Full => load(programs, fetched, url, options, steps).await?,
        // Everything else is made anew from what the backup has.
        Scope::Entries => {
            let rows = async {
                migrate_to(&address, manifest.schema_version).await?;
                restored::remove_tenants(&mut address.connect_unlimited().await?).await?;
                load_parts(programs, fetched, url, options, Parts::Entries).await
            };
            steps.time("load", rows).await?;
        }
    }
    reach(FaultPoint::Loaded);
    steps.time("compare", compare::compare(manifest, url)).await?;
    reach(FaultPoint::Compared);
    // Makes UTC the database's time zone as well.
    steps.time("migrate", schema::migrate(&address)).await?;
    reach(FaultPoint::Migrated);
    Ok(())
}
