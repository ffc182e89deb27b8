//! The schemas of our names: made for whoever owns the live tables, and dropped without what is others'.

use sqlx::error::DatabaseError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgConnection, PgDatabaseError, PgTransaction};
use sqlx::{AssertSqlSafe, Executor as _};

use super::MOVING;
use crate::store::StoreError;

/// Why a schema of one of our names is left as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// It is not the one that a record names, or holds tables that no record names.
    #[error(
        "the schema {schema} is not of a restore ({objects}): rename it, move what is in it or drop it, then run this again"
    )]
    Schema {
        /// The schema.
        schema: &'static str,
        /// Some of what is in it, for people.
        objects: String,
    },
    /// Others' objects are in it, or depend on its tables.
    #[error(
        "the tables of the schema {schema} cannot be dropped, since others need them ({objects}): drop that, or let it use other \
         tables, then run this again"
    )]
    Needed {
        /// The schema.
        schema: &'static str,
        /// What needs them, for people.
        objects: String,
    },
    /// The schema that a record names is gone, or lacks tables.
    #[error("the schema {schema} was changed by others: {objects}")]
    Changed {
        /// The schema.
        schema: &'static str,
        /// What is wrong with it, for people.
        objects: String,
    },
    /// Another run has taken the restore over.
    #[error("another run has taken the restore over")]
    Record,
}

/// Statements that make the schema `$1` for the owner of the live tables; that may be another role than ours. Without tables, for ours.
const CREATE: &str = "
SELECT format('CREATE SCHEMA %I AUTHORIZATION %I', $1::text, coalesce(pg_get_userbyid(relowner), current_user))
  FROM (SELECT to_regclass('schema_version')) live (oid) LEFT JOIN pg_class USING (oid)";

const OID: &str = "SELECT oid FROM pg_namespace WHERE nspname = $1";

/// Some of what is in the schema `$1`.
const OBJECTS: &str = "
SELECT coalesce(string_agg(name, ', ' ORDER BY name) || CASE WHEN max(objects) > 5 THEN ' and more' ELSE '' END, 'nothing is in it')
  FROM (SELECT relname::text AS name, count(*) OVER () AS objects
          FROM pg_class
         WHERE relnamespace = $1 AND relkind NOT IN ('i', 'I', 't', 'c')
         ORDER BY relname
         LIMIT 5) some_of_them";

/// dependent_objects_still_exist.
const NEEDED: &str = "2BP01";

/// Makes the schema, and returns its OID. There must be none of the name.
pub(super) async fn create(connection: &mut PgConnection, name: &str) -> Result<u32, StoreError> {
    let statement: String =
        sqlx::query_scalar(CREATE).bind(name).fetch_one(&mut *connection).await?;
    connection.execute(AssertSqlSafe(statement)).await?;
    let Oid(oid) = sqlx::query_scalar(OID).bind(name).fetch_one(connection).await?;
    Ok(oid)
}

/// The OID of the schema of this name, if there is one.
pub(super) async fn find(
    connection: &mut PgConnection,
    name: &str,
) -> Result<Option<u32>, StoreError> {
    let found: Option<Oid> = sqlx::query_scalar(OID).bind(name).fetch_optional(connection).await?;
    Ok(found.map(|Oid(oid)| oid))
}

/// What is in the way where there is a schema of the name and its OID is not `ours`.
pub async fn in_the_way(
    connection: &mut PgConnection,
    schema: &'static str,
    ours: Option<u32>,
) -> Result<Option<NotOurs>, StoreError> {
    match find(&mut *connection, schema).await? {
        Some(found) if ours != Some(found) => {
            let objects =
                sqlx::query_scalar(OBJECTS).bind(Oid(found)).fetch_one(connection).await?;
            Ok(Some(NotOurs::Schema { schema, objects }))
        }
        _ => Ok(None),
    }
}

/// What is wrong with a schema whose tables are to be live: its OID is not `oid`, or it lacks one that moves, or one is not of
/// `tables`, where these are given.
pub(super) async fn check(
    connection: &mut PgConnection,
    schema: &'static str,
    oid: Option<u32>,
    tables: Option<&[u32]>,
) -> Result<Option<NotOurs>, StoreError> {
    if let Some(in_the_way) = in_the_way(&mut *connection, schema, oid).await? {
        return Ok(Some(in_the_way));
    }
    let found: Vec<(String, Oid)> = sqlx::query_as(
        "SELECT c.relname::text, c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE n.nspname = $1 AND c.relkind = 'r'",
    )
    .bind(schema)
    .fetch_all(connection)
    .await?;
    let is_there = |table: &&str| {
        let is_ours = |oid: u32| tables.is_none_or(|tables| tables.contains(&oid));
        found.iter().any(|(name, oid)| name == table && is_ours(oid.0))
    };
    let missing: Vec<&str> = MOVING.into_iter().filter(|table| !is_there(table)).collect();
    let objects = format!("it has not the {} of the restore", missing.join(", "));
    Ok((!missing.is_empty()).then_some(NotOurs::Changed { schema, objects }))
}

/// Nobody waits for a table that is dropped here but whoever reads it. Longer than autovacuum takes to give way.
const PATIENCE: &str = "SET LOCAL lock_timeout = '3s'";

/// Drops tables, quoted for SQL, and then their schema; part of a transaction that is rolled back where that is not to be. In one
/// statement, since some refer to others; and never with CASCADE, so that nothing goes that others made.
pub(super) async fn drop(
    connection: &mut PgConnection,
    schema: &'static str,
    tables: &[String],
) -> Result<Result<(), NotOurs>, StoreError> {
    connection.execute(PATIENCE).await?;
    let of_tables = (!tables.is_empty()).then(|| format!("DROP TABLE {}", tables.join(", ")));
    // A name of ours: nothing to escape.
    let all = of_tables.into_iter().chain([format!("DROP SCHEMA {schema}")]);
    for statement in all {
        match connection.execute(AssertSqlSafe(statement)).await {
            Ok(_) => {}
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(NEEDED) => {
                return Ok(Err(NotOurs::Needed { schema, objects: detail(&*error) }));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Ok(()))
}

/// Ends a transaction: what came of it stays, or all is as before.
pub(super) async fn settle<T>(
    transaction: PgTransaction<'_>,
    result: Result<Result<T, NotOurs>, StoreError>,
) -> Result<Result<T, NotOurs>, StoreError> {
    if matches!(result, Ok(Ok(_))) {
        transaction.commit().await?;
    } else {
        // One that is only dropped stays open, and keeps what it has locked, until the connection is used again.
        transaction.rollback().await.ok();
    }
    result
}

/// What PostgreSQL says of the objects in the way: a line each.
fn detail(error: &dyn DatabaseError) -> String {
    let detail = error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::detail);
    detail.unwrap_or(error.message()).replace('\n', "; ")
}
