//! Autovacuum is kept off the live tables before a switch, and let on again after it: it holds a table longer than a switch waits.
//! What was set before is noted by the tables' OIDs, which stay the same wherever the tables go. It is kept off what is staged from the
//! beginning: its work would be in vain, and it would be at it right when the switch comes. What becomes live gets what the live tables
//! had, by the switch itself.

use sqlx::postgres::PgConnection;
use sqlx::postgres::types::Oid;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::{MOVING, NEW};
use crate::store::StoreError;

const LIVE: &str = "
SELECT c.oid
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relname = ANY ($2) AND c.relkind = 'r'
 ORDER BY c.relname";

/// Notes what is set for the table `$1`, unless it is noted already: then a run that was killed has set it. Returns the statement
/// that keeps autovacuum off it.
const KEEP_OFF: &str = "
WITH noted AS (
    INSERT INTO agentfs_meta.autovacuum_off (relation, former)
    SELECT oid, (SELECT option_value FROM pg_options_to_table(reloptions) WHERE option_name = 'autovacuum_enabled')
      FROM pg_class
     WHERE oid = $1
    ON CONFLICT (relation) DO NOTHING
)
SELECT format('ALTER TABLE %I.%I SET (autovacuum_enabled = off)', n.nspname, c.relname)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = $1";

const NOTED: &str = "SELECT relation FROM agentfs_meta.autovacuum_off ORDER BY relation";

/// Takes the note of the table `$1` away. Returns the statement that sets what was set before, unless the table is gone.
const LET_ON: &str = "
WITH taken AS (
    DELETE FROM agentfs_meta.autovacuum_off WHERE relation = $1 RETURNING relation, former
)
SELECT CASE WHEN former IS NULL THEN format('ALTER TABLE %I.%I RESET (autovacuum_enabled)', n.nspname, c.relname)
            ELSE format('ALTER TABLE %I.%I SET (autovacuum_enabled = %L)', n.nspname, c.relname, former) END
  FROM taken
  JOIN pg_class c ON c.oid = relation AND c.relkind = 'r'
  JOIN pg_namespace n ON n.oid = c.relnamespace";

/// Statements that keep autovacuum off the tables of the schema `$1`.
const KEEP_OFF_ALL: &str = "
SELECT format('ALTER TABLE %I.%I SET (autovacuum_enabled = off)', n.nspname, c.relname)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relkind = 'r'
 ORDER BY c.relname";

/// Takes the notes of the tables `$3` of the schema `$2` away. Returns the statements that set what those of the schema `$1` have, or
/// had before autovacuum was kept off them.
const GIVE: &str = "
WITH pairs AS (
    SELECT i.oid, i.relname,
           (SELECT option_value FROM pg_options_to_table(i.reloptions) WHERE option_name = 'autovacuum_enabled') AS now,
           CASE WHEN noted.relation IS NOT NULL THEN noted.former
                ELSE (SELECT option_value FROM pg_options_to_table(l.reloptions) WHERE option_name = 'autovacuum_enabled') END AS wanted
      FROM pg_class l
      JOIN pg_class i ON i.relname = l.relname AND i.relkind = 'r' AND i.relnamespace = to_regnamespace(quote_ident($2))
      LEFT JOIN agentfs_meta.autovacuum_off noted ON noted.relation = l.oid
     WHERE l.relnamespace = to_regnamespace(quote_ident($1)) AND l.relkind = 'r' AND l.relname = ANY ($3)
), taken AS (
    DELETE FROM agentfs_meta.autovacuum_off WHERE relation IN (SELECT oid FROM pairs)
)
SELECT CASE WHEN wanted IS NULL THEN format('ALTER TABLE %I.%I RESET (autovacuum_enabled)', $2, relname)
            ELSE format('ALTER TABLE %I.%I SET (autovacuum_enabled = %L)', $2, relname, wanted) END
  FROM pairs
 WHERE wanted IS DISTINCT FROM now";

/// Longer than autovacuum takes to give way.
const PATIENCE: &str = "SET LOCAL lock_timeout = '3s'";

/// Keeps autovacuum off all that is staged.
pub async fn keep_off_staged(connection: &mut PgConnection) -> Result<(), StoreError> {
    let statements: Vec<String> =
        sqlx::query_scalar(KEEP_OFF_ALL).bind(NEW).fetch_all(&mut *connection).await?;
    execute(connection, statements).await
}

/// Gives the tables of the schema `incoming` what the live ones have; part of the switch, which has locked them, so that autovacuum
/// comes to none before they are live.
pub(super) async fn give(
    connection: &mut PgConnection,
    live: &str,
    incoming: &str,
) -> Result<(), StoreError> {
    let give = sqlx::query_scalar(GIVE).bind(live).bind(incoming).bind(MOVING.as_slice());
    let statements: Vec<String> = give.fetch_all(&mut *connection).await?;
    execute(connection, statements).await
}

async fn execute(connection: &mut PgConnection, statements: Vec<String>) -> Result<(), StoreError> {
    for statement in statements {
        connection.execute(AssertSqlSafe(statement)).await?;
    }
    Ok(())
}

/// Keeps autovacuum off the live tables `live` that move; or lets it on again where any run has kept it off, in whatever schema
/// the tables are by now. Reads and writes do not wait meanwhile. A table that somebody has for longer, such as a VACUUM, stays as it
/// is, to be tried again by the next call.
pub async fn keep_autovacuum_off(
    connection: &mut PgConnection,
    live: &str,
    off: bool,
) -> Result<(), StoreError> {
    let (tables, statement) = if off {
        let live = sqlx::query_scalar(LIVE).bind(live).bind(MOVING.as_slice());
        (live.fetch_all(&mut *connection).await?, KEEP_OFF)
    } else {
        (sqlx::query_scalar(NOTED).fetch_all(&mut *connection).await?, LET_ON)
    };
    for table in tables {
        match alter(&mut *connection, statement, table).await {
            Err(StoreError::Contended(cause)) => {
                tracing::warn!(
                    "autovacuum of a table could not be set, since another session has it: {cause}"
                );
            }
            result => result?,
        }
    }
    Ok(())
}

/// Alters a table and its note in one transaction.
async fn alter(
    connection: &mut PgConnection,
    statement: &'static str,
    table: Oid,
) -> Result<(), StoreError> {
    let mut transaction = connection.begin().await?;
    transaction.execute(PATIENCE).await?;
    let alter: Option<String> =
        sqlx::query_scalar(statement).bind(table).fetch_optional(&mut *transaction).await?;
    if let Some(alter) = alter {
        transaction.execute(AssertSqlSafe(alter)).await?;
    }
    transaction.commit().await?;
    Ok(())
}
