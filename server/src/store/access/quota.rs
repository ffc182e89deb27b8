//! Daily quotas: shows and resets tenants' usage, counts searches and embedded tokens. Writes are counted by
//! their own statements.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff_sqlx::ToSqlx as _;
use sqlx::{PgExecutor, Row as _};

use crate::domain::TenantId;
use crate::store::StoreError;
use crate::store::entries::newest_day::newest_day;

/// A tenant's usage on a day.
#[derive(Debug, Clone)]
pub struct UsageOfDay {
    /// The tenant.
    pub tenant: TenantId,
    /// The tenant's name.
    pub name: String,
    /// Versions written.
    pub writes: i64,
    /// Bytes of their values.
    pub bytes: i64,
    /// Rows of idempotency keys written.
    pub idempotency_keys: i64,
    /// Bytes that the tenant had stored at the end of the day, or has now.
    pub stored_bytes: i64,
    /// Tokens embedded.
    pub embed_tokens: i64,
    /// Searches.
    pub searches: i64,
}

/// A count of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Versions written.
    Writes,
    /// Bytes of their values.
    Bytes,
    /// Rows of idempotency keys written.
    IdempotencyKeys,
    /// Searches.
    Searches,
    /// Tokens embedded.
    EmbedTokens,
}

impl Count {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Writes, Self::Bytes, Self::IdempotencyKeys, Self::Searches, Self::EmbedTokens];

    /// Its column in `quota_usage`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Writes => "writes",
            Self::Bytes => "bytes",
            Self::IdempotencyKeys => "idempotency_keys",
            Self::Searches => "searches",
            Self::EmbedTokens => "embed_tokens",
        }
    }
}

/// A day's counts, and the bytes stored at its end: those of now without what later days have added.
const USAGE: &str = "
SELECT t.id, t.name, coalesce(q.writes, 0), coalesce(q.bytes, 0), coalesce(q.idempotency_keys, 0), s.bytes,
       coalesce(q.embed_tokens, 0), coalesce(q.searches, 0)
  FROM tenants t
  LEFT JOIN quota_usage q ON q.tenant_id = t.id AND q.day = $2
 CROSS JOIN LATERAL (
       SELECT (coalesce(max(u.bytes), 0)
               + coalesce(sum(CASE WHEN d.day > $2 THEN -d.stored_bytes ELSE d.stored_bytes END), 0))::bigint AS bytes
         FROM (SELECT t.id) AS own
         LEFT JOIN storage_usage u ON u.tenant_id = own.id
         LEFT JOIN quota_usage d ON d.tenant_id = own.id AND (d.day >= coalesce(u.since, '-infinity')) <> (d.day > $2)) s
 WHERE (t.id = $1 OR ($1 IS NULL AND (q.day IS NOT NULL OR s.bytes > 0)))
   AND ($3::uuid IS NULL OR (t.created_at, t.id) > (SELECT a.created_at, a.id FROM tenants a WHERE a.id = $3))
 ORDER BY t.created_at, t.id
 LIMIT $4";

/// Usage on `day` (UTC): of all tenants that have any, or of `tenant`, which may have none. Empty if there is no such
/// tenant. At most `limit` tenants, those after the tenant `after`: the oldest first.
pub async fn usage(
    executor: impl PgExecutor<'_>,
    tenant: Option<TenantId>,
    day: Date,
    after: Option<TenantId>,
    limit: usize,
) -> Result<Vec<UsageOfDay>, StoreError> {
    let rows = sqlx::query(USAGE)
        .bind(tenant.map(|tenant| tenant.0))
        .bind(day.to_sqlx())
        .bind(after.map(|tenant| tenant.0))
        .bind(limit as i64)
        .fetch_all(executor)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(UsageOfDay {
                tenant: TenantId(row.try_get(0)?),
                name: row.try_get(1)?,
                writes: row.try_get(2)?,
                bytes: row.try_get(3)?,
                idempotency_keys: row.try_get(4)?,
                stored_bytes: row.try_get(5)?,
                embed_tokens: row.try_get(6)?,
                searches: row.try_get(7)?,
            })
        })
        .collect::<Result<_, sqlx::Error>>()
        .map_err(Into::into)
}

/// As in a put, `found` updates the row where it is, and `upserted` counts where that sees none. Both check the limit.
const COUNT_SEARCH: &str = concat!(
    "
WITH used AS (
    SELECT $1::uuid AS tenant_id, (now() AT TIME ZONE 'UTC')::date AS day
), locked AS MATERIALIZED (
    SELECT q.place
      FROM used t",
    newest_day!("q.ctid AS place", "FOR NO KEY UPDATE"),
    "
), found AS (
    UPDATE quota_usage q SET searches = q.searches + 1
      FROM locked t
     WHERE q.ctid = t.place AND q.searches < $2
    RETURNING q.embed_tokens
), upserted AS (
    INSERT INTO quota_usage AS q (tenant_id, day, searches)
    SELECT t.tenant_id, t.day, 1 FROM used t WHERE NOT EXISTS (SELECT FROM found)
    ON CONFLICT (tenant_id, day) DO UPDATE SET searches = q.searches + 1 WHERE q.searches < $2
    RETURNING q.embed_tokens
)
SELECT embed_tokens FROM found UNION ALL SELECT embed_tokens FROM upserted"
);

