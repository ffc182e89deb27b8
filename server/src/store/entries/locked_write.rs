//! Writes a batch whose result depends on the order of its changes, under locks: lock, apply in Rust, write.
//! Optimistic concurrency and idempotency keys are decided here.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection as _, Row as _};
use uuid::Uuid;

use super::fast_put::array_literal;
use super::get::{Entry, MAX_BYTES};
use super::newest_day::newest_day;
use super::stored_bytes::stored_without;
use super::versions::{self, Version};
use crate::domain::memory::apply_changes::{Answered, Applied, Head, LockedState, apply_changes};
use crate::domain::memory::change::{Action, Change, Expected, NewValue, Outcome};
use crate::domain::memory::idempotency::{Idempotency, IdempotencyKey};
use crate::domain::memory::sha256::Sha256Sum;
use crate::domain::memory::usage::{Usage, WriteLimits};
use crate::domain::search::lexical_text::LexicalText;
use crate::domain::{EntryKey, TenantId};
use crate::store::StoreError;
use crate::store::search::documents::made_searchable;
use crate::store::time::{from_sql, to_sql};

/// Locks the tenants' quota rows (`made` where `found` has none), then the idempotency keys (likewise), then the heads, one by one
/// in the given order. A head that another writer makes between this snapshot and our write is caught by the unique index
/// of the history. A key that another writer has answered meanwhile is returned as it is now: an upsert sees the newest
/// row. `$others` is what a tenant has stored besides the bytes in the day's row.
macro_rules! lock {
    ($others:expr) => {
        concat!("
WITH wanted AS (
    SELECT tenant_id, (now() AT TIME ZONE 'UTC')::date AS day FROM unnest($1::uuid[]) AS t (tenant_id)
), found AS MATERIALIZED (
    SELECT q.*
      FROM wanted t", newest_day!("q.tenant_id, q.day, q.writes, q.bytes, q.idempotency_keys, q.stored_bytes", "FOR NO KEY UPDATE"), "
), made AS (
    INSERT INTO quota_usage AS q (tenant_id, day)
    SELECT t.tenant_id, t.day FROM wanted t WHERE t.tenant_id <> ALL (ARRAY (SELECT tenant_id FROM found))
    ON CONFLICT (tenant_id, day) DO UPDATE SET writes = q.writes
    RETURNING q.tenant_id, q.day, q.writes, q.bytes, q.idempotency_keys, q.stored_bytes
), counted AS MATERIALIZED (
    SELECT q.tenant_id, q.day, q.writes, q.bytes, q.idempotency_keys, q.stored_bytes + ", $others, " AS stored_bytes
      FROM (SELECT * FROM found UNION ALL SELECT * FROM made) q
), keyed AS (
    INSERT INTO idempotency_keys AS i (tenant_id, key, request_hash, created_at)
    SELECT k.tenant_id, k.key, k.request_hash, now()
      FROM unnest($5::uuid[], $6::text[], $7::bytea[]) AS k (tenant_id, key, request_hash)
      JOIN counted c ON c.tenant_id = k.tenant_id
    ON CONFLICT (tenant_id, key) DO UPDATE SET key = i.key
    RETURNING i.tenant_id, i.key, i.request_hash, i.version_id, i.written_at,
              i.answered, i.created_at <= now() - interval '24 hours' AS outdated
), locked AS (
    SELECT k.tenant_id, k.ordinal, h.*
      FROM counted c
     CROSS JOIN (SELECT count(*) AS keys FROM keyed) first
      JOIN unnest($2::uuid[], $3::text[], $4::text[]) WITH ORDINALITY AS k (tenant_id, agent_id, path, ordinal)
        ON k.tenant_id = c.tenant_id
     CROSS JOIN LATERAL (
           SELECT e.latest_version_id, e.version, e.updated_at, e.expires_at, e.deleted_at IS NOT NULL AS deleted
             FROM entries e
            WHERE first.keys >= 0 AND e.tenant_id = k.tenant_id AND e.agent_id = k.agent_id AND e.path = k.path
            LIMIT 1 FOR UPDATE) h
)
SELECT c.tenant_id, c.writes, c.bytes, c.idempotency_keys, c.stored_bytes, c.day, clock_timestamp() AS now,
       l.ordinal, l.latest_version_id, l.version, l.updated_at, l.expires_at, l.deleted,
       NULL::text AS key, NULL::bytea AS request_hash, NULL::timestamptz AS written_at, NULL::boolean AS outdated
  FROM counted c LEFT JOIN locked l USING (tenant_id)
 UNION ALL
SELECT k.tenant_id, NULL, NULL, NULL, NULL, NULL, clock_timestamp(), NULL, k.version_id, NULL, NULL, NULL, NULL,
       k.key, k.request_hash, k.written_at, k.outdated
  FROM keyed k
 WHERE k.answered")
    };
}

/// What a tenant has stored counts only where there is a quota.
const LOCK: [&str; 2] = [lock!("0"), lock!(stored_without!("q.day", "q.tenant_id"))];

/// Stores the answer of each locked idempotency key that has one; deletes the placeholder rows of the rest. An entry that is new has
/// versions from 1 on, a microsecond apart.
macro_rules! write_all {
    ($($searchable:tt)*) => {
        concat!("
WITH counted AS (
    UPDATE quota_usage d
       SET writes = d.writes + t.writes, bytes = d.bytes + t.bytes,
           idempotency_keys = d.idempotency_keys + t.idempotency_keys, stored_bytes = d.stored_bytes + t.stored_bytes
      FROM (SELECT u.*, $4::date AS day
              FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $32::bigint[], $33::bigint[])
                   AS u (tenant_id, writes, bytes, idempotency_keys, stored_bytes)) t", newest_day!("q.ctid AS place", ""), "
     WHERE d.ctid = q.place
), answers AS (
    UPDATE idempotency_keys i
       SET answered = true, created_at = now(),
           request_hash = a.request_hash, version_id = a.version_id, written_at = a.written_at
      FROM unnest($25::uuid[], $26::text[], $27::bytea[], $28::uuid[], $29::timestamptz[])
           AS a (tenant_id, key, request_hash, version_id, written_at)
     WHERE i.tenant_id = a.tenant_id AND i.key = a.key
), unanswered AS (
    DELETE FROM idempotency_keys i
     USING unnest($30::uuid[], $31::text[]) AS u (tenant_id, key)
     WHERE i.tenant_id = u.tenant_id AND i.key = u.key AND NOT i.answered
), heads AS (
    INSERT INTO entries AS e
           (tenant_id, agent_id, path, latest_version_id, version, updated_at, expires_at, deleted_at, created_at)
    SELECT h.tenant_id, h.agent_id, h.path, h.id, h.version, h.at, h.expires_at, CASE WHEN h.deleted THEN h.at END,
           h.at - (h.version - 1) * interval '1 microsecond'
      FROM unnest($5::uuid[], $6::text[], $7::text[], $8::uuid[], $9::bigint[], $10::timestamptz[],
                  $11::timestamptz[], $12::bool[])
           AS h (tenant_id, agent_id, path, id, version, at, expires_at, deleted)
    ON CONFLICT (tenant_id, agent_id, path) DO UPDATE
       SET latest_version_id = excluded.latest_version_id, version = excluded.version,
           updated_at = excluded.updated_at, expires_at = excluded.expires_at, deleted_at = excluded.deleted_at
    RETURNING e.latest_version_id
)", $($searchable)*, "
INSERT INTO entry_versions
       (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at, expires_at, deleted_at, author, bytes)
SELECT v.tenant_id, v.id, v.agent_id, v.path, v.version, v.value::json, v.tags::text[], v.importance, v.searchable,
       v.at, v.expires_at, CASE WHEN v.deleted THEN v.at END, v.author, octet_length(v.value)
  FROM unnest($13::uuid[], $14::uuid[], $15::text[], $16::text[], $17::bigint[], $18::text[], $19::text[],
              $20::real[], $21::bool[], $22::timestamptz[], $23::timestamptz[], $24::bool[], $34::text[])
       AS v (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, at, expires_at, deleted, author)")
    };
}

const WRITE: &str = write_all!("");
/// For batches with a searchable value. Others do not pay for it.
const WRITE_SEARCHABLE: &str = write_all!(made_searchable!("$5", "$6", "$7", "$8", "$35"));

/// The result of a locked write.
#[derive(Debug, Default)]
pub struct GroupOutcomes {
    /// The outcome of each change.
    pub outcomes: Vec<Outcome>,
    /// The versions that its reads found.
    pub read: HashMap<Uuid, Entry>,
}

/// Why a locked write has no result.
#[derive(Debug)]
pub enum LockedWriteError {
    /// COMMIT was not sent: nothing was written, even where the connection was lost.
    BeforeCommit(StoreError),
    /// COMMIT failed, or its answer did not come.
    AtCommit(StoreError),
}

impl From<StoreError> for LockedWriteError {
    fn from(error: StoreError) -> Self {
        Self::BeforeCommit(error)
    }
}

impl From<sqlx::Error> for LockedWriteError {
    fn from(error: sqlx::Error) -> Self {
        Self::BeforeCommit(error.into())
    }
}

/// Applies `groups` of changes in order and commits; a group is applied all or none.
pub async fn write(
    connection: &mut PgConnection,
    groups: &[&[&Change]],
    limits: &WriteLimits,
) -> Result<GroupOutcomes, LockedWriteError> {
    let changes = groups.concat();
    let mut transaction = connection.begin().await?;
    let (mut locked, moment) = lock(&mut transaction, &changes, limits).await?;
    sum(&mut transaction, &changes, &mut locked).await?;
    let applied = apply_changes(groups, &locked, limits, moment.now);
    if !applied.versions.is_empty() || !applied.answers.is_empty() {
        store(&mut transaction, &changes, &applied, moment.day).await?;
    }
    let read = read(&mut transaction, &changes, &applied.outcomes).await?;
    if applied.versions.is_empty() && applied.answers.is_empty() {
        transaction.rollback().await?;
    } else {
        transaction.commit().await.map_err(|error| LockedWriteError::AtCommit(error.into()))?;
    }
    Ok(GroupOutcomes { outcomes: applied.outcomes, read })
}

/// The clock of the database while the locks are held.
pub(super) struct Moment {
    pub(super) day: jiff_sqlx::Date,
    pub(super) now: Timestamp,
}

/// Locks what `changes` concern: their tenants' writers, idempotency keys and heads.
pub(super) async fn lock(
    connection: &mut PgConnection,
    changes: &[&Change],
    limits: &WriteLimits,
) -> Result<(LockedState, Moment), StoreError> {
    let mut keys: Vec<&EntryKey> = changes.iter().map(|c| &c.key).collect();
    keys.sort();
    keys.dedup();
    let mut tenants: Vec<Uuid> = keys.iter().map(|k| k.tenant.0).collect();
    tenants.dedup();
    let requests = idempotent(changes);
    let rows = sqlx::query(LOCK[usize::from(limits.stored_bytes.is_some())])
        .bind(tenants)
        .bind(keys.iter().map(|k| k.tenant.0).collect::<Vec<_>>())
        .bind(keys.iter().map(|k| k.agent.as_str()).collect::<Vec<_>>())
        .bind(keys.iter().map(|k| k.path.as_str()).collect::<Vec<_>>())
        .bind(requests.iter().map(|(tenant, _)| tenant.0).collect::<Vec<_>>())
        .bind(requests.iter().map(|(_, r)| r.key.as_str()).collect::<Vec<_>>())
        .bind(requests.iter().map(|(_, r)| r.request_hash.as_slice()).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    let mut locked = LockedState::default();
    let (mut day, mut now) = (None, Timestamp::MIN);
    for row in rows {
        let tenant = TenantId(row.try_get("tenant_id")?);
        now = now.max(row.try_get::<jiff_sqlx::Timestamp, _>("now")?.to_jiff());
        if let Some(key) = row.try_get::<Option<&str>, _>("key")? {
            let Ok(key) = IdempotencyKey::parse(key) else { continue };
            if row.try_get("outdated")? {
                locked.outdated.insert((tenant, key));
            } else {
                locked.answered.insert((tenant, key), answered(&row)?);
            }
            continue;
        }
        day = row.try_get("day")?;
        let used = Usage {
            writes: row.try_get("writes")?,
            bytes: row.try_get("bytes")?,
            idempotency_keys: row.try_get("idempotency_keys")?,
            stored_bytes: row.try_get("stored_bytes")?,
        };
        locked.used.insert(tenant, used);
        let Some(ordinal) = row.try_get::<Option<i64>, _>("ordinal")? else { continue };
        let Some(key) = usize::try_from(ordinal - 1).ok().and_then(|i| keys.get(i)) else {
            continue;
        };
        let head = Head {
            version_id: row.try_get("latest_version_id")?,
            version: row.try_get("version")?,
            updated_at: row.try_get::<jiff_sqlx::Timestamp, _>("updated_at")?.to_jiff(),
            expires_at: from_sql(row.try_get("expires_at")?),
            deleted: row.try_get("deleted")?,
        };
        locked.heads.insert((*key).clone(), head);
    }
    Ok((locked, Moment { day: day.ok_or(sqlx::Error::RowNotFound)?, now }))
}

/// The sums of values, under the locks of their heads. Only changes that expect one pay for it.
const SUMS: &str = "
SELECT k.id, sha256(convert_to(v.value::text, 'UTF8'))
  FROM unnest($1::uuid[], $2::uuid[]) AS k (tenant_id, id)
 CROSS JOIN LATERAL (
       SELECT v.value
         FROM entry_versions v
        WHERE v.tenant_id = k.tenant_id AND v.id = k.id AND v.value IS NOT NULL
        LIMIT 1) v";

/// Adds the sums of the live values that `changes` expect to have one.
async fn sum(
    connection: &mut PgConnection,
    changes: &[&Change],
    locked: &mut LockedState,
) -> Result<(), StoreError> {
    let expects = |change: &&&Change| matches!(change.expected, Some(Expected::Sha256(_)));
    let heads: Vec<(Uuid, Uuid)> = changes
        .iter()
        .filter(expects)
        .filter_map(|c| Some((c.key.tenant.0, locked.heads.get(&c.key)?.version_id)))
        .collect();
    if heads.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query(SUMS)
        .bind(heads.iter().map(|(tenant, _)| *tenant).collect::<Vec<_>>())
        .bind(heads.iter().map(|(_, id)| *id).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    for row in rows {
        let sum = Sha256Sum::from_stored(row.try_get(1)?).ok_or(sqlx::Error::RowNotFound)?;
        locked.sums.insert(row.try_get(0)?, sum);
    }
    Ok(())
}

/// The requests of `changes` with an idempotency key, one a key, sorted.
fn idempotent<'a>(changes: &[&'a Change]) -> Vec<(TenantId, &'a Idempotency)> {
    let mut requests: Vec<(TenantId, &Idempotency)> =
        changes.iter().filter_map(|c| Some((c.key.tenant, c.idempotency.as_ref()?))).collect();
    requests.sort_by_key(|(tenant, request)| (*tenant, &request.key));
    requests.dedup_by_key(|(tenant, request)| (*tenant, &request.key));
    requests
}

fn answered(row: &PgRow) -> Result<Answered, sqlx::Error> {
    let request_hash: &[u8] = row.try_get("request_hash")?;
    let version_id: Option<Uuid> = row.try_get("latest_version_id")?;
    let written_at = from_sql(row.try_get("written_at")?);
    Ok(Answered {
        request_hash: request_hash.try_into().map_err(|_| sqlx::Error::RowNotFound)?,
        version: version_id.zip(written_at),
    })
}

/// Writes what was applied to the locked state.
pub(super) async fn store(
    connection: &mut PgConnection,
    changes: &[&Change],
    applied: &Applied,
    day: jiff_sqlx::Date,
) -> Result<(), StoreError> {
    let versions: Vec<(&Change, Head)> =
        applied.versions.iter().map(|v| (changes[v.change], v.head)).collect();
    // The last version of each entry is its head: walk backwards and take the first seen.
    let mut seen = HashSet::new();
    let mut heads: Vec<&(&Change, Head)> =
        versions.iter().rev().filter(|(c, _)| seen.insert(&c.key)).collect();
    heads.sort_by(|(a, _), (b, _)| a.key.cmp(&b.key));
    let mut usage: Vec<_> = applied.usage.iter().collect();
    usage.sort_by_key(|(tenant, _)| **tenant);
    let answers: Vec<(TenantId, &IdempotencyKey, &Answered)> = applied
        .answers
        .iter()
        .filter_map(|(index, answered)| {
            let change = changes[*index];
            Some((change.key.tenant, &change.idempotency.as_ref()?.key, answered))
        })
        .collect();
    let mut unanswered = idempotent(changes);
    unanswered.retain(|(tenant, request)| {
        !answers.iter().any(|(t, key, _)| t == tenant && **key == request.key)
    });
    let words: Vec<Option<&str>> = heads
        .iter()
        .map(|(c, _)| new_value(c).and_then(|n| n.words.as_ref()).map(LexicalText::as_str))
        .collect();
    let is_searchable = words.iter().any(Option::is_some);
    let query = sqlx::query(if is_searchable { WRITE_SEARCHABLE } else { WRITE })
        .bind(usage.iter().map(|(tenant, _)| tenant.0).collect::<Vec<_>>())
        .bind(usage.iter().map(|(_, usage)| usage.writes).collect::<Vec<_>>())
        .bind(usage.iter().map(|(_, usage)| usage.bytes).collect::<Vec<_>>())
        .bind(day)
        .bind(heads.iter().map(|(c, _)| c.key.tenant.0).collect::<Vec<_>>())
        .bind(heads.iter().map(|(c, _)| c.key.agent.as_str()).collect::<Vec<_>>())
        .bind(heads.iter().map(|(c, _)| c.key.path.as_str()).collect::<Vec<_>>())
        .bind(heads.iter().map(|(_, h)| h.version_id).collect::<Vec<_>>())
        .bind(heads.iter().map(|(_, h)| h.version).collect::<Vec<_>>())
        .bind(heads.iter().map(|(_, h)| h.updated_at.to_sqlx()).collect::<Vec<_>>())
        .bind(heads.iter().map(|(_, h)| to_sql(h.expires_at)).collect::<Vec<_>>())
        .bind(heads.iter().map(|(_, h)| h.deleted).collect::<Vec<_>>())
        .bind(versions.iter().map(|(c, _)| c.key.tenant.0).collect::<Vec<_>>())
        .bind(versions.iter().map(|(c, _)| c.version_id).collect::<Vec<_>>())
        .bind(versions.iter().map(|(c, _)| c.key.agent.as_str()).collect::<Vec<_>>())
        .bind(versions.iter().map(|(c, _)| c.key.path.as_str()).collect::<Vec<_>>())
        .bind(versions.iter().map(|(_, h)| h.version).collect::<Vec<_>>())
        .bind(
            versions
                .iter()
                .map(|(c, _)| new_value(c).map(|n| n.value.as_str()))
                .collect::<Vec<_>>(),
        )
        .bind(
            versions
                .iter()
                .map(|(c, _)| array_literal(new_value(c).map_or(&[], |n| n.tags.as_slice())))
                .collect::<Vec<_>>(),
        )
        .bind(
            versions
                .iter()
                .map(|(c, _)| new_value(c).map_or(0.0, |n| n.importance))
                .collect::<Vec<_>>(),
        )
        .bind(
            versions
                .iter()
                .map(|(c, _)| new_value(c).is_some_and(|n| n.words.is_some()))
                .collect::<Vec<_>>(),
        )
        .bind(versions.iter().map(|(_, h)| h.updated_at.to_sqlx()).collect::<Vec<_>>())
        .bind(versions.iter().map(|(_, h)| to_sql(h.expires_at)).collect::<Vec<_>>())
        .bind(versions.iter().map(|(_, h)| h.deleted).collect::<Vec<_>>())
        .bind(answers.iter().map(|(tenant, _, _)| tenant.0).collect::<Vec<_>>())
        .bind(answers.iter().map(|(_, key, _)| key.as_str()).collect::<Vec<_>>())
        .bind(answers.iter().map(|(_, _, a)| a.request_hash.as_slice()).collect::<Vec<_>>())
        .bind(answers.iter().map(|(_, _, a)| a.version.map(|(id, _)| id)).collect::<Vec<_>>())
        .bind(
            answers.iter().map(|(_, _, a)| to_sql(a.version.map(|(_, at)| at))).collect::<Vec<_>>(),
        )
        .bind(unanswered.iter().map(|(tenant, _)| tenant.0).collect::<Vec<_>>())
        .bind(unanswered.iter().map(|(_, r)| r.key.as_str()).collect::<Vec<_>>())
        .bind(usage.iter().map(|(_, usage)| usage.idempotency_keys).collect::<Vec<_>>())
        .bind(usage.iter().map(|(_, usage)| usage.stored_bytes).collect::<Vec<_>>())
        .bind(versions.iter().map(|(c, _)| c.author()).collect::<Vec<_>>());
    let query = if is_searchable { query.bind(words) } else { query };
    query.execute(connection).await?;
    Ok(())
}

/// Reads, in this transaction, the versions that the reads among `changes` have found; of each tenant up to
/// [`MAX_BYTES`].
async fn read(
    connection: &mut PgConnection,
    changes: &[&Change],
    outcomes: &[Outcome],
) -> Result<HashMap<Uuid, Entry>, StoreError> {
    let mut found: HashMap<TenantId, Vec<Uuid>> = HashMap::new();
    for (change, outcome) in changes.iter().zip(outcomes) {
        if let Outcome::Read(Some(id)) = outcome {
            found.entry(change.key.tenant).or_default().push(*id);
        }
    }
    let mut entries = HashMap::new();
    for (tenant, ids) in found {
        let read = versions::read(&mut *connection, tenant, &ids, MAX_BYTES).await?;
        let read = read.versions.into_iter().filter_map(Version::entry);
        entries.extend(read.map(|entry| (entry.version_id, entry)));
    }
    Ok(entries)
}

fn new_value(change: &Change) -> Option<&NewValue> {
    match &change.action {
        Action::Put(new) => Some(new),
        Action::Delete | Action::Read => None,
    }
}
