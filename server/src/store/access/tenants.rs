//! Tenants: creates and lists them.

use jiff::Timestamp;
use sqlx::{PgExecutor, Row as _};

use crate::domain::TenantId;
use crate::domain::access::tenant_name::TenantName;
use crate::store::StoreError;

/// A tenant in a list for operators.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its name; two may have the same.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its valid keys.
    pub active_keys: i64,
}

/// Creates a tenant.
pub async fn insert(
    executor: impl PgExecutor<'_>,
    id: TenantId,
    name: &TenantName,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO tenants (id, name) VALUES ($1, $2)")
        .bind(id.0)
        .bind(name.as_str())
        .execute(executor)
        .await?;
    Ok(())
}

/// Whether there is such a tenant.
pub async fn exists(executor: impl PgExecutor<'_>, tenant: TenantId) -> Result<bool, StoreError> {
    let found = sqlx::query_scalar("SELECT EXISTS (SELECT FROM tenants WHERE id = $1)")
        .bind(tenant.0)
        .fetch_one(executor)
        .await?;
    Ok(found)
}

/// All tenants, the oldest first.
pub async fn list(executor: impl PgExecutor<'_>) -> Result<Vec<Tenant>, StoreError> {
    let rows = sqlx::query(
        "SELECT t.id, t.name, t.created_at,
                (SELECT count(*) FROM api_keys k
                  WHERE k.tenant_id = t.id AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now()))
           FROM tenants t
          ORDER BY t.created_at, t.id",
    )
    .fetch_all(executor)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Tenant {
                id: TenantId(row.try_get(0)?),
                name: row.try_get(1)?,
                created_at: row.try_get::<jiff_sqlx::Timestamp, _>(2)?.to_jiff(),
                active_keys: row.try_get(3)?,
            })
        })
        .collect::<Result<_, sqlx::Error>>()
        .map_err(Into::into)
}
