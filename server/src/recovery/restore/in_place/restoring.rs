//! A restore in place from its beginning to its end.

use std::pin::{Pin, pin};
use std::time::Instant;

use agentfs_contract::manifest::Manifest;
use agentfs_contract::request::Request;
use uuid::Uuid;

use super::ending::{Indexing, end};
use super::error::InPlaceError;
use super::interrupted::{Interrupted, ended_since, switched, take_over, tell};
use super::plan::{self, Live};
use super::previous::drop_expired_in;
use super::session::Session;
use super::space::{self, Room};
use super::stage::stage;
use super::switching::{Patience, agents_first, switch};
use super::{InPlaceOptions, Plan, Switched};
use crate::recovery::archive::Foreign;
use crate::recovery::catalogue::Selector;
use crate::recovery::error::RecoveryError;
use crate::recovery::fault_point::{FaultPoint, reach};
use crate::recovery::indexes;
use crate::recovery::instance::Instance;
use crate::recovery::lease::Lease;
use crate::recovery::progress::{self, Progress, Update};
use crate::recovery::restore::RestoreOptions;
use crate::recovery::restore::source::{Dump, Extent, Found, Source};
use crate::recovery::steps::Steps;
use crate::recovery::unless::unless;
use crate::store::connection::address::DatabaseAddress;
use crate::store::in_place::records::{self, Kind, Record};
use crate::store::in_place::security::Carried;
use crate::store::in_place::switch::Switch;
use crate::store::in_place::{MOVING, NEW, previous, properties, staging, stored_bytes};
use crate::store::requests;
use crate::store::schema::{self, SCHEMA_VERSION};

/// Restores in place. `agrees` is asked once all is known and before anything is loaded. Where it fails before the switch, or `stop`
/// resolves before it, nothing has changed.
pub async fn restore(
    options: &InPlaceOptions,
    agrees: impl FnOnce(&Plan) -> bool,
    progress: Progress<'_>,
    stop: impl Future<Output = RecoveryError>,
) -> Result<Switched, RecoveryError> {
    let mut stop = pin!(stop);
    let begun = Instant::now();
    let session = Session::begin(&options.of.url).await?;
    let mut run = Restoring { options, progress, begun, steps: Steps::default(), session };
    let restored = Box::pin(run.run(agrees, &mut stop)).await;
    run.session.holder.release().await;
    restored
}

struct Restoring<'a> {
    options: &'a InPlaceOptions,
    progress: Progress<'a>,
    begun: Instant,
    steps: Steps,
    session: Session<'a>,
}

/// A backup that is beside the live tables, and ready.
struct Staged {
    id: Uuid,
    live: String,
    /// What could not be given to its tables, and what of it was left out, as sentences.
    notes: Vec<String>,
}

