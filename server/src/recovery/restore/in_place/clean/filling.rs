//! Fills the live tables, which are empty, in one transaction: what is half filled is seen by nobody, and where it does not come to its
//! end they are empty again.

use std::pin::Pin;
use std::time::Instant;

use super::Empty;
use super::emptying::pause;
use crate::recovery::compare::{check, names};
use crate::recovery::error::RecoveryError;
use crate::recovery::fault_point::{FaultPoint, reach};
use crate::recovery::loading::{Contents, LoadOptions, Loading};
use crate::recovery::progress::{Progress, Update};
use crate::recovery::restore::in_place::InPlaceOptions;
use crate::recovery::restore::in_place::error::InPlaceError;
use crate::recovery::restore::in_place::session::Session;
use crate::recovery::restore::in_place::switching::{PAUSE, came_to, switched};
use crate::recovery::restore::source::Dump;
use crate::recovery::steps::Steps;
use crate::recovery::unless::unless;
use crate::store::connection::address::DatabaseAddress;
use crate::store::in_place::records::Record;
use crate::store::in_place::refill::{self, ASIDE, Done};
use crate::store::in_place::rows::Target;
use crate::store::in_place::security::{self, Carried, Keys};
use crate::store::in_place::stored_bytes;
use crate::store::restored::Seen;

/// What the tables are filled with.
pub(super) struct Filling<'a> {
    pub(super) options: &'a InPlaceOptions,
    pub(super) progress: Progress<'a>,
    pub(super) dump: &'a Dump,
    /// Whether it is the database's own backup.
    pub(super) is_own: bool,
    pub(super) empty: &'a Empty,
}

impl Filling<'_> {
    /// Fills them, and lets servers in again. The record as it is then, with what became of tenants and keys, where that is known.
    pub(super) async fn fill(
        &self,
        session: &mut Session<'_>,
        steps: &mut Steps,
        stop: &mut Pin<&mut impl Future<Output = RecoveryError>>,
    ) -> Result<(Record, Option<Carried>), RecoveryError> {
        let live = session.live().await?;
        let filled = unless(stop, Box::pin(self.fill_in(session, &live, steps))).await;
        let carried = match filled {
            Ok(carried) => carried,
            Err(error) => {
                // Whoever comes next has to find no transaction of ours.
                session.holder.roll_back().await.ok();
                return Err(error);
            }
        };
        // Never cut short: whether it was committed would not be known.
        let id = self.empty.id;
        let connection = session.holder.connection();
        let committing = refill::commit(connection, id, &live, &self.empty.before);
        match steps.time("switch", committing).await {
            Ok(()) => {
                reach(FaultPoint::Switched);
                let record = switched(session, id).await.map_err(InPlaceError::after_switch)?;
                Ok((record, Some(carried)))
            }
            Err(error) => {
                session.holder.roll_back().await.ok();
                came_to(session, id, error).await.map(|record| (record, None))
            }
        }
    }

    async fn fill_in(
        &self,
        session: &mut Session<'_>,
        live: &str,
        steps: &mut Steps,
    ) -> Result<Carried, RecoveryError> {
        let Dump { programs, fetched, manifest, .. } = self.dump;
        let made = self.begin(session, live).await?;
        let loading = Loading {
            programs,
            path: fetched.path(),
            contents: &Contents::read(programs, fetched.path()).await?,
            manifest,
            address: &DatabaseAddress::of(session.url),
            schema: live,
            options: LoadOptions { jobs: 1, ..self.options.of.load },
            progress: self.progress,
        };
        let loading = Box::pin(loading.load_within(&mut session.holder, made));
        steps.time("load", loading).await?;
        reach(FaultPoint::Loaded);
        (self.progress)(&Update::begun("compare"));
        let connection = session.holder.connection();
        let names = names(manifest);
        let seeing = Seen::by(connection, &names);
        check(manifest, &steps.time("compare", seeing).await?)?;
        reach(FaultPoint::Compared);
        let connection = session.holder.connection();
        stored_bytes::forget_days(connection, ASIDE).await?;
        let may_add = self.is_own || !self.empty.before.had_memory;
        let keys = if may_add { Keys::Added } else { Keys::LeftOut };
        let carrying = security::carry(connection, ASIDE, live, self.options.security, keys);
        let carried = carrying.await?;
        stored_bytes::balance(connection, live, live).await?;
        reach(FaultPoint::Filled);
        Ok(carried)
    }

    /// Begins the transaction, once all tables are to be had.
    async fn begin(
        &self,
        session: &mut Session<'_>,
        live: &str,
    ) -> Result<Vec<Target>, RecoveryError> {
        let deadline = Instant::now() + self.options.switch_patience;
        loop {
            let connection = session.holder.connection();
            match refill::begin(connection, self.empty.id, live).await? {
                (Done::All, made) => return Ok(made),
                (Done::NotHolder, _) => return Err(InPlaceError::NotHolder.into()),
                (Done::NotOurs(error), _) => return Err(error.into()),
                (Done::Held(holders), _) if Instant::now() + PAUSE > deadline => {
                    let seconds = self.options.switch_patience.as_secs();
                    return Err(InPlaceError::Held { seconds, holders }.into());
                }
                (Done::Held(_), _) => pause(PAUSE).await?,
            }
        }
    }
}
