//! Requests: resources that commands carry out once for ever. They are noted in `agentfs_meta.requests`, beside the tables, so that no
//! restore in place takes them back. Where another database becomes the live one, they are carried over.

use agentfs_contract::request::Request;
use agentfs_contract::termination::AlreadyDone;
use jiff::Timestamp;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::{Connection as _, Postgres, Row as _};
use uuid::Uuid;

use super::StoreError;
use super::connection::address::DatabaseAddress;
use super::connection::patient;
use super::in_place::meta;
use super::in_place::records::{self, Phase};
use super::time::from_sql;
use crate::settings::DatabaseUrl;

const TABLE: &str = "requests";

/// A release that keeps more appends what it needs (a column only where it is missing).
const MAKE: &str = "
CREATE TABLE IF NOT EXISTS agentfs_meta.requests (
    kind        text NOT NULL,
    namespace   text NOT NULL,
    name        text NOT NULL,
    -- A hash of the resource's spec.
    spec        text NOT NULL,
    begun_at    timestamptz NOT NULL DEFAULT now(),
    -- The uid of the resource that began it, and when a run of it was seen last.
    uid         text,
    seen_at     timestamptz NOT NULL DEFAULT now(),
    -- The backup that it made or chose, with its folder.
    backup      text,
    -- The restore that it is, and since when what was restored is there.
    restore     uuid,
    switched_at timestamptz,
    -- Embedding models whose vector index is built after that, where nothing else says it.
    models      int[],
    ended_at    timestamptz,
    succeeded   bool,
    message     text,
    PRIMARY KEY (kind, namespace, name, spec)
)";

/// The row of a request.
macro_rules! is_it {
    () => {
        "kind = $1 AND namespace = $2 AND name = $3 AND spec = $4"
    };
}

/// What is known of a request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Noted {
    /// Whether it was begun.
    pub is_begun: bool,
    /// The uid of the resource that began it.
    pub uid: Option<String>,
    /// When a run of it was seen last.
    pub seen_at: Option<Timestamp>,
    /// The backup that it made or chose, with its folder.
    pub backup: Option<String>,
    /// The restore that it is, once that has begun.
    pub restore: Option<Uuid>,
    /// Since when what was restored is there.
    pub switched_at: Option<Timestamp>,
    /// Whether it has emptied the live tables and not filled them again.
    pub has_emptied: bool,
    /// Embedding models whose vector index is built after that, where nothing else says it.
    pub models: Vec<i32>,
    /// How it ended.
    pub ended: Option<AlreadyDone>,
}

/// What a request restores into a database that has not got its name yet.
#[derive(Debug, Clone, Copy)]
pub struct Made<'a> {
    /// The restore.
    pub restore: Uuid,
    /// The backup, with its folder; `None` of a file.
    pub backup: Option<&'a str>,
    /// Embedding models whose vector index is still to be built.
    pub models: &'a [i32],
}

/// A session that keeps other runs of a request off for as long as it lasts.
#[derive(Debug)]
pub struct Hold {
    connection: PgConnection,
    key: String,
}

/// The key of the lock on a request.
macro_rules! key {
    () => {
        "hashtextextended('agentfs-server request ' || $1, 0)"
    };
}

const HOLD: &str = concat!("SELECT pg_try_advisory_lock(", key!(), ")");
const IS_HELD: &str = concat!(
    "SELECT EXISTS (SELECT FROM pg_locks
                     WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted
                       AND classid::bigint << 32 | objid::bigint = ",
    key!(),
    ")"
);

impl Hold {
    /// Takes a request on a connection of its own; `None` where another run has it.
    pub async fn take(url: &DatabaseUrl, request: &Request) -> Result<Option<Self>, StoreError> {
        let mut connection = DatabaseAddress::of(url).connect_unlimited().await?;
        patient::set_up(&mut connection).await?;
        let key = request.to_string();
        let is_ours = sqlx::query_scalar(HOLD).bind(&key).fetch_one(&mut connection).await?;
        Ok(if is_ours { Some(Self { connection, key }) } else { None })
    }

    /// Notes a request as begun, unless it was before. What is known of it.
    pub async fn begin(&mut self, request: &Request) -> Result<Noted, StoreError> {
        meta::make(&mut self.connection, &[TABLE], MAKE).await?;
        let begin = "INSERT INTO agentfs_meta.requests (kind, namespace, name, spec, uid)
                     VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        of(begin, request).bind(&request.uid).execute(&mut self.connection).await?;
        look(&mut self.connection, request).await
    }

