//! What follows a switch: the list of what was lost, the removal of what did not move, and vector indexes.

use std::pin::Pin;
use std::time::Instant;

use super::InPlaceOptions;
use super::error::InPlaceError;
use super::indexing::{advice, drop_remains, index, unindexed};
use super::session::Session;
use super::space::{self, Room};
use crate::recovery::error::RecoveryError;
use crate::recovery::fault_point::{FaultPoint, reach};
use crate::recovery::progress::{Progress, Update};
use crate::recovery::steps::Steps;
use crate::store::in_place::lost::{self, Lost};
use crate::store::in_place::records::{self, Phase, Record};

/// How vector indexes are built.
#[derive(Debug, Clone, Copy)]
pub(super) struct Indexing<'a> {
    /// The maintenance_work_mem; what they need where it is not given.
    pub(super) memory: Option<&'a str>,
    /// Processes of PostgreSQL that build one.
    pub(super) jobs: usize,
    /// What is known of the room on the volume.
    pub(super) room: Option<&'a Room>,
}

impl<'a> Indexing<'a> {
    /// As a restore says. Half of its jobs build: the API serves meanwhile.
    pub(super) fn of(options: &'a InPlaceOptions) -> Self {
        let jobs = options.of.load.jobs.div_ceil(2);
        Self { memory: options.of.index_memory.as_deref(), jobs, room: None }
    }
}

/// What is said where the previous tables were dropped, or renamed, by somebody else.
const NOT_KNOWN: &str = "The previous tables are not there any more, so it is not known what was lost, and it cannot be undone.";

/// What was done after a switch.
#[derive(Debug)]
pub(super) struct Ended {
    /// Versions that are not live any more.
    pub(super) lost: Vec<Lost>,
    /// When all vector indexes were there; `None` where some were not built.
    pub(super) indexed_at: Option<Instant>,
    /// What somebody should know, as sentences.
    pub(super) notes: Vec<String>,
}

/// Brings what has switched to its end. Without `indexing`, vector indexes are not built. What fails is done by the next run.
pub(super) async fn end(
    session: &mut Session<'_>,
    record: &Record,
    indexing: Option<Indexing<'_>>,
    progress: Progress<'_>,
    stop: &mut Pin<&mut impl Future<Output = RecoveryError>>,
    steps: &mut Steps,
) -> Result<Ended, RecoveryError> {
    let ended = Box::pin(try_to_end(session, record, indexing, progress, stop, steps)).await;
    ended.map_err(InPlaceError::after_switch)
}

async fn try_to_end(
    session: &mut Session<'_>,
    record: &Record,
    indexing: Option<Indexing<'_>>,
    progress: Progress<'_>,
    stop: &mut Pin<&mut impl Future<Output = RecoveryError>>,
    steps: &mut Steps,
) -> Result<Ended, RecoveryError> {
    progress(&Update::begun("lost"));
    let live = session.live().await?;
    let connection = session.holder.connection();
    let mut notes = Vec::new();
    let mut lost = Vec::new();
    if let Some(emptied) = &record.emptied {
        lost.clone_from(&emptied.lost);
    } else if lost::is_kept(connection, record.previous_schema).await? {
        lost = steps.time("lost", lost::by_tenant(connection, &live)).await?;
    } else {
        notes.push(NOT_KNOWN.to_owned());
    }
    reach(FaultPoint::LostListed);
    session.remove_rest(record).await?;
    let mut indexed_at = record.models.is_empty().then(Instant::now);
    if let (Some(indexing), None) = (indexing, indexed_at) {
        let building = Box::pin(build_indexes(session, record, indexing, progress, stop));
        match steps.time("index", building).await? {
            None => indexed_at = Some(Instant::now()),
            Some(note) => notes.push(note),
        }
    }
    reach(FaultPoint::VectorsIndexed);
    finish(session, record).await?;
    Ok(Ended { lost, indexed_at, notes })
}

/// Builds vector indexes as long as there is room: without them, the database serves. Returns a sentence where some are not built, for
/// which there is none.
pub(super) async fn build_indexes(
    session: &mut Session<'_>,
    record: &Record,
    Indexing { memory, jobs, room }: Indexing<'_>,
    progress: Progress<'_>,
    stop: &mut Pin<&mut impl Future<Output = RecoveryError>>,
) -> Result<Option<String>, RecoveryError> {
    let url = session.url;
    let within_room = async {
        let runs_out = async {
            match room {
                Some(room) => space::watch(url, room).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            built = index(url, &record.models, memory, jobs, progress) => match built {
                Ok(()) => Ok(None),
                Err(RecoveryError::Store(error)) if error.is_disk_full() => Ok(Some(error.cause().to_string())),
                Err(error) => Err(error),
            },
            why = runs_out => Ok(Some(why)),
        }
    };
    let Some(why) = session.beside(stop, Box::pin(within_room)).await? else {
        return Ok(None);
    };
    drop_remains(&mut session.holder, &record.models).await;
    let advice = advice(&unindexed(&mut session.holder, &record.models).await?).unwrap_or_default();
    Ok(Some(format!(
        "There is too little room for the vector indexes ({why}): make the volume larger, or free some of it by \
         `agentfs-server restore --drop-previous`. {advice}"
    )))
}

/// Brings what has switched to its end at once, as where its previous tables go: nothing is listed, and no index is built, for which
/// there may be no room. Logs what is missing.
pub(super) async fn end_at_once(
    session: &mut Session<'_>,
    record: &Record,
) -> Result<(), RecoveryError> {
    let missing = unindexed(&mut session.holder, &record.models).await?;
    session.remove_rest(record).await?;
    finish(session, record).await?;
    tracing::warn!(
        "a restore of {} was interrupted after its switch, and is at its end now. {}",
        record.backup,
        advice(&missing).unwrap_or_default()
    );
    Ok(())
}

/// Notes that it is at its end.
pub(super) async fn finish(
    session: &mut Session<'_>,
    record: &Record,
) -> Result<(), RecoveryError> {
    let connection = session.holder.connection();
    if !records::end(connection, record.id, Phase::Switched, Phase::Finished).await? {
        return Err(InPlaceError::NotHolder.into());
    }
    reach(FaultPoint::InPlaceFinished);
    Ok(())
}
