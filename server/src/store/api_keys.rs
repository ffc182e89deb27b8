//! Keys and tenants.

use jiff::Timestamp;
use sqlx::{PgExecutor, Row as _};

use super::{StoreError, from_sql, to_sql};
use crate::domain::TenantId;
use crate::domain::api_key::{ApiKey, KeyId, SecretHash};
use crate::domain::scope::Scopes;

/// A key as the database knows it.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// Whose key it is.
    pub tenant: TenantId,
    /// Hash of its secret.
    pub secret_hash: SecretHash,
    /// What it may do.
    pub scopes: Scopes,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// What a new key is to be.
#[derive(Debug, Clone)]
pub struct NewKey<'a> {
    /// Whose key.
    pub tenant: TenantId,
    /// What it may do.
    pub scopes: Scopes,
    /// For people: what it is for.
    pub label: &'a str,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// Gives a row whether there is such a key or not, but none in the middle of a restore: then nobody knows whether there
/// is, and that must not be taken, and remembered, for a no.
const FIND: &str = "
SELECT k.tenant_id, k.secret_hash, k.scopes, k.expires_at
  FROM schema_version
  LEFT JOIN api_keys k ON k.id = $1 AND k.revoked_at IS NULL";

/// A key that is not revoked, by its id. Expiry is the caller's to check: it depends on the moment.
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

/// Stores a new key; false when its tenant does not exist.
pub async fn insert(
    executor: impl PgExecutor<'_>,
    key: &ApiKey,
    new: &NewKey<'_>,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO api_keys (id, tenant_id, secret_hash, scopes, label, expires_at)
         SELECT $1, id, $3, $4, $5, $6 FROM tenants WHERE id = $2",
    )
    .bind(key.id().as_str())
    .bind(new.tenant.0)
    .bind(key.secret_hash().as_bytes())
    .bind(new.scopes.names())
    .bind(new.label)
    .bind(to_sql(new.expires_at))
    .execute(executor)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Makes `key` the one valid key that `manager` keeps in `tenant`: stores it, or makes it valid again, and revokes
/// the manager's earlier ones. One statement, so there is no moment without a valid key.
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