    /// Notes that a run of the request is at work.
    pub async fn see(&mut self, request: &Request) -> Result<(), StoreError> {
        let see = concat!("UPDATE agentfs_meta.requests SET seen_at = now() WHERE ", is_it!());
        of(see, request).execute(&mut self.connection).await?;
        Ok(())
    }

    /// Ends a request that nobody goes on with.
    pub async fn give_up(&mut self, request: &Request, message: &str) -> Result<Noted, StoreError> {
        let end = concat!(
            "UPDATE agentfs_meta.requests SET ended_at = seen_at, succeeded = false, message = $5
              WHERE ended_at IS NULL AND ",
            is_it!()
        );
        of(end, request).bind(message).execute(&mut self.connection).await?;
        look(&mut self.connection, request).await
    }

    /// Whether the session still has the request.
    pub async fn is_held(&mut self) -> Result<bool, StoreError> {
        let held = sqlx::query_scalar(IS_HELD).bind(&self.key);
        Ok(held.fetch_one(&mut self.connection).await?)
    }

    /// Lets it go, so that whoever comes next has it at once: a session ends a moment after its connection.
    pub async fn release(self) {
        // One that is gone holds nothing.
        self.connection.close().await.ok();
    }
}

fn of<'q>(sql: &'static str, request: &'q Request) -> Query<'q, Postgres, PgArguments> {
    let Request { kind, namespace, name, spec, uid: _ } = request;
    sqlx::query(sql).bind(kind).bind(namespace).bind(name).bind(spec)
}

async fn are_noted(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let found = "SELECT to_regclass('agentfs_meta.requests') IS NOT NULL";
    Ok(sqlx::query_scalar(found).fetch_one(connection).await?)
}

/// What is known of a request in the database of a connection; nothing where it was never begun there.
pub async fn look(connection: &mut PgConnection, request: &Request) -> Result<Noted, StoreError> {
    if !are_noted(&mut *connection).await? {
        return Ok(Noted::default());
    }
    let look = concat!("SELECT r.* FROM agentfs_meta.requests r WHERE ", is_it!());
    let row = of(look, request).fetch_optional(&mut *connection).await?;
    let mut noted = row.map(|row| read(&row)).transpose()?.unwrap_or_default();
    if let Some(id) = noted.restore {
        let record = records::find(connection, id).await?;
        noted.has_emptied = record.as_ref().is_some_and(|record| record.phase == Phase::Emptied);
        if let Some(ended) = &mut noted.ended {
            ended.restore = Some(id.to_string());
            ended.switched_at = noted.switched_at;
            ended.previous_until = record.and_then(|record| record.previous_until);
        }
    }
    Ok(noted)
}

fn read(row: &PgRow) -> Result<Noted, sqlx::Error> {
    let moment = |column| Ok::<_, sqlx::Error>(from_sql(row.try_get(column)?));
    let ended = match moment("ended_at")? {
        Some(already_done) => Some(AlreadyDone {
            already_done,
            succeeded: row.try_get::<Option<_>, _>("succeeded")?.unwrap_or_default(),
            message: row.try_get::<Option<_>, _>("message")?.unwrap_or_default(),
            restore: None,
            switched_at: None,
            previous_until: None,
        }),
        None => None,
    };
    Ok(Noted {
        is_begun: true,
        uid: row.try_get("uid")?,
        seen_at: moment("seen_at")?,
        backup: row.try_get("backup")?,
        restore: row.try_get("restore")?,
        switched_at: moment("switched_at")?,
        has_emptied: false,
        models: row.try_get::<Option<_>, _>("models")?.unwrap_or_default(),
        ended,
    })
}

/// Notes the backup that a request makes or has chosen.
pub async fn note_backup(
    connection: &mut PgConnection,
    request: &Request,
    backup: &str,
) -> Result<(), StoreError> {
    let note = concat!("UPDATE agentfs_meta.requests SET backup = $5 WHERE ", is_it!());
    of(note, request).bind(backup).execute(connection).await?;
    Ok(())
}

/// Notes the restore in place that a request is. The switch of that notes its moment.
pub async fn note_restore(
    connection: &mut PgConnection,
    request: &Request,
    restore: Uuid,
) -> Result<(), StoreError> {
    let note = concat!("UPDATE agentfs_meta.requests SET restore = $5 WHERE ", is_it!());
    of(note, request).bind(restore).execute(connection).await?;
    Ok(())
}

/// Whether a request is the restore `restore`.
pub async fn has_restore(connection: &mut PgConnection, restore: Uuid) -> Result<bool, StoreError> {
    if !are_noted(&mut *connection).await? {
        return Ok(false);
    }
    let found = "SELECT EXISTS (SELECT FROM agentfs_meta.requests WHERE restore = $1)";
    Ok(sqlx::query_scalar(found).bind(restore).fetch_one(connection).await?)
}

