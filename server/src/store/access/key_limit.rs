//! The most keys of a tenant.

use sqlx::postgres::PgConnection;

use crate::domain::TenantId;
use crate::store::StoreError;

/// Those who make keys of one tenant take turns until their transactions end. Does not block what refers to the tenant.
const TAKE_TURNS: &str = "SELECT FROM tenants WHERE id = $1 FOR NO KEY UPDATE";

const COUNT: &str = "
SELECT count(*)
  FROM (SELECT FROM api_keys
         WHERE tenant_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
         LIMIT $2) live";

/// Whether `tenant` has fewer than `most` keys that are neither revoked nor expired. Nobody else makes one of its keys before
/// the transaction of `connection` ends.
pub async fn has_room(
    connection: &mut PgConnection,
    tenant: TenantId,
    most: i64,
) -> Result<bool, StoreError> {
    sqlx::query(TAKE_TURNS).bind(tenant.0).execute(&mut *connection).await?;
    // A statement of its own: it sees what those before it have committed.
    let live: i64 =
        sqlx::query_scalar(COUNT).bind(tenant.0).bind(most).fetch_one(connection).await?;
    Ok(live < most)
}
