//! Finds the entries that were written last, without an index: one on a moment that each overwrite changes would make
//! every overwrite dearer.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::postgres::PgConnection;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::dump::Subtree;
use super::live_entries::{COUNT, live_entries, of_subtree};
use crate::store::StoreError;

/// Most live entries among which the newest are looked for.
pub const MAX_SORTED: usize = 100_000;

const NEWEST: &str = concat!(
    live_entries!("e.path, e.latest_version_id AS version_id, e.updated_at"),
    "
   AND ($5::timestamptz IS NULL OR e.updated_at < $5 OR e.updated_at = $5 AND e.path > $6)
 ORDER BY e.updated_at DESC, e.path
 LIMIT $7"
);

/// A live entry, and when it was written.
#[derive(Debug, FromRow)]
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
    let count = of_subtree(COUNT, tree.tenant, tree.agent, tree.prefix.as_str());
    let row = count.bind(MAX_SORTED as i64 + 1).fetch_one(connection).await?;
    let entries: i64 = row.try_get(0)?;
    Ok(entries > MAX_SORTED as i64)
}

/// At most `count` entries of `tree`, the newest first, after the moment and path `after`.
pub(super) async fn newest(
    connection: &mut PgConnection,
    tree: &Subtree<'_>,
    after: Option<(Timestamp, &str)>,
    count: usize,
) -> Result<Vec<Written>, StoreError> {
    let (at, path) = after.unzip();
    let rows = of_subtree(NEWEST, tree.tenant, tree.agent, tree.prefix.as_str())
        .bind(at.map(Timestamp::to_sqlx))
        .bind(path)
        .bind(count as i64)
        .fetch_all(connection)
        .await?;
    rows.iter().map(Written::from_row).collect::<Result<_, sqlx::Error>>().map_err(Into::into)
}
