//! Restores in place by renaming databases (`--strategy rename-database`): the backup is restored into a new database beside the live
//! one, which then takes its name in one transaction. It needs nothing of the live database but its name, and so helps where that is
//! broken as a whole; but it ends every session once, and needs the right to make and to rename databases.

mod ending;
mod planning;
mod requested;
mod switching;

use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use agentfs_contract::request::Request;
use jiff::Timestamp;
use uuid::Uuid;

use self::planning::Planned;
use super::error::RestoreError;
use super::in_place::{Dropped, InPlaceError, InPlaceOptions, Plan, Switched, UndoOptions, space};
use super::new_database::{RestoreOptions, remove};
use super::source::{Found, Source};
use super::strategy_error::StrategyError;
use crate::recovery::catalogue::Selector;
use crate::recovery::error::RecoveryError;
use crate::recovery::fault_point::{FaultPoint, reach};
use crate::recovery::instance::Instance;
use crate::recovery::loading::LoadOptions;
use crate::recovery::progress::{self, Progress, Update};
use crate::recovery::request;
use crate::recovery::steps::Steps;
use crate::settings::DatabaseUrl;
use crate::store::StoreError;
use crate::store::connection::address::DatabaseAddress;
use crate::store::databases::Server;
use crate::store::databases::exchange::{self, Held, Names, Note, Previous};
use crate::store::databases::lost;
use crate::store::in_place::lost::is_known as are_known;
use crate::store::in_place::records::{self, Phase};
use crate::store::in_place::refill::{Emptied, reopen};
use crate::store::in_place::security::{Carried, Keys, Security};
use crate::store::requests;
use crate::store::schema::{self, SCHEMA_VERSION};

/// Why what was asked for has to end.
type Stop<'a> = Pin<&'a mut (dyn Future<Output = RecoveryError> + Send)>;

/// Restores in place. `agrees` is asked once all is known and before anything is loaded. Where it fails before the databases are
/// renamed, or `stop` resolves before that, nothing has changed.
pub async fn restore(
    options: &InPlaceOptions,
    agrees: impl FnOnce(&Plan) -> bool,
    progress: Progress<'_>,
    stop: impl Future<Output = RecoveryError> + Send,
) -> Result<Switched, RecoveryError> {
    let mut stop = pin!(stop);
    let of = &options.of;
    let mut site = Site::open(&of.url, progress).await?;
    let request = of.request.as_ref();
    let known = site.noted(request, options.security).await?;
    let of = &of.of_noted(&known);
    let indexing = Indexing::of(of);
    if let Some(switched) = site.go_on(&known, indexing, stop.as_mut()).await? {
        return Ok(switched);
    }
    let instance = Instance::of(&site.server.identity, of.copy.as_deref());
    let found = Found::find(of, &instance, site.server.major).await?;
    if let Some(note) = site.unfinished_note().await? {
        // Of `latest`, it is what was the newest when it began.
        let is_it = !note.is_undo
            && request.is_none()
            && match &of.source {
                Source::Backup { backup: Selector::Id(_), .. } | Source::File(_) => {
                    note.backup == found.manifest.id()
                }
                Source::Backup { .. } => true,
            };
        let ended = site.end(note, indexing, Steps::default(), stop.as_mut()).await?;
        if is_it {
            return Ok(ended);
        }
    }
    let chosen = found.path();
    if let Some(chosen) = chosen.as_deref().filter(|_| known.is_begun) {
        request::note_backup(&of.url, request, chosen).await?;
    }
    let held = site.hold(options.security).await?;
    let planned = site.plan(options, &found, &instance, held).await?;
    let Planned { plan, keys, room, mut held } = planned;
    site.ask(&plan, agrees)?;
    reach(FaultPoint::InPlaceLocked);
    let how = How {
        request,
        backup: chosen.as_deref(),
        security: options.security,
        keys,
        keep_previous: options.keep_previous,
        patience: options.switch_patience,
    };
    let mut steps = Steps::default();
    let making = site.make(of, found, &mut held, &mut steps);
    let making = space::within_server(&of.url, &room, Box::pin(making));
    let made = tokio::select! {
        made = Box::pin(making) => made,
        error = stop.as_mut() => Err(error),
    };
    let unfinished = site.names.unfinished.clone();
    let exchanged = match made {
        Ok((note, notes)) => {
            let switching = site.switch(&unfinished, held, how, note, stop.as_mut());
            let exchanged = steps.time("switch", Box::pin(switching)).await;
            exchanged.map(|exchanged| Exchanged { notes, ..exchanged })
        }
        Err(error) => Err(error),
    };
    match exchanged {
        Ok(exchanged) => {
            reach(FaultPoint::Switched);
            let ended = site.end(exchanged.note.clone(), indexing, steps, stop).await?;
            Ok(exchanged.told(ended, plan.notes))
        }
        // By now it may have become the live one.
        Err(error @ RecoveryError::InPlace(InPlaceError::Unknown { .. })) => Err(error),
        Err(error) => Err(remove(&mut site.server, unfinished, error).await),
    }
}

