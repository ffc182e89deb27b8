//! Holds a snapshot of the whole database open, for a dump and its manifest, and keeps migrations and other backups off meanwhile.

use agentfs_contract::session;
use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use sqlx::{Executor as _, Row as _};

use super::address::DatabaseAddress;
use super::advisory_lock::{AdvisoryLock, Busy, take_all};
use super::patient;
use crate::store::StoreError;
use crate::store::fingerprint::{self, Contents, TableName};
use crate::store::schema::{self, MIGRATIONS_TABLE, SCHEMA_VERSION, SchemaVersion, TABLES};

/// What others see as the session that backs up.
const PROGRAM: &str = "agentfs-server backup";

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

/// Why there is no snapshot, or not of all tables.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The database failed or cannot be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another session backs the database up, or migrates it.
    #[error("{0}")]
    Busy(Busy),
    /// The session of the snapshot has ended, and with it the locks.
    #[error(
        "the session that kept migrations and other backups off has ended ({0}), so the dump may be of two moments; nothing of it is left: \
         run this again"
    )]
    Lost(StoreError),
    /// The locks are another session's than the snapshot.
    #[error(
        "DATABASE_URL leads to a connection pool in transaction mode, through which migrations cannot be kept out: set it to the URL of PostgreSQL itself"
    )]
    Pooled,
    /// A table that the schema has is not there.
    #[error(
        "the table {0} is missing, though the database's schema has it: restore it from an earlier backup, or make the schema anew"
    )]
    Missing(String),
    /// Our role may not read a table.
    #[error(
        "the role of DATABASE_URL may not read the table {0}: have its owner run GRANT SELECT ON {0} TO that role, or make that role the owner"
    )]
    Unreadable(String),
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

const LOOK: &str = concat!(
    "SELECT pg_export_snapshot(), now(), current_setting('server_version'), current_setting('server_version_num')::int / 10000,
            pg_database_size(current_database()), ",
    identity!()
);

impl Identity {
    /// Asks a database, on a connection of its own.
    pub async fn of(address: &DatabaseAddress) -> Result<Self, StoreError> {
        Self::on(&mut address.connect_unlimited().await?).await
    }

    /// Asks the database of a connection.
    pub async fn on(connection: &mut PgConnection) -> Result<Self, StoreError> {
        let asked = sqlx::query(concat!("SELECT ", identity!())).fetch_one(connection).await?;
        Ok(Self::from_row(&asked)?)
    }

    /// From the columns of [`identity!`].
    fn from_row(row: &sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            system: row.try_get("system")?,
            timeline: row.try_get::<i32, _>("timeline")?.cast_unsigned(),
            database: row.try_get("database")?,
        })
    }
}

impl Snapshot {
    /// Takes a snapshot of the present, on a connection of its own, that no migration changes the schema under.
    pub async fn take(address: &DatabaseAddress) -> Result<Self, SnapshotError> {
        let (mut connection, host) = address.connect(session::PATIENT).await?;
        patient::set_up(&mut connection).await.map_err(StoreError::from)?;
        // Fingerprints are made while pg_dump works, whose one process takes longer.
        patient::leave_processors(&mut connection).await.map_err(StoreError::from)?;
        // Before the snapshot: a table that is rewritten after it is empty in it.
        lock(&mut connection).await?;
        Ok(Self::of(connection, host).await?)
    }

    async fn of(mut connection: PgConnection, host: usize) -> Result<Self, StoreError> {
        // Outside of the snapshot's transaction, which a missing table would end.
        let migrated = schema::read(&mut connection).await?;
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let row = sqlx::query(LOOK).fetch_one(&mut connection).await?;
        let schema =
            if migrated.version == 0 { migrated } else { schema::read(&mut connection).await? };
        Ok(Self {
            id: row.try_get(0)?,
            at: row.try_get::<jiff_sqlx::Timestamp, _>(1)?.to_jiff(),
            schema,
            postgres: row.try_get(2)?,
            major: row.try_get::<i32, _>(3)?.unsigned_abs(),
            database_bytes: row.try_get::<i64, _>(4)?.unsigned_abs(),
            identity: Identity::from_row(&row)?,
            host,
            connection,
        })
    }

    /// The tables with these names, each of which has to be there; without names, all of our schema.
    pub async fn tables(
        &mut self,
        names: Option<&[&str]>,
    ) -> Result<Vec<TableName>, SnapshotError> {
        let ours: Vec<&str> = TABLES.into_iter().chain([MIGRATIONS_TABLE]).collect();
        // What a newer program has made is not known here, and of an older one's nothing is sure to be there.
        let wanted = names.or((self.schema.version <= SCHEMA_VERSION).then_some(&*ours));
        let is_certain = names.is_some() || self.schema.version == SCHEMA_VERSION;
        let tables = fingerprint::tables(&mut self.connection, wanted).await?;
        for name in wanted.unwrap_or_default() {
            if is_certain && !tables.iter().any(|table| table.name == *name) {
                return Err(SnapshotError::Missing((*name).to_owned()));
            }
        }
        match tables.iter().find(|table| !table.is_readable) {
            Some(table) => Err(SnapshotError::Unreadable(table.quoted.clone())),
            None => Ok(tables),
        }
    }

    /// What the snapshot holds of each of the tables.
    pub async fn contents(&mut self, tables: &[TableName]) -> Result<Contents, StoreError> {
        fingerprint::contents(&mut self.connection, tables).await
    }

    /// Fails where the locks are gone: others may have changed the schema since, or be at work on a backup.
    pub async fn check(&mut self) -> Result<(), SnapshotError> {
        for lock in [AdvisoryLock::Backup, AdvisoryLock::SchemaUse] {
            let held = lock.is_held(&mut self.connection).await;
            if !held.map_err(|error| SnapshotError::Lost(error.into()))? {
                return Err(SnapshotError::Pooled);
            }
        }
        Ok(())
    }
}

/// Keeps other backups and migrations off for as long as the session lasts.
async fn lock(connection: &mut PgConnection) -> Result<(), SnapshotError> {
    let locks =
        [(AdvisoryLock::Backup, "another backup"), (AdvisoryLock::SchemaUse, "a migration")];
    let taken = take_all(connection, PROGRAM, &locks).await.map_err(StoreError::from)?;
    taken.map_err(SnapshotError::Busy)
}

/// Sessions that have a table so that nobody may read it, for people.
const HOLDER: &str = "
SELECT format('%s, by session %s (%s)', l.relation::regclass, a.pid,
              concat_ws(', ', 'role ' || a.usename, nullif(a.application_name, ''), 'from ' || host(a.client_addr)))
  FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.granted AND l.mode = 'AccessExclusiveLock'
   AND l.relation IN (SELECT to_regclass(wanted) FROM unnest($1::text[]) AS wanted)
 ORDER BY a.xact_start
 LIMIT 1";

/// One of the tables that somebody keeps from being read, and who does, for people.
pub async fn holder(
    address: &DatabaseAddress,
    tables: &[TableName],
) -> Result<Option<String>, StoreError> {
    let mut connection = address.connect_unlimited().await?;
    let quoted: Vec<&str> = tables.iter().map(|table| &*table.quoted).collect();
    Ok(sqlx::query_scalar(HOLDER).bind(quoted).fetch_optional(&mut connection).await?)
}
