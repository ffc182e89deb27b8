//! Tenants: creates and lists them.

use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, PgExecutor, Row as _};

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

/// Tables with rows of a tenant, keys before the tenant that they refer to.
const OF_A_TENANT: [&str; 10] = [
    "api_keys",
    "embedding_chunks",
    "embedding_jobs",
    "embeddings",
    "search_documents",
    "idempotency_keys",
    "entries",
    "entry_versions",
    "quota_usage",
    "storage_usage",
];

/// Removes a tenant with all that is its, history included. Nobody may use its keys any more. False where there was nothing.
pub async fn remove(connection: &mut PgConnection, tenant: TenantId) -> Result<bool, StoreError> {
    let mut transaction = connection.begin().await?;
    let mut removed = 0;
    for table in OF_A_TENANT {
        let rows = AssertSqlSafe(format!("DELETE FROM {table} WHERE tenant_id = $1"));
        removed +=
            sqlx::query(rows).bind(tenant.0).execute(&mut *transaction).await?.rows_affected();
    }
    let itself = sqlx::query("DELETE FROM tenants WHERE id = $1").bind(tenant.0);
    removed += itself.execute(&mut *transaction).await?.rows_affected();
    transaction.commit().await?;
    Ok(removed > 0)
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
