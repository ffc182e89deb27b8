//! A backup that is staged: tables of a second schema, with all that migrations make of them.

use std::collections::BTreeSet;
use std::time::Duration;

use agentfs_server::store::StoreError;
use agentfs_server::store::in_place::records::{self, Kind, Phase};
use agentfs_server::store::in_place::security::Security;
use agentfs_server::store::in_place::switch::{Made, Switch, Try, attempt, live_schema};
use agentfs_server::store::in_place::{MOVING, STAYING, autovacuum, staging};
use sqlx::postgres::types::Oid;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};
use uuid::Uuid;

use crate::support::database::Database;

pub const RESTORE: Switch = Switch::Restore { security: Security::Live, is_own: true };
pub const UNDO: Switch = Switch::Undo;

/// A live schema, and a staged one beside it.
pub struct Staged {
    pub database: Database,
    pub holder: PgConnection,
    pub live: String,
    /// The unfinished record.
    pub id: Uuid,
}

/// Adds an entry to the tables of a schema, which is quoted for SQL.
pub async fn put(connection: &mut PgConnection, schema: &str, path: &str) {
    let put = format!(
        "WITH version AS (
             INSERT INTO {schema}.entry_versions (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at)
             VALUES ('00000000-0000-0000-0000-000000000000', gen_random_uuid(), 'ada', '{path}', 1, '1', '{{}}', 0, false, now())
             RETURNING *)
         INSERT INTO {schema}.entries (tenant_id, agent_id, path, latest_version_id, version, updated_at)
         SELECT tenant_id, agent_id, path, id, version, created_at FROM version"
    );
    connection.execute(AssertSqlSafe(put)).await.unwrap();
}

impl Staged {
    /// Beside a migrated database.
    pub async fn on(database: &Database) -> Self {
        Self::held(database, database.address().connect_unlimited().await.unwrap()).await
    }

    /// The same for another session than the owner's.
    pub async fn held(database: &Database, mut holder: PgConnection) -> Self {
        let live = live_schema(&mut holder).await.unwrap();
        records::prepare(&mut holder).await.unwrap();
        let id = Uuid::nil();
        let mut staged = Self { database: database.clone(), holder, live, id };
        staged.stage().await;
        staged
    }

    /// What is live is staged, and new tables are live.
    async fn stage(&mut self) {
        let id = records::begin(&mut self.holder, Kind::Restore, "backup", "instance", &[]);
        self.id = id.await.unwrap();
        staging::make(&mut self.holder, self.id).await.unwrap().unwrap();
        for table in MOVING.into_iter().chain(STAYING) {
            let give = AssertSqlSafe(format!("ALTER TABLE {table} SET SCHEMA agentfs_new"));
            self.holder.execute(give).await.unwrap();
        }
        self.database.migrate().await;
    }

    /// Brings what has switched to its end, and stages another restore.
    pub async fn stage_again(&mut self) {
        let record = records::unfinished(&mut self.holder).await.unwrap().unwrap();
        staging::drop(&mut self.holder, record.staging.unwrap()).await.unwrap().unwrap();
        self.end(Phase::Switched, Phase::Finished).await;
        self.stage().await;
    }

    pub async fn reconnect(&mut self) {
        self.holder = self.database.address().connect_unlimited().await.unwrap();
    }

    pub async fn attempt_with(
        &mut self,
        switch: Switch,
        locked: &(dyn Fn() + Sync),
    ) -> Result<Try, StoreError> {
        let (hour, within) = (Duration::from_hours(1), Duration::from_millis(150));
        attempt(&mut self.holder, self.id, &self.live, switch, hour, within, locked).await
    }

    pub async fn attempt(&mut self, switch: Switch) -> Try {
        self.attempt_with(switch, &|| {}).await.unwrap()
    }

    pub async fn switched(&mut self, switch: Switch) -> Made {
        match self.attempt(switch).await {
            Try::Made(made) => made,
            left => panic!("{left:?}"),
        }
    }

