//! Restores in place by renaming databases (`--strategy rename-database`): the backup is restored into a new database beside the live
//! one, which then takes its name in one transaction. It needs nothing of the live database but its name, and so helps where that is
//! broken as a whole; but it ends every session once, and needs the right to make and to rename databases.

use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::error::RestoreError;
use super::in_place::{
    Dropped, InPlaceError, InPlaceOptions, Plan, Progress, Switched, UndoOptions, Update,
};
use super::new_database::{make, remove};
use super::source::{Found, Source};
use super::strategy_error::StrategyError;
use crate::recovery::catalogue::Selector;
use crate::recovery::error::RecoveryError;
use crate::recovery::fault_point::{FaultPoint, reach};
use crate::recovery::indexes;
use crate::recovery::instance::Instance;
use crate::recovery::steps::Steps;
use crate::settings::DatabaseUrl;
use crate::store::StoreError;
use crate::store::connection::address::DatabaseAddress;
use crate::store::databases::exchange::{self, Busy, Held, Names, Note, Previous, Try};
use crate::store::databases::{Server, carried, likeness, lost};
use crate::store::in_place::lost::{estimate, is_known as are_known};
use crate::store::in_place::security::{Carried, Keys, Security};
use crate::store::schema::{self, SCHEMA_VERSION};

