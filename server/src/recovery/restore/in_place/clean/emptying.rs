//! Backs up what is live, keeps servers off it, and empties the tables.

use std::pin::Pin;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::time::sleep;

use super::{Cleaning, Empty};
use crate::recovery::backup::back_up;
use crate::recovery::error::RecoveryError;
use crate::recovery::fault_point::{FaultPoint, reach};
use crate::recovery::progress::Update;
use crate::recovery::restore::in_place::error::InPlaceError;
use crate::recovery::restore::in_place::plan::Live;
use crate::recovery::restore::in_place::restoring::note;
use crate::recovery::restore::in_place::switching::PAUSE;
use crate::recovery::restore::source::Dump;
use crate::recovery::restore::strategy_error::StrategyError;
use crate::recovery::unless::unless;
use crate::store::in_place::records;
use crate::store::in_place::refill::{self, Closing, Done};
use crate::store::schema::SCHEMA_VERSION;

/// Servers look at the schema each second, and a look takes 3 s at most: by then all know that they are to keep off.
const NOTICED_WITHIN: Duration = Duration::from_secs(5);
/// The longest that tables are waited for that others hold: requests are refused meanwhile.
const AWAY_PATIENCE: Duration = Duration::from_mins(1);

impl Cleaning<'_> {
    /// Backs up what is live. A backup needs the locks of this run, which takes them again.
    pub(super) async fn back_up(
        &mut self,
        stop: &mut Pin<&mut impl Future<Output = RecoveryError>>,
    ) -> Result<Option<String>, RecoveryError> {
        let Some(safety) = &self.options.safety else { return Ok(None) };
        let Live { version, has_memory } = Live::look(&mut self.session).await?;
        if version == 0 || !has_memory {
            return Ok(None);
        }
        (self.progress)(&Update::begun("backup"));
        self.session.holder.let_go().await?;
        let backing_up = self.steps.time("backup", back_up(safety, &mut *stop));
        let made = Box::pin(backing_up).await;
        let renewed = self.session.renew().await;
        let made = made.map_err(|error| StrategyError::NoSafety { error: Box::new(error) })?;
        renewed?;
        // Whoever had the locks meanwhile may have begun a restore, or migrated.
        let begun = records::unfinished(self.session.holder.connection()).await?;
        if begun.is_some() || Live::look(&mut self.session).await?.version != version {
            return Err(InPlaceError::NotHolder.into());
        }
        Ok(Some(made.manifest.id().to_owned()))
    }

    /// Keeps servers off the live tables, and empties them.
    pub(super) async fn empty(
        &mut self,
        dump: &Dump,
        models: &[i32],
        since: Timestamp,
        safety: Option<String>,
        stop: &mut Pin<&mut impl Future<Output = RecoveryError>>,
    ) -> Result<Empty, RecoveryError> {
        let request = self.options.of.request.as_ref();
        let beginning = Box::pin(note(&mut self.session, &dump.manifest, models, request));
        let (id, live) = match unless(stop, beginning).await {
            Err(RecoveryError::Store(error)) if error.is_forbidden() => {
                return Err(StrategyError::NothingNoted(error).into());
            }
            begun => begun?,
        };
        (self.progress)(&Update::begun("close"));
        let connection = self.session.holder.connection();
        match refill::close(connection, id, &live, safety.as_deref()).await? {
            Closing::Done => {}
            Closing::OtherVersion(version) if version > SCHEMA_VERSION => {
                return Err(InPlaceError::NewerLive(version).into());
            }
            Closing::OtherVersion(_) | Closing::NotHolder => {
                return Err(InPlaceError::NotHolder.into());
            }
        }
        reach(FaultPoint::Closed);
        unless(stop, pause(NOTICED_WITHIN)).await?;
        let closed = records::unfinished(self.session.holder.connection()).await?;
        let before = closed.filter(|record| record.id == id).and_then(|record| record.emptied);
        let Some(before) = before else { return Err(InPlaceError::NotHolder.into()) };
        let patience = self.options.switch_patience.min(AWAY_PATIENCE);
        let deadline = Instant::now() + patience;
        loop {
            let connection = self.session.holder.connection();
            match refill::empty(connection, id, &live, since, &before).await? {
                Done::All => break,
                Done::NotHolder => return Err(InPlaceError::NotHolder.into()),
                Done::NotOurs(error) => return Err(error.into()),
                Done::Held(holders) if Instant::now() + PAUSE > deadline => {
                    let seconds = patience.as_secs();
                    return Err(InPlaceError::Held { seconds, holders }.into());
                }
                Done::Held(holders) => {
                    let of = Some(format!("waits for {holders}"));
                    (self.progress)(&Update { of, ..Update::begun("close") });
                    unless(stop, pause(PAUSE)).await?;
                }
            }
        }
        reach(FaultPoint::Emptied);
        let emptied = self.session.emptied().await?.filter(|(record, _)| record.id == id);
        emptied.map(Empty::from).ok_or_else(|| InPlaceError::NotHolder.into())
    }
}

pub(super) async fn pause(time: Duration) -> Result<(), RecoveryError> {
    sleep(time).await;
    Ok(())
}