impl Restoring<'_> {
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
        let options = &self.options.of.of_noted(&known);
        let indexing = options.builds_indexes.then(|| Indexing::of(self.options));
        let instance = Instance::of(&self.session.holder.identity, options.copy.as_deref());
        // What a file is tells only the file; a backup may be gone by now that was restored.
        let file = match &options.source {
            Source::File(_) => Some(unless(stop, Box::pin(self.find(options, &instance))).await?),
            Source::Backup { .. } => None,
        };
        let is_wanted = |record: &Record| match request {
            Some(_) => known.restore == Some(record.id),
            None => is_wanted(&options.source, file.as_ref(), record),
        };
        let taking_over = take_over(&mut self.session, is_wanted, indexing, self.progress, stop);
        let mut notes = match Box::pin(taking_over).await? {
            Interrupted::Wanted(switched) => return Ok(*switched),
            Interrupted::Past(note) => Vec::from_iter(note),
        };
        drop_expired_in(&mut self.session).await?;

        let found = match file {
            Some(found) => found,
            None => unless(stop, Box::pin(self.find(options, &instance))).await?,
        };
        if let Some((request, chosen)) = request.zip(found.path()) {
            requests::note_backup(self.session.holder.connection(), request, &chosen).await?;
        }
        let is_own = instance.is(&found.manifest.instance);
        let (plan, live, room) = unless(stop, Box::pin(self.plan(&found, &instance))).await?;
        let plan = Plan { notes: [notes.clone(), plan.notes].concat(), ..plan };
        progress::planned(&plan.backup, plan.lost_versions);
        let asked = Instant::now();
        if !agrees(&plan) {
            return Err(InPlaceError::NotAgreed.into());
        }
        self.begun += asked.elapsed();

        let lease = unless(stop, found.lease()).await?;
        let staged = Box::pin(self.stage(found, &room, stop)).await;
        Lease::release_read(lease).await;
        let made = match staged {
            Ok(staged) => {
                let switched = Box::pin(self.switch(&staged, is_own, stop)).await;
                switched.map(|switched| (staged, switched))
            }
            Err(error) => Err(error),
        };
        let (Staged { notes: left, .. }, (record, carried)) = match made {
            Ok(made) => made,
            Err(error) => return Err(self.session.give_up(error).await),
        };
        tell(&record);
        let serving = self.begun.elapsed().as_secs_f64();
        agents_first(self.progress).await;

        notes.extend(plan::of_security(self.options.security, live, is_own));
        notes.extend(carried.iter().flat_map(told));
        notes.extend(left);
        let indexing = indexing.map(|indexing| Indexing { room: Some(&room), ..indexing });
        let steps = &mut self.steps;
        let ending = end(&mut self.session, &record, indexing, self.progress, stop, steps);
        let ended = Box::pin(ending).await?;
        let steps = std::mem::take(&mut self.steps);
        Ok(switched(&record, ended, steps, serving, self.begun, notes))
    }

    /// Finds what is to be restored, and refuses what cannot be.
    async fn find(
        &self,
        options: &RestoreOptions,
        instance: &Instance,
    ) -> Result<Found, RecoveryError> {
        let found = Found::find(options, instance, self.session.holder.major).await?;
        plan::must_be_known(&found.manifest)?;
        Ok(found)
    }

    /// Looks at the live side, and for room.
    async fn plan(
        &mut self,
        found: &Found,
        instance: &Instance,
    ) -> Result<(Plan, Live, Room), RecoveryError> {
        let Self { options, session, .. } = self;
        let live = Live::look(session).await?;
        if live.version > 0 {
            let name = session.live().await?;
            session.refuse_dependents(&name).await?;
        }
        let connection = session.holder.connection();
        if let Some(record) = records::with_previous(connection).await? {
            previous::look(connection, &record).await??;
        }
        let room = space::look(session.url, &found.manifest, options.of.room).await?;
        let mut plan = plan::of_restore(session, options, found, instance, live, &room).await?;
        if live.version > 0 {
            let name = session.live().await?;
            let connection = session.holder.connection();
            plan.notes.extend(properties::foresee(connection, &name, &MOVING).await??);
        }
        Ok((plan, live, room))
    }

    /// Loads the backup beside the live tables.
    async fn stage(
        &mut self,
        found: Found,
        room: &Room,
        stop: &mut Pin<&mut impl Future<Output = RecoveryError>>,
    ) -> Result<Staged, RecoveryError> {
        let Self { options, progress, steps, session, .. } = self;
        let major = session.holder.major;
        progress(&Update::begun("fetch"));
        let reading = found.read(&options.of, major, Extent::Whole(Foreign::Named), steps);
        let dump = session.beside(stop, Box::pin(reading)).await?;
        let Dump { manifest, programs, fetched, archive } = &dump;
        let models = unless(stop, indexes::of_dump(programs, fetched)).await?;

        let request = options.of.request.as_ref();
        let beginning = Box::pin(begin(session, manifest, &models, request));
        let (id, live) = unless(stop, beginning).await?;
        let url = staging::url(session.url);
        let staging = stage(programs, fetched, manifest, &url, options.of.load, *progress, steps);
        let address = session.url;
        let staging = Box::pin(space::within(address, room, Box::pin(staging)));
        session.beside(stop, staging).await?;

        let completing = space::within(address, room, Box::pin(complete(session, &live)));
        let mut notes = unless(stop, steps.time("complete", Box::pin(completing))).await?;
        notes.extend(archive.left_out());
        Ok(Staged { id, live, notes })
    }

    /// Makes it live.
    async fn switch(
        &mut self,
        staged: &Staged,
        is_own: bool,
        stop: &mut Pin<&mut impl Future<Output = RecoveryError>>,
    ) -> Result<(Record, Option<Carried>), RecoveryError> {
        let Self { options, progress, session, steps, .. } = self;
        // Somebody may have made a view meanwhile.
        session.refuse_dependents(&staged.live).await?;
        let what = Switch::Restore { security: options.security, is_own };
        let patience =
            Patience { switch: options.switch_patience, keep_previous: options.keep_previous };
        let switching = switch(session, staged.id, &staged.live, what, patience, *progress, stop);
        steps.time("switch", Box::pin(switching)).await
    }
}

