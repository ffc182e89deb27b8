//! Databases with a live schema and a staged one.

use agentfs_server::store::in_place::properties::{carry_over, statistics};
use agentfs_server::store::in_place::{MOVING, NEW, PREVIOUS};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use crate::support::database::Database;

/// A database whose tables are in the schema `live`, and others, as our migrations make them, in the one that backups are loaded into.
pub struct Staged {
    pub live: &'static str,
    pub connection: PgConnection,
    pub superuser: PgConnection,
    /// Makes the roles of this test other ones than those of other tests.
    id: String,
}

impl Staged {
    pub async fn in_schema(live: &'static str) -> Self {
        let database = Database::empty().await;
        let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
        let id = Uuid::new_v4().simple().to_string();
        let path = "SELECT format('ALTER ROLE agentfs IN DATABASE %I SET search_path = %I', current_database(), $1)";
        let path: String =
            sqlx::query_scalar(path).bind(live).fetch_one(&mut superuser).await.unwrap();
        superuser.execute(AssertSqlSafe(path)).await.unwrap();
        let mut connection = database.connect().await;
        for schema in [live, NEW, PREVIOUS] {
            let schema = format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema));
            connection.execute(AssertSqlSafe(schema)).await.unwrap();
        }
        database.migrate().await;
        let mut staged = Self { live, connection, superuser, id };
        let tables = "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = quote_ident($1)::regnamespace";
        let tables: Vec<String> =
            sqlx::query_scalar(tables).bind(live).fetch_all(&mut staged.connection).await.unwrap();
        let tables: Vec<_> = tables.iter().map(String::as_str).collect();
        assert!(MOVING.iter().all(|table| tables.contains(table)));
        staged.move_tables(&tables, live, NEW).await;
        database.migrate().await;
        staged
    }

    /// Runs `sql` as our role, in the live schema. `Owner`, `Reader` and `Stranger` in it, in quotes, are roles of this test.
    pub async fn execute(&mut self, sql: &str) {
        let sql = self.named(sql);
        self.connection.execute(AssertSqlSafe(sql)).await.unwrap();
    }

    /// The same as a superuser.
    pub async fn execute_as_superuser(&mut self, sql: &str) {
        let path = format!("SET search_path = {}, public;", quoted(self.live));
        let sql = path + &self.named(sql);
        self.superuser.execute(AssertSqlSafe(sql)).await.unwrap();
    }

    fn named(&self, sql: &str) -> String {
        let mut sql = sql.replace("\"Live\"", &quoted(self.live));
        for role in ["Owner", "Reader", "Stranger", "Space"] {
            sql = sql.replace(&format!("\"{role}\""), &format!("\"{}\"", self.role(role)));
        }
        sql
    }

    /// Makes the tablespace `Space` of this test.
    pub async fn make_tablespace(&mut self) {
        self.superuser.execute("SET allow_in_place_tablespaces = on").await.unwrap();
        let make = self.named("CREATE TABLESPACE \"Space\" LOCATION ''");
        self.superuser.execute(AssertSqlSafe(make)).await.unwrap();
    }

    pub async fn drop_tablespace(&mut self) {
        let drop = self.named("DROP TABLESPACE \"Space\"");
        self.superuser.execute(AssertSqlSafe(drop)).await.unwrap();
    }

    /// The name of a role of this test.
    pub fn role(&self, role: &str) -> String {
        format!("{role} {}", self.id)
    }

    /// Gives the staged tables what the live ones have; what could not be given.
    pub async fn carry_over(&mut self) -> Result<Vec<String>, Vec<String>> {
        let carried = carry_over(&mut self.connection, self.live, NEW, &MOVING).await;
        carried.unwrap().map_err(|unlike| unlike.0)
    }

    /// Makes the staged tables the live ones.
    pub async fn switch(&mut self) {
        self.move_tables(&MOVING, self.live, PREVIOUS).await;
        self.move_tables(&MOVING, NEW, self.live).await;
    }

    /// Drops what a switch leaves, in both schemas; nothing live may need it.
    pub async fn drop_the_rest(&mut self) {
        let tables = MOVING.map(|table| format!("{PREVIOUS}.{table}")).join(", ");
        let drop = format!("DROP TABLE {tables}; DROP SCHEMA {PREVIOUS}");
        self.connection.execute(AssertSqlSafe(drop)).await.unwrap();
        let staying = format!(
            "DROP TABLE {NEW}.tenants, {NEW}.api_keys, {NEW}.quota_usage, {NEW}.rate_limits; DROP SCHEMA {NEW}"
        );
        self.connection.execute(AssertSqlSafe(staying)).await.unwrap();
    }

    async fn move_tables(&mut self, tables: &[&str], from: &str, to: &str) {
        let found = statistics(&mut self.connection, from, tables).await.unwrap();
        let (from, to) = (quoted(from), quoted(to));
        for name in found {
            let statistics = format!("ALTER STATISTICS {from}.{} SET SCHEMA {to}", quoted(&name));
            self.connection.execute(AssertSqlSafe(statistics)).await.unwrap();
        }
        for table in tables {
            let table = format!("ALTER TABLE {from}.{} SET SCHEMA {to}", quoted(table));
            self.connection.execute(AssertSqlSafe(table)).await.unwrap();
        }
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
