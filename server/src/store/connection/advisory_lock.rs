//! Advisory locks of a database, by which migrations and backups exclude each other, from whatever machine. A lock belongs to its
//! session: it ends with that, and not with the program.

use std::fmt;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use tokio::time::sleep;

/// How long a session that is in the way is waited for where nobody has time: PostgreSQL ends one a moment after its program has ended.
const MOMENT: Duration = Duration::from_secs(2);
/// How often it is tried meanwhile.
const POLL: Duration = Duration::from_millis(50);

/// What is under way in a database, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Busy {
    /// What it does.
    pub what: &'static str,
    /// The session, for people; `None` where it has just ended.
    pub holder: Option<String>,
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of this database is under way", self.what)?;
        if let Some(holder) = &self.holder {
            write!(f, " by {holder}")?;
        }
        f.write_str(": wait for its end, then run this again")
    }
}

/// Takes each of `locks` for the session of `connection`, in order, or says what is under way by the word beside the one that another
/// session keeps. `program` is what others see as the holder.
pub(in crate::store) async fn take_all(
    connection: &mut PgConnection,
    program: &str,
    locks: &[(AdvisoryLock, &'static str)],
) -> Result<Result<(), Busy>, sqlx::Error> {
    for &(lock, what) in locks {
        if !lock.take(connection, program, MOMENT).await? {
            return Ok(Err(Busy { what, holder: lock.holder(connection).await? }));
        }
    }
    Ok(Ok(()))
}

/// What a session locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdvisoryLock {
    /// The schema, to change it. Excludes all who need it as it is.
    SchemaChange,
    /// The schema as it is, beside others who need it so.
    SchemaUse,
    /// Backups: one at a time.
    Backup,
}

/// `$1` is the program that asks, as others read it in `pg_stat_activity`.
const NAME: &str = "SELECT set_config('application_name', $1, false)";

/// The lock of the key `$1`, in `pg_locks`.
macro_rules! lock_in_pg_locks {
    () => {
        "l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.classid::bigint << 32 | l.objid::bigint = $1
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    };
}

const IS_HELD: &str = concat!(
    "SELECT EXISTS (SELECT FROM pg_locks l WHERE l.pid = pg_backend_pid() AND ",
    lock_in_pg_locks!(),
    ")"
);

const HOLDER: &str = concat!(
    "SELECT format('session %s (%s)', a.pid, concat_ws(', ', 'role ' || a.usename, nullif(a.application_name, ''),
                                                       'from ' || host(a.client_addr)))
       FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
      WHERE a.pid <> pg_backend_pid() AND ",
    lock_in_pg_locks!(),
    " ORDER BY a.backend_start LIMIT 1"
);

impl AdvisoryLock {
    /// "agentfs" in ASCII, as all releases have it for the schema; "agentfsb" for backups.
    fn key(self) -> i64 {
        match self {
            Self::SchemaChange | Self::SchemaUse => 0x61_67_65_6e_74_66_73,
            Self::Backup => 0x61_67_65_6e_74_66_73_62,
        }
    }

    /// Takes the lock for the session of `connection`; false where another session stays in the way for longer than `patience`.
    /// `program` is what others see as the holder.
    pub(in crate::store) async fn take(
        self,
        connection: &mut PgConnection,
        program: &str,
        patience: Duration,
    ) -> Result<bool, sqlx::Error> {
        sqlx::query(NAME).bind(program).execute(&mut *connection).await?;
        let take = match self {
            Self::SchemaUse => "SELECT pg_try_advisory_lock_shared($1)",
            Self::SchemaChange | Self::Backup => "SELECT pg_try_advisory_lock($1)",
        };
        let since = Instant::now();
        loop {
            let taken =
                sqlx::query_scalar(take).bind(self.key()).fetch_one(&mut *connection).await?;
            if taken || since.elapsed() > patience {
                return Ok(taken);
            }
            sleep(POLL).await;
        }
    }

    /// Whether the session of `connection` still has the lock.
    pub(in crate::store) async fn is_held(
        self,
        connection: &mut PgConnection,
    ) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar(IS_HELD).bind(self.key()).fetch_one(connection).await
    }

    /// The session that is in the way, for people; `None` where it has just ended.
    pub(in crate::store) async fn holder(
        self,
        connection: &mut PgConnection,
    ) -> Result<Option<String>, sqlx::Error> {
        sqlx::query_scalar(HOLDER).bind(self.key()).fetch_optional(connection).await
    }
}
