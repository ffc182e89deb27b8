//! What is about to be done, and the database that is made for it.

use jiff::Timestamp;
use uuid::Uuid;

use super::{SESSIONS_END, Site, address};
use crate::recovery::error::RecoveryError;
use crate::recovery::instance::Instance;
use crate::recovery::lease::Lease;
use crate::recovery::restore::RestoreOptions;
use crate::recovery::restore::in_place::space::{Room, room};
use crate::recovery::restore::in_place::{InPlaceOptions, Plan};
use crate::recovery::restore::new_database::make;
use crate::recovery::restore::source::Found;
use crate::recovery::restore::strategy_error::StrategyError;
use crate::recovery::steps::Steps;
use crate::store::databases::exchange::{Held, Names, Note, Previous};
use crate::store::databases::{likeness, lost};
use crate::store::in_place::lost::estimate;
use crate::store::in_place::security::Keys;

/// What is about to be done, and what was found out for it.
pub(super) struct Planned {
    pub(super) plan: Plan,
    /// Which keys are added that only the backup has.
    pub(super) keys: Keys,
    pub(super) room: Room,
    pub(super) held: Option<Held>,
}

impl Site<'_> {
    /// Fails where our role may not do what follows.
    pub(super) async fn renames_alone(&mut self) -> Result<(), RecoveryError> {
        let role = self.server.role.clone();
        if !self.server.may_rename(&self.names.live).await? {
            let database = self.names.live.clone();
            return Err(StrategyError::NotOwner { role, database }.into());
        }
        let sessions = self.server.foreign_sessions(&self.names.live).await?;
        if !sessions.is_empty() {
            return Err(StrategyError::Foreign { role, sessions: sessions.join(", ") }.into());
        }
        Ok(())
    }

    /// What is about to be done.
    pub(super) async fn plan(
        &mut self,
        options: &InPlaceOptions,
        found: &Found,
        instance: &Instance,
        mut held: Option<Held>,
    ) -> Result<Planned, RecoveryError> {
        self.renames_alone().await?;
        let manifest = &found.manifest;
        let mut notes = found.notes.clone();
        notes.push(SESSIONS_END.to_owned());
        let (mut lost_versions, mut keys) = (0, Keys::Added);
        match &mut held {
            Some(held) if held.version > 0 => {
                refuse_row_security(held).await?;
                lost_versions = estimate(&mut held.connection, manifest.snapshot_at).await?;
                if held.has_memory && !instance.is(&manifest.instance) {
                    keys = Keys::LeftOut;
                }
                if !held.has_memory {
                    notes.push(
                        "the live database holds no memory: keys that were revoked after the backup, in a database that is gone, cannot be known"
                            .to_owned(),
                    );
                }
                let others = likeness::others(&mut held.connection).await?;
                if !others.is_empty() {
                    notes.push(format!(
                        "these are not of AgentFS and stay in {} alone: {}",
                        self.names.previous,
                        others.join(", ")
                    ));
                }
            }
            Some(_) => {}
            None => notes.push(
                "the live database cannot be read: its tenants, keys and used quota are not copied, and it is not known what is lost"
                    .to_owned(),
            ),
        }
        let mut dropped_versions = 0;
        if let Previous::Kept(note) = self.server.previous(&self.names).await? {
            // What is kept beyond its time goes anyway.
            if note.previous_until > Timestamp::now() {
                dropped_versions = self.dropped(held.as_mut()).await?;
            }
            notes.push(format!(
                "{}, the database from before the restore of {}, is dropped: that restore can no longer be undone",
                self.names.previous, note.backup
            ));
        }
        let given = options.of.room;
        let told = self.server.tell_room(given.size.is_some()).await?;
        let room = room(manifest, given, told)?;
        notes.extend(room.notes.iter().cloned());
        let plan = Plan {
            backup: manifest.id().to_owned(),
            snapshot_at: manifest.snapshot_at,
            was_verified: found.was_verified,
            lost_versions,
            dropped_versions,
            needed_bytes: room.needed,
            free_bytes: room.free,
            notes,
        };
        Ok(Planned { plan, keys, room, held })
    }

    /// How many versions only the previous database has: none where it cannot be read, and so not be live again either. All of its
    /// versions, where nobody knows what the live one has.
    async fn dropped(&self, held: Option<&mut Held>) -> Result<i64, RecoveryError> {
        let previous = address(&self.url.with_database(&self.names.previous));
        let Ok(mut previous) = previous.connect_unlimited().await else { return Ok(0) };
        let Some(held) = held.filter(|held| held.version > 0) else {
            return Ok(lost::count(&mut previous).await?);
        };
        let dropped = lost::lost(&mut previous, &mut held.connection).await?;
        Ok(dropped.iter().map(|lost| lost.versions).sum())
    }

    /// Restores the backup into a database beside, which has all that the live one has. Returns what to note of it, and what somebody
    /// should know, as sentences.
    pub(super) async fn make(
        &mut self,
        options: &RestoreOptions,
        found: Found,
        held: &mut Option<Held>,
        steps: &mut Steps,
    ) -> Result<(Note, Vec<String>), RecoveryError> {
        let Names { live, unfinished, .. } = self.names.clone();
        self.tell("load");
        let lease = found.lease().await?;
        let making = make(options, found, &unfinished, &mut self.server, steps);
        let made = Box::pin(making).await;
        Lease::release_read(lease).await;
        let (manifest, models) = made?;
        // First, since the owner of tables needs rights that the owner of the database has.
        self.server.give_owner(&live, &unfinished).await?;
        let mut notes = self.server.liken(&live, &unfinished).await?;
        if let Some(held) = held.as_mut().filter(|held| held.version > 0) {
            refuse_row_security(held).await?;
            let mut new = address(&self.url.with_database(&unfinished)).connect_unlimited().await?;
            notes.extend(likeness::of_tables(&mut held.connection, &mut new).await?);
        }
        let note = Note {
            id: Uuid::new_v4(),
            live,
            backup: manifest.id().to_owned(),
            is_undo: false,
            switched_at: Timestamp::now(),
            previous_until: Timestamp::now(),
            models,
            is_finished: false,
            comment: None,
        };
        Ok((note, notes))
    }
}

/// Fails where rights without policies would let somebody read what they may not.
async fn refuse_row_security(held: &mut Held) -> Result<(), RecoveryError> {
    let tables = likeness::with_row_security(&mut held.connection).await?;
    if tables.is_empty() { Ok(()) } else { Err(StrategyError::RowSecurity(tables).into()) }
}
