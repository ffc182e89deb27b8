//! Reads many live entries at once, and single entries of the past.

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use uuid::Uuid;

use super::as_of;
use super::versions::{self, Version};
use crate::domain::EntryKey;
use crate::store::StoreError;
use crate::store::connection::pool::Pool;
use crate::store::time::from_sql;

/// The latest version of a live entry.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The value's JSON text, as it was stored.
    pub value: String,
    /// The version.
    pub version_id: Uuid,
    /// When the version was written.
    pub created_at: Timestamp,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// Its tags.
    pub tags: Vec<String>,
    /// 0 to 1.
    pub importance: f32,
    /// Whether search may find it.
    pub searchable: bool,
}

impl Version {
    /// The entry whose latest version it is, unless it has no value any more.
    pub fn entry(self) -> Option<Entry> {
        Some(Entry {
            value: self.value?,
            version_id: self.id,
            created_at: self.created_at,
            expires_at: self.expires_at,
            tags: self.tags,
            importance: self.importance,
            searchable: self.searchable,
        })
    }
}

/// Two one-row look-ups by full key a request: the only form that is planned well on a table that was never analysed.
const GET: &str = concat!(
    "
SELECT k.ordinal, v.value, v.id, v.created_at, v.expires_at, v.tags, v.importance, v.searchable
  FROM unnest($1::uuid[], $2::text[], $3::text[]) WITH ORDINALITY AS k (tenant_id, agent_id, path, ordinal)
 CROSS JOIN LATERAL (
       SELECT e.latest_version_id
         FROM entries e
        WHERE e.tenant_id = k.tenant_id AND e.agent_id = k.agent_id AND e.path = k.path
          AND ", live!("e"), "
        LIMIT 1) head
 CROSS JOIN LATERAL (
       SELECT v.value, v.id, v.created_at, v.expires_at, v.tags, v.importance, v.searchable
         FROM entry_versions v
        WHERE v.tenant_id = k.tenant_id AND v.id = head.latest_version_id
        LIMIT 1) v"
);

/// Reads the live entries among `keys` in one statement. Each arrives as soon as it is read, with its key's index; a key
/// without a live entry yields none.
pub fn get<'c>(
    connection: &'c mut PgConnection,
    keys: &[&EntryKey],
) -> impl Stream<Item = Result<(usize, Entry), StoreError>> + Send + use<'c> {
    let tenants: Vec<Uuid> = keys.iter().map(|k| k.tenant.0).collect();
    let agents: Vec<&str> = keys.iter().map(|k| k.agent.as_str()).collect();
    let paths: Vec<&str> = keys.iter().map(|k| k.path.as_str()).collect();
    sqlx::query(GET)
        .bind(tenants)
        .bind(agents)
        .bind(paths)
        .fetch(connection)
        .map(|row| from_row(&row?).map_err(Into::into))
}

/// Most bytes of values kept in memory for one request; further entries come without their value.
pub const MAX_BYTES: usize = 8 << 20;

/// The live entries of `keys` in one snapshot, up to [`MAX_BYTES`].
pub async fn snapshot(pool: &Pool, keys: &[&EntryKey]) -> Result<Vec<SnapshotEntry>, StoreError> {
    pool.noting(async {
        let mut moment = pool.begin_read().await?;
        let mut rows = get(&mut moment, keys);
        let (mut found, mut bytes) = (vec![SnapshotEntry::default(); keys.len()], 0);
        while let Some((index, entry)) = rows.try_next().await? {
            bytes += entry.value.len();
            if let Some(slot) = found.get_mut(index) {
                slot.version_id = Some(entry.version_id);
                slot.entry = Some(entry).filter(|_| bytes <= MAX_BYTES);
            }
        }
        drop(rows);
        moment.commit().await?;
        Ok(found)
    })
    .await
}

/// The entry of a key in a snapshot.
#[derive(Debug, Clone, Default)]
pub struct SnapshotEntry {
    /// The live version.
    pub version_id: Option<Uuid>,
    /// The entry, unless its value exceeds the bound.
    pub entry: Option<Entry>,
}

/// The entry of `key` as of the moment `as_of`.
pub async fn entry_as_of(
    pool: &Pool,
    key: &EntryKey,
    as_of: Timestamp,
) -> Result<Option<Entry>, StoreError> {
    let Some(id) = as_of::version(pool, key, as_of).await? else { return Ok(None) };
    let read = versions::read(pool, key.tenant, &[id], usize::MAX).await?;
    // It may have expired since the look-up.
    Ok(read.versions.into_iter().next().and_then(Version::entry))
}

fn from_row(row: &PgRow) -> Result<(usize, Entry), sqlx::Error> {
    let ordinal: i64 = row.try_get(0)?;
    let entry = Entry {
        // `json` travels as its text; unchecked, since the driver would have it decoded.
        value: row.try_get_unchecked(1)?,
        version_id: row.try_get(2)?,
        created_at: row.try_get::<jiff_sqlx::Timestamp, _>(3)?.to_jiff(),
        expires_at: from_sql(row.try_get(4)?),
        tags: row.try_get(5)?,
        importance: row.try_get(6)?,
        searchable: row.try_get(7)?,
    };
    Ok((usize::try_from(ordinal - 1).unwrap_or(usize::MAX), entry))
}
