//! Rows of a dump into tables that our own migrations have made.

use std::pin::pin;

use bytes::Bytes;
use futures::{Stream, TryStreamExt as _};
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use super::NEW;
use crate::store::StoreError;
use crate::store::connection::address::DatabaseAddress;
use crate::store::connection::patient;
use crate::store::names;

/// What is loaded must not survive a crash by itself. The first commit with synchronous_commit that follows on the server flushes
/// all that was written before it.
const ASYNCHRONOUS: &str = "SET synchronous_commit = off";

/// Connects for loading: nothing times out, and commits do not wait for the disk.
pub async fn connect(address: &DatabaseAddress) -> Result<PgConnection, StoreError> {
    let mut connection = connect_patiently(address).await?;
    connection.execute(ASYNCHRONOUS).await?;
    Ok(connection)
}

/// Connects for what takes long: nothing times out, and a statement that nobody waits for any more ends soon.
pub async fn connect_patiently(address: &DatabaseAddress) -> Result<PgConnection, StoreError> {
    let mut connection = address.connect_unlimited().await?;
    patient::set_up(&mut connection).await?;
    Ok(connection)
}

/// Who else asks a database meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    /// Nobody.
    Alone,
    /// Agents, who need the other processors.
    Agents,
}

/// The same in that company: among agents a statement takes one processor.
pub async fn connect_in(
    address: &DatabaseAddress,
    company: Company,
) -> Result<PgConnection, StoreError> {
    let mut connection = connect_patiently(address).await?;
    if company == Company::Agents {
        patient::leave_processors(&mut connection).await?;
    }
    Ok(connection)
}

/// The schema that the connection searches first, where it is there.
pub async fn schema(connection: &mut PgConnection) -> Result<Option<String>, StoreError> {
    Ok(sqlx::query_scalar("SELECT current_schema()::text").fetch_one(connection).await?)
}

/// A table that rows are loaded into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// The same with its schema, quoted for SQL.
    quoted: String,
    /// Which table of that name: another run may make it anew.
    oid: Oid,
    /// Whether it is not an UNLOGGED one, of which no backup has rows.
    pub is_logged: bool,
    /// The columns that rows have, in order.
    pub columns: Vec<Column>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The name of its type, as `pg_type` has it.
    pub type_name: String,
}

const TARGETS: &str = "
SELECT t.relname::text, format('%I.%I', s.nspname, t.relname), t.oid, t.relpersistence <> 'u',
       array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.attgenerated = ''),
       array_agg(y.typname::text ORDER BY a.attnum) FILTER (WHERE a.attgenerated = '')
  FROM pg_class t
  JOIN pg_namespace s ON s.oid = t.relnamespace
  JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_type y ON y.oid = a.atttypid
 WHERE s.nspname = $1 AND t.relkind = 'r'
 GROUP BY t.oid, s.nspname
 ORDER BY 1";

/// The tables of the schema `schema`.
pub async fn targets(
    connection: &mut PgConnection,
    schema: &str,
) -> Result<Vec<Target>, StoreError> {
    let rows = sqlx::query(TARGETS).bind(schema).fetch_all(connection).await?;
    let target = |row: &PgRow| {
        let (names, types): (Vec<String>, Vec<String>) = (row.try_get(4)?, row.try_get(5)?);
        let columns = names.into_iter().zip(types);
        Ok(Target {
            name: row.try_get(0)?,
            quoted: row.try_get(1)?,
            oid: row.try_get(2)?,
            is_logged: row.try_get(3)?,
            columns: columns.map(|(name, type_name)| Column { name, type_name }).collect(),
        })
    };
    rows.iter().map(target).collect::<Result<_, sqlx::Error>>().map_err(Into::into)
}

/// A format of rows that `COPY` reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Lines of text.
    Text,
    /// Each type's binary format.
    Binary,
}

impl Format {
    /// As SQL names it.
    fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Binary => "binary",
        }
    }

    /// What comes before the rows: of a binary file the signature, no flags and no extension.
    fn header(self) -> &'static [u8] {
        match self {
            Self::Text => b"",
            Self::Binary => b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0",
        }
    }

    /// What comes after them: in place of a number of fields, -1.
    fn trailer(self) -> &'static [u8] {
        match self {
            Self::Text => b"",
            Self::Binary => &[0xff, 0xff],
        }
    }
}

/// Some of the rows for a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyData {
    /// Their format.
    pub format: Format,
    /// The rows; those in text may begin and end within a line.
    pub bytes: Bytes,
}

