//! What is known of restores in place: how far each is, and which tables are the previous ones. At most one is unfinished. Whoever works
//! on one locks its row in each step, so that a run whose session has ended cannot go on beside its successor.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::refill::Emptied;
use super::{MOVING, PREVIOUS, meta};
use crate::store::time::from_sql;
use crate::store::{StoreError, requests};

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A restore of a backup.
    Restore,
    /// The undoing of one.
    Undo,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Restore => "restore",
            Self::Undo => "undo",
        }
    }

    fn from_column(text: &str) -> Option<Self> {
        [Self::Restore, Self::Undo].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Something is loaded beside the live tables; nothing has changed.
    Staging,
    /// Servers are kept off the live tables, which are about to be emptied; nothing else has changed.
    Closed,
    /// The live tables are empty, or half filled in a transaction that is not committed. Servers are kept off them.
    Emptied,
    /// It is live; what follows is under way.
    Switched,
    /// It came to its end.
    Finished,
    /// It ended before the switch; nothing has changed.
    GivenUp,
}

impl Phase {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Staging => "staging",
            Self::Closed => "closed",
            Self::Emptied => "emptied",
            Self::Switched => "switched",
            Self::Finished => "finished",
            Self::GivenUp => "given up",
        }
    }

    fn from_column(text: &str) -> Option<Self> {
        use Phase::{Closed, Emptied, Finished, GivenUp, Staging, Switched};

        [Staging, Closed, Emptied, Switched, Finished, GivenUp]
            .into_iter()
            .find(|phase| phase.as_str() == text)
    }
}

/// A restore or an undoing.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its id.
    pub id: Uuid,
    /// What was asked for.
    pub kind: Kind,
    /// The backup's id; of an undoing, the one of the restore that it undoes.
    pub backup: String,
    /// The instance that the backup is of.
    pub instance: String,
    /// How far it is.
    pub phase: Phase,
    /// When it began.
    pub begun_at: Timestamp,
    /// When it was live.
    pub switched_at: Option<Timestamp>,
    /// How long requests waited for that, in seconds, up to its COMMIT.
    pub switch_seconds: Option<f64>,
    /// Until when its previous tables stay.
    pub previous_until: Option<Timestamp>,
    /// Embedding models whose vector index has to be built afterwards.
    pub models: Vec<i32>,
    /// The schema with this OID is the one that it staged in.
    pub staging: Option<u32>,
    /// The schema with this OID holds its previous tables, as long as there are any.
    pub previous_schema: Option<u32>,
    /// The OIDs of the previous tables.
    pub previous: Vec<u32>,
    /// Of one that empties the live tables and fills them again: what is known of before.
    pub emptied: Option<Emptied>,
}

/// Each fine where it was executed before. A release that keeps more appends what it needs; one that does not know a column goes on.
/// A column is added only where it is missing: ADD COLUMN IF NOT EXISTS waits for a dump by hand, which holds this table as well, even
/// where it has nothing to add.
const MAKE: &str = "
CREATE TABLE IF NOT EXISTS agentfs_meta.restores (
    id              uuid PRIMARY KEY,
    kind            text NOT NULL,
    backup          text NOT NULL,
    instance        text NOT NULL,
    phase           text NOT NULL,
    begun_at        timestamptz NOT NULL DEFAULT now(),
    switched_at     timestamptz,
    switch_seconds  float8,
    previous_until  timestamptz,
    models          int[] NOT NULL,
    staging         oid,
    previous_schema oid,
    previous        oid[] NOT NULL DEFAULT '{}'
);
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'agentfs_meta.restores'::regclass AND attname = 'emptied') THEN
        ALTER TABLE agentfs_meta.restores ADD COLUMN emptied text;
    END IF;
END
$$;
CREATE UNIQUE INDEX IF NOT EXISTS restores_one_unfinished ON agentfs_meta.restores ((true)) WHERE phase NOT IN ('finished', 'given up');
CREATE TABLE IF NOT EXISTS agentfs_meta.autovacuum_off (
    -- A table that autovacuum is kept off, in whatever schema it is.
    relation oid PRIMARY KEY,
    -- Its autovacuum_enabled before; null where it had none.
    former   text
);";

/// Makes what restores are noted in, where it is missing.
pub async fn prepare(connection: &mut PgConnection) -> Result<(), StoreError> {
    meta::make(connection, &["restores", "autovacuum_off"], MAKE).await
}

const BEGIN: &str = "
INSERT INTO agentfs_meta.restores (id, kind, backup, instance, phase, models) VALUES ($1, $2, $3, $4, $5, $6)";