/// Undoes the last restore by this strategy: the previous database is live again, and the one whose place it takes is kept as the
/// previous one.
pub async fn undo(
    options: &UndoOptions,
    agrees: impl FnOnce(&Plan) -> bool,
    progress: Progress<'_>,
    stop: impl Future<Output = RecoveryError> + Send,
) -> Result<Switched, RecoveryError> {
    let mut stop = pin!(stop);
    let mut site = Site::open(&options.url, progress).await?;
    let indexing = Indexing::default();
    let request = options.request.as_ref();
    let known = site.noted(request, Security::Live).await?;
    if let Some(switched) = site.go_on(&known, indexing, stop.as_mut()).await? {
        return Ok(switched);
    }
    if let Some(note) = site.unfinished_note().await? {
        let is_it = note.is_undo && request.is_none();
        let ended = site.end(note, indexing, Steps::default(), stop.as_mut()).await?;
        if is_it {
            return Ok(ended);
        }
    }
    let Previous::Kept(before) = site.server.previous(&site.names).await? else {
        let none = format!("there is no database {}", site.names.previous);
        return Err(InPlaceError::NothingToUndo(none).into());
    };
    if let Some(asked) = options.restore.filter(|asked| *asked != before.id) {
        return Err(InPlaceError::NotLast { asked, last: before.id }.into());
    }
    let mut held = site.hold(Security::Live).await?;
    site.renames_alone().await?;
    let lost_versions = match &mut held {
        Some(held) => {
            let previous = address(&options.url.with_database(&site.names.previous));
            let mut previous = previous.connect_unlimited().await?;
            let taken_out = lost::lost(&mut held.connection, &mut previous).await?;
            taken_out.iter().map(|lost| lost.versions).sum()
        }
        None => 0,
    };
    let plan = Plan {
        backup: before.backup.clone(),
        snapshot_at: before.switched_at,
        was_verified: true,
        lost_versions,
        dropped_versions: 0,
        needed_bytes: 0,
        free_bytes: None,
        notes: vec![SESSIONS_END.to_owned()],
    };
    site.ask(&plan, agrees)?;
    let undone = before.backup.clone();
    let how = How {
        request,
        backup: Some(&undone),
        security: Security::Live,
        keys: Keys::Added,
        keep_previous: options.keep_previous,
        patience: options.switch_patience,
    };
    let mut steps = Steps::default();
    // Programs may have been upgraded since it was live.
    let previous = address(&options.url.with_database(&site.names.previous));
    site.tell("migrate");
    tokio::select! {
        migrated = steps.time("migrate", Box::pin(schema::migrate(&previous))) => migrated.map(drop)?,
        error = stop.as_mut() => return Err(error),
    }
    let redone = before.is_undo;
    let note = Note {
        id: Uuid::new_v4(),
        is_undo: !redone,
        models: Vec::new(),
        is_finished: false,
        ..before
    };
    let previous = site.names.previous.clone();
    let switching = site.switch(&previous, held, how, note, stop.as_mut());
    let exchanged = steps.time("switch", Box::pin(switching)).await?;
    reach(FaultPoint::Switched);
    let ended = site.end(exchanged.note.clone(), indexing, steps, stop).await?;
    Ok(Switched { redone, ..exchanged.told(ended, Vec::new()) })
}

