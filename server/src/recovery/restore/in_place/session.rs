//! The session of a restore in place or of its undoing, and what an interrupted one has left.

use std::pin::Pin;
use std::time::Duration;

use agentfs_contract::request::Request;
use tokio::time::Instant;

use super::error::InPlaceError;
use crate::recovery::error::RecoveryError;
use crate::recovery::fault_point::{FaultPoint, reach};
use crate::recovery::request::unless_ended;
use crate::recovery::restore::strategy_error::StrategyError;
use crate::settings::DatabaseUrl;
use crate::store::StoreError;
use crate::store::in_place::autovacuum::keep_autovacuum_off;
use crate::store::in_place::dependents::dependents;
use crate::store::in_place::holder::{Holder, HolderError};
use crate::store::in_place::records::{self, Phase, Record};
use crate::store::in_place::refill::{self, Emptied};
use crate::store::in_place::{MOVING, PREVIOUS, live, staging, switch};
use crate::store::requests::{self, Noted};

/// How long a lost session is replaced by a new one for.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long what was loaded is tried to be removed for.
const CLEANING: Duration = Duration::from_secs(30);
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// A session with the locks of the database.
#[derive(Debug)]
pub(super) struct Session<'a> {
    pub(super) url: &'a DatabaseUrl,
    pub(super) holder: Holder,
}

impl<'a> Session<'a> {
    /// Takes the locks, or fails where others have them.
    pub(super) async fn begin(url: &'a DatabaseUrl) -> Result<Self, RecoveryError> {
        let holder = Holder::take(url).await?;
        reach(FaultPoint::InPlaceLocked);
        Ok(Self { url, holder })
    }

    /// Takes the locks anew after the session was lost.
    pub(super) async fn renew(&mut self) -> Result<(), HolderError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Holder::take(self.url).await {
                Ok(holder) => {
                    self.holder = holder;
                    return Ok(());
                }
                // The lost session may live for another moment.
                Err(_) if Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Does what needs no session, unless `stop` resolves or the locks are lost before its end.
    pub(super) async fn beside<T>(
        &mut self,
        stop: &mut Pin<&mut impl Future<Output = RecoveryError>>,
        work: impl Future<Output = Result<T, RecoveryError>>,
    ) -> Result<T, RecoveryError> {
        tokio::select! {
            done = work => done,
            error = stop => Err(error),
            error = self.holder.lost() => Err(error.into()),
        }
    }

    /// What is known of the request, if there is one.
    pub(super) async fn noted(
        &mut self,
        request: Option<&Request>,
    ) -> Result<Noted, RecoveryError> {
        let Some(request) = request else { return Ok(Noted::default()) };
        Ok(unless_ended(requests::look(self.holder.connection(), request).await?)?)
    }

    /// The schema that is live.
    pub(super) async fn live(&mut self) -> Result<String, StoreError> {
        switch::live_schema(self.holder.connection()).await
    }

    /// Fails where something of others would stay with the live tables when they move.
    pub(super) async fn refuse_dependents(&mut self, live: &str) -> Result<(), RecoveryError> {
        let found = dependents(self.holder.connection(), live, &MOVING).await?;
        if found.is_empty() { Ok(()) } else { Err(InPlaceError::Dependents(found).into()) }
    }

    /// Removes what an unfinished run has staged, and notes that it is given up. With the locks, nobody works on it any more.
    pub(super) async fn remove_staged(&mut self) -> Result<Option<Record>, RecoveryError> {
        let connection = self.holder.connection();
        let Some(record) = records::unfinished(connection).await? else { return Ok(None) };
        if let (Phase::Closed, Some(before)) = (record.phase, &record.emptied) {
            // Nothing is emptied yet.
            refill::reopen(connection, record.id, before).await?;
            return Ok(Some(record));
        }
        if record.phase != Phase::Staging {
            return Ok(None);
        }
        // First, since what others have put beside what is staged keeps that from being dropped.
        self.let_autovacuum_on().await?;
        let connection = self.holder.connection();
        if let Some(oid) = record.staging {
            staging::drop(connection, oid).await??;
        }
        records::end(connection, record.id, Phase::Staging, Phase::GivenUp).await?;
        Ok(Some(record))
    }

    /// The run that has emptied the live tables and was interrupted, if there is one.
    pub(super) async fn emptied(&mut self) -> Result<Option<(Record, Emptied)>, StoreError> {
        records::emptied(self.holder.connection()).await
    }

    /// Fails where a run was interrupted that has emptied the live tables: only one like it brings that to its end.
    pub(super) async fn refuse_emptied(&mut self) -> Result<(), RecoveryError> {
        match self.emptied().await? {
            None => Ok(()),
            Some((Record { backup, .. }, Emptied { safety, .. })) => {
                Err(StrategyError::Emptied { backup, safety }.into())
            }
        }
    }

    /// Removes what a switch has left: what did not move, and what kept autovacuum off.
    pub(super) async fn remove_rest(&mut self, record: &Record) -> Result<(), RecoveryError> {
        self.let_autovacuum_on().await?;
        if let Some(oid) = record.staging {
            staging::drop(self.holder.connection(), oid).await??;
            reach(FaultPoint::StagingDropped);
        }
        Ok(())
    }

    /// Lets autovacuum on again where any run has kept it off.
    pub(super) async fn let_autovacuum_on(&mut self) -> Result<(), StoreError> {
        let connection = self.holder.connection();
        if live::is_autovacuum_off(connection).await? {
            keep_autovacuum_off(connection, PREVIOUS, false).await?;
        }
        Ok(())
    }

    /// Gives up before the switch. What to report of `error`.
    pub(super) async fn give_up(&mut self, error: RecoveryError) -> RecoveryError {
        // What there is is another run's, is live, or may be.
        if let RecoveryError::InPlace(
            InPlaceError::NotHolder
            | InPlaceError::Unknown { .. }
            | InPlaceError::AfterSwitch { .. },
        ) = &error
        {
            return error;
        }
        // What was ended halfway may have left a transaction, or no connection at all.
        let is_lost = self.holder.roll_back().await.is_err() || self.holder.check().await.is_err();
        match self.clean(is_lost).await {
            // A successor has removed what this run was at.
            Ok(()) if is_lost && !error.is_transient() => InPlaceError::NotHolder.into(),
            Ok(()) => InPlaceError::unchanged(error),
            Err(left) => {
                let error = Box::new(InPlaceError::unchanged(error));
                InPlaceError::Left { error, left: Box::new(left) }.into()
            }
        }
    }

    async fn clean(&mut self, is_lost: bool) -> Result<(), RecoveryError> {
        if is_lost {
            self.renew().await?;
        }
        // Somebody may read what was loaded, or a statement that nobody waits for any more may still have it.
        let deadline = Instant::now() + CLEANING;
        loop {
            match self.remove_staged().await {
                Err(RecoveryError::Store(StoreError::Contended(_)))
                    if Instant::now() < deadline =>
                {
                    tokio::time::sleep(PAUSE).await;
                }
                removed => return removed.map(drop),
            }
        }
    }
}
