//! The switch: one transaction moves the live tables out and the others in.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqlSafeStr as _};
use uuid::Uuid;

use super::records::{self, Phase};
use super::schemas::{self, NotOurs};
use super::security::{self, Carried, Keys, Security};
use super::{META, MOVING, NEW, PREVIOUS, STAYING, autovacuum, live, moving, previous, properties};
use crate::store::StoreError;
use crate::store::names::{qualified, quoted};
use crate::store::requests;

/// What is switched.
#[derive(Debug, Clone, Copy)]
pub enum Switch {
    /// What was staged becomes live.
    Restore {
        /// Whose tenants and keys are valid afterwards.
        security: Security,
        /// Whether it is the database's own backup. Another instance's keys get into no memory.
        is_own: bool,
    },
    /// The previous tables become live.
    Undo,
}

/// A switch that was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// When.
    pub at: Timestamp,
    /// How long others waited for the tables at most, in seconds.
    pub seconds: f64,
    /// What became of tenants and keys.
    pub carried: Carried,
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq)]
pub enum Try {
    /// It is switched.
    Made(Made),
    /// Others hold tables: the sessions, for people. Nothing has changed.
    Held(String),
    /// Another run has taken over. Nothing has changed.
    NotHolder,
    /// A schema is not the one that a record names. Nothing has changed.
    NotOurs(NotOurs),
}

/// The schema that is live: the one that `schema_version` is found in.
pub async fn live_schema(connection: &mut PgConnection) -> Result<String, StoreError> {
    let schema =
        "SELECT nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                   WHERE c.oid = 'schema_version'::regclass";
    Ok(sqlx::query_scalar(schema).fetch_one(connection).await?)
}

/// With the locks, what is left waits for nobody, and only for the processor: cut short on a busy machine, it would be so at each try.
const MOVES: &str = "SET LOCAL statement_timeout = '2s'";
/// Nobody waits behind who waits for what is not live. Longer than autovacuum takes to give way.
pub(super) const PATIENT: &str = "SET LOCAL lock_timeout = '3s'";
/// Everybody waits behind a COMMIT that waits for a standby. Writes that follow wait for that themselves, and so for all before them.
const LOCAL: &str = "SET LOCAL synchronous_commit = 'local'";
/// A COMMIT that is on its way to the disk is not to be cut short.
const PATIENT_STATEMENTS: &str = "SET LOCAL statement_timeout = 0";

/// Tries once, and steps back where it has not got its locks on the live tables within `locks_within`: others wait behind who waits for
/// a table. The record `id` is noted as switched in the same transaction, and a restore drops the previous tables in it. `locked` is called once it has all its locks.
///
/// Where the connection is lost at COMMIT, only the record tells whether it is switched.
pub async fn attempt(
    connection: &mut PgConnection,
    id: Uuid,
    live: &str,
    switch: Switch,
    keep_previous: Duration,
    locks_within: Duration,
    locked: &(dyn Fn() + Sync),
) -> Result<Try, StoreError> {
    let mut transaction = connection.begin().await?;
    let mut wanted = Wanted::default();
    let mut attempt = Attempt {
        connection: &mut transaction,
        wanted: &mut wanted,
        id,
        live,
        switch,
        locks_within,
    };
    match attempt.make(keep_previous, locked).await {
        Ok(Ok(Switched { at, since, carried })) => {
            transaction.commit().await?;
            Ok(Try::Made(Made { at, seconds: since.elapsed().as_secs_f64(), carried }))
        }
        Ok(Err(left)) => {
            transaction.rollback().await?;
            Ok(left)
        }
        Err(error) if stepped_back(&error) => {
            transaction.rollback().await?;
            Ok(Try::Held(wanted.holders(connection).await?))
        }
        Err(error) => {
            // Of the server, an error has ended it already; one of the driver leaves it open, and all tables locked.
            transaction.rollback().await.ok();
            Err(error)
        }
    }
}

/// Whether a retry may succeed: a lock or a statement timed out, or a deadlock was broken.
pub(super) fn stepped_back(error: &StoreError) -> bool {
    let code = error.cause().driver().as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| ["57014", "55P03", "40P01"].contains(&&*code))
}

/// A transaction that only has to be committed.
struct Switched {
    at: Timestamp,
    /// When it began to keep others waiting.
    since: Instant,
    carried: Carried,
}

struct Attempt<'a> {
    connection: &'a mut PgConnection,
    wanted: &'a mut Wanted,
    id: Uuid,
    live: &'a str,
    switch: Switch,
    locks_within: Duration,
}