/// Makes the live schema this program's, notes the restore, and makes an empty schema beside the live one.
async fn begin(
    session: &mut Session<'_>,
    manifest: &Manifest,
    models: &[i32],
    request: Option<&Request>,
) -> Result<(Uuid, String), RecoveryError> {
    let (id, live) = note(session, manifest, models, request).await?;
    staging::make(session.holder.connection(), id).await??;
    reach(FaultPoint::StagingMade);
    Ok((id, live))
}

/// Makes the live schema this program's, and notes the restore.
pub(super) async fn note(
    session: &mut Session<'_>,
    manifest: &Manifest,
    models: &[i32],
    request: Option<&Request>,
) -> Result<(Uuid, String), RecoveryError> {
    if schema::read(session.holder.connection()).await?.version < SCHEMA_VERSION {
        schema::migrate_in_turn(&DatabaseAddress::of(session.url)).await?;
    }
    let live = session.live().await?;
    let connection = session.holder.connection();
    records::prepare(connection).await?;
    let Manifest { instance, .. } = manifest;
    let id = records::begin(connection, Kind::Restore, manifest.id(), instance, models).await?;
    if let Some(request) = request {
        requests::note_restore(connection, request, id).await?;
    }
    reach(FaultPoint::InPlaceBegun);
    Ok((id, live))
}

/// Makes the books of what is staged, then gives it what the live tables have beside rows: their policies and rights may not let us
/// write. Returns what could not be given, as sentences.
async fn complete(session: &mut Session<'_>, live: &str) -> Result<Vec<String>, RecoveryError> {
    let connection = session.holder.connection();
    stored_bytes::forget_days(connection, NEW).await?;
    stored_bytes::balance(connection, NEW, live).await?;
    let notes = properties::carry_over(connection, live, NEW, &MOVING).await??;
    reach(FaultPoint::PropertiesCarried);
    Ok(notes)
}

/// Whether an unfinished restore that has switched is the one that is asked for: of `latest`, what was the newest when it began.
pub(super) fn is_wanted(source: &Source, file: Option<&Found>, record: &Record) -> bool {
    let Record { kind: Kind::Restore, backup, instance, .. } = record else { return false };
    match (source, file) {
        (Source::Backup { backup: Selector::Id(id), .. }, _) => {
            id == backup || *id == format!("{instance}/{backup}")
        }
        (Source::Backup { .. }, _) => !instance.is_empty(),
        (Source::File(_), found) => found.is_some_and(|found| found.manifest.id() == backup),
    }
}

/// What became of tenants and keys, as sentences.
pub(super) fn told(carried: &Carried) -> Vec<String> {
    let Carried { tenants, keys, left_out } = carried;
    let mut told = Vec::new();
    if tenants + keys > 0 {
        told.push(format!(
            "Added, since only the backup has them: {tenants} tenants, {keys} keys."
        ));
    }
    if *left_out > 0 {
        told.push(format!("Keys of the backup that were left out: {left_out}."));
    }
    told
}
