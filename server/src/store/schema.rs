//! The database's schema: its version, and the migrations that make it.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::error::DatabaseError;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{Executor as _, PgExecutor};

use super::StoreError;
use super::connect::DatabaseAddress;

/// The schema that this program was built for.
pub const SCHEMA_VERSION: i32 = 5;

/// The advisory lock of those who migrate: "agentfs" in ASCII.
const MIGRATION_LOCK: i64 = 0x61_67_65_6e_74_66_73;
const POLL: Duration = Duration::from_millis(500);
/// Longest time that migrations are tried again while locks are held by others.
const PATIENCE: Duration = Duration::from_mins(10);

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// What the database says of its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct SchemaVersion {
    /// The newest migration's number.
    pub version: i32,
    /// The oldest schema that a program may have been built for and still work here.
    pub min_compatible: i32,
}

/// Why this program cannot work on the database's schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaMisfit {
    /// There is no schema, or an older one.
    #[error(
        "the database's schema is version {found}, this program needs {SCHEMA_VERSION}; run `agentfs-server migrate`"
    )]
    TooOld {
        /// 0 when there is none.
        found: i32,
    },
    /// The schema has left this program behind.
    #[error(
        "the database's schema serves programs from schema version {min_compatible} on, this one is of {SCHEMA_VERSION}; use a newer agentfs-server"
    )]
    TooNew {
        /// The oldest that still works.
        min_compatible: i32,
    },
}

impl SchemaVersion {
    /// Says whether this program can work on it.
    pub fn fits(self) -> Result<(), SchemaMisfit> {
        if self.version < SCHEMA_VERSION {
            Err(SchemaMisfit::TooOld { found: self.version })
        } else if self.min_compatible > SCHEMA_VERSION {
            Err(SchemaMisfit::TooNew { min_compatible: self.min_compatible })
        } else {
            Ok(())
        }
    }
}

/// Reads the schema's version; a database without one is of version 0.
pub async fn read(executor: impl PgExecutor<'_>) -> Result<SchemaVersion, StoreError> {
    let found = sqlx::query_as("SELECT version, min_compatible FROM schema_version")
        .fetch_optional(executor)
        .await;
    match found {
        Ok(row) => Ok(row.unwrap_or(SchemaVersion { version: 0, min_compatible: 0 })),
        // undefined_table: a database that was never migrated.
        Err(e)
            if e.as_database_error().and_then(DatabaseError::code).as_deref() == Some("42P01") =>
        {
            Ok(SchemaVersion { version: 0, min_compatible: 0 })
        }
        Err(e) => Err(e.into()),
    }
}

/// Why a migration did not come to its end. What it had not committed is undone.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The database does not answer or refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody else has been migrating for too long.
    #[error("another migration has held the database for {} minutes; end it, then run this again", PATIENCE.as_secs() / 60)]
    Locked,
    /// A migration cannot be applied.
    #[error("migration failed: {0}")]
    Failed(#[source] MigrateError),
}

/// What a run of migrations did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MigrationReport {
    /// Migrations applied now; 0 when the schema was current.
    pub applied: usize,
    /// The schema's version afterwards.
    pub version: i32,
}

/// Brings the database to [`SCHEMA_VERSION`]. Any number of runs at once take turns; a running API goes on meanwhile:
/// a migration that waits for a lock for more than 2 s steps back and tries again.
pub async fn migrate(address: &DatabaseAddress) -> Result<MigrationReport, MigrationError> {
    let mut connection = address.connect_unlimited().await?;
    let deadline = Timestamp::now() + PATIENCE;
    while !try_lock(&mut connection).await? {
        if Timestamp::now() > deadline {
            return Err(MigrationError::Locked);
        }
        tokio::time::sleep(POLL).await;
    }
    // The lock goes with the connection, whatever happens.
    connection
        .execute("SET lock_timeout = '2s'; SET timezone = 'UTC'")
        .await
        .map_err(StoreError::from)?;
    let before = applied(&mut connection).await?;
    let mut migrator = Migrator { locking: false, ..Migrator::DEFAULT };
    migrator.migrations.clone_from(&MIGRATIONS.migrations);
    // A newer program may have migrated already: its migrations are none of our business.
    migrator.set_ignore_missing(true);
    loop {
        match migrator.run(&mut connection).await {
            Ok(()) => break,
            Err(e) if lock_not_available(&e) && Timestamp::now() < deadline => {
                tracing::info!("migration waits for a lock that another session holds");
                tokio::time::sleep(POLL).await;
            }
            Err(e) => return Err(into_error(e)),
        }
    }
    let after = applied(&mut connection).await?;
    let schema = read(&mut connection).await?;
    Ok(MigrationReport { applied: after - before, version: schema.version })
}

async fn try_lock(connection: &mut PgConnection) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
        .bind(MIGRATION_LOCK)
        .fetch_one(connection)
        .await?)
}

/// The number of migrations that the database has seen.
async fn applied(connection: &mut PgConnection) -> Result<usize, StoreError> {
    let there: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !there {
        return Ok(0);
    }
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations WHERE success")
        .fetch_one(connection)
        .await?;
    Ok(usize::try_from(count).unwrap_or_default())
}

fn lock_not_available(error: &MigrateError) -> bool {
    let (MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _)) = error else {
        return false;
    };
    e.as_database_error().and_then(DatabaseError::code).as_deref() == Some("55P03")
}

fn into_error(error: MigrateError) -> MigrationError {
    match error {
        MigrateError::Execute(e) => MigrationError::Store(e.into()),
        other => MigrationError::Failed(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_fit_from_min_compatible_on() {
        let schema = |version, min_compatible| SchemaVersion { version, min_compatible };
        assert_eq!(schema(SCHEMA_VERSION, SCHEMA_VERSION).fits(), Ok(()));
        assert_eq!(schema(SCHEMA_VERSION + 1, SCHEMA_VERSION).fits(), Ok(()));
        assert!(matches!(schema(0, 0).fits(), Err(SchemaMisfit::TooOld { found: 0 })));
        assert!(matches!(schema(9, 9).fits(), Err(SchemaMisfit::TooNew { min_compatible: 9 })));
    }

    #[test]
    fn the_last_migration_is_this_programs_schema() {
        let last = MIGRATIONS.iter().map(|m| m.version).max();
        assert_eq!(last, Some(SCHEMA_VERSION.into()));
    }
}
