//! What restores in place keep of before them, in the order in which an undoing, or the removal of it, means it.

use jiff::Timestamp;
use uuid::Uuid;

use super::rename;
use crate::recovery::error::RecoveryError;
use crate::settings::DatabaseUrl;
use crate::store::connection::address::DatabaseAddress;
use crate::store::databases::Server;
use crate::store::databases::exchange::{Names, Previous};
use crate::store::in_place::{PREVIOUS, records};

/// What was live before a restore in place, or before its undoing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The restore.
    pub restore: Uuid,
    /// Its backup.
    pub backup: String,
    /// When it switched.
    pub switched_at: Timestamp,
    /// Where it is, for people.
    pub place: String,
}

/// What is kept, the one first that is meant: that of the last restore. There are two where one exchanged tables and the other the
/// names of databases.
pub async fn kept(url: &DatabaseUrl) -> Result<Vec<Kept>, RecoveryError> {
    let is_renamed_last = rename::is_last(url).await?;
    let mut kept = Vec::from_iter(renamed(url).await?);
    if is_renamed_last && DatabaseAddress::of(url).connect_unlimited().await.is_err() {
        // A database that is broken as a whole says nothing of its tables.
        return Ok(kept);
    }
    let swapped = swapped(url).await?;
    kept.extend(swapped);
    if !is_renamed_last {
        kept.reverse();
    }
    Ok(kept)
}

/// The previous database.
async fn renamed(url: &DatabaseUrl) -> Result<Option<Kept>, RecoveryError> {
    let names = Names::of(url.database());
    // Where nobody can connect beside, no database was renamed.
    let Ok(mut server) = Server::connect_beside(url).await else { return Ok(None) };
    let Previous::Kept(note) = server.previous(&names).await? else { return Ok(None) };
    Ok(Some(Kept {
        restore: note.id,
        backup: note.backup,
        switched_at: note.switched_at,
        place: format!("the database {}", names.previous),
    }))
}

/// The previous tables.
async fn swapped(url: &DatabaseUrl) -> Result<Option<Kept>, RecoveryError> {
    let mut connection = DatabaseAddress::of(url).connect_unlimited().await?;
    Ok(records::with_previous(&mut connection).await?.map(|record| Kept {
        restore: record.id,
        backup: record.backup,
        switched_at: record.switched_at.unwrap_or(record.begun_at),
        place: format!("the schema {PREVIOUS}"),
    }))
}
