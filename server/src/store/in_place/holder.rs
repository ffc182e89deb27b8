//! The session that holds a database for a restore in place: it keeps backups, migrations and other restores off for as long as it
//! lasts.

use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::settings::DatabaseUrl;
use crate::store::StoreError;
use crate::store::connection::address::DatabaseAddress;
use crate::store::connection::advisory_lock::{AdvisoryLock, Busy, take_all};
use crate::store::connection::patient;
use crate::store::connection::snapshot::Identity;
use crate::store::restored;

/// What others see as the session.
const PROGRAM: &str = "agentfs-server restore";
/// The locks, and who has them else.
const LOCKS: [(AdvisoryLock, &str); 2] = [
    (AdvisoryLock::Backup, "a backup, or another restore,"),
    (AdvisoryLock::SchemaChange, "a migration, or a backup,"),
];
/// How often it is asked whether the locks are still held.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Why a database is not held.
#[derive(Debug, thiserror::Error)]
pub enum HolderError {
    /// The database failed or cannot be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another session has a lock.
    #[error("{} is under way", .0.what)]
    Busy(Busy),
    /// The session has other locks than it took.
    #[error("the locks are another session's")]
    Pooled,
}

/// A connection to PostgreSQL itself with all locks.
#[derive(Debug)]
pub struct Holder {
    connection: PgConnection,
    /// The server's major version.
    pub major: u32,
    /// Which database it is, and which history of it.
    pub identity: Identity,
}

impl Holder {
    /// Takes the locks of a database, on a connection of its own. Waits for nobody.
    pub async fn take(url: &DatabaseUrl) -> Result<Self, HolderError> {
        let mut connection = DatabaseAddress::of(url).connect_unlimited().await?;
        patient::set_up(&mut connection).await.map_err(StoreError::from)?;
        patient::leave_processors(&mut connection).await.map_err(StoreError::from)?;
        let taken = take_all(&mut connection, PROGRAM, &LOCKS).await.map_err(StoreError::from)?;
        taken.map_err(HolderError::Busy)?;
        let major = restored::major(&mut connection).await?;
        let identity = Identity::on(&mut connection).await?;
        let mut holder = Self { connection, major, identity };
        holder.check().await?;
        Ok(holder)
    }

    /// The connection. Whoever is given it has the turn of whoever migrates or backs up.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Fails where the session has not got the locks any more.
    pub async fn check(&mut self) -> Result<(), HolderError> {
        for (lock, _) in LOCKS {
            if !lock.is_held(&mut self.connection).await.map_err(StoreError::from)? {
                return Err(HolderError::Pooled);
            }
        }
        Ok(())
    }

    /// Watches the session while something goes on beside it. Resolves with why the locks are gone, and never while they are held.
    pub async fn lost(&mut self) -> HolderError {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Err(error) = self.check().await {
                return error;
            }
        }
    }

    /// Lets others have the locks, for as long as this run needs none of them.
    pub async fn let_go(&mut self) -> Result<(), StoreError> {
        sqlx::query("SELECT pg_advisory_unlock_all()").execute(&mut self.connection).await?;
        Ok(())
    }

    /// Ends a transaction that was given up halfway.
    pub async fn roll_back(&mut self) -> Result<(), StoreError> {
        sqlx::query("ROLLBACK").execute(&mut self.connection).await?;
        Ok(())
    }

    /// Gives the locks back, so that whoever comes next has them at once: a session ends a moment after its connection.
    pub async fn release(mut self) {
        let unlock = sqlx::query("SELECT pg_advisory_unlock_all()");
        if unlock.execute(&mut self.connection).await.is_ok() {
            self.connection.close().await.ok();
        }
    }
}
