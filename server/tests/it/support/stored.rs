//! The versions of an entry, as they are stored.

use serde_json::Value;
use sqlx::Row as _;
use uuid::Uuid;

use super::database::Database;

/// A version as the database holds it.
pub struct Stored {
    pub id: Uuid,
    pub version: i64,
    /// Null of a tombstone.
    pub value: Value,
    /// In microseconds since 1970.
    pub created_at: i64,
}

/// All versions of a path, in their order.
pub async fn history(database: &Database, path: &str) -> Vec<Stored> {
    sqlx::query(
        "SELECT id, version, value::text, (extract(epoch FROM created_at) * 1000000)::bigint
           FROM entry_versions WHERE path = $1 ORDER BY version",
    )
    .bind(path)
    .fetch_all(&mut database.connect().await)
    .await
    .unwrap()
    .iter()
    .map(|row| Stored {
        id: row.get(0),
        version: row.get(1),
        value: row
            .get::<Option<String>, _>(2)
            .map_or(Value::Null, |text| serde_json::from_str(&text).unwrap()),
        created_at: row.get(3),
    })
    .collect()
}

/// By how many bytes the books of what tenants have stored differ from what there is.
pub const UNBOOKED_BYTES: &str = "
SELECT ((SELECT coalesce(sum(256 + octet_length(agent_id) + octet_length(path) + octet_length(array_to_string(tags, ''))
                             + coalesce(octet_length(value::text), 0)), 0) FROM entry_versions)
        + (SELECT 512 * count(*) FROM idempotency_keys)
        - (SELECT coalesce(sum(bytes), 0) FROM storage_usage)
        - (SELECT coalesce(sum(q.stored_bytes), 0) FROM quota_usage q LEFT JOIN storage_usage s USING (tenant_id)
            WHERE q.day >= coalesce(s.since, '-infinity')))::bigint";
