//! Counts, sizes and fingerprints of tables, by which a restored database is compared with the one that was dumped.
//!
//! The fingerprint of a table is the XOR of the first 64 bits of each row's SHA-256, over the row's binary format. It needs no
//! order, since rows have keys, and no setting of a session changes it but client_encoding, which the driver keeps at UTF8. A column
//! of an extension's type has another type OID in each database, which a record's binary format holds, so its bytes go in instead.
//! Generated columns are left out: a dump holds none.

use std::collections::BTreeMap;

use agentfs_contract::manifest::Table;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::StoreError;

/// What tables hold, by name.
pub type Contents = BTreeMap<String, Table>;

/// A table of ours in a database.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct TableName {
    /// Its name.
    pub name: String,
    /// The same with its schema, quoted for SQL.
    pub quoted: String,
    /// Whether it is not an UNLOGGED one, of which a backup holds no rows.
    pub is_logged: bool,
    /// Whether our role may read it.
    pub is_readable: bool,
}

macro_rules! columns_of_table {
    () => {
        "SELECT t.relname::text AS name, format('%I.%I', s.nspname, t.relname) AS quoted,
                t.relpersistence <> 'u' AS is_logged, has_table_privilege(t.oid, 'SELECT') AS is_readable
           FROM pg_class t JOIN pg_namespace s ON s.oid = t.relnamespace "
    };
}

/// Tables by their names, wherever our statements find them.
const NAMED: &str = concat!(
    columns_of_table!(),
    "WHERE t.oid IN (SELECT to_regclass(quote_ident(wanted)) FROM unnest($1::text[]) AS wanted)
     ORDER BY t.relname"
);

/// All tables beside `schema_version` and of its owner. What somebody else put there has another one.
const OURS: &str = concat!(
    columns_of_table!(),
    "JOIN pg_class ours ON ours.relnamespace = t.relnamespace AND ours.relowner = t.relowner
    WHERE ours.oid = to_regclass('schema_version') AND t.relkind IN ('r', 'p')
    ORDER BY t.relname"
);

/// The columns of a table as expressions.
const COLUMNS: &str = "
SELECT string_agg(CASE WHEN EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_type'::regclass AND objid = t.oid AND deptype = 'e')
                       THEN format('%s(%I)', t.typsend::regproc, a.attname) ELSE quote_ident(a.attname) END, ', ' ORDER BY attnum)
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
 WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''";

/// The first version of PostgreSQL that casts bytes to a number, first byte first; before, they go by way of their text.
const HAS_CAST: u32 = 180_000;

/// The tables with these names that there are; without names, all of our schema.
pub async fn tables(
    connection: &mut PgConnection,
    names: Option<&[&str]>,
) -> Result<Vec<TableName>, StoreError> {
    let query = match names {
        Some(names) => sqlx::query_as(NAMED).bind(names),
        None => sqlx::query_as(OURS),
    };
    query.fetch_all(connection).await.map_err(StoreError::from)
}

/// What each of the tables holds, but for those whose rows do not survive a crash.
pub async fn contents(
    connection: &mut PgConnection,
    tables: &[TableName],
) -> Result<Contents, StoreError> {
    let mut contents = Contents::new();
    let version = connection.server_version_num();
    let number = if version.is_some_and(|version| version >= HAS_CAST) {
        "substr(sha256(sent.row), 1, 8)::bigint"
    } else {
        "('x' || encode(substr(sha256(sent.row), 1, 8), 'hex'))::bit(64)::bigint"
    };
    for TableName { name, quoted, .. } in tables.iter().filter(|table| table.is_logged) {
        let columns: Option<String> =
            sqlx::query_scalar(COLUMNS).bind(quoted).fetch_one(&mut *connection).await?;
        // Without OFFSET, the row would be sent once for each place that names it.
        let fingerprint = AssertSqlSafe(format!(
            "SELECT count(*), coalesce(sum(length(sent.row)), 0)::bigint, coalesce(bit_xor({number}), 0)
               FROM {quoted} AS rows, LATERAL (SELECT record_send(ROW({})) OFFSET 0) AS sent (row)",
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
