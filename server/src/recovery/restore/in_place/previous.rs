//! The tables that a switch took out: they stay for a while, and then go.

use serde::Serialize;

use super::abandoned::end_unless_unindexed;
use super::ending::end_at_once;
use super::error::InPlaceError;
use super::session::Session;
use crate::recovery::RecoveryError;
use crate::recovery::restore::rename;
use crate::settings::DatabaseUrl;
use crate::store::StoreError;
use crate::store::connection::address::DatabaseAddress;
use crate::store::in_place::holder::Holder;
use crate::store::in_place::records;
use crate::store::in_place::{live, previous};

/// What was dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// The restore whose previous tables they were; `None` where there were none.
    pub restore: Option<String>,
    /// Bytes that are free now.
    pub bytes: u64,
}

/// Drops the previous tables now, so that nothing can be undone any more. A restore that was interrupted after its switch is at its
/// end then, without what takes room.
pub async fn drop_previous(url: &DatabaseUrl) -> Result<Dropped, RecoveryError> {
    let mut session = Session::begin(url).await?;
    let dropped = Box::pin(drop_in(&mut session)).await;
    session.holder.release().await;
    dropped
}

async fn drop_in(session: &mut Session<'_>) -> Result<Dropped, RecoveryError> {
    session.remove_staged().await?;
    session.refuse_emptied().await?;
    let connection = session.holder.connection();
    if let Some(switched) = records::unfinished(connection).await? {
        Box::pin(end_at_once(session, &switched)).await?;
    }
    let connection = session.holder.connection();
    let Some(record) = records::with_previous(connection).await? else {
        return Ok(Dropped { restore: None, bytes: 0 });
    };
    let bytes = previous::drop(connection, &record).await??;
    Ok(Dropped { restore: Some(record.id.to_string()), bytes })
}

/// Drops the previous tables where their time is over, and what a killed restore has loaded. Nothing that calls it fails for it:
/// what cannot be dropped now is dropped by the next.
pub async fn drop_expired(url: &DatabaseUrl) {
    Box::pin(rename::drop_expired(url)).await;
    tell_of_failure(Box::pin(try_to_drop_expired(url)).await);
}

/// Tells what kept that from being done which a restore has left; none of what the caller says itself, or somebody else does.
pub(super) fn tell_of_failure(done: Result<(), RecoveryError>) {
    match done {
        // Whoever is at work does it.
        Ok(()) | Err(RecoveryError::InPlace(InPlaceError::Busy(_))) => {}
        // Whoever calls it needs the database as well, and says it.
        Err(RecoveryError::Store(error) | RecoveryError::InPlace(InPlaceError::Store(error)))
            if is_unreachable(&error) => {}
        Err(error) => tracing::warn!(
            "what a restore has left is not at its end, which the next run tries again: {error}"
        ),
    }
}

/// Whether no connection came about, or the one there was is gone.
fn is_unreachable(error: &StoreError) -> bool {
    error.endpoint().is_some() || matches!(error, StoreError::Unreachable(_))
}

async fn try_to_drop_expired(url: &DatabaseUrl) -> Result<(), RecoveryError> {
    // Nobody's turn is taken where there is nothing to do.
    let mut connection = DatabaseAddress::of(url).connect_unlimited().await?;
    let is_unfinished = records::unfinished(&mut connection).await?.is_some();
    let is_off = live::is_autovacuum_off(&mut connection).await?;
    let is_due = is_unfinished || is_off || live::expired(&mut connection).await?.is_some();
    drop(connection);
    if !is_due {
        return Ok(());
    }
    let mut session = Session { url, holder: Holder::take(url).await? };
    let dropped = Box::pin(drop_expired_in(&mut session)).await;
    session.holder.release().await;
    dropped
}

/// The same within a session that has the locks.
pub(super) async fn drop_expired_in(session: &mut Session<'_>) -> Result<(), RecoveryError> {
    session.let_autovacuum_on().await?;
    session.remove_staged().await?;
    session.refuse_emptied().await?;
    if let Some(switched) = records::unfinished(session.holder.connection()).await? {
        // One that keeps nothing of before has nothing whose time could be over.
        let keeps = switched.emptied.is_none();
        if keeps && live::is_over(session.holder.connection(), &switched).await? {
            Box::pin(end_at_once(session, &switched)).await?;
        } else {
            // Whoever repeats it brings it to its end, and is told what it did; copies of keys wait for nobody.
            session.remove_rest(&switched).await?;
            end_unless_unindexed(session).await?;
        }
    }
    let connection = session.holder.connection();
    if let Some(record) = live::expired(connection).await? {
        let bytes = previous::drop(connection, &record).await??;
        tracing::info!(bytes, "the tables of before the last restore in place are dropped");
    }
    Ok(())
}
