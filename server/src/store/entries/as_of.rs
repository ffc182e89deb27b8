//! Finds the version that an entry showed at a past moment: the look-up behind every read with `as_of`.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::domain::EntryKey;
use crate::store::StoreError;

/// SQL of the id of the version that the head `e` shows at the moment `$as_of` (now, where that is null); null where it
/// shows none.
///
/// A head that was written since had an earlier version then. Versions grow older with their numbers, so halving the
/// numbers finds it in a few one-row look-ups, however many there are. `low` is the newest version known to be old
/// enough, 0 where none is; a number without a row (a history may be pruned) stands for the next that has one. A version that has expired by now
/// is not shown either, and one that had expired by then has expired by now.
macro_rules! version_shown {
    ($as_of:literal) => {
        concat!(
            "CASE WHEN e.updated_at > ", $as_of, " THEN (
                 SELECT v.id
                   FROM entry_versions v
                  WHERE v.tenant_id = e.tenant_id AND v.agent_id = e.agent_id AND v.path = e.path AND v.version = (
                        WITH RECURSIVE search (low, high) AS (
                            SELECT 0::bigint, e.version - 1
                            UNION ALL
                            SELECT CASE WHEN m.is_old THEN m.version ELSE s.low END,
                                   CASE WHEN m.is_old THEN s.high ELSE m.middle - 1 END
                              FROM search s
                             CROSS JOIN LATERAL (
                                   SELECT m.version, m.created_at <= ", $as_of, " AS is_old, (s.low + s.high + 1) / 2 AS middle
                                     FROM entry_versions m
                                    WHERE m.tenant_id = e.tenant_id AND m.agent_id = e.agent_id AND m.path = e.path
                                      AND m.version >= (s.low + s.high + 1) / 2
                                    ORDER BY m.version
                                    LIMIT 1) m
                             WHERE s.low < s.high
                        )
                        SELECT max(low) FROM search)
                    AND ", live!("v"), "
                  LIMIT 1)
             WHEN ", live!("e"), " THEN e.latest_version_id
             END"
        )
    };
}
pub(crate) use version_shown;

const VERSION: &str = concat!(
    "SELECT ",
    version_shown!("$4"),
    " FROM entries e WHERE e.tenant_id = $1 AND e.agent_id = $2 AND e.path = $3"
);

/// The version that an entry showed at `as_of`, if any.
pub async fn version(
    executor: impl PgExecutor<'_>,
    key: &EntryKey,
    as_of: Timestamp,
) -> Result<Option<Uuid>, StoreError> {
    let found: Option<Option<Uuid>> = sqlx::query_scalar(VERSION)
        .bind(key.tenant.0)
        .bind(key.agent.as_str())
        .bind(key.path.as_str())
        .bind(as_of.to_sqlx())
        .fetch_optional(executor)
        .await?;
    Ok(found.flatten())
}

/// The database's clock, which dates versions.
pub async fn now(executor: impl PgExecutor<'_>) -> Result<Timestamp, StoreError> {
    let now: jiff_sqlx::Timestamp =
        sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(executor).await?;
    Ok(now.to_jiff())
}