/// Whether the last restore in place was one by this strategy, so that [`undo`] and [`drop_previous`] here are the ones that are meant.
/// One that exchanged tables since has left those of before in the live database.
pub async fn is_last(url: &DatabaseUrl) -> Result<bool, RecoveryError> {
    let names = Names::of(url.database());
    // Where nobody can connect beside, no database was renamed.
    let Ok(mut server) = Server::connect_beside(url).await else { return Ok(false) };
    match server.previous(&names).await? {
        // What follows an exchange is still to be done.
        Previous::Kept(note) if !note.is_finished => return Ok(true),
        Previous::Kept(_) => {}
        Previous::None | Previous::NotOurs => return Ok(false),
    }
    Ok(match address(url).connect_unlimited().await {
        Ok(mut live) => !are_known(&mut live).await?,
        Err(_) => true,
    })
}

/// Drops the previous database now, so that nothing can be undone any more.
pub async fn drop_previous(url: &DatabaseUrl) -> Result<Dropped, RecoveryError> {
    let mut site = Site::open(url, &|_| ()).await?;
    match site.server.previous(&site.names).await? {
        Previous::Kept(note) if !note.is_finished => {
            Err(StrategyError::Unfinished(note.backup).into())
        }
        Previous::Kept(note) => site.drop_kept(&note).await,
        Previous::None | Previous::NotOurs => Ok(Dropped { restore: None, bytes: 0 }),
    }
}

/// Drops the previous database where its time is over. Nothing that calls it fails for it: what cannot be dropped now is dropped by
/// the next.
pub async fn drop_expired(url: &DatabaseUrl) {
    let expired = async {
        let mut server = Server::connect_beside(url).await?;
        let is_over = match server.previous(&Names::of(url.database())).await? {
            Previous::Kept(note) => note.is_finished && note.previous_until < Timestamp::now(),
            Previous::None | Previous::NotOurs => false,
        };
        if is_over { drop_previous(url).await.map(drop) } else { Ok(()) }
    };
    if let Err(error) = expired.await {
        tracing::debug!("the previous database was not looked at: {error}");
    }
}

/// Brings an exchange for a request to its end whose run is gone.
pub(super) async fn end_abandoned(url: &DatabaseUrl, stop: Stop<'_>) -> Result<(), RecoveryError> {
    // Where nobody can connect beside, no database was renamed.
    let Ok(mut server) = Server::connect_beside(url).await else { return Ok(()) };
    match server.previous(&Names::of(url.database())).await? {
        Previous::Kept(note) if !note.is_finished => {
            let mut live = address(url).connect_unlimited().await?;
            if !requests::has_restore(&mut live, note.id).await? {
                return Ok(());
            }
        }
        _ => return Ok(()),
    }
    drop(server);
    let mut site = match Site::open(url, &|_| ()).await {
        // Its own run is at work.
        Err(RecoveryError::Restore(RestoreError::UnderWay(_))) => return Ok(()),
        site => site?,
    };
    let Some(note) = site.unfinished_note().await? else { return Ok(()) };
    let indexing = Indexing::default();
    site.end(note, indexing, Steps::default(), stop).await.map(drop)
}

/// How the databases are exchanged.
#[derive(Debug, Clone, Copy)]
struct How<'a> {
    /// The request that it is done for.
    request: Option<&'a Request>,
    /// The backup, with its folder.
    backup: Option<&'a str>,
    security: Security,
    keys: Keys,
    keep_previous: Duration,
    patience: Duration,
}

/// Whether vector indexes are built afterwards, and how.
#[derive(Debug, Clone, Copy)]
struct Indexing<'a> {
    now: bool,
    /// The maintenance_work_mem; what they need where it is not given.
    memory: Option<&'a str>,
    /// Processes of PostgreSQL that build one.
    jobs: usize,
}

impl<'a> Indexing<'a> {
    /// As a restore says. Half of its jobs build: the API serves meanwhile.
    fn of(options: &'a RestoreOptions) -> Self {
        let jobs = options.load.jobs.div_ceil(2);
        Self { now: options.builds_indexes, memory: options.index_memory.as_deref(), jobs }
    }
}

impl Default for Indexing<'_> {
    fn default() -> Self {
        let jobs = LoadOptions::default().jobs.div_ceil(2);
        Self { now: true, memory: None, jobs }
    }
}

/// Databases that were exchanged.
#[derive(Debug)]
struct Exchanged {
    note: Note,
    seconds: f64,
    carried: Carried,
    serving_seconds: f64,
    notes: Vec<String>,
}

