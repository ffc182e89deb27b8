//! The books of stored bytes of tables that become live: one half of them is in `storage_usage`, which moves, the other one in
//! `quota_usage`, which does not.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use crate::domain::memory::usage::{IDEMPOTENCY_ROW, VERSION_ROW};
use crate::store::StoreError;
use crate::store::entries::size::size;
use crate::store::names::qualified;

const QUOTED: &str = "SELECT quote_ident($1), quote_ident($2)";

/// Days that come with a backup, in the schema `staged`, say nothing of what is stored: that is counted.
pub async fn forget_days(connection: &mut PgConnection, staged: &str) -> Result<(), StoreError> {
    let days = qualified(staged, "quota_usage");
    let forget = AssertSqlSafe(format!("UPDATE {days} SET stored_bytes = 0"));
    sqlx::query(forget).execute(connection).await?;
    Ok(())
}

/// Counts what each tenant has stored in the schema `moving`, and makes its books such that they come to that with the days in the
/// schema `live`. What is written until the switch is put right afterwards: a server counts tenants anew that were never counted.
pub async fn balance(
    connection: &mut PgConnection,
    moving: &str,
    live: &str,
) -> Result<(), StoreError> {
    let names = sqlx::query_as(QUOTED).bind(moving).bind(live);
    let (moving, live): (String, String) = names.fetch_one(&mut *connection).await?;
    let forget = AssertSqlSafe(format!("DELETE FROM {moving}.storage_usage"));
    sqlx::query(forget).execute(&mut *connection).await?;
    let count = AssertSqlSafe(format!(
        "INSERT INTO {moving}.storage_usage (tenant_id, bytes)
SELECT tenant_id, sum(bytes)::bigint
  FROM (SELECT v.tenant_id,
               $1 + octet_length(v.agent_id) + octet_length(v.path) + octet_length(array_to_string(v.tags, ''))
               + coalesce({size}, 0) AS bytes
          FROM {moving}.entry_versions v
        UNION ALL SELECT tenant_id, $2 FROM {moving}.idempotency_keys
        UNION ALL SELECT tenant_id, -stored_bytes FROM {live}.quota_usage) AS stored
 GROUP BY tenant_id",
        size = size!("v")
    ));
    sqlx::query(count).bind(VERSION_ROW).bind(IDEMPOTENCY_ROW).execute(connection).await?;
    Ok(())
}
