//! The oldest snapshot of the database. While it is held, PostgreSQL removes no row version that was replaced since.

use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use crate::store::StoreError;

/// A snapshot, or a transaction that keeps row versions just as one does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldestSnapshot {
    /// The oldest transaction id that it keeps the row versions of.
    pub xid: String,
    /// How old it is. Zero for sessions of another role, whose times PostgreSQL shows to members of `pg_read_all_stats` only.
    pub age: Duration,
}

/// Everybody's sessions of this database, standbys, slots and prepared transactions. What is not older than the next
/// transaction keeps nothing, and nobody waits for the snapshot of a VACUUM. A standby keeps nothing by itself.
const OLDEST: &str = "
SELECT h.xid::text, coalesce(extract(epoch FROM clock_timestamp() - h.since), 0)::float8
  FROM (SELECT xid, a.xact_start AS since
          FROM pg_stat_activity a
         CROSS JOIN LATERAL (VALUES (a.backend_xmin), (a.backend_xid)) AS held (xid)
         WHERE (a.datname = current_database() OR a.datid IS NULL)
           AND a.pid <> pg_backend_pid()
           AND a.pid NOT IN (SELECT pid FROM pg_stat_progress_vacuum)
        UNION ALL SELECT xmin, NULL FROM pg_replication_slots
        UNION ALL SELECT transaction, prepared FROM pg_prepared_xacts WHERE database = current_database()) h
 WHERE age(h.xid) > 0 AND NOT pg_is_in_recovery()
 ORDER BY age(h.xid) DESC, h.since
 LIMIT 1";

/// Finds the oldest snapshot of the database; `None` if no row version is kept for one.
pub async fn oldest(connection: &mut PgConnection) -> Result<Option<OldestSnapshot>, StoreError> {
    let row = sqlx::query(OLDEST).fetch_optional(connection).await?;
    row.map(|row| {
        let age = Duration::try_from_secs_f64(row.try_get(1)?).unwrap_or_default();
        Ok(OldestSnapshot { xid: row.try_get(0)?, age })
    })
    .transpose()
    .map_err(|error: sqlx::Error| error.into())
}
