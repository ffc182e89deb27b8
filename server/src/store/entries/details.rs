//! Reads what a list tells of entries besides their paths, without their values.

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use uuid::Uuid;

use super::list::Child;
use super::size::size;
use crate::domain::TenantId;
use crate::store::StoreError;
use crate::store::time::from_sql;

/// What an entry is, besides its path and value.
#[derive(Debug, Clone, PartialEq)]
pub struct Details {
    /// The bytes of the value's JSON text.
    pub size: i32,
    /// The version that it shows.
    pub version_id: Uuid,
    /// When the entry was first written.
    pub created_at: Timestamp,
    /// When the version that it shows was written.
    pub updated_at: Timestamp,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// Its tags.
    pub tags: Vec<String>,
    /// 0 to 1.
    pub importance: f32,
    /// Whether search may find it.
    pub searchable: bool,
}

/// One-row look-ups by full key, as in a get. The first version, for heads that do not tell its moment, needs none of its own
/// where it is the one that is shown.
const DETAILS: &str = concat!(
    "
SELECT k.ordinal, coalesce(",
    size!("v"),
    ", 0) AS size, v.id, v.created_at, v.expires_at, v.tags, v.importance, v.searchable,
       CASE WHEN v.version > 1 AND NOT k.is_told THEN (
           SELECT o.created_at
             FROM entry_versions o
            WHERE o.tenant_id = $1 AND o.agent_id = v.agent_id AND o.path = v.path
            ORDER BY o.version
            LIMIT 1)
       END AS first_at
  FROM unnest($2::uuid[], $3::bool[]) WITH ORDINALITY AS k (id, is_told, ordinal)
 CROSS JOIN LATERAL (
       SELECT v.id, v.agent_id, v.path, v.version, v.value, v.bytes, v.tags, v.importance, v.searchable, v.created_at, v.expires_at
         FROM entry_versions v
        WHERE v.tenant_id = $1 AND v.id = k.id
        LIMIT 1) v"
);

/// Adds their details to those of `children` that are entries, by one statement.
pub(super) async fn add(
    connection: &mut PgConnection,
    tenant: TenantId,
    children: &mut [Child],
) -> Result<(), StoreError> {
    let mut entries: Vec<&mut Child> =
        children.iter_mut().filter(|child| child.version_id.is_some()).collect();
    let ids: Vec<Uuid> = entries.iter().filter_map(|entry| entry.version_id).collect();
    let are_told: Vec<bool> = entries.iter().map(|entry| entry.created_at.is_some()).collect();
    let rows =
        sqlx::query(DETAILS).bind(tenant.0).bind(ids).bind(are_told).fetch_all(connection).await?;
    for row in &rows {
        let ordinal: i64 = row.try_get("ordinal")?;
        let index = usize::try_from(ordinal - 1).unwrap_or(usize::MAX);
        if let Some(entry) = entries.get_mut(index) {
            entry.details = Some(from_row(row, entry.created_at)?);
        }
    }
    Ok(())
}

fn from_row(row: &PgRow, told: Option<Timestamp>) -> Result<Details, sqlx::Error> {
    let updated_at = row.try_get::<jiff_sqlx::Timestamp, _>("created_at")?.to_jiff();
    Ok(Details {
        size: row.try_get("size")?,
        version_id: row.try_get("id")?,
        created_at: told.or(from_sql(row.try_get("first_at")?)).unwrap_or(updated_at),
        updated_at,
        expires_at: from_sql(row.try_get("expires_at")?),
        tags: row.try_get("tags")?,
        importance: row.try_get("importance")?,
        searchable: row.try_get("searchable")?,
    })
}
