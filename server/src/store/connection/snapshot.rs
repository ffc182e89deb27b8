//! Holds a snapshot of the whole database open, for a dump and its manifest.

use std::collections::BTreeMap;

use agentfs_contract::session;
use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use super::address::DatabaseAddress;
use crate::store::StoreError;
use crate::store::schema::{self, SchemaVersion};

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
    /// PostgreSQL's system identifier and the database's name.
    pub instance: String,
    /// How large the database is on its server's disk, in bytes.
    pub database_bytes: u64,
}

/// Timeouts, turned off: a dump takes as long as it takes. Not all versions of PostgreSQL know all of them.
const PATIENT: &str = "
SELECT set_config(name, '0', false) FROM pg_settings
 WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout', 'idle_session_timeout')";

const IDENTITY: &str = concat!(
    "SELECT pg_export_snapshot(), now(), current_setting('server_version'), current_setting('server_version_num')::int / 10000, ",
    instance!(),
    ", pg_database_size(current_database())"
);

/// Tables in our schema, by name. A dump has no data of UNLOGGED ones.
const TABLES: &str = "
SELECT t.relname, format('%I.%I', s.nspname, t.relname)
  FROM pg_class t JOIN pg_namespace s ON s.oid = t.relnamespace
 WHERE t.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('schema_version'))
   AND t.relkind = 'r' AND t.relpersistence = 'p' AND ($1::text[] IS NULL OR t.relname = ANY ($1))
 ORDER BY 1";

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
            instance: row.try_get(4)?,
            database_bytes: row.try_get::<i64, _>(5)?.unsigned_abs(),
            host,
            connection,
        })
    }

    /// Counts the rows of each table in the snapshot; of all tables, or of the `wanted` ones.
    pub async fn rows(
        &mut self,
        wanted: Option<&[&str]>,
    ) -> Result<BTreeMap<String, i64>, StoreError> {
        let tables = sqlx::query(TABLES).bind(wanted).fetch_all(&mut self.connection).await?;
        let mut rows = BTreeMap::new();
        for table in tables {
            let (name, quoted): (String, String) = (table.try_get(0)?, table.try_get(1)?);
            let count = AssertSqlSafe(format!("SELECT count(*) FROM {quoted}"));
            rows.insert(name, sqlx::query_scalar(count).fetch_one(&mut self.connection).await?);
        }
        Ok(rows)
    }
}
