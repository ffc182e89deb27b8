//! Sets when an entry expires, without a new version.

use jiff::Timestamp;
use sqlx::{PgExecutor, Row as _};
use uuid::Uuid;

use crate::domain::EntryKey;
use crate::store::StoreError;
use crate::store::time::from_sql;

/// The head and its version expire together: the one is what reads and writers look at, the other what history and the sweeper do. The
/// head is locked first, as by every writer. Where it moves on meanwhile, its new version is not in this statement's snapshot, and
/// nothing is set. The expiry of a head is in no index, so that its row stays on its page (HOT).
const TOUCH: &str = concat!(
    "
WITH head AS MATERIALIZED (
    SELECT e.latest_version_id AS id
      FROM entries e
     WHERE e.tenant_id = $1 AND e.agent_id = $2 AND e.path = $3 AND ",
    live!("e"),
    "
       FOR UPDATE
), touched AS (
    UPDATE entry_versions v
       SET expires_at = now() + $4::int * interval '1 second'
      FROM head h
     WHERE v.tenant_id = $1 AND v.id = h.id
    RETURNING v.id, v.expires_at
), entry AS (
    UPDATE entries e
       SET expires_at = t.expires_at
      FROM touched t
     WHERE e.tenant_id = $1 AND e.agent_id = $2 AND e.path = $3
)
SELECT h.id, t.id IS NOT NULL AS is_touched, t.expires_at FROM head h LEFT JOIN touched t ON true"
);

/// What became of a touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touched {
    /// The live version, and when it expires.
    Until(Uuid, Option<Timestamp>),
    /// There is no live entry.
    Nothing,
    /// The entry was written at this moment; nothing was done.
    Overtaken,
}

/// Has the live entry of `key` expire after `ttl_seconds`, or never.
pub async fn touch(
    executor: impl PgExecutor<'_>,
    key: &EntryKey,
    ttl_seconds: Option<i32>,
) -> Result<Touched, StoreError> {
    let row = sqlx::query(TOUCH)
        .bind(key.tenant.0)
        .bind(key.agent.as_str())
        .bind(key.path.as_str())
        .bind(ttl_seconds)
        .fetch_optional(executor)
        .await?;
    let Some(row) = row else { return Ok(Touched::Nothing) };
    if row.try_get("is_touched")? {
        Ok(Touched::Until(row.try_get("id")?, from_sql(row.try_get("expires_at")?)))
    } else {
        Ok(Touched::Overtaken)
    }
}
