//! Watches the database's volume while something is loaded, and ends that where there is too little room.

use std::time::Duration;

use tokio::time::sleep;

use super::{Room, Volume, advice, free, part};
use crate::recovery::error::RecoveryError;
use crate::recovery::restore::in_place::error::InPlaceError;
use crate::recovery::size;
use crate::settings::DatabaseUrl;
use crate::store::StoreError;
use crate::store::connection::address::DatabaseAddress;
use crate::store::in_place::space::{self, Look, Used};
use crate::store::schema::MigrationError;

/// How often PostgreSQL is asked what has grown.
const ASKED_EVERY: Duration = Duration::from_secs(1);
/// How often the volume is looked at, which costs nothing.
const SEEN_EVERY: Duration = Duration::from_millis(100);

/// What is watched while something is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Watched {
    /// Nobody knows how much is free.
    Nothing,
    /// What PostgreSQL says of its size.
    Asked(Limit),
    /// The volumes that PostgreSQL writes to.
    Volumes(Vec<Volume>),
}

/// How large what PostgreSQL has may become, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Limit {
    /// It may grow by so much since.
    Growth { since: Look, most: u64 },
    /// It may take so much of a volume of this size.
    Used { most: u64, of: u64 },
}

impl Limit {
    /// What has become of the room, where a database has grown by more than it may.
    fn by_growth(since: &Look, most: u64, now: &Look) -> Option<String> {
        let database = now.database.saturating_sub(since.database);
        let kept = now.kept_wal.saturating_sub(since.kept_wal);
        (database + kept > most).then(|| {
            format!(
                "the database has grown by {}, and WAL that an archiver or a replication slot keeps by {} (pg_stat_archiver, \
                 pg_replication_slots), of {} that they may",
                size(database),
                size(kept),
                size(most)
            )
        })
    }

    /// The same, where a server has more on a volume of the size `of` than it may.
    fn by_use(most: u64, of: u64, now: Used) -> Option<String> {
        (now.bytes() > most).then(|| {
            format!(
                "of its {}, the databases take {} and WAL {}, of {} that they may",
                size(of),
                size(now.databases),
                size(now.wal),
                size(most)
            )
        })
    }
}

/// Does what fills the volume, and ends it where there is too little room.
pub(in crate::recovery::restore::in_place) async fn within<T>(
    url: &DatabaseUrl,
    room: &Room,
    work: impl Future<Output = Result<T, RecoveryError>>,
) -> Result<T, RecoveryError> {
    tokio::select! {
        done = work => done.map_err(|error| of_full_disk(room, error)),
        why = watch(url, room) => Err(full(room, &why)),
    }
}

/// The same by another database than that of `url`, which nobody is to be in when it is renamed, and which may be broken.
pub(in crate::recovery::restore) async fn within_server<T>(
    url: &DatabaseUrl,
    room: &Room,
    work: impl Future<Output = Result<T, RecoveryError>>,
) -> Result<T, RecoveryError> {
    within(&url.with_database("postgres"), room, work).await
}

/// Watches the volume, also while something is built after the switch. Resolves with what has become of the room, and never while there
/// is some.
pub(in crate::recovery::restore::in_place) async fn watch(
    url: &DatabaseUrl,
    room: &Room,
) -> String {
    match &room.watched {
        Watched::Nothing => std::future::pending().await,
        Watched::Asked(limit) => exceeded(url, limit).await,
        Watched::Volumes(volumes) => filled(volumes).await,
    }
}

async fn filled(volumes: &[Volume]) -> String {
    loop {
        for Volume { folder, free: before, .. } in volumes {
            // A volume that cannot be looked at now is for the next look.
            let now = free(folder).unwrap_or(*before);
            if now < before - part(*before) {
                return format!(
                    "of {} that were free on the volume of {}, {} are left",
                    size(*before),
                    folder.display(),
                    size(now)
                );
            }
        }
        sleep(SEEN_EVERY).await;
    }
}

async fn exceeded(url: &DatabaseUrl, limit: &Limit) -> String {
    let address = DatabaseAddress::of(url);
    let mut connection = None;
    loop {
        let looking = async {
            let connection = match &mut connection {
                Some(connection) => connection,
                none => none.insert(address.connect_unlimited().await?),
            };
            Ok::<_, StoreError>(match limit {
                Limit::Growth { since, most } => {
                    Limit::by_growth(since, *most, &space::look(connection).await?)
                }
                Limit::Used { most, of } => {
                    let now = space::used(connection).await?;
                    now.and_then(|now| Limit::by_use(*most, *of, now))
                }
            })
        };
        // The database may be restarting: then whatever loads finds out as well.
        match looking.await {
            Ok(Some(why)) => return why,
            Ok(None) => {}
            Err(error) => {
                tracing::debug!("the database does not tell its size: {error}");
                connection = None;
            }
        }
        sleep(ASKED_EVERY).await;
    }
}

/// Of a step that loads: the same, but that PostgreSQL has no room left says what to do.
fn of_full_disk(room: &Room, error: RecoveryError) -> RecoveryError {
    match &error {
        RecoveryError::Store(cause)
        | RecoveryError::NotLoaded { error: cause, .. }
        | RecoveryError::Migration(MigrationError::Store(cause))
            if cause.is_disk_full() =>
        {
            full(room, &cause.cause().to_string())
        }
        _ => error,
    }
}

fn full(room: &Room, why: &str) -> RecoveryError {
    let volume = room.larger();
    let what = format!(
        "there is too little room on the database's volume ({why}), so what was loaded is dropped: {}, then run this again",
        advice(volume)
    );
    InPlaceError::NoSpace { what, volume }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_database_that_grows_by_more_than_it_may_ends_what_is_loaded() {
        let since = Look { database: 500 * MIB, kept_wal: 30 * MIB, ..Look::default() };
        let by = |database: u64, kept_wal: u64| {
            let now = Look {
                database: since.database + database,
                kept_wal: since.kept_wal + kept_wal,
                ..Look::default()
            };
            Limit::by_growth(&since, 85 * MIB, &now)
        };
        assert_eq!(by(0, 0), None);
        assert_eq!(by(60 * MIB, 25 * MIB), None);
        let why = by(60 * MIB, 25 * MIB + 1).unwrap();
        for part in ["grown by 60.0 MiB", "keeps by 25.0 MiB", "of 85.0 MiB that they may"] {
            assert!(why.contains(part), "{part}: {why}");
        }
        assert!(by(86 * MIB, 0).is_some() && by(0, 86 * MIB).is_some());
        // An archiver that has caught up, and a table that was dropped, make room.
        assert_eq!(Limit::by_growth(&since, 0, &Look::default()), None);
    }

    #[test]
    fn a_server_that_takes_more_than_it_may_ends_what_is_loaded() {
        let now = |databases, wal| Limit::by_use(900 * MIB, 1024 * MIB, Used { databases, wal });
        assert_eq!(now(700 * MIB, 200 * MIB), None);
        let why = now(700 * MIB, 200 * MIB + 1).unwrap();
        for part in ["its 1.0 GiB", "take 700.0 MiB and WAL 200.0 MiB", "of 900.0 MiB"] {
            assert!(why.contains(part), "{part}: {why}");
        }
    }
}
