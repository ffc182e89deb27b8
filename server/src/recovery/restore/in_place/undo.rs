//! Undoes a restore in place: the previous tables are live again, and what they take the place of are the previous ones.

use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use agentfs_contract::request::Request;
use uuid::Uuid;

use super::ending::end;
use super::error::InPlaceError;
use super::interrupted::{Interrupted, ended_since, switched, take_over, tell};
use super::plan::Live;
use super::previous::drop_expired_in;
use super::session::Session;
use super::switching::{Patience, agents_first, switch};
use super::{Plan, Switched};
use crate::recovery::RecoveryError;
use crate::recovery::fault_point::{FaultPoint, reach};
use crate::recovery::progress::{self, Progress};
use crate::recovery::steps::Steps;
use crate::recovery::unless::unless;
use crate::settings::DatabaseUrl;
use crate::store::in_place::records::{self, Kind, Record};
use crate::store::in_place::switch::Switch;
use crate::store::in_place::{MOVING, PREVIOUS, live, lost, properties, stored_bytes};
use crate::store::requests;

/// What is undone, and how.
#[derive(Debug, Clone)]
pub struct UndoOptions {
    /// The database.
    pub url: DatabaseUrl,
    /// The restore that has to be the last one; whichever is where it is not given.
    pub restore: Option<Uuid>,
    /// The request that it is done for.
    pub request: Option<Request>,
    /// How long the tables that go stay.
    pub keep_previous: Duration,
    /// How long the switch is tried for while others hold the tables.
    pub switch_patience: Duration,
}

/// Undoes the last restore in place, or its undoing. `agrees` is asked before anything is changed.
pub async fn undo(
    options: &UndoOptions,
    agrees: impl FnOnce(&Plan) -> bool,
    progress: Progress<'_>,
    stop: impl Future<Output = RecoveryError>,
) -> Result<Switched, RecoveryError> {
    let mut stop = pin!(stop);
    let mut session = Session::begin(&options.url).await?;
    let undone = Box::pin(undo_in(&mut session, options, agrees, progress, &mut stop)).await;
    let undone = match undone {
        Ok(switched) => Ok(Switched { redone: is_redone(&mut session).await, ..switched }),
        error => error,
    };
    session.holder.release().await;
    undone
}

/// Whether what the last restore had restored is live, though it was undone. Nothing but words depends on it, so that it may not be known.
async fn is_redone(session: &mut Session<'_>) -> bool {
    let undoings = records::undoings(session.holder.connection()).await;
    undoings.is_ok_and(|undoings| undoings > 0 && undoings % 2 == 0)
}

