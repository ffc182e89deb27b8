//! What PostgreSQL knows of the room on its volume.

use std::path::PathBuf;

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use crate::store::StoreError;

/// A look at what grows while something is loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// Bytes of the database.
    pub database: u64,
    /// Bytes of WAL that slots, or an archiver that is behind, keep.
    pub kept_wal: u64,
    /// Whether WAL is archived, or a slot keeps it.
    pub may_keep_wal: bool,
    /// Bytes of WAL that PostgreSQL keeps at most where nobody is behind; a checkpoint that is late may exceed it for a while.
    pub most_wal: u64,
}

const DATABASE: &str = "
SELECT pg_database_size(current_database()),
       pg_size_bytes(current_setting('max_wal_size')) + pg_size_bytes(current_setting('wal_keep_size'))";

/// What is kept begins at the first position that somebody still needs. An archiver that has not archived anything needs all.
const KEPT_WAL: &str = "
WITH needed AS (
    SELECT restart_lsn - '0/0'::pg_lsn AS begins FROM pg_replication_slots WHERE restart_lsn IS NOT NULL
    UNION ALL
    SELECT coalesce((1 + (pg_split_walfile_name(substring(last_archived_wal FROM '^[0-9A-F]{24}'))).segment_number)
                    * pg_size_bytes(current_setting('wal_segment_size')), 0)
      FROM pg_stat_archiver WHERE current_setting('archive_mode') <> 'off'
)
SELECT greatest(pg_current_wal_lsn() - '0/0'::pg_lsn - min(begins), 0)::bigint, count(*) > 0 FROM needed";

/// Looks. What our role may not read, or this server does not tell, is left out.
pub async fn look(connection: &mut PgConnection) -> Result<Look, StoreError> {
    let row = sqlx::query(DATABASE).fetch_one(&mut *connection).await?;
    let mut look = Look { database: bytes(&row, 0)?, most_wal: bytes(&row, 1)?, ..Look::default() };
    match sqlx::query(KEPT_WAL).fetch_one(connection).await {
        Ok(row) => {
            look.kept_wal = bytes(&row, 0)?;
            look.may_keep_wal = row.try_get(1)?;
        }
        Err(sqlx::Error::Database(error)) => {
            tracing::debug!("what is kept of WAL is not told: {error}");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(look)
}

/// What takes room on the volume of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// Bytes of all databases.
    pub databases: u64,
    /// Bytes of the folder of WAL.
    pub wal: u64,
}

impl Used {
    /// Both together.
    pub fn bytes(self) -> u64 {
        self.databases.saturating_add(self.wal)
    }
}

const USED: &str = "
SELECT (SELECT sum(pg_database_size(oid)) FROM pg_database)::bigint, (SELECT sum(size) FROM pg_ls_waldir())::bigint";

/// What takes room, and grows. `None` where our role may not look at all of it: a superuser may, and a member of `pg_monitor`.
pub async fn used(connection: &mut PgConnection) -> Result<Option<Used>, StoreError> {
    match sqlx::query(USED).fetch_one(connection).await.map_err(StoreError::from) {
        Ok(row) => Ok(Some(Used { databases: bytes(&row, 0)?, wal: bytes(&row, 1)? })),
        Err(error) if error.is_forbidden() => Ok(None),
        Err(error) => Err(error),
    }
}

/// A number of bytes; none where it is null.
fn bytes(row: &PgRow, column: usize) -> Result<u64, sqlx::Error> {
    let bytes: Option<i64> = row.try_get(column)?;
    Ok(bytes.unwrap_or_default().unsigned_abs())
}

/// Where a server keeps its files, and what tells it from others with the same folder on another machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its data folder.
    pub data: PathBuf,
    /// The folder of the tablespace that new tables of the database lie in.
    pub tables: PathBuf,
    /// When it started, in seconds since 1970.
    pub started_at: i64,
    /// Its port.
    pub port: u16,
}

const PLACE: &str = "
SELECT data.setting, pg_tablespace_location(space.oid), extract(epoch FROM pg_postmaster_start_time())::bigint,
       current_setting('port')::int
  FROM pg_settings data
  JOIN pg_database d ON d.datname = current_database()
  JOIN pg_tablespace space
    ON space.oid = coalesce((SELECT oid FROM pg_tablespace WHERE spcname = current_setting('default_tablespace')), d.dattablespace)
 WHERE data.name = 'data_directory'
   AND (inet_server_addr() IS NULL OR inet_server_addr() <<= '127.0.0.0/8' OR inet_server_addr() = '::1')";

/// What a server tells of the room on its volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// What grows.
    pub look: Look,
    /// Where it is, if the server may be on this machine.
    pub place: Option<Place>,
    /// What takes room, if that was asked for.
    pub used: Option<Used>,
}

/// Asks for all of it; for what takes room only where somebody `knows_size` of the volume: each file of each database is looked at.
pub async fn tell(connection: &mut PgConnection, knows_size: bool) -> Result<Told, StoreError> {
    Ok(Told {
        look: look(connection).await?,
        place: place(connection).await?,
        used: if knows_size { used(connection).await? } else { None },
    })
}

/// Where the server keeps its files, if it was reached by a socket or the loopback and our role may know: a superuser, or a member of
/// `pg_read_all_settings`. Whether it is on this machine is for the caller to find out, since a tunnel ends at a loopback as well.
pub async fn place(connection: &mut PgConnection) -> Result<Option<Place>, StoreError> {
    let Some(row) = sqlx::query(PLACE).fetch_optional(connection).await? else { return Ok(None) };
    let (data, tables): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    let data = PathBuf::from(data);
    Ok(Some(Place {
        tables: if tables.is_empty() { data.clone() } else { tables.into() },
        data,
        started_at: row.try_get(2)?,
        port: u16::try_from(row.try_get::<i32, _>(3)?).unwrap_or_default(),
    }))
}
