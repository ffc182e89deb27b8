//! What an interrupted run has left: what had not switched is removed, and what had is brought to its end.

use std::pin::Pin;
use std::time::Instant;

use jiff::Timestamp;

use super::Switched;
use super::ending::{Ended, Indexing, end};
use super::indexing::{advice, unindexed};
use super::session::Session;
use crate::recovery::error::RecoveryError;
use crate::recovery::progress::{self, Progress};
use crate::recovery::steps::Steps;
use crate::store::in_place::lost;
use crate::store::in_place::records::{self, Kind, Record};
use crate::store::requests::Noted;

/// What there was.
#[derive(Debug)]
pub(super) enum Interrupted {
    /// Nothing that matters, or what is told by a sentence.
    Past(Option<String>),
    /// What was asked for had switched already, and is at its end now.
    Wanted(Box<Switched>),
}

/// Takes an unfinished run over. `is_wanted` says whether one that has switched is what is asked for: then that is all there is to
/// do. Nothing switches twice.
pub(super) async fn take_over(
    session: &mut Session<'_>,
    is_wanted: impl FnOnce(&Record) -> bool,
    indexing: Option<Indexing<'_>>,
    progress: Progress<'_>,
    stop: &mut Pin<&mut impl Future<Output = RecoveryError>>,
) -> Result<Interrupted, RecoveryError> {
    let begun = Instant::now();
    session.refuse_emptied().await?;
    if let Some(Record { kind, backup, .. }) = session.remove_staged().await? {
        let note = match kind {
            Kind::Restore => {
                format!("What an interrupted restore of {backup} had loaded was removed first.")
            }
            Kind::Undo => format!(
                "The undoing of the restore of {backup} was interrupted before its switch, and was given up first."
            ),
        };
        return Ok(Interrupted::Past(Some(note)));
    }
    let found = records::unfinished(session.holder.connection()).await?;
    let Some(record) = found else { return Ok(Interrupted::Past(None)) };
    let mut steps = Steps::default();
    if !is_wanted(&record) {
        // What is done next replaces its tables, and their indexes with them.
        let ended = end(session, &record, None, progress, stop, &mut steps).await?;
        let what = match record.kind {
            Kind::Restore => "restore",
            Kind::Undo => "undoing of the restore",
        };
        let mut told = vec![format!(
            "An interrupted {what} of {} had switched, and was brought to its end first.",
            record.backup
        )];
        told.extend(ended.notes);
        // Said in case that it stays live after all.
        told.extend(advice(&unindexed(&mut session.holder, &record.models).await?));
        return Ok(Interrupted::Past(Some(told.join(" "))));
    }
    tell(&record);
    let ended = end(session, &record, indexing, progress, stop, &mut steps).await?;
    let switched_at = record.switched_at.unwrap_or(record.begun_at);
    let serving = switched_at.duration_since(record.begun_at).as_secs_f64();
    let until_now = Timestamp::now().duration_since(record.begun_at).as_secs_f64();
    let since = begun.elapsed().as_secs_f64();
    let mut switched = switched(&record, ended, steps, serving, begun, Vec::new());
    switched.had_switched = true;
    switched.indexed_seconds =
        switched.indexed_seconds.map(|seconds| (until_now - since + seconds).max(serving));
    Ok(Interrupted::Wanted(Box::new(switched)))
}

/// Tells those who follow it of a switch.
pub(super) fn tell(record: &Record) {
    progress::backup(&record.backup);
    if let Some(at) = record.switched_at {
        progress::switched(at, record.switch_seconds);
    }
}

/// What a request has come to that had switched, where another run has brought that to its end since: there is nothing left to do.
pub(super) async fn ended_since(
    session: &mut Session<'_>,
    noted: &Noted,
) -> Result<Option<Switched>, RecoveryError> {
    let (Some(id), Some(at)) = (noted.restore, noted.switched_at) else { return Ok(None) };
    let connection = session.holder.connection();
    let unfinished = records::unfinished(connection).await?;
    if unfinished.is_some_and(|record| record.id == id) {
        return Ok(None);
    }
    let kept = records::with_previous(connection).await?;
    let last = records::last_switched(connection).await?;
    let record = records::find(connection, id).await?;
    let mut ended = Switched::past(id, at, noted.backup.as_deref());
    let Some(record) = record else { return Ok(Some(ended)) };
    let switched_at = record.switched_at.unwrap_or(at);
    ended.backup.clone_from(&record.backup);
    ended.switched_at = switched_at;
    ended.switch_seconds = record.switch_seconds.unwrap_or_default();
    ended.serving_seconds = switched_at.duration_since(record.begun_at).as_secs_f64();
    ended.indexed_seconds = Some(ended.serving_seconds);
    let is_last = match &record.emptied {
        Some(emptied) => {
            ended.lost.clone_from(&emptied.lost);
            ended.notes.clear();
            last.is_some_and(|last| last.id == id)
        }
        None => kept.is_some_and(|kept| kept.id == id),
    };
    if is_last {
        if record.emptied.is_none() {
            let live = session.live().await?;
            ended.lost = lost::by_tenant(session.holder.connection(), &live).await?;
        }
        ended.previous_until = record.previous_until.unwrap_or(switched_at);
        let missing = unindexed(&mut session.holder, &record.models).await?;
        ended.indexed_seconds = ended.indexed_seconds.filter(|_| missing.is_empty());
        ended.notes = Vec::from_iter(advice(&missing));
    }
    Ok(Some(ended))
}

/// What to tell of a switch that is at its end, of a run that has `begun` then.
pub(super) fn switched(
    record: &Record,
    ended: Ended,
    steps: Steps,
    serving_seconds: f64,
    begun: Instant,
    notes: Vec<String>,
) -> Switched {
    let Ended { lost, indexed_at, notes: of_end } = ended;
    let switched_at = record.switched_at.unwrap_or(record.begun_at);
    Switched {
        id: record.id.to_string(),
        backup: record.backup.clone(),
        redone: false,
        switched_at,
        switch_seconds: record.switch_seconds.unwrap_or_default(),
        previous_until: record.previous_until.unwrap_or(switched_at),
        had_switched: false,
        lost,
        steps: steps.into_vec(),
        serving_seconds,
        indexed_seconds: indexed_at.map(|at| at.duration_since(begun).as_secs_f64()),
        notes: [notes, of_end].concat(),
    }
}
