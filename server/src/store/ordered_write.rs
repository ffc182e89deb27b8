//! A batch in which the order of changes decides what they do: lock, fold in Rust, write.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};
use uuid::Uuid;

use super::plain_put::array_literal;
use super::{StoreError, from_sql, to_sql};
use crate::domain::change::{Action, Change, NewValue, Outcome};
use crate::domain::fold::{Folded, Head, fold};
use crate::domain::{EntryKey, TenantId};

/// Takes the tenants' quota rows (made where missing) and then the heads, one by one in the order given. A head that
/// another writer makes between this snapshot and our write is caught by the unique index of the history.
const LOCK: &str = "
WITH counted AS (
    INSERT INTO quota_usage AS q (tenant_id, day)
    SELECT t.tenant_id, (now() AT TIME ZONE 'UTC')::date FROM unnest($1::uuid[]) AS t (tenant_id)
    ON CONFLICT (tenant_id, day) DO UPDATE SET writes = q.writes
    RETURNING q.tenant_id, q.day, q.writes
), locked AS (
    SELECT k.tenant_id, k.ordinal, h.*
      FROM counted c
      JOIN unnest($2::uuid[], $3::text[], $4::text[]) WITH ORDINALITY AS k (tenant_id, agent_id, path, ordinal)
        ON k.tenant_id = c.tenant_id
     CROSS JOIN LATERAL (
           SELECT e.latest_version_id, e.version, e.updated_at, e.expires_at, e.deleted_at IS NOT NULL AS deleted
             FROM entries e
            WHERE e.tenant_id = k.tenant_id AND e.agent_id = k.agent_id AND e.path = k.path
            LIMIT 1 FOR UPDATE) h
)
SELECT c.tenant_id, c.writes, c.day, clock_timestamp() AS now,
       l.ordinal, l.latest_version_id, l.version, l.updated_at, l.expires_at, l.deleted
  FROM counted c LEFT JOIN locked l USING (tenant_id)";

const WRITE: &str = "
WITH counted AS (
    UPDATE quota_usage q SET writes = q.writes + u.writes, bytes = q.bytes + u.bytes
      FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS u (tenant_id, writes, bytes)
     WHERE q.tenant_id = u.tenant_id AND q.day = $4
), heads AS (
    INSERT INTO entries AS e
           (tenant_id, agent_id, path, latest_version_id, version, updated_at, expires_at, deleted_at)
    SELECT h.tenant_id, h.agent_id, h.path, h.id, h.version, h.at, h.expires_at, CASE WHEN h.deleted THEN h.at END
      FROM unnest($5::uuid[], $6::text[], $7::text[], $8::uuid[], $9::bigint[], $10::timestamptz[],
                  $11::timestamptz[], $12::bool[])
           AS h (tenant_id, agent_id, path, id, version, at, expires_at, deleted)
    ON CONFLICT (tenant_id, agent_id, path) DO UPDATE
       SET latest_version_id = excluded.latest_version_id, version = excluded.version,
           updated_at = excluded.updated_at, expires_at = excluded.expires_at, deleted_at = excluded.deleted_at
)
INSERT INTO entry_versions
       (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at, expires_at, deleted_at)
SELECT v.tenant_id, v.id, v.agent_id, v.path, v.version, v.value::json, v.tags::text[], v.importance, v.searchable,
       v.at, v.expires_at, CASE WHEN v.deleted THEN v.at END
  FROM unnest($13::uuid[], $14::uuid[], $15::text[], $16::text[], $17::bigint[], $18::text[], $19::text[],
              $20::real[], $21::bool[], $22::timestamptz[], $23::timestamptz[], $24::bool[])
       AS v (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, at, expires_at, deleted)";

struct Locked {
    heads: HashMap<EntryKey, Head>,
    used: HashMap<TenantId, i64>,
    day: jiff_sqlx::Date,
    now: Timestamp,
}

/// Applies `changes` in their order and commits; answers what became of each.
pub async fn write(
    connection: &mut PgConnection,
    changes: &[&Change],
    daily_writes: Option<i64>,
) -> Result<Vec<Outcome>, StoreError> {
    let mut transaction = connection.begin().await?;
    let locked = lock(&mut transaction, changes).await?;
    let folded = fold(changes, &locked.heads, &locked.used, daily_writes, locked.now);
    if folded.versions.is_empty() {
        transaction.rollback().await?;
    } else {
        store(&mut transaction, changes, &folded, locked.day).await?;
        transaction.commit().await?;
    }
    Ok(folded.outcomes)
}

async fn lock(connection: &mut PgConnection, changes: &[&Change]) -> Result<Locked, StoreError> {
    let mut keys: Vec<&EntryKey> = changes.iter().map(|c| &c.key).collect();
    keys.sort();
    keys.dedup();
    let mut tenants: Vec<Uuid> = keys.iter().map(|k| k.tenant.0).collect();
    tenants.dedup();
    let rows = sqlx::query(LOCK)
        .bind(tenants)
        .bind(keys.iter().map(|k| k.tenant.0).collect::<Vec<_>>())
        .bind(keys.iter().map(|k| k.agent.as_str()).collect::<Vec<_>>())
        .bind(keys.iter().map(|k| k.path.as_str()).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    let mut locked = Locked {
        heads: HashMap::new(),
        used: HashMap::new(),
        day: rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get("day")?,
        now: Timestamp::MIN,
    };
    for row in rows {
        locked.used.insert(TenantId(row.try_get("tenant_id")?), row.try_get("writes")?);
        locked.now = locked.now.max(row.try_get::<jiff_sqlx::Timestamp, _>("now")?.to_jiff());
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
    Ok(locked)
}

async fn store(
    connection: &mut PgConnection,
    changes: &[&Change],
    folded: &Folded,
    day: jiff_sqlx::Date,
) -> Result<(), StoreError> {
    let versions: Vec<(&Change, Head)> =
        folded.versions.iter().map(|v| (changes[v.change], v.head)).collect();
    // The last version of each entry is its head: walk backwards and take the first seen.
    let mut seen = HashSet::new();
    let mut heads: Vec<&(&Change, Head)> =
        versions.iter().rev().filter(|(c, _)| seen.insert(&c.key)).collect();
    heads.sort_by(|(a, _), (b, _)| a.key.cmp(&b.key));
    let mut usage: Vec<_> = folded.usage.iter().collect();
    usage.sort_by_key(|(tenant, _)| **tenant);
    sqlx::query(WRITE)
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
                .map(|(c, _)| new_value(c).is_some_and(|n| n.searchable))
                .collect::<Vec<_>>(),
        )
        .bind(versions.iter().map(|(_, h)| h.updated_at.to_sqlx()).collect::<Vec<_>>())
        .bind(versions.iter().map(|(_, h)| to_sql(h.expires_at)).collect::<Vec<_>>())
        .bind(versions.iter().map(|(_, h)| h.deleted).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

fn new_value(change: &Change) -> Option<&NewValue> {
    match &change.action {
        Action::Put(new) => Some(new),
        Action::Delete => None,
    }
}