    pub async fn end(&mut self, from: Phase, to: Phase) {
        assert!(records::end(&mut self.holder, self.id, from, to).await.unwrap());
    }

    /// Ends the record of what has switched, and begins one of its undoing.
    pub async fn begin_undo(&mut self) {
        self.end(Phase::Switched, Phase::Finished).await;
        let id = records::begin(&mut self.holder, Kind::Undo, "backup", "instance", &[]);
        self.id = id.await.unwrap();
    }

    pub async fn put(&mut self, schema: &str, path: &str) {
        put(&mut self.holder, schema, path).await;
    }

    pub async fn put_key(&mut self, schema: &str, id: &str) {
        let put = format!(
            "INSERT INTO {schema}.api_keys (id, tenant_id, secret_hash, scopes, label)
             VALUES ('{id}', '00000000-0000-0000-0000-000000000000', '', '{{}}', 'of {schema}')"
        );
        self.holder.execute(AssertSqlSafe(put)).await.unwrap();
    }

    async fn strings(&mut self, sql: String) -> Vec<String> {
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut self.holder).await.unwrap()
    }

    /// The paths of the entries, as whoever names no schema finds them.
    pub async fn paths(&mut self) -> Vec<String> {
        self.strings("SELECT path FROM entries ORDER BY path".to_owned()).await
    }

    pub async fn paths_in(&mut self, schema: &str) -> Vec<String> {
        self.strings(format!("SELECT path FROM {schema}.entries ORDER BY path")).await
    }

    pub async fn versions(&mut self, schema: &str) -> BTreeSet<Uuid> {
        let versions = AssertSqlSafe(format!("SELECT id FROM {schema}.entry_versions"));
        let found: Vec<Uuid> =
            sqlx::query_scalar(versions).fetch_all(&mut self.holder).await.unwrap();
        found.into_iter().collect()
    }

    /// The names of all schemas but PostgreSQL's own.
    pub async fn schemas(&mut self) -> Vec<String> {
        let schemas = "SELECT nspname::text FROM pg_namespace WHERE nspname <> 'information_schema' AND nspname !~ '^pg_' ORDER BY 1";
        self.strings(schemas.to_owned()).await
    }

    /// All extended statistics, with their schema.
    pub async fn statistics(&mut self) -> Vec<String> {
        let all = "SELECT format('%s.%s', nspname, stxname) FROM pg_statistic_ext JOIN pg_namespace n ON n.oid = stxnamespace
                    ORDER BY nspname, stxname";
        self.strings(all.to_owned()).await
    }

    /// The tables, indexes and sequences of a schema.
    pub async fn relations(&mut self, schema: &str) -> BTreeSet<String> {
        let relations = format!(
            "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = '{schema}'"
        );
        self.strings(relations).await.into_iter().collect()
    }

    /// All relations of ours, with their schema, OID and options.
    pub async fn everything(&mut self) -> Vec<String> {
        let all = "SELECT format('%s.%s %s %s', n.nspname, c.relname, c.oid, c.reloptions)
                     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                    WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' ORDER BY 1";
        self.strings(all.to_owned()).await
    }

    /// The OIDs of the tables of a schema that move.
    pub async fn oids(&mut self, schema: &str) -> BTreeSet<u32> {
        let found: Vec<Oid> = sqlx::query_scalar(
            "SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE n.nspname = $1 AND c.relkind = 'r' AND c.relname = ANY ($2)",
        )
        .bind(schema)
        .bind(MOVING.as_slice())
        .fetch_all(&mut self.holder)
        .await
        .unwrap();
        found.into_iter().map(|oid| oid.0).collect()
    }

    pub async fn keep_autovacuum_off(&mut self, off: bool) {
        autovacuum::keep_autovacuum_off(&mut self.holder, &self.live, off).await.unwrap();
    }
}
