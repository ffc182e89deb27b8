//! Migrates tables within one schema, beside live tables of the same names in another one.
//!
//! A name that is missing in the schema leads on to the next one of the search_path, which is where the extension of vectors lies and
//! often the live tables as well. So each migration is looked at before it is committed: had it locked anything outside for more than
//! reading, it is rolled back.

use sqlx::migrate::{Migrate as _, MigrateError, Migration};
use sqlx::postgres::PgConnection;
use sqlx::postgres::types::Oid;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::MIGRATIONS_TABLE;
use super::migrate::{MIGRATIONS, MigrationError};
use crate::store::StoreError;
use crate::store::names::qualified;
use crate::store::restored::has_extension;

const IS_FIRST: &str = "SELECT current_schema() IS NOT DISTINCT FROM $1";

/// What is there outside of the schema `$1` and of PostgreSQL's own. A migration that drops something leaves its lock, and no name.
const OUTSIDE: &str = "
SELECT coalesce(array_agg(c.oid), '{}')
  FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
 WHERE s.nspname NOT IN ($1, 'pg_catalog', 'pg_toast', 'information_schema')";

/// Something outside of the schema `$1` that this transaction has locked for more than reading, or made; `$2` is what was there.
const STRAYED: &str = "
SELECT coalesce(s.nspname || '.' || c.relname, 'something that it drops')
  FROM pg_locks l
  LEFT JOIN pg_class c ON c.oid = l.relation
  LEFT JOIN pg_namespace s ON s.oid = c.relnamespace
 WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.mode <> 'AccessShareLock'
   AND (l.relation = ANY ($2) OR s.nspname NOT IN ($1, 'pg_catalog', 'pg_toast', 'information_schema'))
 ORDER BY c.relkind = 'r' DESC NULLS LAST, l.relation
 LIMIT 1";

/// Migrates the tables of the schema `schema`, which has to be the first that `connection` searches, to the schema version
/// `version`. It takes no turn: whoever calls it has that. Indexes that come after `version` and before the next version are made as
/// well, since a database of that version may have them.
pub async fn migrate_within(
    connection: &mut PgConnection,
    schema: &str,
    version: i32,
) -> Result<(), MigrationError> {
    if !has_extension(&mut *connection).await? {
        return Err(MigrationError::NoExtension);
    }
    let wanted = |migration: &&Migration| migration.version <= version.into() || migration.no_tx;
    let migrations: Vec<Migration> = MIGRATIONS.iter().take_while(wanted).cloned().collect();
    apply_within(connection, schema, &migrations).await
}

/// Applies those of `migrations` that the schema has not seen.
pub async fn apply_within(
    connection: &mut PgConnection,
    schema: &str,
    migrations: &[Migration],
) -> Result<(), MigrationError> {
    let is_first: bool = sqlx::query_scalar(IS_FIRST)
        .bind(schema)
        .fetch_one(&mut *connection)
        .await
        .map_err(StoreError::from)?;
    if !is_first {
        return Err(MigrationError::NoSchema(schema.to_owned()));
    }
    let table = qualified(schema, MIGRATIONS_TABLE);
    connection.ensure_migrations_table(&table).await.map_err(explained)?;
    if let Some(version) = connection.dirty_version(&table).await.map_err(explained)? {
        return Err(MigrationError::Failed(MigrateError::Dirty(version)));
    }
    let applied = connection.list_applied_migrations(&table).await.map_err(explained)?;
    for migration in migrations {
        match applied.iter().find(|applied| applied.version == migration.version) {
            Some(applied) if applied.checksum != migration.checksum => {
                return Err(MigrationError::Failed(MigrateError::VersionMismatch(
                    migration.version,
                )));
            }
            Some(_) => {}
            None => apply_one(connection, schema, &table, migration).await?,
        }
    }
    Ok(())
}

async fn apply_one(
    connection: &mut PgConnection,
    schema: &str,
    table: &str,
    migration: &Migration,
) -> Result<(), MigrationError> {
    let version = migration.version;
    // Rolled back where it is dropped.
    let mut transaction = connection.begin().await.map_err(StoreError::from)?;
    let outside: Vec<Oid> = sqlx::query_scalar(OUTSIDE)
        .bind(schema)
        .fetch_one(&mut *transaction)
        .await
        .map_err(StoreError::from)?;
    transaction.execute("SET LOCAL lock_timeout = '2s'").await.map_err(StoreError::from)?;
    let mut sql = migration.sql.as_str().to_owned();
    if migration.no_tx {
        // Nobody else reads or writes here, and it would wait for every transaction of the database, such as that of a pg_dump.
        sql = sql.replace("INDEX CONCURRENTLY", "INDEX");
    }
    let failed = |error| explained(MigrateError::ExecuteMigration(error, version));
    transaction.execute(AssertSqlSafe(sql)).await.map_err(failed)?;
    let note = format!(
        "INSERT INTO {table} (version, description, success, checksum, execution_time) VALUES ($1, $2, true, $3, -1)"
    );
    sqlx::query(AssertSqlSafe(note))
        .bind(version)
        .bind(&*migration.description)
        .bind(&*migration.checksum)
        .execute(&mut *transaction)
        .await
        .map_err(StoreError::from)?;
    let strayed: Option<String> = sqlx::query_scalar(STRAYED)
        .bind(schema)
        .bind(outside)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(StoreError::from)?;
    if let Some(relation) = strayed {
        transaction.rollback().await.map_err(StoreError::from)?;
        return Err(MigrationError::Strayed { version, schema: schema.to_owned(), relation });
    }
    transaction.commit().await.map_err(|error| StoreError::from(error).into())
}

fn explained(error: MigrateError) -> MigrationError {
    match error {
        MigrateError::Execute(error) => StoreError::from(error).into(),
        other => MigrationError::Failed(other),
    }
}
