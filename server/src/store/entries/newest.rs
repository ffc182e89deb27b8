//! Finds the entries that were written last, without an index: one on a moment that each overwrite changes would make
//! every overwrite dearer.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::dump::Subtree;
use crate::store::StoreError;

/// Most heads among which the newest are looked for.
pub const MAX_HEADS: usize = 100_000;

/// SQL of the heads at the path `$3` or below it, dead ones included, in two ranges: what lies between is passed over.
macro_rules! heads {
    () => {
        "(SELECT e.path, e.latest_version_id, e.updated_at, e.expires_at, e.deleted_at
            FROM entries e
           WHERE e.tenant_id = $1 AND e.agent_id = $2 AND e.path = $3
          UNION ALL
          SELECT e.path, e.latest_version_id, e.updated_at, e.expires_at, e.deleted_at
            FROM entries e
           WHERE e.tenant_id = $1 AND e.agent_id = $2 AND e.path > $3 || '/' AND e.path < $3 || '0') e"
    };
}

const COUNT: &str = concat!("SELECT count(*) FROM (SELECT FROM ", heads!(), " LIMIT $4) counted");

const NEWEST: &str = concat!(
    "SELECT e.path, e.latest_version_id AS version_id, e.updated_at
  FROM ",
    heads!(),
    "
 WHERE ",
    live!("e"),
    "
   AND ($4::timestamptz IS NULL OR e.updated_at < $4 OR e.updated_at = $4 AND e.path > $5)
 ORDER BY e.updated_at DESC, e.path
 LIMIT $6"
);

/// A live entry, and when it was written.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Written {
    pub(super) path: String,
    pub(super) version_id: Uuid,
    updated_at: jiff_sqlx::Timestamp,
}

impl Written {
    /// When it was written.
    pub(super) fn updated_at(&self) -> Timestamp {
        self.updated_at.to_jiff()
    }
}

/// Whether `tree` has more heads than [`MAX_HEADS`].
pub(super) async fn is_too_large(
    connection: &mut PgConnection,
    tree: &Subtree<'_>,
) -> Result<bool, StoreError> {
    let heads: i64 = sqlx::query_scalar(COUNT)
        .bind(tree.tenant.0)
        .bind(tree.agent.as_str())
        .bind(tree.prefix.as_str())
        .bind(MAX_HEADS as i64 + 1)
        .fetch_one(connection)
        .await?;
    Ok(heads > MAX_HEADS as i64)
}

/// At most `count` entries of `tree`, the newest first, after the moment and path `after`.
pub(super) async fn newest(
    connection: &mut PgConnection,
    tree: &Subtree<'_>,
    after: Option<(Timestamp, &str)>,
    count: usize,
) -> Result<Vec<Written>, StoreError> {
    let (at, path) = after.unzip();
    sqlx::query_as(NEWEST)
        .bind(tree.tenant.0)
        .bind(tree.agent.as_str())
        .bind(tree.prefix.as_str())
        .bind(at.map(Timestamp::to_sqlx))
        .bind(path)
        .bind(count as i64)
        .fetch_all(connection)
        .await
        .map_err(Into::into)
}
