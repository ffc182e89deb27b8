//! Fingerprints of tables: what they depend on, and what they do not.

use agentfs_contract::manifest::Table;
use agentfs_server::store::fingerprint::{Contents, contents, tables};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::support::api::tenants_key;
use crate::support::backups::Backups;
use crate::support::database::Database;
use crate::support::semantic::{put, start};
use crate::support::shell::Shell;
use crate::support::worker::{EMBEDDED, Worker, until};

/// A database with rows in each table, which nobody works on any more: an API that runs counts what tenants have stored.
async fn with_rows() -> Database {
    let (mut api, database, provider) = start(&[]).await;
    tenants_key(&database).await;
    let worker = Worker::start(&database, &provider, &[]);
    put(&api.client, "/a", "Ada is allergic to peanuts").await;
    put(&api.client, "/b", &"Ben likes walnuts. ".repeat(100)).await;
    until(&database, EMBEDDED, 2).await;
    worker.stop().await;
    let body = json!({"agent_id": "ada", "path": "/c", "value": 1.5, "tags": ["x", "y"], "importance": 0.1, "ttl_seconds": 9999});
    api.client.post_once("once", "/v1/put", body).await;
    let booked = "INSERT INTO storage_usage (tenant_id, bytes, counted_for)
                  SELECT id, 1, xmin FROM tenants ON CONFLICT DO NOTHING";
    database.execute(booked).await;
    api.announce_end();
    api.ended().await;
    database
}

async fn all(connection: &mut PgConnection) -> Contents {
    let ours = tables(connection, None).await.unwrap();
    contents(connection, &ours).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_has_the_fingerprints_of_its_source() {
    let database = with_rows().await;
    let backups = Backups::new();
    backups.make(&database, &[]);
    let manifest = backups.manifest();
    for (name, table) in &manifest.tables {
        assert!(table.rows > 0 && table.bytes > Some(0), "{name}: {table:?}");
    }
    assert_eq!(manifest.tables.len(), 14);

    // Types of the extension have other numbers there.
    let new = Database::empty().await;
    let restore = r#"pg_restore --no-comments --exit-on-error -d "$PGDATABASE" */agentfs_*.dump"#;
    Shell::of_owner(&new, backups.path()).line(restore).await;
    let number = "SELECT 'halfvec'::regtype::oid::bigint";
    assert_ne!(new.number(number).await, database.number(number).await);
    assert_eq!(all(&mut new.connect().await).await, manifest.tables);
}

#[tokio::test(flavor = "multi_thread")]
async fn fingerprints_depend_on_no_setting_and_on_no_schema_of_the_extension() {
    let database = with_rows().await;
    let before = all(&mut database.connect().await).await;
    let settings = "SET timezone = 'Pacific/Kiritimati'; SET datestyle = 'German'; SET extra_float_digits = -15;
                    SET bytea_output = 'escape'; SET intervalstyle = 'sql_standard'; SET search_path = pg_catalog, public;
                    SET jit = off; SET max_parallel_workers_per_gather = 0; SET default_text_search_config = 'german'";
    let mut session = database.connect().await;
    session.execute(settings).await.unwrap();
    assert_eq!(all(&mut session).await, before);

    let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
    let moved = r#"CREATE SCHEMA "My Types"; GRANT USAGE ON SCHEMA "My Types" TO agentfs;
                   ALTER EXTENSION vector SET SCHEMA "My Types""#;
    sqlx::raw_sql(moved).execute(&mut superuser).await.unwrap();
    assert_eq!(all(&mut database.connect().await).await, before);
    // Nor on the order of rows.
    database.execute("UPDATE entry_versions SET value = value WHERE path = '/a'").await;
    assert_eq!(all(&mut database.connect().await).await, before);
}

/// Another value of a column, of whatever type.
fn another(of_type: &str) -> &'static str {
    match of_type {
        "uuid" => "gen_random_uuid()",
        "text" => "'another'",
        "text[]" => "ARRAY['another']",
        "bytea" => r"'\x00ff'::bytea",
        "json" => "'{\"another\": 1}'::json",
        "boolean" => "NOT coalesce(%, false)",
        "smallint" | "integer" | "bigint" | "real" => "coalesce(%, 0) + 1",
        "date" => "DATE '2001-02-03'",
        "timestamp with time zone" => "coalesce(%, now()) + INTERVAL '1 microsecond'",
        "tsvector" => "'another'::tsvector",
        "halfvec" => "'[9,9]'::halfvec",
        "xid" => "'4242'::xid",
        other => panic!("give a column of {other} another value here"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_of_a_row_changes_the_fingerprint_of_its_table() {
    let database = with_rows().await;
    let mut connection = database.connect().await;
    let columns: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT c.relname::text, quote_ident(a.attname), format_type(a.atttypid, NULL)
           FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
          WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relpersistence = 'p'
            AND a.attnum > 0 AND NOT a.attisdropped",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(columns.len() > 70, "{columns:?}");
    for (table, column, of_type) in columns {
        let changed = another(&of_type).replace('%', &column);
        // Without keys and references, which some changes would break.
        let prepare = format!(
            "BEGIN; CREATE TABLE copied AS TABLE {table}; ALTER TABLE {table} RENAME TO set_aside; ALTER TABLE copied RENAME TO {table}"
        );
        connection.execute(AssertSqlSafe(prepare)).await.unwrap();
        let before = of(&mut connection, &table).await;
        let change = format!(
            "UPDATE {table} SET {column} = {changed} WHERE ctid = (SELECT min(ctid) FROM {table})"
        );
        let done = connection.execute(AssertSqlSafe(change)).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{table}");
        let after = of(&mut connection, &table).await;
        connection.execute("ROLLBACK").await.unwrap();
        assert_eq!(after.rows, before.rows);
        assert_ne!(after.fingerprint, before.fingerprint, "{table}.{column}");
    }
}

async fn of(connection: &mut PgConnection, table: &str) -> Table {
    let named = tables(connection, Some(&[table])).await.unwrap();
    contents(connection, &named).await.unwrap().remove(table).unwrap()
}