/// Notes a new one as staging. There must be no unfinished one: of two that begin at once, one fails as contended.
pub async fn begin(
    connection: &mut PgConnection,
    kind: Kind,
    backup: &str,
    instance: &str,
    models: &[i32],
) -> Result<Uuid, StoreError> {
    let id = Uuid::now_v7();
    sqlx::query(BEGIN)
        .bind(id)
        .bind(kind.as_str())
        .bind(backup)
        .bind(instance)
        .bind(Phase::Staging.as_str())
        .bind(models)
        .execute(connection)
        .await?;
    Ok(id)
}

/// The one of this id.
pub async fn find(connection: &mut PgConnection, id: Uuid) -> Result<Option<Record>, StoreError> {
    if !are_noted(&mut *connection).await? {
        return Ok(None);
    }
    let find = "SELECT r.* FROM agentfs_meta.restores r WHERE id = $1";
    Ok(sqlx::query_as(find).bind(id).fetch_optional(connection).await?)
}

const UNFINISHED: &str =
    "SELECT r.* FROM agentfs_meta.restores r WHERE phase NOT IN ('finished', 'given up')";

/// The unfinished one, if there is any; none where nothing was ever restored in place.
pub async fn unfinished(connection: &mut PgConnection) -> Result<Option<Record>, StoreError> {
    look(connection, UNFINISHED).await
}

/// The unfinished one that has switched for a request, if there is any. The request knows that it has, whatever becomes of the record.
pub async fn switched_for_a_request(
    connection: &mut PgConnection,
) -> Result<Option<Record>, StoreError> {
    let Some(record) = unfinished(&mut *connection).await? else { return Ok(None) };
    let is_one =
        record.phase == Phase::Switched && requests::has_restore(connection, record.id).await?;
    Ok(is_one.then_some(record))
}

/// A schema of another OID is another one, whatever its name.
const WITH_PREVIOUS: &str = "
SELECT r.*
  FROM agentfs_meta.restores r
  JOIN pg_namespace n ON n.oid = r.previous_schema AND n.nspname = 'agentfs_old'
 ORDER BY r.switched_at DESC
 LIMIT 1";

/// The one whose previous tables are there, if any are.
pub async fn with_previous(connection: &mut PgConnection) -> Result<Option<Record>, StoreError> {
    look(connection, WITH_PREVIOUS).await
}

/// The one that has emptied the live tables and has not filled them again, if there is one, with what is known of before.
pub async fn emptied(
    connection: &mut PgConnection,
) -> Result<Option<(Record, Emptied)>, StoreError> {
    let found = unfinished(connection).await?.filter(|record| record.phase == Phase::Emptied);
    Ok(found.and_then(|record| record.emptied.clone().map(|emptied| (record, emptied))))
}

/// The last one that has switched.
pub async fn last_switched(connection: &mut PgConnection) -> Result<Option<Record>, StoreError> {
    let last = "SELECT r.* FROM agentfs_meta.restores r WHERE switched_at IS NOT NULL ORDER BY switched_at DESC LIMIT 1";
    look(connection, last).await
}

/// How often the last restore that has switched was undone since, each undoing of an undoing included. An odd number: what was live
/// before it is live.
pub async fn undoings(connection: &mut PgConnection) -> Result<i64, StoreError> {
    if !are_noted(&mut *connection).await? {
        return Ok(0);
    }
    let count = "SELECT count(*) FROM agentfs_meta.restores
                  WHERE kind = 'undo' AND switched_at > ALL (SELECT switched_at FROM agentfs_meta.restores WHERE kind = 'restore' AND switched_at IS NOT NULL)";
    Ok(sqlx::query_scalar(count).fetch_one(connection).await?)
}

async fn look(
    connection: &mut PgConnection,
    records: &'static str,
) -> Result<Option<Record>, StoreError> {
    if !are_noted(&mut *connection).await? {
        return Ok(None);
    }
    Ok(sqlx::query_as(records).fetch_optional(connection).await?)
}

async fn are_noted(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let found = "SELECT to_regclass('agentfs_meta.restores') IS NOT NULL";
    Ok(sqlx::query_scalar(found).fetch_one(connection).await?)
}

