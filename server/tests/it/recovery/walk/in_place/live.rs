//! What is live, and what a restore in place may leave beside it.

use std::collections::{BTreeMap, BTreeSet};

use agentfs_server::store::in_place::records::unfinished;
use agentfs_server::store::in_place::{META, MOVING, NEW, PREVIOUS, STAYING};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::support::database::Database;

/// Tables whose rows tell of memory. The API keeps its own books in another, and each database says itself how it was migrated.
fn of_memory() -> impl Iterator<Item = &'static str> {
    MOVING.into_iter().filter(|table| !["storage_usage", "_sqlx_migrations"].contains(table))
}

/// A sum of all rows of each table of memory.
pub(super) type Memory = BTreeMap<&'static str, String>;

/// What is live.
pub(super) async fn memory(database: &Database) -> Memory {
    let mut connection = superuser(database).await;
    let mut memory = Memory::new();
    for table in of_memory() {
        let sum = format!(
            r#"SELECT md5(coalesce(string_agg(t::text, E'\n' ORDER BY t::text COLLATE "C"), '')) FROM public.{table} t"#
        );
        let sum = sqlx::query_scalar(AssertSqlSafe(sum)).fetch_one(&mut connection).await.unwrap();
        memory.insert(table, sum);
    }
    memory
}

/// The catalogue's word for a table and what belongs to it, whatever its OIDs are.
const SHAPE: &str = "
    SELECT format('table %s of %s %s', c.relname, c.relowner::regrole, c.reloptions) FROM pg_class c
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
    UNION ALL
    SELECT format('index %s of %s valid %s: %s', i.indexrelid::regclass, i.indrelid::regclass, i.indisvalid, pg_get_indexdef(i.indexrelid))
      FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT format('constraint %s of %s: %s', o.conname, o.conrelid::regclass, pg_get_constraintdef(o.oid))
      FROM pg_constraint o WHERE o.connamespace = 'public'::regnamespace
    UNION ALL
    SELECT format('column %s.%s %s %s %s', a.attrelid::regclass, a.attname, a.atttypid::regtype, a.attnotnull, a.attidentity)
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT format('sequence %s', s.relname) FROM pg_class s WHERE s.relnamespace = 'public'::regnamespace AND s.relkind = 'S'";

/// The live tables as the catalogue has them.
pub(super) async fn shape(database: &Database) -> BTreeSet<String> {
    let mut connection = superuser(database).await;
    let rows: Vec<String> = sqlx::query_scalar(SHAPE).fetch_all(&mut connection).await.unwrap();
    rows.into_iter().collect()
}

/// Asserts that all tables are there, each of them once.
pub(super) async fn is_whole(what: &str, database: &Database) {
    let all: BTreeSet<&str> = MOVING.into_iter().chain(STAYING).collect();
    let live = tables(database, "public").await;
    assert_eq!(live.iter().map(String::as_str).collect::<BTreeSet<_>>(), all, "{what}: live");
    // All of the tables that a switch takes out are out, or none is.
    let previous = tables(database, PREVIOUS).await;
    let moved: BTreeSet<String> = MOVING.map(str::to_owned).into();
    assert!(previous.is_empty() || previous == moved, "{what}: previous {previous:?}");
}

/// Asserts that no run has left anything but what is kept of it: the previous tables where `keeps` says so.
pub(super) async fn is_clean(what: &str, database: &Database, keeps: bool) {
    let schemas =
        "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'agentfs%' ORDER BY nspname";
    let mut connection = superuser(database).await;
    let found: Vec<String> = sqlx::query_scalar(schemas).fetch_all(&mut connection).await.unwrap();
    let kept: &[&str] = if keeps { &[META, PREVIOUS] } else { &[META] };
    assert_eq!(found, kept, "{what}: {NEW} has to be gone");
    assert_eq!(unfinished(&mut connection).await.unwrap(), None, "{what}");
    let off = "SELECT count(*) FROM pg_class WHERE reloptions::text LIKE '%autovacuum_enabled%'";
    assert_eq!(database.number(off).await, 0, "{what}: autovacuum is off");
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    database.until(locks, 0).await;
}

/// The names of the tables of a schema.
async fn tables(database: &Database, schema: &str) -> BTreeSet<String> {
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = $1";
    let mut connection = superuser(database).await;
    let rows: Vec<String> =
        sqlx::query_scalar(tables).bind(schema).fetch_all(&mut connection).await.unwrap();
    rows.into_iter().collect()
}

async fn superuser(database: &Database) -> PgConnection {
    PgConnection::connect(&database.superuser_url).await.unwrap()
}
