//! Holds a snapshot of the whole database open, for a dump and its manifest.

use agentfs_contract::session;
use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use sqlx::{Executor as _, Row as _};

use super::address::DatabaseAddress;
use crate::store::StoreError;
use crate::store::fingerprint::{self, Contents, TableName};
use crate::store::schema::{self, SchemaVersion};

/// What tells a database and its history from all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// PostgreSQL's system identifier.
    pub system: String,
    /// The timeline: each recovery to a point in time and each failover begins a new one.
    pub timeline: u32,
    /// The database's name.
    pub database: String,
}

/// A transaction with a snapshot that other sessions can share.
#[derive(Debug)]
pub struct Snapshot {
    connection: PgConnection,
    /// The index of the URL's host that has it.
    pub host: usize,
    /// The snapshot's name, by which another session joins it.
    pub id: String,
    /// The moment.
    pub at: Timestamp,
    /// The schema of the data.
    pub schema: SchemaVersion,
    /// The version of PostgreSQL, as it prints itself.
    pub postgres: String,
    /// Its major version.
    pub major: u32,
    /// Which database it is, and which history of it.
    pub identity: Identity,
    /// How large the database is on its server's disk, in bytes.
    pub database_bytes: u64,
}

/// Timeouts, turned off: a dump takes as long as it takes. Not all versions of PostgreSQL know all of them.
const PATIENT: &str = "
SELECT set_config(name, '0', false) FROM pg_settings
 WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout', 'idle_session_timeout')";

/// The timeline stands in the name of the file that the server writes now; a standby knows it from its last checkpoint.
const IDENTITY: &str = "
SELECT pg_export_snapshot(), now(), current_setting('server_version'), current_setting('server_version_num')::int / 10000,
       (SELECT system_identifier::text FROM pg_control_system()), current_database()::text,
       CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint())
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END,
       pg_database_size(current_database())";

impl Snapshot {
    /// Takes a snapshot of the present, on a connection of its own.
    pub async fn take(address: &DatabaseAddress) -> Result<Self, StoreError> {
        let (mut connection, host) = address.connect(session::PATIENT).await?;
        connection.execute(PATIENT).await?;
        // Outside of the snapshot's transaction, which a missing table would end.
        let migrated = schema::read(&mut connection).await?;
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let row = sqlx::query(IDENTITY).fetch_one(&mut connection).await?;
        let schema =
            if migrated.version == 0 { migrated } else { schema::read(&mut connection).await? };
        Ok(Self {
            id: row.try_get(0)?,
            at: row.try_get::<jiff_sqlx::Timestamp, _>(1)?.to_jiff(),
            schema,
            postgres: row.try_get(2)?,
            major: row.try_get::<i32, _>(3)?.unsigned_abs(),
            identity: Identity {
                system: row.try_get(4)?,
                database: row.try_get(5)?,
                timeline: row.try_get::<i32, _>(6)?.cast_unsigned(),
            },
            database_bytes: row.try_get::<i64, _>(7)?.unsigned_abs(),
            host,
            connection,
        })
    }

    /// The tables of our schema; all of them, or the `wanted` ones.
    pub async fn tables(&mut self, wanted: Option<&[&str]>) -> Result<Vec<TableName>, StoreError> {
        fingerprint::tables(&mut self.connection, wanted).await
    }

    /// What the snapshot holds of each of the tables.
    pub async fn contents(&mut self, tables: &[TableName]) -> Result<Contents, StoreError> {
        fingerprint::contents(&mut self.connection, tables).await
    }
}
