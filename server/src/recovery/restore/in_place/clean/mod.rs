//! Restores in place by emptying the live tables and filling them again (`--strategy clean`): it needs no room beside them, and neither a
//! schema nor a database. Servers answer 503 meanwhile, and it cannot be undone but by another backup.

mod emptying;
mod filling;

use std::pin::{Pin, pin};
use std::time::Instant;

use jiff::Timestamp;
use uuid::Uuid;

use self::filling::Filling;
use super::ending::{Indexing, end};
use super::error::InPlaceError;
use super::interrupted::{Interrupted, ended_since, switched, take_over, tell};
use super::plan::{self, Live};
use super::previous::drop_expired_in;
use super::restoring::{is_wanted, told};
use super::session::Session;
use super::space::Room;
use super::{InPlaceOptions, Plan, Switched};
use crate::recovery::archive::Foreign;
use crate::recovery::catalogue::Selector;
use crate::recovery::error::RecoveryError;
use crate::recovery::indexes;
use crate::recovery::instance::Instance;
use crate::recovery::lease::Lease;
use crate::recovery::progress::{self, Progress, Update};
use crate::recovery::restore::RestoreOptions;
use crate::recovery::restore::source::{Dump, Extent, Found, Source};
use crate::recovery::restore::strategy_error::StrategyError;
use crate::recovery::steps::Steps;
use crate::recovery::unless::unless;
use crate::settings::DatabaseUrl;
use crate::store::connection::address::DatabaseAddress;
use crate::store::in_place::records::{self, Record};
use crate::store::in_place::refill::{self, Emptied};
use crate::store::requests;
use crate::store::schema::SCHEMA_VERSION;

const API_AWAY: &str = "The API answers 503 to every request from when the live tables are emptied until all of the backup is loaded and \
    compared; nothing is written meanwhile.";
const NO_UNDO: &str = "It cannot be undone: what is live is emptied first, for its room.";
const WITHOUT_SAFETY: &str = "No backup of what is live is made before, since --force (or --file) goes without: what was written since the last one is gone then.";

/// Restores in place. `agrees` is asked once all is known and before anything is changed. Until the live tables are emptied, nothing has
/// changed where it fails or `stop` resolves; after that, the next run fills them.
pub async fn restore(
    options: &InPlaceOptions,
    agrees: impl FnOnce(&Plan) -> bool,
    progress: Progress<'_>,
    stop: impl Future<Output = RecoveryError>,
) -> Result<Switched, RecoveryError> {
    let mut stop = pin!(stop);
    let begun = Instant::now();
    let session = Session::begin(&options.of.url).await?;
    let steps = Steps::default();
    let mut run = Cleaning { options, progress, begun, steps, session, empty: None };
    let restored = Box::pin(run.run(agrees, &mut stop)).await;
    let restored = restored.map_err(|error| run.not_filled(error));
    run.session.holder.release().await;
    restored
}

/// Fails where a run was interrupted that has emptied the live tables of a database.
pub async fn refuse_emptied(url: &DatabaseUrl) -> Result<(), RecoveryError> {
    let mut connection = DatabaseAddress::of(url).connect_unlimited().await?;
    match records::emptied(&mut connection).await? {
        None => Ok(()),
        Some((Record { backup, .. }, Emptied { safety, .. })) => {
            Err(StrategyError::Emptied { backup, safety }.into())
        }
    }
}

/// Fails where the last restore in place of a database was one by this strategy, which keeps nothing of before.
pub async fn refuse_undo(url: &DatabaseUrl) -> Result<(), RecoveryError> {
    // One that is broken as a whole says nothing of its restores.
    let Ok(mut connection) = DatabaseAddress::of(url).connect_unlimited().await else {
        return Ok(());
    };
    match records::last_switched(&mut connection).await? {
        Some(Record { backup, emptied: Some(Emptied { safety, .. }), .. }) => {
            let safety = safety.map(|id| format!(" ({id} was made before it)")).unwrap_or_default();
            Err(InPlaceError::NothingToUndo(format!(
                "the last restore in place, of {backup}, was one by --strategy clean, which keeps nothing of before: restore a backup of \
                 what was live then{safety}"
            ))
            .into())
        }
        _ => Ok(()),
    }
}

struct Cleaning<'a> {
    options: &'a InPlaceOptions,
    progress: Progress<'a>,
    begun: Instant,
    steps: Steps,
    session: Session<'a>,
    /// What it fills, once that is empty.
    empty: Option<Empty>,
}

/// Live tables that are empty.
#[derive(Clone)]
struct Empty {
    id: Uuid,
    /// The backup that they are filled with.
    backup: String,
    before: Emptied,
}

impl From<(Record, Emptied)> for Empty {
    fn from((record, before): (Record, Emptied)) -> Self {
        Self { id: record.id, backup: record.backup, before }
    }
}

