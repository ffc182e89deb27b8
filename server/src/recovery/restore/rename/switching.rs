//! The exchange of the databases, tried until sessions are out of the way, and what a try without an answer came to.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{Exchanged, How, Site, Stop, address};
use crate::recovery::error::RecoveryError;
use crate::recovery::fault_point::{FaultPoint, reach};
use crate::recovery::progress;
use crate::recovery::restore::error::RestoreError;
use crate::recovery::restore::in_place::InPlaceError;
use crate::recovery::restore::strategy_error::StrategyError;
use crate::store::StoreError;
use crate::store::databases::exchange::{Held, Note, Previous, Try};
use crate::store::databases::{Server, carried};
use crate::store::in_place::security::Carried;
use crate::store::requests::{self, Carry, Made};

/// The pause between two tries to rename the databases.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a lost session may live on at the server.
const LINGERS: Duration = Duration::from_secs(30);

impl Site<'_> {
    /// Brings tenants and keys over and exchanges the databases, again and again while sessions are in the way. It is not ended
    /// halfway: afterwards it is one or the other.
    pub(super) async fn switch(
        &mut self,
        incoming: &str,
        mut held: Option<Held>,
        how: How<'_>,
        mut note: Note,
        mut stop: Stop<'_>,
    ) -> Result<Exchanged, RecoveryError> {
        self.tell("switch");
        let deadline = Instant::now() + how.patience;
        let is_read = held.is_some();
        loop {
            let mut carried = Carried::default();
            let incoming_url = self.url.with_database(incoming);
            if let Some(mut held) = held.take() {
                let mut new = address(&incoming_url).connect_unlimited().await?;
                if held.version > 0 {
                    let copied =
                        carried::carry(&mut held.connection, &mut new, how.security, how.keys);
                    carried = copied.await?;
                }
                requests::carry(&mut held.connection, &mut new, Carry::AllAsLive).await?;
                held.let_go().await.map_err(StrategyError::Lost)?;
            }
            if let Some(request) = how.request {
                let made = Made { restore: note.id, backup: how.backup, models: &[] };
                requests::note_made(&incoming_url, request, made).await?;
            }
            note.switched_at = Timestamp::now();
            let kept = SignedDuration::try_from(how.keep_previous).unwrap_or(SignedDuration::MAX);
            note.previous_until = note.switched_at.saturating_add(kept).unwrap_or(Timestamp::MAX);
            let foreign = self.server.foreign_sessions(&self.names.live).await?;
            let tried = if foreign.is_empty() {
                let renamed = || reach(FaultPoint::SwitchLocked);
                let begun = Instant::now();
                let exchanging =
                    self.server.exchange(self.url, &self.names, incoming, &note, &renamed);
                match exchanging.await {
                    Ok(tried) => tried,
                    Err(error) => {
                        self.came_to(note.id, error).await?;
                        Try::Made(begun.elapsed().as_secs_f64())
                    }
                }
            } else {
                Try::Held(foreign.join(", "))
            };
            let sessions = match tried {
                Try::Made(seconds) => {
                    progress::switched(note.switched_at, Some(seconds));
                    let serving_seconds = self.begun.elapsed().as_secs_f64();
                    return Ok(Exchanged {
                        note,
                        seconds,
                        carried,
                        serving_seconds,
                        notes: Vec::new(),
                    });
                }
                Try::Held(sessions) => sessions,
            };
            if Instant::now() + PAUSE > deadline {
                let (database, seconds) = (self.names.live.clone(), how.patience.as_secs());
                return Err(StrategyError::Crowded { database, seconds, sessions }.into());
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                error = stop.as_mut() => return Err(error),
            }
            if is_read {
                held = self.hold(how.security).await?;
            }
        }
    }

    /// Fails unless the try that ended in `error` has exchanged the databases: that may have hit the answer to its COMMIT.
    async fn came_to(&mut self, id: Uuid, error: StoreError) -> Result<(), RecoveryError> {
        let mut found = self.server.previous(&self.names).await;
        if found.is_err() {
            if self.renew().await.is_err() {
                return Err(InPlaceError::Unknown { error }.into());
            }
            found = self.server.previous(&self.names).await;
        }
        match found {
            Ok(Previous::Kept(note)) if note.id == id => Ok(()),
            Ok(_) => Err(error.into()),
            Err(_) => Err(InPlaceError::Unknown { error }.into()),
        }
    }

    /// Connects again. Whoever has the turn knows that the session before has ended, and what it came to.
    async fn renew(&mut self) -> Result<(), RecoveryError> {
        let deadline = Instant::now() + LINGERS;
        loop {
            let taken = async {
                let mut server = Server::connect_beside(self.url).await?;
                Ok::<_, StoreError>(
                    server.hold_on_server(&self.names.unfinished).await?.then_some(server),
                )
            };
            match taken.await {
                Ok(Some(server)) => {
                    self.server = server;
                    return Ok(());
                }
                _ if Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
                Ok(None) => return Err(RestoreError::UnderWay(self.names.live.clone()).into()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
