//! API keys: creates, finds, lists and rotates them.

use std::collections::HashMap;

use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{Connection as _, PgConnection, PgExecutor, Row as _};
use uuid::Uuid;

use crate::domain::TenantId;
use crate::domain::access::api_key::{ApiKey, KeyId, SecretHash};
use crate::domain::access::new_api_key::NewApiKey;
use crate::domain::access::scope::Scopes;
use crate::store::StoreError;
use crate::store::access::key_limit;
use crate::store::time::{from_sql, to_sql};

/// A stored key, for authentication.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// The key's tenant.
    pub tenant: TenantId,
    /// Hash of its secret.
    pub secret_hash: SecretHash,
    /// The key's permissions.
    pub scopes: Scopes,
    /// When the key expires.
    pub expires_at: Option<Timestamp>,
}

/// A key in a list for operators.
#[derive(Debug, Clone)]
pub struct ListedKey {
    /// The public id.
    pub id: String,
    /// The key's tenant.
    pub tenant: TenantId,
    /// The key's purpose.
    pub label: String,
    /// The names of its scopes.
    pub scopes: Vec<String>,
    /// The tool that manages it, if any.
    pub managed_by: Option<String>,
    /// The key that made it, if one did that may be shown.
    pub created_by: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// What became of a new key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is stored, and expires then.
    New(Option<Timestamp>),
    /// There is no such tenant.
    NoTenant,
    /// Its maker is revoked or has expired.
    NoMaker,
    /// It would outlive its maker, which expires then.
    OutlivesMaker(Timestamp),
    /// Not: the tenant has its most keys already.
    TooMany,
}

/// What the rotation of a managed key has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotated {
    /// The key is new, or valid again.
    pub is_new: bool,
    /// The ids of the manager's earlier keys, which expire within a minute from now on.
    pub earlier: Vec<String>,
}

/// Returns a row whether keys exist or not, but none in the middle of a restore: then nobody knows, and that must not
/// be cached as a no.
const FIND: &str = "
SELECT k.id, k.tenant_id, k.secret_hash, k.scopes, k.expires_at
  FROM schema_version
  LEFT JOIN api_keys k ON k.id = ANY ($1) AND k.revoked_at IS NULL";

/// Finds those of the keys that are not revoked, by their ids. The caller checks their expiry, which depends on the moment.
pub async fn find(
    executor: impl PgExecutor<'_>,
    ids: &[KeyId],
) -> Result<HashMap<KeyId, StoredKey>, StoreError> {
    let names: Vec<&str> = ids.iter().map(KeyId::as_str).collect();
    let rows = sqlx::query(FIND).bind(names).fetch_all(executor).await?;
    if rows.is_empty() {
        return Err(sqlx::Error::RowNotFound.into());
    }
    let found = rows.iter().map(stored).filter_map(Result::transpose);
    Ok(found.collect::<Result<_, sqlx::Error>>()?)
}

/// `None` in the row that says that there are no such keys, and where its hash is none.
fn stored(row: &PgRow) -> Result<Option<(KeyId, StoredKey)>, sqlx::Error> {
    let id: Option<&str> = row.try_get("id")?;
    let Some(id) = id.and_then(|id| KeyId::parse(id).ok()) else { return Ok(None) };
    let Some(secret_hash) = SecretHash::from_stored(row.try_get("secret_hash")?) else {
        return Ok(None);
    };
    let scopes: Vec<String> = row.try_get("scopes")?;
    let stored = StoredKey {
        tenant: TenantId(row.try_get("tenant_id")?),
        secret_hash,
        // A scope of a newer program means nothing to this one, and gives nothing.
        scopes: scopes.iter().filter_map(|s| s.parse().ok()).collect(),
        expires_at: from_sql(row.try_get("expires_at")?),
    };
    Ok(Some((id, stored)))
}

/// A key that makes another: locked until the transaction ends, so that nobody revokes it and misses the new one.
const MAKER: &str = "
SELECT managed_by IS NULL, expires_at
  FROM api_keys
 WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
   FOR SHARE";

/// Stores a new key of `tenant`, which may have `most_keys` of them; `None` is without limit. `maker`: the key that makes it,
/// if one does. A managed key is nobody's maker: what it makes belongs to the tenant.
pub async fn insert(
    connection: &mut PgConnection,
    key: &ApiKey,
    tenant: TenantId,
    new_key: NewApiKey,
    maker: Option<KeyId>,
    most_keys: Option<i64>,
) -> Result<Stored, StoreError> {
    let mut transaction = connection.begin().await?;
    if let Some(most) = most_keys
        && !key_limit::has_room(&mut transaction, tenant, most).await?
    {
        return Ok(Stored::TooMany);
    }
    let (mut created_by, mut until) = (None, None);
    if let Some(maker) = maker {
        let found = sqlx::query(MAKER).bind(maker.as_str()).fetch_optional(&mut *transaction);
        let Some(row) = found.await? else { return Ok(Stored::NoMaker) };
        if row.try_get(0)? {
            (created_by, until) = (Some(maker), from_sql(row.try_get(1)?));
        }
    }
    let new_key = match (new_key.within(until), until) {
        (Ok(new_key), _) => new_key,
        (Err(_), until) => return Ok(until.map_or(Stored::NoMaker, Stored::OutlivesMaker)),
    };
    let done = sqlx::query(
        "INSERT INTO api_keys (id, tenant_id, secret_hash, scopes, label, expires_at, created_by)
         SELECT $1, id, $3, $4, $5, $6, $7 FROM tenants WHERE id = $2",
    )
    .bind(key.id().as_str())
    .bind(tenant.0)
    .bind(key.secret_hash().as_bytes())
    .bind(new_key.scopes().names())
    .bind(new_key.label())
    .bind(to_sql(new_key.expires_at()))
    .bind(created_by.as_ref().map(KeyId::as_str))
    .execute(&mut *transaction)
    .await?;
    if done.rows_affected() != 1 {
        return Ok(Stored::NoTenant);
    }
    transaction.commit().await?;
    Ok(Stored::New(new_key.expires_at()))
}