impl Cleaning<'_> {
    async fn run(
        &mut self,
        agrees: impl FnOnce(&Plan) -> bool,
        stop: &mut Pin<&mut impl Future<Output = RecoveryError>>,
    ) -> Result<Switched, RecoveryError> {
        let request = self.options.of.request.as_ref();
        let known = self.session.noted(request).await?;
        if let Some(ended) = ended_since(&mut self.session, &known).await? {
            return Ok(ended);
        }
        let emptied = self.session.emptied().await?;
        let before = emptied.as_ref().map(|(_, before)| before);
        let options = &self.options.of.of_noted(&known);
        let indexing = options.builds_indexes.then(|| Indexing::of(self.options));
        let instance = Instance::of(&self.session.holder.identity, options.copy.as_deref());
        let file = match &options.source {
            Source::File(_) => {
                Some(unless(stop, Box::pin(self.find(options, &instance, before))).await?)
            }
            Source::Backup { .. } => None,
        };
        let is_wanted = |record: &Record| match request {
            Some(_) => known.restore == Some(record.id),
            None => is_wanted(&options.source, file.as_ref(), record),
        };
        // Who has agreed to the same has agreed to its end.
        self.empty = emptied.clone().filter(|(record, _)| is_wanted(record)).map(Empty::from);
        let goes_on = self.empty.is_some();
        let mut notes = Vec::new();
        if emptied.is_none() {
            let taking_over =
                take_over(&mut self.session, is_wanted, indexing, self.progress, stop);
            match Box::pin(taking_over).await? {
                Interrupted::Wanted(switched) => return Ok(*switched),
                Interrupted::Past(note) => notes.extend(note),
            }
            drop_expired_in(&mut self.session).await?;
        }
        let mut chosen = options.clone();
        if let (true, Some((record, _)), Source::Backup { backup, .. }) =
            (goes_on, &emptied, &mut chosen.source)
        {
            // By now the newest one may be that of what was live.
            *backup = Selector::Id(format!("{}/{}", record.instance, record.backup));
        }
        let found = match file {
            Some(found) => found,
            None => unless(stop, Box::pin(self.find(&chosen, &instance, before))).await?,
        };
        if let Some(grant) = refill::lacking(self.session.holder.connection()).await? {
            return Err(StrategyError::NoTemporary(grant).into());
        }
        if let Some((request, chosen)) = request.zip(found.path()) {
            requests::note_backup(self.session.holder.connection(), request, &chosen).await?;
        }
        let is_own = instance.is(&found.manifest.instance);
        let live = match before {
            Some(before) => Live { version: before.version, has_memory: before.had_memory },
            None => Live::look(&mut self.session).await?,
        };
        if !goes_on {
            let plan = self.plan(&found, &instance, live, emptied.is_some()).await?;
            let plan = Plan { notes: [notes.clone(), plan.notes].concat(), ..plan };
            progress::planned(&plan.backup, plan.lost_versions);
            let asked = Instant::now();
            if !agrees(&plan) {
                return Err(InPlaceError::NotAgreed.into());
            }
            self.begun += asked.elapsed();
        }

        let lease = unless(stop, found.lease()).await?;
        let restored = Box::pin(self.read_and_fill(found, is_own, emptied, stop)).await;
        Lease::release_read(lease).await;
        let (record, of_filling) = restored?;
        tell(&record);
        let serving = self.begun.elapsed().as_secs_f64();
        notes.extend(plan::of_security(self.options.security, live, is_own));
        notes.extend(of_filling);
        let steps = &mut self.steps;
        let ending = end(&mut self.session, &record, indexing, self.progress, stop, steps);
        let ended = Box::pin(ending).await?;
        let steps = std::mem::take(&mut self.steps);
        Ok(switched(&record, ended, steps, serving, self.begun, notes))
    }

    /// Finds what is to be restored, and refuses what cannot be. Where the live tables are `emptied`, there is nothing left to be lost, and
    /// the filling compares all of the backup before it is served: it needs no proof.
    async fn find(
        &self,
        options: &RestoreOptions,
        instance: &Instance,
        emptied: Option<&Emptied>,
    ) -> Result<Found, RecoveryError> {
        let is_emptied = emptied.is_some();
        if let Some(&Emptied { version, .. }) = emptied
            && version != SCHEMA_VERSION
        {
            return Err(StrategyError::OtherEmptied(version).into());
        }
        let found = Found::find(options, instance, self.session.holder.major).await?;
        plan::must_be_known(&found.manifest)?;
        let (backup, id) = (found.manifest.schema_version, found.manifest.id());
        if backup != SCHEMA_VERSION {
            let live = SCHEMA_VERSION;
            return Err(StrategyError::OtherSchema { live, backup, is_emptied }.into());
        }
        if is_emptied {
            return Ok(found);
        }
        if !found.was_verified && !options.force {
            return Err(StrategyError::NotVerified(id.to_owned()).into());
        }
        let in_clear =
            self.options.safety.as_ref().is_some_and(|safety| safety.recipients.is_none());
        if in_clear && found.manifest.encryption.is_some() {
            return Err(StrategyError::InClear(id.to_owned()).into());
        }
        Ok(found)
    }

    async fn plan(
        &mut self,
        found: &Found,
        instance: &Instance,
        live: Live,
        is_emptied: bool,
    ) -> Result<Plan, RecoveryError> {
        let Self { options, session, .. } = self;
        let room = Room::of_live();
        let mut plan =
            Box::pin(plan::of_restore(session, options, found, instance, live, &room)).await?;
        if is_emptied {
            plan.lost_versions = 0;
            plan.notes.push(
                "The live tables are empty, since an interrupted restore was about to fill them."
                    .to_owned(),
            );
            return Ok(plan);
        }
        plan.notes.extend([API_AWAY.to_owned(), NO_UNDO.to_owned()]);
        plan.notes.push(match &options.safety {
            Some(safety) => format!(
                "What is live is backed up to {} before that; what is written between that backup and the emptying is gone.",
                safety.location
            ),
            None => WITHOUT_SAFETY.to_owned(),
        });
        Ok(plan)
    }

    /// Reads the backup, has the live tables empty, and fills them.
    async fn read_and_fill(
        &mut self,
        found: Found,
        is_own: bool,
        emptied: Option<(Record, Emptied)>,
        stop: &mut Pin<&mut impl Future<Output = RecoveryError>>,
    ) -> Result<(Record, Vec<String>), RecoveryError> {
        let (major, since) = (self.session.holder.major, found.manifest.snapshot_at);
        // Nothing of another instance's memory is the live one's.
        let since = if is_own { since } else { Timestamp::UNIX_EPOCH };
        (self.progress)(&Update::begun("fetch"));
        let extent = Extent::Whole(Foreign::Named);
        let reading = found.read(&self.options.of, major, extent, &mut self.steps);
        let dump = self.session.beside(stop, Box::pin(reading)).await?;
        let models = unless(stop, indexes::of_dump(&dump.programs, &dump.fetched)).await?;
        let mut notes = Vec::new();
        let empty = match (self.empty.take(), emptied) {
            (Some(empty), _) => empty,
            (None, Some((record, before))) => {
                let before = before.since(since);
                let is_of_live = before.safety.as_deref() == Some(dump.manifest.id());
                if !is_of_live || !before.lost.is_empty() {
                    notes.push(counted_since(&record.backup));
                }
                self.inherit(record.id, before, &dump, &models).await?
            }
            (None, None) => {
                let safety = Box::pin(self.back_up(stop)).await?;
                let emptying = Box::pin(self.empty(&dump, &models, since, safety, stop)).await;
                match emptying {
                    Ok(empty) => empty,
                    Err(error) => return Err(self.give_up(error).await),
                }
            }
        };
        self.empty = Some(empty.clone());
        let Self { options, progress, session, steps, .. } = self;
        let filling = Filling { options, progress: *progress, dump: &dump, is_own, empty: &empty };
        let (record, carried) = Box::pin(filling.fill(session, steps, stop)).await?;
        notes.extend(carried.iter().flat_map(told));
        notes.extend(
            empty.before.safety.iter().map(|id| format!("What was live is the backup {id}.")),
        );
        notes.extend(dump.archive.left_out());
        Ok((record, notes))
    }

    /// Gives up before the tables are filled. What to report of `error`: whether they were emptied is not always known before.
    async fn give_up(&mut self, error: RecoveryError) -> RecoveryError {
        let error = self.session.give_up(error).await;
        match (self.session.emptied().await, error) {
            (Ok(Some(emptied)), RecoveryError::InPlace(InPlaceError::Unchanged { error })) => {
                self.empty = Some(Empty::from(emptied));
                *error
            }
            (_, error) => error,
        }
    }

    /// What to report of `error`, which has ended this run.
    fn not_filled(&self, error: RecoveryError) -> RecoveryError {
        match (&self.empty, error) {
            (
                _,
                error @ RecoveryError::InPlace(
                    InPlaceError::Unknown { .. }
                    | InPlaceError::NotHolder
                    | InPlaceError::AfterSwitch { .. },
                ),
            )
            | (None, error) => error,
            (Some(Empty { backup, before, .. }), error) => {
                let (backup, safety) = (backup.clone(), before.safety.clone());
                StrategyError::NotFilled { backup, safety, error: Box::new(error) }.into()
            }
        }
    }

    /// Takes over what an interrupted run of another backup, that of the record `from`, has emptied.
    async fn inherit(
        &mut self,
        from: Uuid,
        before: Emptied,
        dump: &Dump,
        models: &[i32],
    ) -> Result<Empty, RecoveryError> {
        let connection = self.session.holder.connection();
        let (backup, instance) = (dump.manifest.id(), &dump.manifest.instance);
        let request = self.options.of.request.as_ref();
        let inherited =
            refill::inherit(connection, from, &before, backup, instance, models, request).await?;
        let Some(id) = inherited else { return Err(InPlaceError::NotHolder.into()) };
        Ok(Empty { id, backup: backup.to_owned(), before })
    }
}

/// What is known of the lost where the restore of another backup has emptied the tables.
fn counted_since(backup: &str) -> String {
    format!(
        "The restore of {backup} had emptied the live tables, so what was lost is counted since that backup: it may be less, or more where \
         this backup is older."
    )
}
