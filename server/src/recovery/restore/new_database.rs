//! Restores a backup into a new database, beside whatever is live.
//!
//! The database has another name until it may be served from, so that one of the wanted name is whole. One that a killed restore
//! has left is removed by the next of the same name.

use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::time::Instant;

use agentfs_contract::manifest::Manifest;
use agentfs_contract::request::Request;
use agentfs_contract::verification::Step;
use jiff::Timestamp;
use uuid::Uuid;

use super::error::RestoreError;
use super::in_place::space::{self, Room};
use super::in_place::{GivenRoom, drop_expired};
use super::source::{self, Dump, Extent, Found, Source};
use crate::recovery::archive::Foreign;
use crate::recovery::catalogue::Selector;
use crate::recovery::ddl::Schema;
use crate::recovery::error::RecoveryError;
use crate::recovery::fault_point::{FaultPoint, reach};
use crate::recovery::fetch::Fetched;
use crate::recovery::indexes;
use crate::recovery::instance::Instance;
use crate::recovery::lease::Lease;
use crate::recovery::loading::{LoadOptions, load_alone};
use crate::recovery::programs::Programs;
use crate::recovery::request;
use crate::recovery::steps::Steps;
use crate::recovery::unless::unless;
use crate::settings::DatabaseUrl;
use crate::store::access::api_keys;
use crate::store::connection::address::DatabaseAddress;
use crate::store::databases::{self, Created, MAX_NAME, Server};
use crate::store::requests::{self, Made, Noted};
use crate::store::schema;

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
    /// What is restored.
    pub source: Source,
    /// The new database's name.
    pub name: String,
    /// The database that it begins as a copy of.
    pub template: Option<String>,
    /// Whether vector indexes (HNSW) are built.
    pub builds_indexes: bool,
    /// The maintenance_work_mem that they are built with, such as `1GB`; what they need, up to 512 MB, where it is not given.
    pub index_memory: Option<String>,
    /// How fast it is loaded.
    pub load: LoadOptions,
    /// What somebody says of the volume of the server.
    pub room: GivenRoom,
    /// Whether a backup of another instance may be restored.
    pub allow_foreign: bool,
    /// Whether a backup may be restored whose last verification failed.
    pub force: bool,
    /// The file of the identities that decrypt the backup.
    pub identities: Option<PathBuf>,
    /// The folder of PostgreSQL's programs, where they are not on PATH.
    pub pg_bin: Option<PathBuf>,
    /// The request that it is done for.
    pub request: Option<Request>,
}

impl RestoreOptions {
    /// The same with the backup that the request had chosen before, if it had.
    pub(super) fn of_noted(&self, known: &Noted) -> Self {
        let mut options = self.clone();
        if let (Source::Backup { backup, .. }, Some(chosen)) = (&mut options.source, &known.backup)
        {
            *backup = Selector::Id(chosen.clone());
        }
        options
    }
}

/// A backup that was restored.
#[derive(Debug, Clone)]
pub struct Restored {
    /// Its id.
    pub id: Uuid,
    /// When the database had its name.
    pub named_at: Timestamp,
    /// The manifest of the backup, or what takes its place for a file.
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
    /// What somebody should know, as sentences.
    pub notes: Vec<String>,
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
    let mut server = Server::connect(&options.url).await?;
    if server.has_database {
        Box::pin(drop_expired(&options.url)).await;
    }
    let unfinished = format!("{}{UNFINISHED}", options.name);
    if !server.hold_on_server(&unfinished).await? {
        return Err(RestoreError::UnderWay(options.name.clone()).into());
    }
    let known = if server.has_database {
        request::look(&options.url, options.request.as_ref()).await?
    } else {
        Noted::default()
    };
    let options = &options.of_noted(&known);
    let instance = Instance::of(&server.identity, options.copy.as_deref());
    let found = Found::find(options, &instance, server.major).await?;
    let (was_verified, notes) = (found.was_verified, found.notes.clone());
    let mut stop = pin!(stop);
    let mut steps = Steps::default();
    let named = if let Some(made) = made_before(options, &mut server).await? {
        Named { manifest: found.manifest, removed_unfinished: false, made }
    } else {
        if let Some(chosen) = found.path().filter(|_| known.is_begun) {
            request::note_backup(&options.url, options.request.as_ref(), &chosen).await?;
        }
        let told = server.tell_room(options.room.size.is_some()).await?;
        let room = space::room(&found.manifest, options.room, told)?;
        let making =
            make_named(options, found, &room, &unfinished, &mut server, &mut steps, &mut stop);
        Box::pin(making).await?
    };
    let Named { made: MadeAt { id, at: named_at, models }, manifest, removed_unfinished } = named;
    let serving_seconds = begun.elapsed().as_secs_f64();

    let url = options.url.with_database(&options.name);
    let indexing = async {
        if options.builds_indexes || models.is_empty() {
            let memory = options.index_memory.as_deref();
            let built = indexes::build(&url, &models, memory, options.load.jobs);
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
        id,
        named_at,
        manifest,
        was_verified,
        database: options.name.clone(),
        removed_unfinished,
        steps: steps.into_vec(),
        serving_seconds,
        indexed_seconds,
        without_index,
        ended_keys,
        notes,
    })
}