/// The pause between two tries to rename the databases.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a lost session may live on at the server.
const LINGERS: Duration = Duration::from_secs(30);

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
    let instance = Instance::of(&site.server.identity, of.copy.as_deref());
    let found = Found::find(of, &instance, site.server.major).await?;
    let indexing = Indexing { now: of.builds_indexes, memory: of.index_memory.as_deref() };
    if let Some(note) = site.unfinished_note().await? {
        // Of `latest`, it is what was the newest when it began.
        let is_it = !note.is_undo
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
    let held = site.hold(options.security).await?;
    let Planned { plan, keys, mut held } = site.plan(options, &found, &instance, held).await?;
    if !agrees(&plan) {
        return Err(InPlaceError::NotAgreed.into());
    }
    reach(FaultPoint::InPlaceLocked);
    let how = How {
        security: options.security,
        keys,
        keep_previous: options.keep_previous,
        patience: options.switch_patience,
    };
    let mut steps = Steps::default();
    let making = site.make(options, found, &mut held, &mut steps);
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
    let indexing = Indexing { now: true, memory: None };
    if let Some(note) = site.unfinished_note().await? {
        let is_it = note.is_undo;
        let ended = site.end(note, indexing, Steps::default(), stop.as_mut()).await?;
        if is_it {
            return Ok(ended);
        }
    }
    let Previous::Kept(before) = site.server.previous(&site.names).await? else {
        let none = format!("there is no database {}", site.names.previous);
        return Err(InPlaceError::NothingToUndo(none).into());
    };
    let mut held = site.hold(Security::Live).await?;
    site.renames_alone().await?;
    let lost_versions = match &mut held {
        Some(held) => estimate(&mut held.connection, before.switched_at).await?,
        None => 0,
    };
    let plan = Plan {
        backup: before.backup.clone(),
        snapshot_at: before.switched_at,
        was_verified: true,
        lost_versions,
        needed_bytes: 0,
        free_bytes: None,
        notes: vec![SESSIONS_END.to_owned()],
    };
    if !agrees(&plan) {
        return Err(InPlaceError::NotAgreed.into());
    }
    let how = How {
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
    let note = Note {
        id: Uuid::new_v4(),
        is_undo: !before.is_undo,
        models: Vec::new(),
        is_finished: false,
        ..before
    };
    let previous = site.names.previous.clone();
    let switching = site.switch(&previous, held, how, note, stop.as_mut());
    let exchanged = steps.time("switch", Box::pin(switching)).await?;
    reach(FaultPoint::Switched);
    let ended = site.end(exchanged.note.clone(), indexing, steps, stop).await?;
    Ok(exchanged.told(ended, Vec::new()))
}

/// Whether the last restore in place was one by this strategy, so that [`undo`] and [`drop_previous`] here are the ones that are meant.
/// One that exchanged tables since has left those of before in the live database.
pub async fn is_last(url: &DatabaseUrl) -> Result<bool, RecoveryError> {
    let names = Names::of(url.database());
    // Where nobody can connect beside, no database was renamed.
    let Ok(mut server) = Server::connect_beside(url).await else { return Ok(false) };
    if !matches!(server.previous(&names).await?, Previous::Kept(_)) {
        return Ok(false);
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

/// What is about to be done, and what was found out for it.
struct Planned {
    plan: Plan,
    /// Which keys are added that only the backup has.
    keys: Keys,
    held: Option<Held>,
}

/// How the databases are exchanged.
#[derive(Debug, Clone, Copy)]
struct How {
    security: Security,
    keys: Keys,
    keep_previous: Duration,
    patience: Duration,
}

/// Whether vector indexes are built afterwards, and with what memory.
#[derive(Debug, Clone, Copy)]
struct Indexing<'a> {
    now: bool,
    memory: Option<&'a str>,
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
        (self.progress)(&Update { step, of: None, done: 0, total: 0 });
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
            Ok(Ok(held)) => Ok(Some(held)),
            Ok(Err(Busy { what, holder })) => Err(InPlaceError::Busy { what, holder }.into()),
            Err(error) if security == Security::Live => {
                let database = self.names.live.clone();
                Err(StrategyError::Unreadable { database, error }.into())
            }
            Err(_) => Ok(None),
        }
    }

    /// Fails where our role may not do what follows.
    async fn renames_alone(&mut self) -> Result<(), RecoveryError> {
        let role = self.server.role.clone();
        if !self.server.may_rename(&self.names.live).await? {
            let database = self.names.live.clone();
            return Err(StrategyError::NotOwner { role, database }.into());
        }
        let sessions = self.server.foreign_sessions(&self.names.live).await?;
        if !sessions.is_empty() {
            return Err(StrategyError::Foreign { role, sessions: sessions.join(", ") }.into());
        }
        Ok(())
    }

    /// What is about to be done.
    async fn plan(
        &mut self,
        options: &InPlaceOptions,
        found: &Found,
        instance: &Instance,
        mut held: Option<Held>,
    ) -> Result<Planned, RecoveryError> {
        self.renames_alone().await?;
        let manifest = &found.manifest;
        let mut notes = found.notes.clone();
        notes.push(SESSIONS_END.to_owned());
        let (mut lost_versions, mut keys) = (0, Keys::Added);
        match &mut held {
            Some(held) if held.version > 0 => {
                refuse_row_security(held).await?;
                lost_versions = estimate(&mut held.connection, manifest.snapshot_at).await?;
                if held.has_memory && !instance.is(&manifest.instance) {
                    keys = Keys::LeftOut;
                }
                if !held.has_memory {
                    notes.push(
                        "the live database holds no memory: keys that were revoked after the backup, in a database that is gone, cannot be known"
                            .to_owned(),
                    );
                }
                let others = likeness::others(&mut held.connection).await?;
                if !others.is_empty() {
                    notes.push(format!(
                        "these are not of AgentFS and stay in {} alone: {}",
                        self.names.previous,
                        others.join(", ")
                    ));
                }
            }
            Some(_) => {}
            None => notes.push(
                "the live database cannot be read: its tenants, keys and used quota are not brought over, and nobody can say what is lost"
                    .to_owned(),
            ),
        }
        if let Previous::Kept(note) = self.server.previous(&self.names).await? {
            notes.push(format!(
                "{}, of before the restore of {}, is dropped: that one cannot be undone any more",
                self.names.previous, note.backup
            ));
        }
        let bytes = manifest.tables.values().filter_map(|table| table.bytes).sum::<i64>();
        let plan = Plan {
            backup: manifest.id().to_owned(),
            snapshot_at: manifest.snapshot_at,
            was_verified: found.was_verified,
            lost_versions,
            needed_bytes: bytes.unsigned_abs(),
            free_bytes: options.free_space,
            notes,
        };
        match options.free_space {
            Some(free) if plan.needed_bytes > free => Err(InPlaceError::NoSpace(format!(
                "the backup needs {} bytes at least, and {free} are free",
                plan.needed_bytes
            ))
            .into()),
            _ => Ok(Planned { plan, keys, held }),
        }
    }

    /// Restores the backup into a database beside, which has all that the live one has. Returns what to note of it, and what somebody
    /// should know, as sentences.
    async fn make(
        &mut self,
        options: &InPlaceOptions,
        found: Found,
        held: &mut Option<Held>,
        steps: &mut Steps,
    ) -> Result<(Note, Vec<String>), RecoveryError> {
        let Names { live, unfinished, .. } = self.names.clone();
        self.tell("load");
        let lease = found.lease().await?;
        let making = make(&options.of, found, &unfinished, &mut self.server, steps);
        let made = Box::pin(making).await;
        if let Some(lease) = lease {
            lease.release().await;
            reach(FaultPoint::LeaseRemoved);
        }
        let (manifest, models) = made?;
        // First, since the owner of tables needs rights that the owner of the database has.
        self.server.give_owner(&live, &unfinished).await?;
        let mut notes = self.server.liken(&live, &unfinished).await?;
        if let Some(held) = held.as_mut().filter(|held| held.version > 0) {
            refuse_row_security(held).await?;
            let mut new = address(&self.url.with_database(&unfinished)).connect_unlimited().await?;
            notes.extend(likeness::of_tables(&mut held.connection, &mut new).await?);
        }
        let note = Note {
            id: Uuid::new_v4(),
            live,
            backup: manifest.id().to_owned(),
            is_undo: false,
            switched_at: Timestamp::now(),
            previous_until: Timestamp::now(),
            models,
            is_finished: false,
            comment: None,
        };
        Ok((note, notes))
    }

    /// Brings tenants and keys over and exchanges the databases, again and again while sessions are in the way. It is not ended
    /// halfway: afterwards it is one or the other.
    async fn switch(
        &mut self,
        incoming: &str,
        mut held: Option<Held>,
        how: How,
        mut note: Note,
        mut stop: Stop<'_>,
    ) -> Result<Exchanged, RecoveryError> {
        self.tell("switch");
        let deadline = Instant::now() + how.patience;
        let is_read = held.is_some();
        loop {
            let mut carried = Carried::default();
            if let Some(mut held) = held.take() {
                if held.version > 0 {
                    let mut new =
                        address(&self.url.with_database(incoming)).connect_unlimited().await?;
                    let copied =
                        carried::carry(&mut held.connection, &mut new, how.security, how.keys);
                    carried = copied.await?;
                }
                held.let_go().await.map_err(StrategyError::Lost)?;
            }
            note.switched_at = Timestamp::now();
            let kept = SignedDuration::try_from(how.keep_previous).unwrap_or(SignedDuration::MAX);
            note.previous_until = note.switched_at.saturating_add(kept).unwrap_or(Timestamp::MAX);
            let foreign = self.server.foreign_sessions(&self.names.live).await?;
            let tried = if foreign.is_empty() {
                let renamed = || reach(FaultPoint::SwitchLocked);
                let begun = Instant::now();
                let exchanging =
                    self.server.exchange(self.url, &self.names, incoming, &note, &renamed);
                match exchanging.await {
                    Ok(tried) => tried,
                    Err(error) => {
                        self.came_to(note.id, error).await?;
                        Try::Made(begun.elapsed().as_secs_f64())
                    }
                }
            } else {
                Try::Held(foreign.join(", "))
            };
            let sessions = match tried {
                Try::Made(seconds) => {
                    let serving_seconds = self.begun.elapsed().as_secs_f64();
                    return Ok(Exchanged {
                        note,
                        seconds,
                        carried,
                        serving_seconds,
                        notes: Vec::new(),
                    });
                }
                Try::Held(sessions) => sessions,
            };
            if Instant::now() + PAUSE > deadline {
                let (database, seconds) = (self.names.live.clone(), how.patience.as_secs());
                return Err(StrategyError::Crowded { database, seconds, sessions }.into());
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                error = stop.as_mut() => return Err(error),
            }
            if is_read {
                held = self.hold(how.security).await?;
            }
        }
    }

    /// Fails unless the try that ended in `error` has exchanged the databases: that may have hit the answer to its COMMIT.
    async fn came_to(&mut self, id: Uuid, error: StoreError) -> Result<(), RecoveryError> {
        let mut found = self.server.previous(&self.names).await;
        if found.is_err() {
            if self.renew().await.is_err() {
                return Err(InPlaceError::Unknown { error }.into());
            }
            found = self.server.previous(&self.names).await;
        }
        match found {
            Ok(Previous::Kept(note)) if note.id == id => Ok(()),
            Ok(_) => Err(error.into()),
            Err(_) => Err(InPlaceError::Unknown { error }.into()),
        }
    }

    /// Connects again. Whoever has the turn knows that the session before has ended, and what it came to.
    async fn renew(&mut self) -> Result<(), RecoveryError> {
        let deadline = Instant::now() + LINGERS;
        loop {
            let taken = async {
                let mut server = Server::connect_beside(self.url).await?;
                Ok::<_, StoreError>(
                    server.hold_on_server(&self.names.unfinished).await?.then_some(server),
                )
            };
            match taken.await {
                Ok(Some(server)) => {
                    self.server = server;
                    return Ok(());
                }
                _ if Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
                Ok(None) => return Err(RestoreError::UnderWay(self.names.live.clone()).into()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Does what follows an exchange, in this run or in one after it. Says that the databases had been exchanged before.
    async fn end(
        &mut self,
        note: Note,
        indexing: Indexing<'_>,
        mut steps: Steps,
        stop: Stop<'_>,
    ) -> Result<Switched, RecoveryError> {
        let ended = tokio::select! {
            ended = Box::pin(self.bring_to_its_end(note, indexing, &mut steps)) => ended,
            error = stop => Err(error),
        };
        let ended = ended.map_err(|error| InPlaceError::AfterSwitch { error: Box::new(error) })?;
        Ok(Switched { steps: steps.into_vec(), ..ended })
    }

    async fn bring_to_its_end(
        &mut self,
        mut note: Note,
        indexing: Indexing<'_>,
        steps: &mut Steps,
    ) -> Result<Switched, RecoveryError> {
        let mut notes = Vec::new();
        let mut live = address(self.url).connect_unlimited().await?;
        self.tell("lost");
        let previous = address(&self.url.with_database(&self.names.previous));
        let lost = match previous.connect_unlimited().await {
            Ok(mut previous) => {
                let carrying = carried::carry_rest(&mut previous, &mut live);
                steps.time("carry", carrying).await?;
                steps.time("lost", lost::lost(&mut previous, &mut live)).await?
            }
            Err(error) => {
                notes.push(format!(
                    "{} cannot be read, so nobody can say what is lost: {error}",
                    self.names.previous
                ));
                Vec::new()
            }
        };
        reach(FaultPoint::LostListed);
        self.server.drop_outgoing(&self.names).await?;
        let serving_seconds = self.begun.elapsed().as_secs_f64();
        self.tell("index");
        let without = if indexing.now {
            let built = indexes::build(self.url, &note.models, indexing.memory);
            steps.time("index", built).await?;
            Vec::new()
        } else {
            indexes::names(self.url, &note.models).await?
        };
        reach(FaultPoint::VectorsIndexed);
        if !without.is_empty() {
            notes.push(format!(
                "build the vector indexes by `agentfs-server admin embeddings index MODEL` ({})",
                without.join(", ")
            ));
        }
        note.is_finished = true;
        self.server.note(&self.names, &note).await?;
        reach(FaultPoint::InPlaceFinished);
        Ok(Switched {
            id: note.id.to_string(),
            backup: note.backup,
            switched_at: note.switched_at,
            switch_seconds: 0.0,
            previous_until: note.previous_until,
            had_switched: true,
            lost,
            steps: Vec::new(),
            serving_seconds,
            indexed_seconds: without.is_empty().then(|| self.begun.elapsed().as_secs_f64()),
            notes,
        })
    }

    async fn drop_kept(&mut self, note: &Note) -> Result<Dropped, RecoveryError> {
        let bytes = self.server.bytes(&self.names.previous).await?;
        self.server.drop(&self.names.previous).await?;
        Ok(Dropped { restore: Some(note.id.to_string()), bytes })
    }
}

/// Fails where rights without policies would let somebody read what they may not.
async fn refuse_row_security(held: &mut Held) -> Result<(), RecoveryError> {
    let tables = likeness::with_row_security(&mut held.connection).await?;
    if tables.is_empty() { Ok(()) } else { Err(StrategyError::RowSecurity(tables).into()) }
}

fn address(url: &DatabaseUrl) -> DatabaseAddress {
    DatabaseAddress::of(url)
}
