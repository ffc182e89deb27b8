//! Applies migrations while an API serves from the same database.

use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::migrate::{MigrateError, Migration, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _};
use tokio::time::Instant;

use super::blocker::Blocker;
use super::encoding::NotUtf8;
use super::guard::Guard;
use super::{MIGRATIONS_TABLE, invalid_indexes, read};
use crate::store::StoreError;
use crate::store::connection::address::DatabaseAddress;
use crate::store::connection::advisory_lock::AdvisoryLock;
use crate::store::error::is_of_data;
use crate::store::in_place::records::{self, Phase};
use crate::store::in_place::refill;

/// What others see as the session that migrates.
const PROGRAM: &str = "agentfs-server migrate";
/// Longest time that migrations are retried while others hold the locks they need.
const PATIENCE: Duration = Duration::from_mins(10);
/// Pauses between tries, in which the API goes on: each twice as long as the last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// Why a migration failed. What it had not committed is rolled back.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The database does not answer or refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another migration, or a backup, has been running for too long.
    #[error(
        "another migration or a backup has kept the database for {} minutes{}; wait for its end, or end it, then run this again",
        PATIENCE.as_secs() / 60,
        .holder.as_deref().map(|holder| format!(": {holder}")).unwrap_or_default()
    )]
    Locked {
        /// The session that has it.
        holder: Option<String>,
    },
    /// Others have held the locks that a migration needs for too long.
    #[error(
        "migration {version} could not get its locks within {} minutes{}; end what holds them, or wait for its end, then run this again",
        PATIENCE.as_secs() / 60,
        held_by(.holder.as_deref())
    )]
    LockTimeout {
        /// The migration's number.
        version: i64,
        /// The session that held a lock at the last look.
        holder: Option<String>,
    },
    /// Something that the database's administrator has to install or allow.
    #[error(transparent)]
    Blocker(#[from] Blocker),
    /// The live tables are empty, since a restore that was to fill them again was interrupted.
    #[error(
        "the live tables are empty, since the restore of {0} by --strategy clean is under way or was interrupted: wait for its end, or run \
         it again, then migrate"
    )]
    Emptied(String),
    /// The schema that was to be migrated is not there.
    #[error(
        "the schema {0} is not there: another run has taken over, or somebody has dropped it; run this again"
    )]
    NoSchema(String),
    /// The extension of vectors is not there, and would be made in the schema that is migrated.
    #[error(
        "the database has no extension vector: run `agentfs-server migrate`, which makes it or says who has to, then run this again"
    )]
    NoExtension,
    /// A migration reached beyond the schema that was to be migrated.
    #[error(
        "migration {version} would have changed {relation}, which is not in the schema {schema} that is migrated, and was rolled back"
    )]
    Strayed {
        /// The migration's number.
        version: i64,
        /// The schema.
        schema: String,
        /// What it would have changed, with its schema.
        relation: String,
    },
    /// A migration cannot be applied.
    #[error("migration failed: {0}")]
    Failed(#[source] MigrateError),
}

impl MigrationError {
    /// Whether what is in the database is at fault, rather than the server or what others do there.
    pub fn is_of_data(&self) -> bool {
        match self {
            Self::Store(error) => error.is_of_data(),
            Self::Failed(MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _)) => {
                is_of_data(e)
            }
            Self::Failed(_) => true,
            Self::Locked { .. }
            | Self::LockTimeout { .. }
            | Self::Blocker(_)
            | Self::Emptied(_)
            | Self::NoSchema(_)
            | Self::NoExtension
            | Self::Strayed { .. } => false,
        }
    }

    /// The SQLSTATE of what PostgreSQL said; empty where it said nothing.
    pub fn code(&self) -> String {
        match self {
            Self::Store(error) => error.code().into_owned(),
            Self::Failed(error) => sqlstate(error).unwrap_or_default(),
            _ => String::new(),
        }
    }
}

/// The result of a run of migrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MigrationReport {
    /// Migrations applied now; 0 when the schema was current.
    pub applied: usize,
    /// The schema's version afterwards.
    pub version: i32,
}

/// Migrates the database to [`super::SCHEMA_VERSION`].
pub async fn migrate(address: &DatabaseAddress) -> Result<MigrationReport, MigrationError> {
    apply(address, &MIGRATIONS).await
}

/// The same for a caller whose session has the turn already.
pub async fn migrate_in_turn(address: &DatabaseAddress) -> Result<MigrationReport, MigrationError> {
    apply_in(Turn::OfCaller, address, &MIGRATIONS).await
}

/// Migrates an empty database to the schema `version`, as a release of that time did.
pub async fn migrate_to(
    address: &DatabaseAddress,
    version: i32,
) -> Result<MigrationReport, MigrationError> {
    let mut migrations = Migrator { ..Migrator::DEFAULT };
    let until = |migration: &&Migration| migration.version <= version.into();
    migrations.migrations = MIGRATIONS.iter().filter(until).cloned().collect();
    apply(address, &migrations).await
}

