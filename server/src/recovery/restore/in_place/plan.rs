//! What is known before anything is changed, for whoever has to agree.

use agentfs_contract::manifest::Manifest;
use jiff::Timestamp;

use super::error::InPlaceError;
use super::session::Session;
use super::space::Room;
use super::{InPlaceOptions, Plan};
use crate::recovery::error::RecoveryError;
use crate::recovery::instance::Instance;
use crate::recovery::restore::source::Found;
use crate::store::in_place::security::{Keys, Security};
use crate::store::in_place::{live, lost, records, switch};
use crate::store::schema::{self, SCHEMA_VERSION};

/// The live side, as far as it decides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Live {
    /// The version of its schema; 0 where there is none.
    pub(super) version: i32,
    /// Whether it holds memory.
    pub(super) has_memory: bool,
}

impl Live {
    /// Looks at it. Fails where a newer program has migrated it.
    pub(super) async fn look(session: &mut Session<'_>) -> Result<Self, RecoveryError> {
        let connection = session.holder.connection();
        let version = schema::read(&mut *connection).await?.version;
        if version > SCHEMA_VERSION {
            return Err(InPlaceError::NewerLive(version).into());
        }
        let has_memory = version > 0 && live::has_memory(connection).await?;
        Ok(Self { version, has_memory })
    }

    /// Which keys of a backup are added that only it has. Those of another instance get into no memory.
    pub(super) fn keys(self, is_own: bool) -> Keys {
        if is_own || !self.has_memory { Keys::Added } else { Keys::LeftOut }
    }
}

/// The plan of a restore.
pub(super) async fn of_restore(
    session: &mut Session<'_>,
    options: &InPlaceOptions,
    found: &Found,
    instance: &Instance,
    live: Live,
    room: &Room,
) -> Result<Plan, RecoveryError> {
    let manifest = &found.manifest;
    let is_own = instance.is(&manifest.instance);
    let mut notes = found.notes.clone();
    if live.version < SCHEMA_VERSION {
        notes.push(match live.version {
            0 => "The database has no tables of AgentFS yet: they are created first.".to_owned(),
            version => format!(
                "The live schema is version {version}: it is migrated to {SCHEMA_VERSION} first."
            ),
        });
    }
    notes.extend(of_security(options.security, live, is_own));
    if !manifest.left_out.is_empty() {
        notes.push(format!(
            "Not in the backup, and rebuilt by the API and the workers: {}.",
            manifest.left_out.join(", ")
        ));
    }
    let connection = session.holder.connection();
    let mut dropped_versions = 0;
    if let Some(previous) = records::with_previous(connection).await? {
        if live.version > 0 && lost::is_kept(connection, previous.previous_schema).await? {
            let live_schema = switch::live_schema(connection).await?;
            dropped_versions = lost::by_dropping(connection, &live_schema).await?;
        }
        notes.push(format!(
            "What was live before {:.0} is still kept. This restore drops it, since --undo goes one step back.",
            previous.switched_at.unwrap_or(previous.begun_at)
        ));
    }
    notes.extend(room.notes.iter().cloned());
    if !is_own && live.has_memory {
        notes.push(
            "The backup may be of another database, so all live versions are counted as lost here; those that the backup has too stay."
                .to_owned(),
        );
    }
    // Nothing of another instance's memory is the live one's.
    let since = if is_own { manifest.snapshot_at } else { Timestamp::UNIX_EPOCH };
    let lost_versions = if live.has_memory { lost::estimate(connection, since).await? } else { 0 };
    Ok(Plan {
        backup: manifest.id().to_owned(),
        snapshot_at: manifest.snapshot_at,
        was_verified: found.was_verified,
        lost_versions,
        dropped_versions,
        needed_bytes: room.needed,
        free_bytes: room.free,
        notes,
    })
}

/// What becomes of tenants and keys.
pub(super) fn of_security(security: Security, live: Live, is_own: bool) -> Vec<String> {
    let mut notes = Vec::new();
    match (security, live.keys(is_own)) {
        (Security::FromBackup, _) => notes.push(
            "Tenants and keys are replaced by those of the backup: keys made since then end, keys revoked since then are valid again, \
             and --undo does not reverse that."
                .to_owned(),
        ),
        (Security::Live, Keys::LeftOut) => notes.push(
            "The backup may be of another database, and the live one holds memory: keys that only the backup has are left out."
                .to_owned(),
        ),
        (Security::Live, Keys::Added) => {}
    }
    if !live.has_memory {
        notes.push(
            "The database holds no memory, so it cannot be known which keys were revoked after the backup: look through the keys, and \
             revoke those that must not be valid."
                .to_owned(),
        );
    }
    notes
}

/// The table names of a manifest are of a schema that this program can make.
pub(super) fn must_be_known(manifest: &Manifest) -> Result<(), RecoveryError> {
    if manifest.schema_version <= SCHEMA_VERSION {
        return Ok(());
    }
    Err(RecoveryError::NewerSchema {
        id: manifest.id().to_owned(),
        schema: manifest.schema_version,
        program: manifest.program.clone(),
    })
}
