//! What has switched for a request whose run is gone, as where its resource was deleted: it belongs to the database from then on, and the
//! next command of any kind brings it to its end. Nothing is listed: the request, asked for again, still tells what was lost. A
//! restore that was typed waits for whoever repeats it, since nothing else would say that it had switched.

use std::pin::{Pin, pin};

use super::ending::{Indexing, build_indexes, finish};
use super::indexing::unindexed;
use super::previous::tell_of_failure;
use super::session::Session;
use crate::recovery::RecoveryError;
use crate::recovery::restore::rename;
use crate::settings::DatabaseUrl;
use crate::store::connection::address::DatabaseAddress;
use crate::store::in_place::holder::Holder;
use crate::store::in_place::records::{Record, switched_for_a_request};

/// Builds the vector indexes that such a run has not built, and ends it: for after a command's own work, which must not be late for it.
/// Nothing that calls it fails for it. What cannot be done now, or `stop` ends, is done by the next command.
pub async fn end_abandoned(url: &DatabaseUrl, stop: impl Future<Output = RecoveryError> + Send) {
    let mut stop = pin!(stop);
    tell_of_failure(Box::pin(rename::end_abandoned(url, stop.as_mut())).await);
    tell_of_failure(Box::pin(try_to_end(url, &mut stop)).await);
}

async fn try_to_end(
    url: &DatabaseUrl,
    stop: &mut Pin<&mut impl Future<Output = RecoveryError>>,
) -> Result<(), RecoveryError> {
    // Nobody's turn is taken where there is nothing to do.
    let mut connection = DatabaseAddress::of(url).connect_unlimited().await?;
    let is_there = switched_for_a_request(&mut connection).await?.is_some();
    drop(connection);
    if !is_there {
        return Ok(());
    }
    let mut session = Session { url, holder: Holder::take(url).await? };
    let ended = Box::pin(index_and_end(&mut session, stop)).await;
    session.holder.release().await;
    ended
}

async fn index_and_end(
    session: &mut Session<'_>,
    stop: &mut Pin<&mut impl Future<Output = RecoveryError>>,
) -> Result<(), RecoveryError> {
    let found = switched_for_a_request(session.holder.connection()).await?;
    let Some(record) = found else { return Ok(()) };
    tracing::info!(
        "building the vector indexes of the restore of {}, whose own run ended before that",
        record.backup
    );
    let how = Indexing { memory: None, jobs: 1, room: None };
    let note = Box::pin(build_indexes(session, &record, how, &|_| (), stop)).await?;
    if let Some(note) = note {
        tracing::warn!("{note}");
    }
    end(session, &record).await
}

/// Ends such a run where no vector index is left to be built.
pub(super) async fn end_unless_unindexed(session: &mut Session<'_>) -> Result<(), RecoveryError> {
    let found = switched_for_a_request(session.holder.connection()).await?;
    let Some(record) = found else { return Ok(()) };
    if unindexed(&mut session.holder, &record.models).await?.is_empty() {
        end(session, &record).await?;
    }
    Ok(())
}

async fn end(session: &mut Session<'_>, record: &Record) -> Result<(), RecoveryError> {
    session.remove_rest(record).await?;
    finish(session, record).await?;
    tracing::info!("the restore of {} is at its end, which its own run did not see", record.backup);
    Ok(())
}