/// Applies those of `migrations` that the database has not seen. Concurrent runs take turns, with backups too. A running API goes
/// on meanwhile: what blocks it for more than 2 s is cancelled and tried again later.
pub async fn apply(
    address: &DatabaseAddress,
    migrations: &Migrator,
) -> Result<MigrationReport, MigrationError> {
    apply_in(Turn::Own, address, migrations).await
}

/// Whose lock keeps others off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// One that is taken for this run.
    Own,
    /// One that the caller's session has.
    OfCaller,
}

async fn apply_in(
    turn: Turn,
    address: &DatabaseAddress,
    migrations: &Migrator,
) -> Result<MigrationReport, MigrationError> {
    let mut connection = address.connect_unlimited().await?;
    if let Some(not_utf8) = NotUtf8::look(&mut connection).await.map_err(StoreError::from)? {
        return Err(MigrationError::Blocker(not_utf8.into()));
    }
    if let Some(blocker) = Blocker::of_others(&mut connection).await.map_err(StoreError::from)? {
        return Err(blocker.into());
    }
    // The turn ends with the connection, if not before. Who changes nothing needs none: a backup may take hours.
    let has_turn = turn == Turn::Own && lacks_any(migrations, &mut connection).await?;
    if has_turn {
        take_turn(&mut connection).await?;
    }
    refuse_emptied(&mut connection, has_turn).await?;
    let before = applied(&mut connection).await?;
    keep_utc(&mut connection).await?;
    invalid_indexes::drop_all(&mut connection).await.map_err(StoreError::from)?;
    let mut migrator = Migrator { locking: false, ..Migrator::DEFAULT };
    migrator.migrations.clone_from(&migrations.migrations);
    // A newer program may have migrated already: its migrations are none of our business.
    migrator.set_ignore_missing(true);
    let guard = Guard::over(address, &mut connection).await?;
    let deadline = Instant::now() + PATIENCE;
    for migration in migrator.iter() {
        apply_one(&migrator, migration, &mut connection, &guard, deadline).await?;
    }
    drop(guard);
    let after = applied(&mut connection).await?;
    let schema = read(&mut connection).await?;
    Ok(MigrationReport { applied: after - before, version: schema.version })
}

/// Fails where the live tables are empty. Where an interrupted restore has only kept servers off them, and no other can be under way,
/// these come again: the version of the schema is there to be migrated.
async fn refuse_emptied(
    connection: &mut PgConnection,
    has_turn: bool,
) -> Result<(), MigrationError> {
    let Some(record) = records::unfinished(connection).await? else { return Ok(()) };
    match (record.phase, record.emptied) {
        (Phase::Emptied, _) => Err(MigrationError::Emptied(record.backup)),
        (Phase::Closed, Some(before)) if has_turn => {
            refill::reopen(connection, record.id, &before).await?;
            Ok(())
        }
        _ => Ok(()),
    }
}

async fn take_turn(connection: &mut PgConnection) -> Result<(), MigrationError> {
    let lock = AdvisoryLock::SchemaChange;
    if lock.take(connection, PROGRAM, PATIENCE).await.map_err(StoreError::from)? {
        return Ok(());
    }
    let holder = lock.holder(connection).await.map_err(StoreError::from)?;
    Err(MigrationError::Locked { holder })
}

async fn apply_one(
    migrator: &Migrator,
    migration: &Migration,
    connection: &mut PgConnection,
    guard: &Guard,
    deadline: Instant,
) -> Result<(), MigrationError> {
    let version = migration.version;
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match attempt(migrator, migration, connection).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if !stepped_back(&error) {
            return Err(explained(error, migration, connection).await);
        }
        let holder = guard.last_holder();
        if Instant::now() + pause > deadline {
            return Err(MigrationError::LockTimeout { version, holder });
        }
        tracing::info!(
            "migration {version} has to wait{}; it is tried again in {} s",
            held_by(holder.as_deref()),
            pause.as_secs()
        );
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn attempt(
    migrator: &Migrator,
    migration: &Migration,
    connection: &mut PgConnection,
) -> Result<(), MigrateError> {
    if migration.no_tx {
        // It builds or drops an index CONCURRENTLY. That waits for transactions that began before it, which can take long
        // and makes nobody else wait: its lock goes together with those of reads and writes, held or waited for. To end
        // it by lock_timeout would leave an invalid index behind, each time.
        connection.execute("SET lock_timeout = 0").await?;
        // IF NOT EXISTS would take what an earlier attempt has left for the index.
        invalid_indexes::drop_all(connection).await?;
    } else {
        connection.execute("SET lock_timeout = '2s'").await?;
    }
    migrator.run_to(migration.version, connection).await
}

/// Whether a retry may succeed: a lock timed out, the guard cancelled it, or a deadlock was broken.
fn stepped_back(error: &MigrateError) -> bool {
    sqlstate(error).is_some_and(|code| ["55P03", "57014", "40P01"].contains(&code.as_str()))
}

fn sqlstate(error: &MigrateError) -> Option<String> {
    let (MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _)) = error else {
        return None;
    };
    e.as_database_error().and_then(DatabaseError::code).map(Into::into)
}

