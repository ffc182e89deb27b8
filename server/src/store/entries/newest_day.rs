//! Finds the row of `quota_usage` that counts a tenant's day, however many versions of it there are.
//!
//! Each batch and each search updates it. While a snapshot is open, none of its versions can be removed, and a look-up by its key, such as an
//! upsert's, passes all of them: 100,000 take 10 ms. They lie in the index in the order of the table, so the newest is the last one.

use sqlx::postgres::PgConnection;

use crate::store::StoreError;

/// SQL that joins the day's row to `t (tenant_id, day)`. It reads the index from its end, and `$locking` locks the row. Two row
/// comparisons say what one equality would: with that, the planner would drop the order and begin with the oldest version.
macro_rules! newest_day {
    ($columns:literal, $locking:literal) => {
        concat!(
            "
     CROSS JOIN LATERAL (
           SELECT ", $columns, "
             FROM quota_usage q
            WHERE (q.tenant_id, q.day) <= (t.tenant_id, t.day) AND (q.tenant_id, q.day) >= (t.tenant_id, t.day)
            ORDER BY q.tenant_id DESC, q.day DESC
            LIMIT 1 ", $locking, ") q"
        )
    };
}
pub(in crate::store) use newest_day;

/// Has PostgreSQL plan anew what uses `newest_day!`: while it has a page or two, the table is read as a whole, and the plan stays
/// when it has grown. Does nothing where another session looks after the table.
pub async fn plan_anew(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("ANALYZE (SKIP_LOCKED) quota_usage").execute(connection).await?;
    Ok(())
}