/// An earlier key goes on for a minute, since replicas may remember for some seconds that they do not know the new one.
const KEEP: &str = "
WITH earlier AS (
    UPDATE api_keys SET expires_at = now() + interval '1 minute'
     WHERE managed_by = $5 AND tenant_id = $2 AND id <> $1 AND revoked_at IS NULL
       AND (expires_at IS NULL OR expires_at > now() + interval '1 minute')
    RETURNING id
), kept AS (
    INSERT INTO api_keys AS k (id, tenant_id, secret_hash, scopes, label, managed_by)
    VALUES ($1, $2, $3, $4, $5, $5)
    ON CONFLICT (id) DO UPDATE
       SET secret_hash = excluded.secret_hash, scopes = excluded.scopes, managed_by = excluded.managed_by,
           created_by = NULL, revoked_at = NULL, expires_at = NULL
     WHERE (k.secret_hash, k.scopes, k.managed_by) IS DISTINCT FROM (excluded.secret_hash, excluded.scopes, excluded.managed_by)
        OR num_nonnulls(k.created_by, k.revoked_at, k.expires_at) > 0
    RETURNING id
)
SELECT EXISTS (SELECT FROM kept), ARRAY(SELECT id FROM earlier)";

/// Makes `key` the one key of `manager` in `tenant` that does not expire: stores it, or makes it valid again, and has the
/// manager's earlier ones expire in a minute. One statement, so there is no moment without a valid key.
pub async fn keep_managed(
    executor: impl PgExecutor<'_>,
    key: &ApiKey,
    tenant: TenantId,
    scopes: Scopes,
    manager: &str,
) -> Result<Rotated, StoreError> {
    let row = sqlx::query(KEEP)
        .bind(key.id().as_str())
        .bind(tenant.0)
        .bind(key.secret_hash().as_bytes())
        .bind(scopes.names())
        .bind(manager)
        .fetch_one(executor)
        .await?;
    Ok(Rotated { is_new: row.try_get(0)?, earlier: row.try_get(1)? })
}

/// Keys of one tenant, or of all. A maker is shown where it belongs to a tenant that is listed.
const LIST: &str = "
SELECT k.id, k.tenant_id, k.label, k.scopes, k.managed_by, k.created_at, k.expires_at, k.revoked_at,
       (SELECT m.id FROM api_keys m WHERE m.id = k.created_by AND m.tenant_id BETWEEN $1 AND $2)
  FROM api_keys k
 WHERE k.tenant_id BETWEEN $1 AND $2
   AND ($3::text IS NULL OR (k.tenant_id, k.created_at, k.id) > (SELECT a.tenant_id, a.created_at, a.id FROM api_keys a WHERE a.id = $3))
 ORDER BY k.tenant_id, k.created_at, k.id
 LIMIT $4";

/// At most `limit` keys of `tenant`, or of all, those after the key `after`: tenant by tenant, the oldest first.
pub async fn list(
    executor: impl PgExecutor<'_>,
    tenant: Option<TenantId>,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<ListedKey>, StoreError> {
    let (first, last) = tenant.map_or((Uuid::nil(), Uuid::max()), |tenant| (tenant.0, tenant.0));
    let rows = sqlx::query(LIST)
        .bind(first)
        .bind(last)
        .bind(after)
        .bind(limit as i64)
        .fetch_all(executor)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(ListedKey {
                id: row.try_get(0)?,
                tenant: TenantId(row.try_get(1)?),
                label: row.try_get(2)?,
                scopes: row.try_get(3)?,
                managed_by: row.try_get(4)?,
                created_at: row.try_get::<jiff_sqlx::Timestamp, _>(5)?.to_jiff(),
                expires_at: from_sql(row.try_get(6)?),
                revoked_at: from_sql(row.try_get(7)?),
                created_by: row.try_get(8)?,
            })
        })
        .collect::<Result<_, sqlx::Error>>()
        .map_err(Into::into)
}

/// The ids of all keys that are neither revoked nor expired.
pub async fn live_ids(executor: impl PgExecutor<'_>) -> Result<Vec<String>, StoreError> {
    let live = "SELECT id FROM api_keys WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) ORDER BY id";
    Ok(sqlx::query_scalar(live).fetch_all(executor).await?)
}

/// Those of the keys `ids` that are revoked, expired or not there.
pub async fn ended(
    executor: impl PgExecutor<'_>,
    ids: &[String],
) -> Result<Vec<String>, StoreError> {
    let ended = "
        SELECT id FROM unnest($1::text[]) AS given (id)
         WHERE NOT EXISTS (SELECT FROM api_keys k
                            WHERE k.id = given.id AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now()))
         ORDER BY id";
    Ok(sqlx::query_scalar(ended).bind(ids).fetch_all(executor).await?)
}