/// Puts rows in place of those that the table has, all or none; `columns` are the columns of their fields. False where another run has
/// made the table anew. Where it fails, `connection` is of no use any more.
pub async fn load<E: From<StoreError>>(
    connection: &mut PgConnection,
    target: &Target,
    columns: &[String],
    rows: impl Stream<Item = Result<CopyData, E>>,
) -> Result<bool, E> {
    let quoted = &target.quoted;
    // Frozen rows are never written again by a read or a vacuum. They may be where the transaction has emptied the table itself.
    let begin = AssertSqlSafe(format!("BEGIN; TRUNCATE {quoted}"));
    connection.execute(begin).await.map_err(StoreError::from)?;
    // Now that it is locked.
    let is_ours = sqlx::query_scalar("SELECT $1::regclass::oid = $2").bind(quoted).bind(target.oid);
    if !is_ours.fetch_one(&mut *connection).await.map_err(StoreError::from)? {
        return Ok(false);
    }
    copy(connection, target, columns, rows).await?;
    connection.execute("COMMIT").await.map_err(StoreError::from)?;
    Ok(true)
}

/// Puts rows into a table that this transaction has made or emptied. Where their format changes, another COPY begins. Where it fails,
/// `connection` is of no use any more.
pub async fn copy<E: From<StoreError>>(
    connection: &mut PgConnection,
    target: &Target,
    columns: &[String],
    rows: impl Stream<Item = Result<CopyData, E>>,
) -> Result<(), E> {
    let columns: Vec<String> = columns.iter().map(|column| names::quoted(column)).collect();
    let into = format!("{} ({})", target.quoted, columns.join(", "));
    let mut rows = pin!(rows);
    let mut next = rows.try_next().await?;
    while let Some(CopyData { format, .. }) = next {
        let copy = format!("COPY {into} FROM STDIN (FREEZE, FORMAT {})", format.name());
        let mut copy = connection.copy_in_raw(&copy).await.map_err(StoreError::from)?;
        copy.send(format.header()).await.map_err(StoreError::from)?;
        while let Some(data) = next.take_if(|data| data.format == format) {
            copy.send(data.bytes).await.map_err(StoreError::from)?;
            next = rows.try_next().await?;
        }
        copy.send(format.trailer()).await.map_err(StoreError::from)?;
        copy.finish().await.map_err(StoreError::from)?;
    }
    Ok(())
}

/// Identity columns of the schema `$1`: of all its tables, or of those of `$2`.
const IDENTITIES: &str = "
SELECT format('%I.%I', s.nspname, t.relname) AS quoted, a.attname::text
  FROM pg_attribute a
  JOIN pg_class t ON t.oid = a.attrelid
  JOIN pg_namespace s ON s.oid = t.relnamespace
 WHERE s.nspname = $1 AND t.relkind = 'r' AND a.attidentity <> '' AND ($2::text[] IS NULL OR t.relname = ANY ($2))";

/// Lets identity columns of the schema `schema` go on behind the greatest value that there is.
pub async fn continue_sequences(
    connection: &mut PgConnection,
    schema: &str,
) -> Result<(), StoreError> {
    let set =
        "SELECT setval(%L::regclass, greatest(max(%3$I), 1), max(%3$I) IS NOT NULL) FROM %2$s";
    set_sequences(connection, set, schema, None).await
}

/// Runs the statement `set` for each identity column of the schema: `%1$L` is its sequence, `%2$s` its table and `%3$I` its name.
pub(super) async fn set_sequences(
    connection: &mut PgConnection,
    set: &str,
    schema: &str,
    tables: Option<&[&str]>,
) -> Result<(), StoreError> {
    let statements = format!(
        "SELECT format('{set}', pg_get_serial_sequence(t.quoted, t.attname), t.quoted, t.attname) FROM ({IDENTITIES}) AS t"
    );
    let statements: Vec<String> = sqlx::query_scalar(AssertSqlSafe(statements))
        .bind(schema)
        .bind(tables)
        .fetch_all(&mut *connection)
        .await?;
    for statement in statements {
        connection.execute(AssertSqlSafe(statement)).await?;
    }
    Ok(())
}

/// Has the stored bytes of all tenants of the staged tables counted anew once they are live: `quota_usage` stays, and with it the
/// bytes of versions that are not live any more.
pub async fn forget_counts(connection: &mut PgConnection) -> Result<(), StoreError> {
    let forget = format!("UPDATE {NEW}.storage_usage SET counted_for = NULL");
    connection.execute(AssertSqlSafe(forget)).await?;
    Ok(())
}