impl FromRow<'_, PgRow> for Record {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let moment = |column| Ok::<_, sqlx::Error>(from_sql(row.try_get(column)?));
        let oid =
            |column| Ok::<_, sqlx::Error>(row.try_get::<Option<Oid>, _>(column)?.map(|oid| oid.0));
        let of_newer = |column: &str, text: &str| sqlx::Error::ColumnDecode {
            index: column.to_owned(),
            source: format!("{text:?} is of a newer release; use that").into(),
        };
        let (kind, phase): (&str, &str) = (row.try_get("kind")?, row.try_get("phase")?);
        Ok(Self {
            id: row.try_get("id")?,
            kind: Kind::from_column(kind).ok_or_else(|| of_newer("kind", kind))?,
            backup: row.try_get("backup")?,
            instance: row.try_get("instance")?,
            phase: Phase::from_column(phase).ok_or_else(|| of_newer("phase", phase))?,
            begun_at: row.try_get::<jiff_sqlx::Timestamp, _>("begun_at")?.to_jiff(),
            switched_at: moment("switched_at")?,
            switch_seconds: row.try_get("switch_seconds")?,
            previous_until: moment("previous_until")?,
            models: row.try_get("models")?,
            staging: oid("staging")?,
            previous_schema: oid("previous_schema")?,
            previous: row
                .try_get::<Vec<Oid>, _>("previous")?
                .into_iter()
                .map(|oid| oid.0)
                .collect(),
            emptied: parsed(row)?,
        })
    }
}

/// The column is missing where no release that knows it has begun a restore.
fn parsed(row: &PgRow) -> Result<Option<Emptied>, sqlx::Error> {
    let text = match row.try_get::<Option<&str>, _>("emptied") {
        Err(sqlx::Error::ColumnNotFound(_)) => None,
        text => text?,
    };
    let parsed = text.map(serde_json::from_str).transpose();
    parsed.map_err(|error| sqlx::Error::ColumnDecode {
        index: "emptied".to_owned(),
        source: error.into(),
    })
}

/// Locks the row of `id` until the transaction ends. False where it is not in `phase` any more: another run has taken over.
pub async fn hold(
    connection: &mut PgConnection,
    id: Uuid,
    phase: Phase,
) -> Result<bool, StoreError> {
    let lock = "SELECT id FROM agentfs_meta.restores WHERE id = $1 AND phase = $2 FOR UPDATE";
    let row = sqlx::query(lock).bind(id).bind(phase.as_str()).fetch_optional(connection).await?;
    Ok(row.is_some())
}

/// Ends one: `Finished`, or `GivenUp` where it had not switched. False where it has another phase than `from`.
pub async fn end(
    connection: &mut PgConnection,
    id: Uuid,
    from: Phase,
    to: Phase,
) -> Result<bool, StoreError> {
    let end = "UPDATE agentfs_meta.restores SET phase = $3 WHERE id = $1 AND phase = $2";
    let ended =
        sqlx::query(end).bind(id).bind(from.as_str()).bind(to.as_str()).execute(connection).await?;
    Ok(ended.rows_affected() > 0)
}

/// Notes the schema that `id` stages in.
pub(super) async fn note_staging(
    connection: &mut PgConnection,
    id: Uuid,
    oid: u32,
) -> Result<(), StoreError> {
    let note = "UPDATE agentfs_meta.restores SET staging = $2 WHERE id = $1";
    sqlx::query(note).bind(id).bind(Oid(oid)).execute(connection).await?;
    Ok(())
}

/// Notes that there are no previous tables of any but `id`.
pub(super) async fn forget_previous(
    connection: &mut PgConnection,
    id: Option<Uuid>,
) -> Result<(), StoreError> {
    let forget = "UPDATE agentfs_meta.restores SET previous_schema = NULL, previous = '{}'
                   WHERE previous_schema IS NOT NULL AND id IS DISTINCT FROM $1";
    sqlx::query(forget).bind(id).execute(connection).await?;
    Ok(())
}

/// Notes `$1` as switched, with what is in the schema `$4` now. It waited since `$2`.
pub(super) const SWITCHED: &str = "
UPDATE agentfs_meta.restores
   SET phase = 'switched', switched_at = clock_timestamp(), switch_seconds = extract(epoch FROM clock_timestamp() - $2::timestamptz),
       previous_until = clock_timestamp() + $3::float8 * interval '1 second',
       previous_schema = n.oid,
       previous = ARRAY (SELECT c.oid FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind = 'r' AND c.relname = ANY ($5::text[]))
  FROM pg_namespace n
 WHERE id = $1::uuid AND n.nspname = $4::text
RETURNING switched_at";

/// Executes [`SWITCHED`]; returns the moment.
pub(super) async fn note_switched(
    connection: &mut PgConnection,
    id: Uuid,
    since: Option<jiff_sqlx::Timestamp>,
    keep_previous: Duration,
) -> Result<Timestamp, StoreError> {
    let at: jiff_sqlx::Timestamp = sqlx::query_scalar(SWITCHED)
        .bind(id)
        .bind(since)
        .bind(keep_previous.as_secs_f64())
        .bind(PREVIOUS)
        .bind(MOVING.as_slice())
        .fetch_one(connection)
        .await?;
    Ok(at.to_jiff())
}
