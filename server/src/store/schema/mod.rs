//! The database's schema: its version, and the migrations to it.

mod blocker;
mod encoding;
mod guard;
mod invalid_indexes;
mod migrate;
mod within;

pub use blocker::Blocker;
pub use encoding::NotUtf8;
use encoding::not_utf8;
pub use migrate::{MigrationError, MigrationReport, apply, migrate, migrate_in_turn, migrate_to};
pub use within::{apply_within, migrate_within};

use sqlx::error::DatabaseError;
use sqlx::{PgExecutor, Row as _};

use super::StoreError;

/// The schema that this program was built for.
pub const SCHEMA_VERSION: i32 = 21;

/// Our tables. Others may live in the same database.
pub const TABLES: [&str; 14] = [
    "api_keys",
    "embedding_chunks",
    "embedding_jobs",
    "embedding_models",
    "embeddings",
    "entries",
    "entry_versions",
    "idempotency_keys",
    "quota_usage",
    "rate_limits",
    "schema_version",
    "search_documents",
    "storage_usage",
    "tenants",
];

/// The driver's list of the migrations that were applied. A backup without it could not be migrated.
pub const MIGRATIONS_TABLE: &str = "_sqlx_migrations";

/// The version of a database's schema.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaVersion {
    /// The number of the newest migration that is more than an index.
    pub version: i32,
    /// The oldest schema that a program may have been built for and still work here.
    pub min_compatible: i32,
    /// Where the database has a schema: why it cannot hold every text.
    pub not_utf8: Option<NotUtf8>,
}

/// Why this program cannot work on the database's schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaMismatch {
    /// There is no schema, or an older one.
    #[error(
        "the database's schema is version {found}, this program needs {SCHEMA_VERSION}; run `agentfs-server migrate`"
    )]
    TooOld {
        /// 0 when there is none.
        found: i32,
    },
    /// The schema is too new for this program.
    #[error(
        "the database's schema serves programs from schema version {min_compatible} on, this one is of {SCHEMA_VERSION}; use a newer agentfs-server"
    )]
    TooNew {
        /// The oldest that still works.
        min_compatible: i32,
    },
    /// The database cannot hold every text.
    #[error(transparent)]
    NotUtf8(#[from] NotUtf8),
}

impl SchemaVersion {
    /// Checks whether this program can work on it.
    pub fn fits(self) -> Result<(), SchemaMismatch> {
        if self.version < SCHEMA_VERSION {
            Err(SchemaMismatch::TooOld { found: self.version })
        } else if self.min_compatible > SCHEMA_VERSION {
            Err(SchemaMismatch::TooNew { min_compatible: self.min_compatible })
        } else {
            self.not_utf8.map_or(Ok(()), |not_utf8| Err(not_utf8.into()))
        }
    }
}

const READ: &str = concat!("SELECT version, min_compatible, ", not_utf8!(), " FROM schema_version");

/// Reads the schema's version; a database without one is of version 0.
pub async fn read(executor: impl PgExecutor<'_>) -> Result<SchemaVersion, StoreError> {
    match sqlx::query(READ).fetch_optional(executor).await {
        Ok(Some(row)) => Ok(SchemaVersion {
            version: row.try_get("version")?,
            min_compatible: row.try_get("min_compatible")?,
            not_utf8: NotUtf8::of(row.try_get("encoding")?, row.try_get("role")?),
        }),
        Ok(None) => Ok(SchemaVersion::default()),
        // undefined_table: a database that was never migrated.
        Err(e)
            if e.as_database_error().and_then(DatabaseError::code).as_deref() == Some("42P01") =>
        {
            Ok(SchemaVersion::default())
        }
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_fit_from_min_compatible_on() {
        let schema =
            |version, min_compatible| SchemaVersion { version, min_compatible, not_utf8: None };
        assert_eq!(schema(SCHEMA_VERSION, SCHEMA_VERSION).fits(), Ok(()));
        assert_eq!(schema(SCHEMA_VERSION + 1, SCHEMA_VERSION).fits(), Ok(()));
        assert!(matches!(schema(0, 0).fits(), Err(SchemaMismatch::TooOld { found: 0 })));
        let newer = schema(SCHEMA_VERSION + 1, SCHEMA_VERSION + 1);
        assert!(matches!(newer.fits(), Err(SchemaMismatch::TooNew { .. })));
    }
}