impl Attempt<'_> {
    async fn make(
        &mut self,
        keep_previous: Duration,
        locked: &(dyn Fn() + Sync),
    ) -> Result<Result<Switched, Try>, StoreError> {
        self.connection.execute(PATIENT).await?;
        self.connection.execute(LOCAL).await?;
        self.wanted.next(self.connection, vec![qualified(META, "restores")]).await?;
        if !records::hold(self.connection, self.id, Phase::Staging).await? {
            return Ok(Err(Try::NotHolder));
        }
        if let Some(not_ours) = self.look().await? {
            return Ok(Err(Try::NotOurs(not_ours)));
        }
        if let Err(not_ours) = self.make_way().await? {
            return Ok(Err(Try::NotOurs(not_ours)));
        }
        self.lock(moving(self.incoming())).await?;
        autovacuum::give(self.connection, self.live, self.incoming()).await?;
        let within = self.locks_within.as_millis();
        let lock_timeout = AssertSqlSafe(format!("SET LOCAL lock_timeout = {within}"));
        self.connection.execute(lock_timeout).await?;
        let keys = self.keys().await?;
        let carried = self.carry(keys).await?;
        let moves = self.moves().await?;
        requests::note_switched(self.connection, self.id).await?;
        records::forget_previous(self.connection, Some(self.id)).await?;
        // So that it costs no round trip while others wait.
        self.connection.prepare(records::SWITCHED.into_sql_str()).await?;

        let lock = lock(&moving(self.live));
        self.wanted.next(self.connection, moving(self.live)).await?;
        let since = Instant::now();
        // A statement as a whole, since lock_timeout bounds the wait for each table by itself.
        let lock = AssertSqlSafe(format!("SET LOCAL statement_timeout = {within}; {lock}"));
        self.connection.execute(lock).await?;
        if keys == Keys::Added && self.keys().await? != keys {
            return Ok(Err(Try::Held("whoever has written the first memory just now".to_owned())));
        }
        locked();
        self.connection.execute(AssertSqlSafe(moves)).await?;
        let at = records::note_switched(self.connection, self.id, self.wanted.since, keep_previous)
            .await?;
        Ok(Ok(Switched { at, since, carried }))
    }

    /// The schema of what becomes live.
    fn incoming(&self) -> &'static str {
        match self.switch {
            Switch::Restore { .. } => NEW,
            Switch::Undo => PREVIOUS,
        }
    }

    /// What is not as the records have it.
    async fn look(&mut self) -> Result<Option<NotOurs>, StoreError> {
        match self.switch {
            Switch::Restore { .. } => {
                let record = records::unfinished(self.connection).await?;
                let staging = record.and_then(|record| record.staging);
                schemas::check(self.connection, NEW, staging, None).await
            }
            Switch::Undo => {
                let record = records::with_previous(self.connection).await?;
                let (schema, tables) = record
                    .map(|record| (record.previous_schema, record.previous))
                    .unwrap_or_default();
                schemas::check(self.connection, PREVIOUS, schema, Some(&tables)).await
            }
        }
    }

    /// Drops the previous tables, whose place the live ones are about to take: with the switch, or not at all.
    async fn make_way(&mut self) -> Result<Result<(), NotOurs>, StoreError> {
        if matches!(self.switch, Switch::Undo) {
            return Ok(Ok(()));
        }
        self.wanted.next(self.connection, moving(PREVIOUS)).await?;
        if let Some(record) = records::with_previous(self.connection).await? {
            return Ok(previous::drop_in(self.connection, &record).await?.map(drop));
        }
        let in_the_way = schemas::in_the_way(self.connection, PREVIOUS, None).await?;
        Ok(in_the_way.map_or(Ok(()), Err))
    }

    async fn lock(&mut self, tables: Vec<String>) -> Result<(), StoreError> {
        let lock = lock(&tables);
        self.wanted.next(self.connection, tables).await?;
        self.connection.execute(AssertSqlSafe(lock)).await?;
        Ok(())
    }

    /// Which keys of the backup are added. Only with the locks it is known that nobody writes the first memory.
    async fn keys(&mut self) -> Result<Keys, StoreError> {
        match self.switch {
            Switch::Restore { security: Security::Live, is_own: false }
                if live::has_memory(self.connection).await? =>
            {
                Ok(Keys::LeftOut)
            }
            _ => Ok(Keys::Added),
        }
    }

    /// Brings over what the live side has to have as well.
    async fn carry(&mut self, keys: Keys) -> Result<Carried, StoreError> {
        let Switch::Restore { security, .. } = self.switch else { return Ok(Carried::default()) };
        let tables = STAYING.map(|table| qualified(self.live, table)).to_vec();
        self.wanted.next(self.connection, tables).await?;
        security::carry(self.connection, NEW, self.live, security, keys).await
    }

    /// Makes the schemas that it needs, and returns the statements that move the tables, with their indexes, sequences and extended
    /// statistics.
    async fn moves(&mut self) -> Result<String, StoreError> {
        let (live, incoming) = (self.live, self.incoming());
        let between = match self.switch {
            Switch::Restore { .. } => PREVIOUS.to_owned(),
            Switch::Undo => format!("agentfs_between_{}", self.id.simple()),
        };
        schemas::create(self.connection, &between).await?;
        let mut moves = vec![MOVES.to_owned()];
        let sequences: Vec<String> = sqlx::query_scalar(SEQUENCES)
            .bind(live)
            .bind(incoming)
            .bind(MOVING.as_slice())
            .fetch_all(&mut *self.connection)
            .await?;
        moves.extend(sequences);
        let steps: &[(&str, &str)] = match self.switch {
            Switch::Restore { .. } => &[(live, &between), (incoming, live)],
            Switch::Undo => &[(live, &between), (incoming, live), (&between, incoming)],
        };
        let mut statistics = Vec::new();
        for schema in [live, incoming] {
            statistics.push(properties::statistics(self.connection, schema, &MOVING).await?);
        }
        // The third step moves on what the first one has moved.
        for ((from, to), names) in steps.iter().zip(statistics.iter().cycle()) {
            let to = quoted(to);
            // These do not follow their tables.
            moves.extend(
                names.iter().map(|name| {
                    format!("ALTER STATISTICS {} SET SCHEMA {to}", qualified(from, name))
                }),
            );
            moves.extend(
                moving(from).iter().map(|table| format!("ALTER TABLE {table} SET SCHEMA {to}")),
            );
        }
        if matches!(self.switch, Switch::Undo) {
            moves.push(format!("DROP SCHEMA {between}"));
        }
        moves.push(PATIENT_STATEMENTS.to_owned());
        Ok(moves.join("; "))
    }
}