/// Counts a search of `tenant`; `None` if it has made `daily_searches` of them today. Returns the tenant's embedded
/// tokens of today. Commits on its own: inside a search it would block the tenant's writers, who count in the same row.
pub async fn count_search(
    executor: impl PgExecutor<'_>,
    tenant: TenantId,
    daily_searches: Option<i64>,
) -> Result<Option<i64>, StoreError> {
    sqlx::query_scalar(COUNT_SEARCH)
        .bind(tenant.0)
        .bind(daily_searches.unwrap_or(i64::MAX))
        .fetch_optional(executor)
        .await
        .map_err(Into::into)
}

const MAY_SEARCH: &str = concat!(
    "
SELECT coalesce(max(q.embed_tokens), 0)
  FROM (SELECT $1::uuid AS tenant_id, (now() AT TIME ZONE 'UTC')::date AS day) t",
    newest_day!("q.embed_tokens, q.searches", ""),
    "
HAVING coalesce(max(q.searches), 0) < $2"
);

/// The same without counting.
pub async fn may_search(
    executor: impl PgExecutor<'_>,
    tenant: TenantId,
    daily_searches: Option<i64>,
) -> Result<Option<i64>, StoreError> {
    sqlx::query_scalar(MAY_SEARCH)
        .bind(tenant.0)
        .bind(daily_searches.unwrap_or(i64::MAX))
        .fetch_optional(executor)
        .await
        .map_err(Into::into)
}

const COUNT_TOKENS: &str = concat!(
    "
WITH used AS (
    SELECT tenant_id, tokens, (now() AT TIME ZONE 'UTC')::date AS day
      FROM unnest($1::uuid[], $2::bigint[]) AS t (tenant_id, tokens)
), locked AS MATERIALIZED (
    SELECT t.tokens, q.place
      FROM used t", newest_day!("q.ctid AS place", "FOR NO KEY UPDATE"), "
), found AS (
    UPDATE quota_usage q SET embed_tokens = q.embed_tokens + t.tokens
      FROM locked t
     WHERE q.ctid = t.place
    RETURNING q.tenant_id
)
INSERT INTO quota_usage AS q (tenant_id, day, embed_tokens)
SELECT t.tenant_id, t.day, t.tokens FROM used t WHERE t.tenant_id <> ALL (ARRAY (SELECT tenant_id FROM found))
ON CONFLICT (tenant_id, day) DO UPDATE SET embed_tokens = q.embed_tokens + excluded.embed_tokens"
);

/// Counts embedded tokens of tenants, whatever becomes of the embeddings: the provider has charged them.
pub async fn count_tokens(
    executor: impl PgExecutor<'_>,
    used: &BTreeMap<TenantId, i64>,
) -> Result<(), StoreError> {
    let used = || used.iter().filter(|(_, tokens)| **tokens > 0);
    if used().next().is_some() {
        sqlx::query(COUNT_TOKENS)
            .bind(used().map(|(tenant, _)| tenant.0).collect::<Vec<_>>())
            .bind(used().map(|(_, tokens)| *tokens).collect::<Vec<_>>())
            .execute(executor)
            .await?;
    }
    Ok(())
}

/// Sets `counts` of the tenant's current day to 0, effective with the next request. False if nothing was used yet.
pub async fn reset(
    executor: impl PgExecutor<'_>,
    tenant: TenantId,
    counts: &[Count],
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE quota_usage
            SET writes = CASE WHEN 'writes' = ANY ($2) THEN 0 ELSE writes END,
                bytes = CASE WHEN 'bytes' = ANY ($2) THEN 0 ELSE bytes END,
                idempotency_keys = CASE WHEN 'idempotency_keys' = ANY ($2) THEN 0 ELSE idempotency_keys END,
                searches = CASE WHEN 'searches' = ANY ($2) THEN 0 ELSE searches END,
                embed_tokens = CASE WHEN 'embed_tokens' = ANY ($2) THEN 0 ELSE embed_tokens END
          WHERE tenant_id = $1 AND day = (now() AT TIME ZONE 'UTC')::date",
    )
    .bind(tenant.0)
    .bind(counts.iter().map(|count| count.as_str()).collect::<Vec<_>>())
    .execute(executor)
    .await?;
    Ok(done.rows_affected() > 0)
}
