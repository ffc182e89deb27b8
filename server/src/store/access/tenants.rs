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

/// The ids of all tenants.
pub async fn ids(executor: impl PgExecutor<'_>) -> Result<Vec<TenantId>, StoreError> {
    let ids = sqlx::query_scalar("SELECT id FROM tenants ORDER BY id").fetch_all(executor).await?;
    Ok(ids.into_iter().map(TenantId).collect())
}

/// At most `limit` tenants, those after the tenant `after`: the oldest first. Where `only` is given, that one.
pub async fn list(
    executor: impl PgExecutor<'_>,
    only: Option<TenantId>,
    after: Option<TenantId>,
    limit: usize,
) -> Result<Vec<Tenant>, StoreError> {
    let rows = sqlx::query(
        "SELECT t.id, t.name, t.created_at,
                (SELECT count(*) FROM api_keys k
                  WHERE k.tenant_id = t.id AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now()))
           FROM tenants t
          WHERE ($1::uuid IS NULL OR t.id = $1)
            AND ($2::uuid IS NULL OR (t.created_at, t.id) > (SELECT a.created_at, a.id FROM tenants a WHERE a.id = $2))
          ORDER BY t.created_at, t.id
          LIMIT $3",
    )
    .bind(only.map(|tenant| tenant.0))
    .bind(after.map(|tenant| tenant.0))
    .bind(limit as i64)
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