impl Exchanged {
    /// What is told of it, by what was found at its end.
    fn told(self, ended: Switched, before: Vec<String>) -> Switched {
        let Carried { tenants, keys, left_out } = self.carried;
        let mut notes = before;
        notes.extend(self.notes);
        if tenants > 0 || keys > 0 {
            notes.push(format!(
                "{tenants} tenants and {keys} keys that only the backup had are there again"
            ));
        }
        if left_out > 0 {
            notes.push(format!(
                "{left_out} keys that only the backup had are left out, since it is another database's"
            ));
        }
        notes.extend(ended.notes);
        Switched {
            had_switched: false,
            switch_seconds: self.seconds,
            serving_seconds: self.serving_seconds,
            notes,
            ..ended
        }
    }
}

/// What an exchange costs those who use the database.
const SESSIONS_END: &str = "every session of the database is ended once, when the databases are renamed: a request that is under way then \
    is answered by 503 and may be sent again";

/// A live database, beside which this run has the turn.
struct Site<'a> {
    server: Server,
    names: Names,
    url: &'a DatabaseUrl,
    begun: Instant,
    progress: Progress<'a>,
}

impl<'a> Site<'a> {
    /// Takes the turn, and removes what an interrupted run left that nobody needs.
    async fn open(url: &'a DatabaseUrl, progress: Progress<'a>) -> Result<Self, RecoveryError> {
        let begun = Instant::now();
        let mut server = Server::connect_beside(url).await?;
        let names = Names::of(url.database());
        if !server.hold_on_server(&names.unfinished).await? {
            return Err(RestoreError::UnderWay(names.live).into());
        }
        if !server.has_database {
            return Err(StrategyError::NoDatabase(names.live).into());
        }
        if server.previous(&names).await? == Previous::NotOurs {
            return Err(StrategyError::NameTaken(names.previous).into());
        }
        server.drop(&names.unfinished).await?;
        server.drop_outgoing(&names).await?;
        Ok(Self { server, names, url, begun, progress })
    }

    fn tell(&self, step: &'static str) {
        (self.progress)(&Update::begun(step));
    }

    /// Asks whether it shall be done. The time that takes is nobody's who waits for it to serve.
    fn ask(&mut self, plan: &Plan, agrees: impl FnOnce(&Plan) -> bool) -> Result<(), InPlaceError> {
        progress::planned(&plan.backup, plan.lost_versions);
        let asked = Instant::now();
        if !agrees(plan) {
            return Err(InPlaceError::NotAgreed);
        }
        self.begun += asked.elapsed();
        Ok(())
    }

    /// The note of a run that has exchanged the databases and did not come to its end.
    async fn unfinished_note(&mut self) -> Result<Option<Note>, StoreError> {
        Ok(match self.server.previous(&self.names).await? {
            Previous::Kept(note) if !note.is_finished => Some(note),
            _ => None,
        })
    }

    /// Keeps migrations and backups off the live database. `None` where that cannot be read, and does not have to be.
    async fn hold(&self, security: Security) -> Result<Option<Held>, RecoveryError> {
        match exchange::hold(self.url).await {
            Ok(Ok(held)) if held.version > SCHEMA_VERSION => {
                Err(StrategyError::NewerLive { live: held.version, restored: SCHEMA_VERSION }
                    .into())
            }
            Ok(Ok(mut held)) => {
                refuse_emptied(&mut held).await?;
                Ok(Some(held))
            }
            Ok(Err(busy)) => Err(InPlaceError::Busy(busy).into()),
            Err(error) if security == Security::Live => {
                let database = self.names.live.clone();
                Err(StrategyError::Unreadable { database, error }.into())
            }
            Err(_) => Ok(None),
        }
    }
}

/// Fails where an interrupted run has emptied the live tables. Servers that it only kept off come again.
async fn refuse_emptied(held: &mut Held) -> Result<(), RecoveryError> {
    let connection = &mut held.connection;
    let Some(record) = records::unfinished(connection).await? else { return Ok(()) };
    match (record.phase, record.emptied) {
        (Phase::Emptied, Some(Emptied { safety, .. })) => {
            Err(StrategyError::Emptied { backup: record.backup, safety }.into())
        }
        (Phase::Closed, Some(before)) => {
            reopen(connection, record.id, &before).await?;
            (held.version, held.has_memory) = (before.version, before.had_memory);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn address(url: &DatabaseUrl) -> DatabaseAddress {
    DatabaseAddress::of(url)
}
