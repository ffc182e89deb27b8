//! Reads versions with their values: an entry's history, and any by their ids.

use std::collections::HashMap;

use jiff::Timestamp;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{PgExecutor, Row as _};
use uuid::Uuid;

use super::size::size;
use crate::domain::{EntryKey, TenantId};
use crate::store::StoreError;
use crate::store::connection::pool::Pool;
use crate::store::time::from_sql;

/// A version, with its value.
#[derive(Debug, Clone)]
pub struct Version {
    /// Its entry's path.
    pub path: String,
    /// Its number in the entry's history, from 1.
    pub number: i64,
    /// Its id.
    pub id: Uuid,
    /// The value's JSON text, as it was stored; none of a tombstone or an expired version.
    pub value: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// 0 to 1.
    pub importance: f32,
    /// Whether search may find it.
    pub searchable: bool,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it expires or has expired.
    pub expires_at: Option<Timestamp>,
    /// When its value was removed: by a delete, or because it expired.
    pub deleted_at: Option<Timestamp>,
    /// The key that wrote it, where that is known.
    pub author: Option<Author>,
}

/// The key that wrote a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// Its id.
    pub key_id: String,
    /// Its label, as [`history`] looks it up; none where there is no such key any more.
    pub label: Option<String>,
}

impl Version {
    /// The bytes of its value.
    pub fn bytes(&self) -> usize {
        self.value.as_ref().map_or(0, String::len)
    }
}

/// Versions read up to a bound of bytes.
#[derive(Debug, Default)]
pub struct Bounded {
    /// The versions, in the order of the requested ids.
    pub versions: Vec<Version>,
    /// The bound was reached before the last id.
    pub cut: bool,
}

/// SQL of what a version has until it expires, swept or not: null from then on.
macro_rules! until_expiry {
    ($what:expr) => {
        concat!("CASE WHEN v.expires_at IS NULL OR v.expires_at > now() THEN ", $what, " END")
    };
}

/// Goes from id to id until the values are large enough, so that no more are read from storage than are answered.
const READ: &str = concat!(
    "WITH RECURSIVE step (ordinal, id, bytes) AS (
    SELECT 0, NULL::uuid, 0::bigint
    UNION ALL
    SELECT s.ordinal + 1, v.id, s.bytes + coalesce(v.bytes, 0)
      FROM step s
      LEFT JOIN LATERAL (
           SELECT v.id, ", until_expiry!(size!("v")), " AS bytes
             FROM entry_versions v
            WHERE v.tenant_id = $1 AND v.id = ($2::uuid[])[s.ordinal + 1]
            LIMIT 1) v ON true
     WHERE s.ordinal < cardinality($2) AND s.bytes < $3
)
SELECT s.ordinal, v.path, v.version, v.id, v.value, v.tags, v.importance, v.searchable, v.created_at, v.expires_at, v.deleted_at,
       v.author
  FROM step s
 CROSS JOIN LATERAL (
       SELECT v.path, v.version, v.id, ", until_expiry!("v.value"), " AS value, v.tags, v.importance, v.searchable, v.created_at, v.expires_at,
              coalesce(v.deleted_at, CASE WHEN v.expires_at <= now() THEN v.expires_at END) AS deleted_at,
              v.author
         FROM entry_versions v
        WHERE v.tenant_id = $1 AND v.id = s.id
        LIMIT 1) v
 ORDER BY s.ordinal"
);

/// Reads the versions `ids` of a tenant in order, until `max_bytes` of values are reached: the one that reaches them is
/// the last, so there is always one. Unknown ids are skipped.
pub async fn read(
    executor: impl PgExecutor<'_>,
    tenant: TenantId,
    ids: &[Uuid],
    max_bytes: usize,
) -> Result<Bounded, StoreError> {
    let read: Vec<(i32, Version)> = sqlx::query(READ)
        .bind(tenant.0)
        .bind(ids)
        .bind(i64::try_from(max_bytes).unwrap_or(i64::MAX))
        .try_map(|row| from_row(&row))
        .fetch_all(executor)
        .await?;
    let last = read.last().map_or(0, |(ordinal, _)| usize::try_from(*ordinal).unwrap_or_default());
    let versions: Vec<Version> = read.into_iter().map(|(_, version)| version).collect();
    let bytes: usize = versions.iter().map(Version::bytes).sum();
    Ok(Bounded { cut: bytes >= max_bytes && last < ids.len(), versions })
}

fn from_row(row: &PgRow) -> Result<(i32, Version), sqlx::Error> {
    let version = Version {
        path: row.try_get(1)?,
        number: row.try_get(2)?,
        id: row.try_get(3)?,
        // `json` travels as its text; unchecked, since the driver would have it decoded.
        value: row.try_get_unchecked(4)?,
        tags: row.try_get(5)?,
        importance: row.try_get(6)?,
        searchable: row.try_get(7)?,
        created_at: row.try_get::<jiff_sqlx::Timestamp, _>(8)?.to_jiff(),
        expires_at: from_sql(row.try_get(9)?),
        deleted_at: from_sql(row.try_get(10)?),
        author: row.try_get::<Option<_>, _>(11)?.map(|key_id| Author { key_id, label: None }),
    };
    Ok((row.try_get(0)?, version))
}

const HISTORY: &str = "
SELECT v.id
  FROM entry_versions v
 WHERE v.tenant_id = $1 AND v.agent_id = $2 AND v.path = $3 AND v.version < $4
 ORDER BY v.version DESC
 LIMIT $5";

/// At most `limit` versions of an entry below the number `before`, the newest first; fewer once `max_bytes` of values are
/// reached. It is cut where there are more.
pub async fn history(
    pool: &Pool,
    key: &EntryKey,
    before: Option<i64>,
    limit: usize,
    max_bytes: usize,
) -> Result<Bounded, StoreError> {
    pool.noting(async {
        let mut moment = pool.begin_read().await?;
        let mut ids: Vec<Uuid> = sqlx::query_scalar(HISTORY)
            .bind(key.tenant.0)
            .bind(key.agent.as_str())
            .bind(key.path.as_str())
            .bind(before.unwrap_or(i64::MAX))
            // One version more than fits tells whether there is more.
            .bind(limit as i64 + 1)
            .fetch_all(&mut *moment)
            .await?;
        let more = ids.len() > limit;
        ids.truncate(limit);
        let mut read = read(&mut *moment, key.tenant, &ids, max_bytes).await?;
        label(&mut moment, key.tenant, &mut read.versions).await?;
        moment.commit().await?;
        Ok(Bounded { cut: more || read.cut, ..read })
    })
    .await
}

/// Adds the labels of the keys that wrote `versions`.
async fn label(
    connection: &mut PgConnection,
    tenant: TenantId,
    versions: &mut [Version],
) -> Result<(), StoreError> {
    let mut authors: Vec<&mut Author> =
        versions.iter_mut().filter_map(|version| version.author.as_mut()).collect();
    if authors.is_empty() {
        return Ok(());
    }
    let mut ids: Vec<&str> = authors.iter().map(|author| author.key_id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let labels: HashMap<String, String> =
        sqlx::query_as("SELECT id, label FROM api_keys WHERE tenant_id = $1 AND id = ANY ($2)")
            .bind(tenant.0)
            .bind(ids)
            .fetch_all(connection)
            .await?
            .into_iter()
            .collect();
    for author in &mut authors {
        author.label = labels.get(&author.key_id).cloned();
    }
    Ok(())
}