async fn explained(
    error: MigrateError,
    migration: &Migration,
    connection: &mut PgConnection,
) -> MigrationError {
    let code = sqlstate(&error).unwrap_or_default();
    match (Blocker::behind(&code, migration, connection).await, error) {
        (Ok(Some(blocker)), _) => blocker.into(),
        // If the look for a blocker failed too, the first error says more.
        (_, MigrateError::Execute(e)) => MigrationError::Store(e.into()),
        (_, other) => MigrationError::Failed(other),
    }
}

fn held_by(holder: Option<&str>) -> String {
    holder.map(|holder| format!(": {holder} holds a lock that it needs")).unwrap_or_default()
}

/// The number of migrations that the database has applied.
async fn applied(connection: &mut PgConnection) -> Result<usize, StoreError> {
    Ok(applied_versions(connection).await?.len())
}

/// Whether the database has not seen one of `migrations`.
async fn lacks_any(
    migrations: &Migrator,
    connection: &mut PgConnection,
) -> Result<bool, StoreError> {
    let applied = applied_versions(connection).await?;
    Ok(migrations.iter().any(|migration| !applied.contains(&migration.version)))
}

/// The migrations that the database has applied, by number.
async fn applied_versions(connection: &mut PgConnection) -> Result<Vec<i64>, StoreError> {
    let there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(MIGRATIONS_TABLE)
        .fetch_one(&mut *connection)
        .await?;
    if !there {
        return Ok(Vec::new());
    }
    let versions = "SELECT version FROM _sqlx_migrations WHERE success";
    Ok(sqlx::query_scalar(versions).fetch_all(connection).await?)
}

/// Returns the statement that makes UTC the database's time zone, unless it is.
const TIME_ZONE: &str = "
SELECT format('ALTER DATABASE %I SET timezone TO ''UTC''', current_database())
 WHERE NOT EXISTS (
       SELECT FROM pg_db_role_setting s
        WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND s.setrole = 0 AND 'TimeZone=UTC' = ANY (s.setconfig))";

/// Makes UTC the database's time zone. A day of quota_usage begins at midnight UTC, and an operator's CURRENT_DATE must
/// mean the same. The setting is the database's own and in no dump, so it is made at each run.
async fn keep_utc(connection: &mut PgConnection) -> Result<(), StoreError> {
    let statement: Option<String> =
        sqlx::query_scalar(TIME_ZONE).fetch_optional(&mut *connection).await?;
    let Some(statement) = statement else { return Ok(()) };
    if let Err(error) = connection.execute(AssertSqlSafe(statement.clone())).await {
        tracing::warn!(
            "the database's time zone could not be set to UTC ({}): in psql CURRENT_DATE may be another day than that of \
             quota_usage, which is UTC's; have the database's owner run: {statement}",
            StoreError::from(error).cause()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::error::Error;
    use std::fmt;

    use sqlx::error::ErrorKind;

    use super::super::SCHEMA_VERSION;
    use super::*;

    #[test]
    fn the_last_migration_is_this_programs_schema() {
        // An index of its own changes nothing that a program needs.
        let last = MIGRATIONS.iter().filter(|m| !m.no_tx).map(|m| m.version).max();
        assert_eq!(last, Some(SCHEMA_VERSION.into()));
    }

    /// An error of a server with this SQLSTATE.
    #[derive(Debug)]
    struct Sqlstate(&'static str);

    impl fmt::Display for Sqlstate {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Sqlstate {}

    impl DatabaseError for Sqlstate {
        fn message(&self) -> &str {
            self.0
        }
        fn code(&self) -> Option<Cow<'_, str>> {
            Some(self.0.into())
        }
        fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
            self
        }
        fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
            self
        }
        fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
            self
        }
        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

    fn of_server(code: &'static str) -> sqlx::Error {
        sqlx::Error::Database(Box::new(Sqlstate(code)))
    }

    #[test]
    fn only_refused_data_and_what_is_missing_are_of_data() {
        for (code, is_of_data) in [
            ("22P02", true),
            ("23505", true),
            ("23503", true),
            ("42P01", true),
            ("42703", true),
            ("42501", false),
            ("53100", false),
            ("53200", false),
            ("53300", false),
            ("57014", false),
            ("57P01", false),
            ("58030", false),
            ("25006", false),
            ("40P01", false),
            ("XX000", false),
        ] {
            for error in [
                MigrationError::Store(of_server(code).into()),
                MigrationError::Failed(MigrateError::ExecuteMigration(of_server(code), 1)),
            ] {
                assert_eq!(error.is_of_data(), is_of_data, "{code}: {error:?}");
                assert_eq!(error.code(), code);
            }
        }
        for (error, is_of_data) in [
            (MigrationError::Store(sqlx::Error::PoolTimedOut.into()), false),
            (MigrationError::Locked { holder: None }, false),
            (MigrationError::LockTimeout { version: 1, holder: None }, false),
            (MigrationError::Failed(MigrateError::VersionMismatch(1)), true),
        ] {
            assert_eq!(error.is_of_data(), is_of_data, "{error:?}");
        }
    }
}
