//! Looks up versions whose COMMIT was not acknowledged.

use std::collections::HashMap;

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::domain::memory::change::Change;
use crate::store::StoreError;

/// Finds which of `changes` are in the database: their version ids and moments.
pub async fn committed(
    connection: &mut PgConnection,
    changes: &[&Change],
) -> Result<HashMap<Uuid, Timestamp>, StoreError> {
    let tenants: Vec<Uuid> = changes.iter().map(|c| c.key.tenant.0).collect();
    let ids: Vec<Uuid> = changes.iter().map(|c| c.version_id).collect();
    let rows = sqlx::query(
        "SELECT v.id, v.created_at
           FROM unnest($1::uuid[], $2::uuid[]) AS k (tenant_id, id)
           JOIN entry_versions v ON v.tenant_id = k.tenant_id AND v.id = k.id",
    )
    .bind(tenants)
    .bind(ids)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get::<jiff_sqlx::Timestamp, _>(1)?.to_jiff())))
        .collect::<Result<_, sqlx::Error>>()
        .map_err(Into::into)
}