/// Removes an unfinished database after `error`; what to report.
pub(super) async fn remove(
    server: &mut Server,
    unfinished: String,
    error: RecoveryError,
) -> RecoveryError {
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

/// A new database that has its name.
struct Named {
    made: MadeAt,
    manifest: Manifest,
    /// Whether an unfinished restore of that name was removed.
    removed_unfinished: bool,
}

/// The restore that made a database.
struct MadeAt {
    id: Uuid,
    /// When the database had its name.
    at: Timestamp,
    /// Models whose vector index is still to be built.
    models: Vec<i32>,
}

/// The database that the same request had made, in a run that was killed since; `None` where there is none of that name. Any other one
/// of that name fails.
async fn made_before(
    options: &RestoreOptions,
    server: &mut Server,
) -> Result<Option<MadeAt>, RecoveryError> {
    if !server.has(&options.name).await? {
        return Ok(None);
    }
    if options.request.is_some() {
        let url = options.url.with_database(&options.name);
        let known = request::look(&url, options.request.as_ref()).await?;
        if let Some((id, at)) = known.restore.zip(known.switched_at) {
            return Ok(Some(MadeAt { id, at, models: known.models }));
        }
    }
    Err(RestoreError::DatabaseExists(options.name.clone()).into())
}

/// Makes the database under another name, and gives it its own once it is whole. Where it fails, it leaves none.
async fn make_named(
    options: &RestoreOptions,
    found: Found,
    room: &Room,
    unfinished: &str,
    server: &mut Server,
    steps: &mut Steps,
    stop: &mut Pin<&mut impl Future<Output = RecoveryError>>,
) -> Result<Named, RecoveryError> {
    let removed_unfinished = server.has(unfinished).await?;
    if removed_unfinished {
        // Its programs may still be at work.
        server.drop(unfinished).await?;
    }
    let lease = found.lease().await?;
    let (id, backup) = (Uuid::now_v7(), found.path());
    let making = Box::pin(make(options, found, unfinished, server, steps));
    let making = space::within_server(&options.url, room, making);
    let made = unless(stop, Box::pin(making)).await;
    Lease::release_read(lease).await;
    // Not to be ended halfway: afterwards it is one or the other.
    let naming = async {
        let (manifest, models) = made?;
        if server.has_database {
            carry_requests(options, unfinished).await;
        }
        if let Some(request) = &options.request {
            let url = options.url.with_database(unfinished);
            let made = Made { restore: id, backup: backup.as_deref(), models: &models };
            requests::note_made(&url, request, made).await?;
        }
        server.rename(unfinished, &options.name).await?;
        reach(FaultPoint::Switched);
        let made = MadeAt { id, at: Timestamp::now(), models };
        Ok(Named { made, manifest, removed_unfinished })
    };
    match naming.await {
        Ok(named) => Ok(named),
        Err(error) => Err(remove(server, unfinished.to_owned(), error).await),
    }
}

/// Brings what the live database knows of requests into the one that is made, in case that this is to be the live one: what was carried
/// out stays so. A live database that cannot be read keeps nothing from being restored.
async fn carry_requests(options: &RestoreOptions, unfinished: &str) {
    let url = options.url.with_database(unfinished);
    if let Err(error) = requests::carry_into(&options.url, &url).await {
        tracing::warn!(
            "what was carried out for resources before is not known in {}: {error}",
            options.name
        );
    }
}

/// Makes the database, until it is whole. Returns what was restored, and the ids of models whose vector index is still to be built.
pub(super) async fn make(
    options: &RestoreOptions,
    found: Found,
    unfinished: &str,
    server: &mut Server,
    steps: &mut Steps,
) -> Result<(Manifest, Vec<i32>), RecoveryError> {
    let dump = found.read(options, server.major, Extent::Statements, steps).await?;
    let Dump { manifest, programs, fetched, archive } = dump;
    let template = options.template.as_deref().unwrap_or(TEMPLATE);
    match server.create(unfinished, template).await? {
        Created::Made => {}
        Created::NoTemplate => return Err(RestoreError::NoTemplate(template.to_owned()).into()),
        Created::NotAllowed => {
            let (role, database) = (server.role.clone(), unfinished.to_owned());
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
    let filled = fill(&programs, &fetched, &manifest, &url, options.load, steps).await;
    if let Err(RecoveryError::Program { .. }) = filled {
        // Whether the dump is at fault is told by all of it.
        source::read(&programs, &fetched, &manifest, Foreign::Refused).await?;
    }
    filled?;
    let models = indexes::of_dump(&programs, &fetched).await?;
    Ok((manifest, models))
}

/// Loads a backup into an empty database, compares it with the manifest, migrates it to this program's schema, and gathers the
/// statistics that it is to be served with.
pub(in crate::recovery) async fn fill(
    programs: &Programs,
    fetched: &Fetched,
    manifest: &Manifest,
    url: &DatabaseUrl,
    options: LoadOptions,
    steps: &mut Steps,
) -> Result<(), RecoveryError> {
    load_alone(programs, fetched.path(), manifest, url, options, steps).await?;
    reach(FaultPoint::Compared);
    // Makes UTC the database's time zone as well.
    steps.time("migrate", schema::migrate(&DatabaseAddress::of(url))).await?;
    reach(FaultPoint::Migrated);
    steps.time("analyse", databases::analyse(url)).await?;
    Ok(())
}
