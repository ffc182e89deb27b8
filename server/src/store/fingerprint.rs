//! Counts, sizes and fingerprints of tables, by which a restored database is compared with the one that was dumped.
//!
//! The fingerprint of a table is the XOR of the first 64 bits of each row's SHA-256, over the row's binary format. It needs no
//! order, since rows have keys, and no setting of a session changes it. A column of an extension's type has another type OID in each
//! database, which a record's binary format holds, so its bytes go in instead. Generated columns are left out: a dump holds none.

use std::collections::BTreeMap;

use agentfs_contract::manifest::Table;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::StoreError;

/// What tables hold, by name.
pub type Contents = BTreeMap<String, Table>;

/// A table of our schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// Its name.
    pub name: String,
    /// The same with its schema, quoted for SQL.
    pub quoted: String,
}

/// Tables in our schema, by name. A dump has no data of UNLOGGED ones. What somebody else put there has another owner.
const TABLES: &str = "
SELECT t.relname::text, format('%I.%I', s.nspname, t.relname)
  FROM pg_class ours JOIN pg_class t ON t.relnamespace = ours.relnamespace AND t.relowner = ours.relowner
  JOIN pg_namespace s ON s.oid = t.relnamespace
 WHERE ours.oid = to_regclass('schema_version') AND t.relkind = 'r' AND t.relpersistence = 'p'
   AND ($1::text[] IS NULL OR t.relname = ANY ($1))
 ORDER BY 1";

/// The columns of a table as expressions.
const COLUMNS: &str = "
SELECT string_agg(CASE WHEN EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_type'::regclass AND objid = t.oid AND deptype = 'e')
                       THEN format('%s(%I)', t.typsend::regproc, a.attname) ELSE quote_ident(a.attname) END, ', ' ORDER BY attnum)
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
 WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''";

/// The tables of our schema; all of them, or the `wanted` ones.
pub async fn tables(
    connection: &mut PgConnection,
    wanted: Option<&[&str]>,
) -> Result<Vec<TableName>, StoreError> {
    let rows = sqlx::query(TABLES).bind(wanted).fetch_all(connection).await?;
    let named =
        rows.iter().map(|row| Ok(TableName { name: row.try_get(0)?, quoted: row.try_get(1)? }));
    named.collect::<Result<_, sqlx::Error>>().map_err(StoreError::from)
}

/// What each of the tables holds.
pub async fn contents(
    connection: &mut PgConnection,
    tables: &[TableName],
) -> Result<Contents, StoreError> {
    let mut contents = Contents::new();
    for TableName { name, quoted } in tables {
        let columns: Option<String> =
            sqlx::query_scalar(COLUMNS).bind(quoted).fetch_one(&mut *connection).await?;
        let fingerprint = AssertSqlSafe(format!(
            "SELECT count(*), coalesce(sum(length(r)), 0)::bigint,
                    coalesce(bit_xor(('x' || encode(substr(sha256(r), 1, 8), 'hex'))::bit(64)::bigint), 0)
               FROM (SELECT record_send(ROW({})) AS r FROM {quoted}) AS rows",
            columns.unwrap_or_default()
        ));
        let row = sqlx::query(fingerprint).fetch_one(&mut *connection).await?;
        let table = Table {
            rows: row.try_get(0)?,
            bytes: Some(row.try_get(1)?),
            fingerprint: Some(format!("{:016x}", row.try_get::<i64, _>(2)?)),
        };
        contents.insert(name.clone(), table);
    }
    Ok(contents)
}
