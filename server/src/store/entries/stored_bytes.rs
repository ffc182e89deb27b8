//! The bytes that tenants have stored. A write counts its own in the day's row of `quota_usage`, which it has locked anyhow.
//! What is given back or put right, and days that are over, go to `storage_usage`, which no write locks: a second row would
//! cost each write, and every sweep would stand in its way.

use sqlx::PgExecutor;
use sqlx::postgres::PgTransaction;

use super::size::size;
use crate::domain::TenantId;
use crate::domain::memory::usage::{IDEMPOTENCY_ROW, VERSION_ROW};
use crate::store::StoreError;
use crate::store::connection::pool::Pool;

/// SQL of the bytes that a tenant has stored, as the statement's snapshot shows them, without the row of one day.
macro_rules! stored_without {
    ($day:literal, $tenant:literal) => {
        concat!(
            "(SELECT (coalesce(max(u.bytes), 0) + coalesce(sum(d.stored_bytes), 0))::bigint
       FROM (SELECT ", $tenant, " AS id) AS own
       LEFT JOIN storage_usage u ON u.tenant_id = own.id
       LEFT JOIN quota_usage d ON d.tenant_id = own.id AND d.day >= coalesce(u.since, '-infinity') AND d.day <> ", $day, ")"
        )
    };
}
pub(crate) use stored_without;

/// SQL that gives bytes back which the preceding CTE `freed (tenant_id, bytes)` tells.
macro_rules! give_back {
    () => {
        "
INSERT INTO storage_usage AS s (tenant_id, bytes)
SELECT f.tenant_id, -sum(f.bytes)::bigint
  FROM freed f
 GROUP BY f.tenant_id
 ORDER BY f.tenant_id
ON CONFLICT (tenant_id) DO UPDATE SET bytes = s.bytes + excluded.bytes"
    };
}
pub(crate) use give_back;

/// "agfsrcnt" in ASCII. Two counts of a tenant at once would both add what they find missing.
const COUNT_LOCK: i64 = 0x61_67_66_73_72_63_6e_74;

/// Counts what there is and adds what is missing in the books. Both are of one snapshot; what was written or swept since is in
/// both or in neither, so that nobody has to wait.
const COUNT: &str = concat!(
    "
INSERT INTO storage_usage AS s (tenant_id, bytes, counted_for)
SELECT t.id,
       coalesce((SELECT sum($2 + octet_length(v.agent_id) + octet_length(v.path) + octet_length(array_to_string(v.tags, ''))
                            + coalesce(",
    size!("v"),
    ", 0))
                   FROM entry_versions v WHERE v.tenant_id = t.id), 0)::bigint
       + $3 * (SELECT count(*) FROM idempotency_keys i WHERE i.tenant_id = t.id)
       - ",
    stored_without!("'infinity'", "t.id"),
    ", t.xmin
  FROM tenants t
 WHERE t.id = $1
ON CONFLICT (tenant_id) DO UPDATE SET bytes = s.bytes + excluded.bytes, counted_for = excluded.counted_for"
);

const STORED: &str = concat!("SELECT ", stored_without!("'infinity'", "$1"));

/// A tenant whose bytes were never counted, or not since its row was restored.
const UNCOUNTED: &str = "
SELECT t.id
  FROM tenants t
  LEFT JOIN storage_usage s ON s.tenant_id = t.id
 WHERE s.counted_for IS DISTINCT FROM t.xmin
 LIMIT 1";

/// What counting a tenant's bytes has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// The tenant.
    pub tenant: TenantId,
    /// Its stored bytes before.
    pub before: i64,
    /// Its stored bytes now.
    pub now: i64,
}

/// Counts the bytes of `tenant` anew, after other counts have ended. Reads all of the tenant's versions, which may take long,
/// and keeps no write waiting.
pub async fn count(
    mut transaction: PgTransaction<'_>,
    tenant: TenantId,
) -> Result<Counted, StoreError> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(COUNT_LOCK)
        .execute(&mut *transaction)
        .await?;
    count_locked(transaction, tenant).await
}

async fn count_locked(
    mut transaction: PgTransaction<'_>,
    tenant: TenantId,
) -> Result<Counted, StoreError> {
    let before = stored(&mut *transaction, tenant).await?;
    sqlx::query(COUNT)
        .bind(tenant.0)
        .bind(VERSION_ROW)
        .bind(IDEMPOTENCY_ROW)
        .execute(&mut *transaction)
        .await?;
    let now = stored(&mut *transaction, tenant).await?;
    transaction.commit().await?;
    Ok(Counted { tenant, before, now })
}

/// The bytes that `tenant` has stored.
async fn stored(executor: impl PgExecutor<'_>, tenant: TenantId) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar(STORED).bind(tenant.0).fetch_one(executor).await?)
}

/// Counts the bytes of one tenant that is uncounted: of an earlier release, or restored. `None` where there is none, or
/// another process counts.
pub async fn count_next(pool: &Pool) -> Result<Option<Counted>, StoreError> {
    pool.noting(async {
        let mut transaction = pool.begin().await?;
        sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut *transaction).await?;
        let ours: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)")
            .bind(COUNT_LOCK)
            .fetch_one(&mut *transaction)
            .await?;
        if !ours {
            return Ok(None);
        }
        match sqlx::query_scalar(UNCOUNTED).fetch_optional(&mut *transaction).await? {
            Some(tenant) => count_locked(transaction, TenantId(tenant)).await.map(Some),
            None => Ok(None),
        }
    })
    .await
}

/// Takes days that are over into `storage_usage`, so that a write looks at two or three rows however old its tenant is. A day
/// counts as over a day later, when no transaction of it is under way.
const CLOSE_DAYS: &str = "
UPDATE storage_usage s
   SET bytes = s.bytes + coalesce((SELECT sum(q.stored_bytes) FROM quota_usage q
                                    WHERE q.tenant_id = s.tenant_id AND q.day >= s.since AND q.day < d.since), 0)::bigint,
       since = d.since
  FROM (SELECT (now() AT TIME ZONE 'UTC')::date - 1 AS since) d
 WHERE s.since < d.since
   AND s.tenant_id = ANY (ARRAY (
       SELECT tenant_id FROM storage_usage
        WHERE since < (now() AT TIME ZONE 'UTC')::date - 1
        LIMIT $1 FOR UPDATE SKIP LOCKED))";

/// Closes the days that are over of a batch of at most `tenants`; returns of how many.
pub async fn close_days(
    executor: impl PgExecutor<'_>,
    tenants: usize,
) -> Result<usize, StoreError> {
    let done = sqlx::query(CLOSE_DAYS).bind(tenants as i64).execute(executor).await?;
    Ok(usize::try_from(done.rows_affected()).unwrap_or(usize::MAX))
}