/// The statement that locks tables, in this order.
pub(super) fn lock(tables: &[String]) -> String {
    format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", tables.join(", "))
}

/// Statements by which the sequences of the tables `$3` in the schema `$2` go on from where those in the schema `$1` are, if those
/// are further.
const SEQUENCES: &str = "
WITH owned AS (
    SELECT n.nspname AS schema, t.relname AS of_table, a.attname AS of_column, format('%I.%I', sn.nspname, s.relname) AS name
      FROM pg_class t
      JOIN pg_namespace n ON n.oid = t.relnamespace
      JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid AND d.refobjsubid > 0
                      AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
      JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
      JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
      JOIN pg_namespace sn ON sn.oid = s.relnamespace
     WHERE n.nspname IN ($1, $2) AND t.relname = ANY ($3)
)
SELECT format('SELECT setval(%L, greatest((SELECT last_value + is_called::int FROM %s), (SELECT last_value + is_called::int FROM %s)), false)',
              incoming.name, incoming.name, live.name)
  FROM owned live
  JOIN owned incoming USING (of_table, of_column)
 WHERE live.schema = $1 AND incoming.schema = $2";

/// Sessions that had one of the tables `$1` before `$2` and have it still, for people. Whose transaction began when, and from where,
/// is not for every role to see.
const HOLDERS: &str = "
SELECT string_agg(session, ', ')
  FROM (SELECT coalesce(format('session %s (%s)', a.pid,
                               concat_ws(', ', 'role ' || a.usename, nullif(a.application_name, ''), 'from ' || host(a.client_addr),
                                         nullif(a.backend_type, 'client backend'))),
                        'a prepared transaction (see pg_prepared_xacts)') AS session
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
         WHERE l.locktype = 'relation' AND l.granted
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND l.relation IN (SELECT to_regclass(wanted) FROM unnest($1::text[]) AS wanted)
           AND l.pid IS DISTINCT FROM pg_backend_pid() AND coalesce(a.xact_start < $2, true)
         GROUP BY 1
         ORDER BY min(a.xact_start)
         LIMIT 5) AS sessions";

/// What is waited for.
#[derive(Default)]
pub(super) struct Wanted {
    tables: Vec<String>,
    /// Since when, by the server's clock.
    since: Option<jiff_sqlx::Timestamp>,
}

impl Wanted {
    pub(super) async fn next(
        &mut self,
        connection: &mut PgConnection,
        tables: Vec<String>,
    ) -> Result<(), StoreError> {
        let now = sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(connection).await?;
        *self = Self { tables, since: Some(now) };
        Ok(())
    }

    /// Who has had it all the time, for people.
    pub(super) async fn holders(
        &self,
        connection: &mut PgConnection,
    ) -> Result<String, StoreError> {
        let holders: Option<String> = sqlx::query_scalar(HOLDERS)
            .bind(&self.tables)
            .bind(self.since)
            .fetch_one(connection)
            .await?;
        Ok(holders.unwrap_or_else(|| "sessions that have let go of them by now".to_owned()))
    }
}
