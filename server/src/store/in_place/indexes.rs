//! Takes the indexes and keys off tables that are about to be loaded, and builds them anew: sorting all rows once costs less than
//! finding a place for each, and the order in which tables are loaded does not matter.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _};

use crate::store::StoreError;

/// An index, a key or a reference that is to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    statement: String,
}

impl Build {
    /// Whether it may take many times as long as others: an index of words or tags (GIN).
    pub fn takes_long(&self) -> bool {
        self.statement.contains(" USING gin (")
    }
}

/// What was taken off, in the rounds in which it is built: those of one may be built at the same time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakenOff {
    /// Indexes, those of keys among them.
    pub indexes: Vec<Build>,
    /// Keys, which take the indexes of their names.
    pub keys: Vec<Build>,
    /// References from one table to another.
    pub references: Vec<Build>,
}

impl TakenOff {
    /// The rounds, in order.
    pub fn rounds(&self) -> [&[Build]; 3] {
        [&self.indexes, &self.keys, &self.references]
    }
}

/// With this, definitions name the schema of everything that is not PostgreSQL's own, and so mean the same to every session.
const NAME_SCHEMAS: &str = "SET LOCAL search_path = pg_catalog";

const REFERENCES: &str = "
SELECT t.relname::text, c.conname::text,
       format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', s.nspname, t.relname, c.conname, pg_get_constraintdef(c.oid)),
       format('ALTER TABLE %I.%I DROP CONSTRAINT %I', s.nspname, t.relname, c.conname)
  FROM pg_constraint c
  JOIN pg_class t ON t.oid = c.conrelid
  JOIN pg_namespace s ON s.oid = t.relnamespace
 WHERE s.nspname = $1 AND c.contype = 'f'
 ORDER BY 1, 2";

/// Primary keys and unique constraints.
const KEYS: &str = "
SELECT t.relname::text, c.conname::text,
       format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s USING INDEX %3$I', s.nspname, t.relname, c.conname,
              CASE c.contype WHEN 'p' THEN 'PRIMARY KEY' ELSE 'UNIQUE' END),
       format('ALTER TABLE %I.%I DROP CONSTRAINT %I', s.nspname, t.relname, c.conname)
  FROM pg_constraint c
  JOIN pg_class t ON t.oid = c.conrelid
  JOIN pg_namespace s ON s.oid = t.relnamespace
 WHERE s.nspname = $1 AND c.contype IN ('p', 'u')
 ORDER BY 1, 2";

/// An index of a key goes with that.
const INDEXES: &str = "
SELECT t.relname::text, i.relname::text, pg_get_indexdef(i.oid), format('DROP INDEX IF EXISTS %I.%I', s.nspname, i.relname)
  FROM pg_index x
  JOIN pg_class i ON i.oid = x.indexrelid
  JOIN pg_class t ON t.oid = x.indrelid
  JOIN pg_namespace s ON s.oid = t.relnamespace
 WHERE s.nspname = $1
 ORDER BY 1, 2";

/// Takes all off the tables of the schema `schema`, or nothing.
pub async fn take_off(connection: &mut PgConnection, schema: &str) -> Result<TakenOff, StoreError> {
    let mut transaction = connection.begin().await?;
    transaction.execute(NAME_SCHEMAS).await?;
    let (references, of_references) = found(&mut transaction, REFERENCES, schema).await?;
    let (keys, of_keys) = found(&mut transaction, KEYS, schema).await?;
    let (indexes, of_indexes) = found(&mut transaction, INDEXES, schema).await?;
    for statement in [of_references, of_keys, of_indexes].concat() {
        transaction.execute(AssertSqlSafe(statement)).await?;
    }
    transaction.commit().await?;
    Ok(TakenOff { indexes, keys, references })
}

/// What there is, and the statements that take it off.
async fn found(
    connection: &mut PgConnection,
    query: &'static str,
    schema: &str,
) -> Result<(Vec<Build>, Vec<String>), StoreError> {
    let rows = sqlx::query(query).bind(schema).fetch_all(connection).await?;
    let both = |row: &PgRow| {
        let build =
            Build { table: row.try_get(0)?, name: row.try_get(1)?, statement: row.try_get(2)? };
        Ok((build, row.try_get(3)?))
    };
    let both: Vec<(Build, String)> = rows.iter().map(both).collect::<Result<_, sqlx::Error>>()?;
    Ok(both.into_iter().unzip())
}

/// Builds it.
pub async fn build(connection: &mut PgConnection, build: &Build) -> Result<(), StoreError> {
    connection.execute(AssertSqlSafe(build.statement.clone())).await?;
    Ok(())
}
