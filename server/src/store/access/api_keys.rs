//! API keys: creates, finds, lists and revokes them.

use jiff::Timestamp;
use sqlx::{Connection as _, PgConnection, PgExecutor, Row as _};

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
    /// When it was created.
    pub created_at: Timestamp,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A revoked key.
#[derive(Debug, Clone)]
pub struct RevokedKey {
    /// The key's tenant.
    pub tenant: TenantId,
    /// The key's purpose.
    pub label: String,
    /// The tool that manages it, if any.
    pub managed_by: Option<String>,
    /// When it was revoked.
    pub revoked_at: Timestamp,
    /// It had been revoked before.
    pub already: bool,
}

/// Returns a row whether the key exists or not, but none in the middle of a restore: then nobody knows, and that must not
/// be cached as a no.
const FIND: &str = "
SELECT k.tenant_id, k.secret_hash, k.scopes, k.expires_at
  FROM schema_version
  LEFT JOIN api_keys k ON k.id = $1 AND k.revoked_at IS NULL";

/// Finds a key that is not revoked, by its id. The caller checks its expiry, which depends on the moment.
pub async fn find(
    executor: impl PgExecutor<'_>,
    id: &KeyId,
) -> Result<Option<StoredKey>, StoreError> {
    let row = sqlx::query(FIND).bind(id.as_str()).fetch_one(executor).await?;
    let Some(tenant) = row.try_get(0)? else { return Ok(None) };
    let hash: &[u8] = row.try_get(1)?;
    let scopes: Vec<String> = row.try_get(2)?;
    Ok(SecretHash::from_stored(hash).map(|secret_hash| StoredKey {
        tenant: TenantId(tenant),
        secret_hash,
        // A scope of a newer program means nothing to this one, and gives nothing.
        scopes: scopes.iter().filter_map(|s| s.parse().ok()).collect(),
        expires_at: from_sql(row.get(3)),
    }))
}

/// What became of a new key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is stored.
    New,
    /// There is no such tenant.
    NoTenant,
    /// The tenant has its most keys already.
    TooMany,
}

/// Stores a new key of `tenant`, which may have `most_keys` of them; `None` is without limit.
pub async fn insert(
    connection: &mut PgConnection,
    key: &ApiKey,
    tenant: TenantId,
    new_key: &NewApiKey,
    most_keys: Option<i64>,
) -> Result<Stored, StoreError> {
    let mut transaction = connection.begin().await?;
    if let Some(most) = most_keys
        && !key_limit::has_room(&mut transaction, tenant, most).await?
    {
        return Ok(Stored::TooMany);
    }
    let done = sqlx::query(
        "INSERT INTO api_keys (id, tenant_id, secret_hash, scopes, label, expires_at)
         SELECT $1, id, $3, $4, $5, $6 FROM tenants WHERE id = $2",
    )
    .bind(key.id().as_str())
    .bind(tenant.0)
    .bind(key.secret_hash().as_bytes())
    .bind(new_key.scopes().names())
    .bind(new_key.label())
    .bind(to_sql(new_key.expires_at()))
    .execute(&mut *transaction)
    .await?;
    if done.rows_affected() != 1 {
        return Ok(Stored::NoTenant);
    }
    transaction.commit().await?;
    Ok(Stored::New)
}

/// Makes `key` the only valid key that `manager` has in `tenant`: stores it, or makes it valid again, and revokes the
/// manager's earlier ones. One statement, so there is no moment without a valid key.
pub async fn keep_managed(
    executor: impl PgExecutor<'_>,
    key: &ApiKey,
    tenant: TenantId,
    scopes: Scopes,
    manager: &str,
) -> Result<(), StoreError> {
    sqlx::query(
        "WITH earlier AS (
             UPDATE api_keys SET revoked_at = now()
              WHERE managed_by = $5 AND tenant_id = $2 AND id <> $1 AND revoked_at IS NULL
         )
         INSERT INTO api_keys (id, tenant_id, secret_hash, scopes, label, managed_by)
         VALUES ($1, $2, $3, $4, $5, $5)
         ON CONFLICT (id) DO UPDATE
            SET secret_hash = excluded.secret_hash, scopes = excluded.scopes, revoked_at = NULL, expires_at = NULL",
    )
    .bind(key.id().as_str())
    .bind(tenant.0)
    .bind(key.secret_hash().as_bytes())
    .bind(scopes.names())
    .bind(manager)
    .execute(executor)
    .await?;
    Ok(())
}

/// The keys of `tenant`, or of all, the oldest first.
pub async fn list(
    executor: impl PgExecutor<'_>,
    tenant: Option<TenantId>,
) -> Result<Vec<ListedKey>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, tenant_id, label, scopes, managed_by, created_at, expires_at, revoked_at
           FROM api_keys
          WHERE $1 IS NULL OR tenant_id = $1
          ORDER BY created_at, id",
    )
    .bind(tenant.map(|tenant| tenant.0))
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
            })
        })
        .collect::<Result<_, sqlx::Error>>()
        .map_err(Into::into)
}

/// Revokes a key; one that was revoked before keeps its moment. `None` if there is no such key.
pub async fn revoke(
    executor: impl PgExecutor<'_>,
    id: &KeyId,
) -> Result<Option<RevokedKey>, StoreError> {
    let row = sqlx::query(
        "WITH before AS (SELECT id, revoked_at FROM api_keys WHERE id = $1 FOR UPDATE)
         UPDATE api_keys k SET revoked_at = coalesce(before.revoked_at, now())
           FROM before
          WHERE k.id = before.id
         RETURNING k.tenant_id, k.label, k.managed_by, k.revoked_at, before.revoked_at IS NOT NULL",
    )
    .bind(id.as_str())
    .fetch_optional(executor)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(RevokedKey {
        tenant: TenantId(row.try_get(0)?),
        label: row.try_get(1)?,
        managed_by: row.try_get(2)?,
        revoked_at: row.try_get::<jiff_sqlx::Timestamp, _>(3)?.to_jiff(),
        already: row.try_get(4)?,
    }))
}
