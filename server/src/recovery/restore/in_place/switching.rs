//! Tries the switch until it is made, others have held the tables for too long, or somebody ends it.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::error::InPlaceError;
use super::session::Session;
use crate::recovery::error::RecoveryError;
use crate::recovery::fault_point::{FaultPoint, reach};
use crate::recovery::progress::{Progress, Update};
use crate::recovery::unless::unless;
use crate::store::StoreError;
use crate::store::in_place::autovacuum::keep_autovacuum_off;
use crate::store::in_place::records::{self, Phase, Record};
use crate::store::in_place::security::Carried;
use crate::store::in_place::switch::{Switch, Try, attempt};

/// Pause between two tries, in which requests go on.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
/// How long the first try waits for the locks on the live tables: all requests wait behind it.
const LOCKS_WITHIN: Duration = Duration::from_millis(50);
/// By how much longer each next try waits.
const LONGER: Duration = Duration::from_millis(2);
/// How long a try waits at most.
const LONGEST: Duration = Duration::from_millis(150);
/// How long the processors are left to agents after a switch: all who waited for it go on at once.
const AGENTS_FIRST: Duration = Duration::from_secs(1);

/// How the switch is tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// How long it is tried for.
    pub(super) switch: Duration,
    /// How long the previous tables stay.
    pub(super) keep_previous: Duration,
}

/// Switches, and returns the record as it is then with what became of tenants and keys, where that is known. An error means that
/// nothing was changed, unless it is [`InPlaceError::Unknown`].
pub(super) async fn switch(
    session: &mut Session<'_>,
    id: Uuid,
    live: &str,
    what: Switch,
    patience: Patience,
    progress: Progress<'_>,
    stop: &mut Pin<&mut impl Future<Output = RecoveryError>>,
) -> Result<(Record, Option<Carried>), RecoveryError> {
    progress(&Update::begun("switch"));
    let connection = session.holder.connection();
    keep_autovacuum_off(connection, live, true).await?;
    reach(FaultPoint::AutovacuumOff);
    let deadline = Instant::now() + patience.switch;
    let locked = || reach(FaultPoint::SwitchLocked);
    let mut locks_within = LOCKS_WITHIN;
    loop {
        // A try is never cut short: whether it was committed would not be known.
        let connection = session.holder.connection();
        let keep_previous = patience.keep_previous;
        let tried = attempt(connection, id, live, what, keep_previous, locks_within, &locked);
        match Box::pin(tried).await {
            Ok(Try::Made(made)) => {
                reach(FaultPoint::Switched);
                let record = switched(session, id).await.map_err(InPlaceError::after_switch)?;
                return Ok((record, Some(made.carried)));
            }
            Ok(Try::NotHolder) => return Err(InPlaceError::NotHolder.into()),
            Ok(Try::NotOurs(error)) => return Err(error.into()),
            Ok(Try::Held(holders)) => {
                let of = Some(format!("waits for {holders}"));
                progress(&Update { of, ..Update::begun("switch") });
                if Instant::now() + PAUSE > deadline {
                    let seconds = patience.switch.as_secs();
                    return Err(InPlaceError::Held { seconds, holders }.into());
                }
                unless(stop, pause()).await?;
                locks_within = (locks_within + LONGER).min(LONGEST);
            }
            Err(error) => return came_to(session, id, error).await.map(|record| (record, None)),
        }
    }
}

/// What a try came to that failed with `error`, which may have hit the answer to its COMMIT.
pub(super) async fn came_to(
    session: &mut Session<'_>,
    id: Uuid,
    error: StoreError,
) -> Result<Record, RecoveryError> {
    if error.is_connection_lost() && session.renew().await.is_err() {
        return Err(InPlaceError::Unknown { error }.into());
    }
    let Ok(found) = records::unfinished(session.holder.connection()).await else {
        return Err(InPlaceError::Unknown { error }.into());
    };
    match found {
        Some(record) if record.id == id && record.phase == Phase::Switched => Ok(record),
        Some(record) if record.id == id => Err(error.into()),
        _ => Err(InPlaceError::NotHolder.into()),
    }
}

/// Leaves the processors to agents for a moment, before the list of what was lost takes some.
pub(super) async fn agents_first(progress: Progress<'_>) {
    progress(&Update::begun("lost"));
    sleep(AGENTS_FIRST).await;
}

pub(super) async fn switched(session: &mut Session<'_>, id: Uuid) -> Result<Record, RecoveryError> {
    let found = records::unfinished(session.holder.connection()).await?;
    let ours = found.filter(|record| record.id == id && record.phase == Phase::Switched);
    ours.ok_or_else(|| InPlaceError::NotHolder.into())
}

async fn pause() -> Result<(), RecoveryError> {
    sleep(PAUSE).await;
    Ok(())
}
