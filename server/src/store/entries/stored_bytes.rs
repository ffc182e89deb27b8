//! The bytes that tenants have stored. A write counts its own in the day's row of `quota_usage`, which it has locked anyhow.
//! What is given back or put right, and days that are over, go to `storage_usage`, which no write locks: a second row would
//! cost each write, and every sweep would stand in its way.

/// SQL of the bytes that a tenant has stored, as the statement's snapshot shows them, without the row of one day.
macro_rules! stored_without {
    ($day:literal, $tenant:literal) => {
        concat!(
            "(SELECT (coalesce(max(u.bytes), 0) + coalesce(sum(d.stored_bytes), 0))::bigint
       FROM (SELECT ", $tenant, " AS id) AS own
       LEFT JOIN storage_usage u ON u.tenant_id = own.id
       LEFT JOIN quota_usage d ON d.tenant_id = own.id AND d.day >= coalesce(u.since, '-infinity') AND d.day <> ", $day, ")"
        )
    };
}
pub(crate) use stored_without;

/// SQL that gives bytes back which the preceding CTE `freed (tenant_id, bytes)` tells.
macro_rules! give_back {
    () => {
        "
INSERT INTO storage_usage AS s (tenant_id, bytes)
SELECT f.tenant_id, -sum(f.bytes)::bigint
  FROM freed f
 GROUP BY f.tenant_id
 ORDER BY f.tenant_id
ON CONFLICT (tenant_id) DO UPDATE SET bytes = s.bytes + excluded.bytes"
    };
}
pub(crate) use give_back;
