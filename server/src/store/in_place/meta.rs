//! Makes tables of the schema `agentfs_meta` where they are missing. No migration does: a restore takes back what migrations have made, and
//! these tables have to know of it, also in a database that has no other tables of ours yet.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::{META, schemas};
use crate::store::StoreError;

/// What is made belongs to the owner of the live tables, who drops the previous tables in a backup.
const GIVE: &str = "
SELECT string_agg(format('ALTER TABLE %s OWNER TO %I', made.oid::regclass, pg_get_userbyid(live.relowner)), '; ')
  FROM pg_class live, pg_class made
 WHERE live.oid = to_regclass('schema_version') AND made.relowner <> live.relowner
   AND made.relnamespace = $1::regnamespace AND made.relname = ANY ($2)";

/// "agfsrest" in ASCII. IF NOT EXISTS alone fails where two make the same at once.
const MAKE_LOCK: i64 = 0x61_67_66_73_72_65_73_74;

/// Makes `tables` by the statements `make`, each of which is fine where it was executed before.
pub(in crate::store) async fn make(
    connection: &mut PgConnection,
    tables: &[&str],
    make: &'static str,
) -> Result<(), StoreError> {
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(MAKE_LOCK)
        .execute(&mut *transaction)
        .await?;
    if schemas::find(&mut transaction, META).await?.is_none() {
        schemas::create(&mut transaction, META).await?;
    }
    transaction.execute("SET LOCAL client_min_messages = warning").await?;
    transaction.execute(make).await?;
    let give: Option<String> =
        sqlx::query_scalar(GIVE).bind(META).bind(tables).fetch_one(&mut *transaction).await?;
    if let Some(give) = give {
        transaction.execute(AssertSqlSafe(give)).await?;
    }
    transaction.commit().await?;
    Ok(())
}