/// Notes that a restore has switched, as a part of the transaction that does it. Fine where it is of no request.
pub(super) async fn note_switched(
    connection: &mut PgConnection,
    restore: Uuid,
) -> Result<(), StoreError> {
    if are_noted(&mut *connection).await? {
        let note =
            "UPDATE agentfs_meta.requests SET switched_at = clock_timestamp() WHERE restore = $1";
        sqlx::query(note).bind(restore).execute(connection).await?;
    }
    Ok(())
}

/// Notes in the database of `url`, which is about to have its name, that it is what a request restores. As soon as it has that, the
/// request has switched.
pub async fn note_made(
    url: &DatabaseUrl,
    request: &Request,
    made: Made<'_>,
) -> Result<(), StoreError> {
    let mut connection = DatabaseAddress::of(url).connect_unlimited().await?;
    meta::make(&mut connection, &[TABLE], MAKE).await?;
    let note =
        "INSERT INTO agentfs_meta.requests (kind, namespace, name, spec, restore, backup, models, switched_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp())
                ON CONFLICT (kind, namespace, name, spec) DO UPDATE
                SET restore = excluded.restore, backup = excluded.backup, models = excluded.models,
                    switched_at = excluded.switched_at";
    let Made { restore, backup, models } = made;
    let note = of(note, request).bind(restore).bind(backup).bind(models);
    note.execute(&mut connection).await?;
    // A database is renamed only without sessions.
    Ok(connection.close().await?)
}

/// Notes how a request ended. One that has ended stays as it is.
pub async fn end(
    connection: &mut PgConnection,
    request: &Request,
    succeeded: bool,
    message: &str,
) -> Result<(), StoreError> {
    meta::make(&mut *connection, &[TABLE], MAKE).await?;
    let end =
        "INSERT INTO agentfs_meta.requests AS r (kind, namespace, name, spec, ended_at, succeeded, message)
               VALUES ($1, $2, $3, $4, now(), $5, $6)
               ON CONFLICT (kind, namespace, name, spec) DO UPDATE
               SET ended_at = excluded.ended_at, succeeded = excluded.succeeded, message = excluded.message
             WHERE r.ended_at IS NULL";
    of(end, request).bind(succeeded).bind(message).execute(connection).await?;
    Ok(())
}

/// What becomes of a request that both databases know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carry {
    /// It is as the live database has it: the other one has yet to take its place.
    AllAsLive,
    /// It ends where it has ended before the other database took the place of the live one.
    Ends,
}

/// Brings the requests of the live database into one that is about to have its name.
pub async fn carry_into(live: &DatabaseUrl, new: &DatabaseUrl) -> Result<(), StoreError> {
    let mut live = DatabaseAddress::of(live).connect_unlimited().await?;
    let mut new = DatabaseAddress::of(new).connect_unlimited().await?;
    carry(&mut live, &mut new, Carry::AllAsLive).await?;
    // A database is renamed only without sessions.
    Ok(new.close().await?)
}

/// Brings the requests of the database that is live, or was, into the one that takes its place, or did.
pub async fn carry(
    live: &mut PgConnection,
    new: &mut PgConnection,
    carry: Carry,
) -> Result<(), StoreError> {
    if !are_noted(&mut *live).await? {
        return Ok(());
    }
    // By name, since the two may have the columns of two releases.
    let rows = "SELECT coalesce(json_agg(r), '[]')::text FROM agentfs_meta.requests r";
    let rows: String = sqlx::query_scalar(rows).fetch_one(live).await?;
    meta::make(&mut *new, &[TABLE], MAKE).await?;
    let insert = match carry {
        Carry::AllAsLive => {
            "INSERT INTO agentfs_meta.requests AS r
             SELECT * FROM json_populate_recordset(NULL::agentfs_meta.requests, $1::json)
             ON CONFLICT (kind, namespace, name, spec) DO UPDATE
             SET backup = excluded.backup, restore = excluded.restore, switched_at = excluded.switched_at, models = excluded.models,
                 ended_at = excluded.ended_at, succeeded = excluded.succeeded, message = excluded.message"
        }
        Carry::Ends => {
            "INSERT INTO agentfs_meta.requests AS r
             SELECT * FROM json_populate_recordset(NULL::agentfs_meta.requests, $1::json)
             ON CONFLICT (kind, namespace, name, spec) DO UPDATE
             SET ended_at = excluded.ended_at, succeeded = excluded.succeeded, message = excluded.message
           WHERE r.ended_at IS NULL AND excluded.ended_at IS NOT NULL"
        }
    };
    sqlx::query(insert).bind(rows).execute(new).await?;
    Ok(())
}
