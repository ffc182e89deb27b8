//! Finds the entries that were written last, without an index: one on a moment that each overwrite changes would make
//! every overwrite dearer.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::dump::Subtree;
use super::list::{BEYOND, tree_key, tree_order};
use crate::store::StoreError;

/// Most live entries among which the newest are looked for.
pub const MAX_SORTED: usize = 100_000;

/// SQL of the live entries of a subtree, which lies from `$3` to below `$4` in tree order. Deleted ones stay for ever, and are not in
/// that index.
macro_rules! live_entries {
    () => {
        concat!(
            "FROM entries e
 WHERE e.tenant_id = $1 AND e.agent_id = $2 AND ",
            live!("e"),
            "
   AND ",
            tree_order!("e.path"),
            " >= $3 AND ",
            tree_order!("e.path"),
            " < $4"
        )
    };
}

const COUNT: &str = concat!("SELECT count(*) FROM (SELECT ", live_entries!(), " LIMIT $5) AS few");

const NEWEST: &str = concat!(
    "SELECT e.path, e.latest_version_id AS version_id, e.updated_at
  ",
    live_entries!(),
    "
   AND ($5::timestamptz IS NULL OR e.updated_at < $5 OR e.updated_at = $5 AND e.path > $6)
 ORDER BY e.updated_at DESC, e.path
 LIMIT $7"
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

/// Whether `tree` has more live entries than [`MAX_SORTED`].
pub(super) async fn is_too_large(
    connection: &mut PgConnection,
    tree: &Subtree<'_>,
) -> Result<bool, StoreError> {
    let from = tree_key(tree.prefix.as_str());
    let beyond = from.clone() + BEYOND;
    let entries: i64 = sqlx::query_scalar(COUNT)
        .bind(tree.tenant.0)
        .bind(tree.agent.as_str())
        .bind(from)
        .bind(beyond)
        .bind(MAX_SORTED as i64 + 1)
        .fetch_one(connection)
        .await?;
    Ok(entries > MAX_SORTED as i64)
}

/// At most `count` entries of `tree`, the newest first, after the moment and path `after`.
pub(super) async fn newest(
    connection: &mut PgConnection,
    tree: &Subtree<'_>,
    after: Option<(Timestamp, &str)>,
    count: usize,
) -> Result<Vec<Written>, StoreError> {
    let from = tree_key(tree.prefix.as_str());
    let beyond = from.clone() + BEYOND;
    let (at, path) = after.unzip();
    sqlx::query_as(NEWEST)
        .bind(tree.tenant.0)
        .bind(tree.agent.as_str())
        .bind(from)
        .bind(beyond)
        .bind(at.map(Timestamp::to_sqlx))
        .bind(path)
        .bind(count as i64)
        .fetch_all(connection)
        .await
        .map_err(Into::into)
}