async fn undo_in(
    session: &mut Session<'_>,
    options: &UndoOptions,
    agrees: impl FnOnce(&Plan) -> bool,
    progress: Progress<'_>,
    stop: &mut Pin<&mut impl Future<Output = RecoveryError>>,
) -> Result<Switched, RecoveryError> {
    let mut begun = Instant::now();
    let mut steps = Steps::default();
    let known = session.noted(options.request.as_ref()).await?;
    if let Some(ended) = ended_since(session, &known).await? {
        return Ok(ended);
    }
    let is_wanted = |record: &Record| match options.request {
        Some(_) => known.restore == Some(record.id),
        None => record.kind == Kind::Undo,
    };
    let taking_over = take_over(session, is_wanted, None, progress, stop);
    let notes = match Box::pin(taking_over).await? {
        Interrupted::Wanted(switched) => return Ok(*switched),
        Interrupted::Past(note) => Vec::from_iter(note),
    };
    drop_expired_in(session).await?;
    let of = previous(session).await?;
    if let Some(asked) = options.restore.filter(|asked| *asked != of.id) {
        return Err(InPlaceError::NotLast { asked, last: of.id }.into());
    }
    let name = session.live().await?;
    session.refuse_dependents(&name).await?;
    let switched_at = of.switched_at.unwrap_or(of.begun_at);
    let mut told = notes.clone();
    if records::undoings(session.holder.connection()).await? % 2 == 1 {
        told.push(
            "That restore was undone already: what it had restored is live again then.".to_owned(),
        );
    }
    steps.since("check", begun);
    let counting = lost::by_undoing(session.holder.connection(), &name);
    let lost_versions = steps.time("count", counting).await?;
    let plan = Plan {
        backup: of.backup.clone(),
        snapshot_at: switched_at,
        was_verified: true,
        lost_versions,
        dropped_versions: 0,
        needed_bytes: 0,
        free_bytes: None,
        notes: told,
    };
    progress::planned(&plan.backup, plan.lost_versions);
    let asked = Instant::now();
    if !agrees(&plan) {
        return Err(InPlaceError::NotAgreed.into());
    }
    begun += asked.elapsed();
    let switching = make(session, &of, &name, options, progress, &mut steps, stop);
    let (record, left) = match Box::pin(switching).await {
        Ok(made) => made,
        Err(error) => return Err(session.give_up(error).await),
    };
    tell(&record);
    let serving = begun.elapsed().as_secs_f64();
    agents_first(progress).await;
    let ended = Box::pin(end(session, &record, None, progress, stop, &mut steps)).await?;
    let notes = [notes, left].concat();
    Ok(switched(&record, ended, steps, serving, begun, notes))
}

/// The restore, or the undoing, whose previous tables can be live again.
async fn previous(session: &mut Session<'_>) -> Result<Record, RecoveryError> {
    let Live { version, .. } = Live::look(session).await?;
    let connection = session.holder.connection();
    let Some(record) = records::with_previous(connection).await? else {
        let why = "no previous tables are kept; nothing was restored in place, or their time was over, or --drop-previous has dropped them";
        return Err(InPlaceError::NothingToUndo(why.to_owned()).into());
    };
    let then = live::previous_version(connection).await?;
    if then != version {
        return Err(InPlaceError::NothingToUndo(format!(
            "the previous tables are of schema version {then}, and the database was migrated to {version} since; restore a backup of \
             before that in place, or drop them by --drop-previous"
        ))
        .into());
    }
    Ok(record)
}

/// Makes the previous tables live. Returns what could not be given to them as well, as sentences.
async fn make(
    session: &mut Session<'_>,
    of: &Record,
    live: &str,
    options: &UndoOptions,
    progress: Progress<'_>,
    steps: &mut Steps,
    stop: &mut Pin<&mut impl Future<Output = RecoveryError>>,
) -> Result<(Record, Vec<String>), RecoveryError> {
    let preparing = Box::pin(prepare(session, of, live, options.request.as_ref()));
    let preparing = steps.time("prepare", preparing);
    let (id, notes) = unless(stop, preparing).await?;
    let UndoOptions { keep_previous, switch_patience, .. } = *options;
    let patience = Patience { switch: switch_patience, keep_previous };
    let switching = switch(session, id, live, Switch::Undo, patience, progress, stop);
    let (record, _) = steps.time("switch", Box::pin(switching)).await?;
    Ok((record, notes))
}

/// Notes the undoing, and gives the previous tables what the live ones were given since.
async fn prepare(
    session: &mut Session<'_>,
    of: &Record,
    live: &str,
    request: Option<&Request>,
) -> Result<(Uuid, Vec<String>), RecoveryError> {
    let connection = session.holder.connection();
    let id = records::begin(connection, Kind::Undo, &of.backup, &of.instance, &[]).await?;
    if let Some(request) = request {
        requests::note_restore(connection, request, id).await?;
    }
    reach(FaultPoint::InPlaceBegun);
    // Before what may not let us write.
    stored_bytes::balance(connection, PREVIOUS, live).await?;
    let notes = properties::carry_over(connection, live, PREVIOUS, &MOVING).await??;
    reach(FaultPoint::PropertiesCarried);
    Ok((id, notes))
}
