//! The previous tables: what a switch took out.

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use sqlx::postgres::types::Oid;

use super::PREVIOUS;
use super::records::{self, Record};
use super::schemas::{self, NotOurs};
use crate::store::StoreError;

/// The tables of the schema `$1`: their names, quoted for SQL, their OIDs, and the bytes that they take.
const TABLES: &str = "
SELECT format('%s.%I', relnamespace::regnamespace, relname), oid, pg_total_relation_size(oid)
  FROM pg_class
 WHERE relnamespace = $1 AND relkind IN ('r', 'p', 'f', 'm')
 ORDER BY relname";

/// Drops the previous tables of `record`, by name and never with CASCADE, and notes that they are gone. Returns the bytes that they took.
/// Fine where they are gone. Waits 3 s at most for whoever reads them, and fails as contended then.
pub async fn drop(
    connection: &mut PgConnection,
    record: &Record,
) -> Result<Result<u64, NotOurs>, StoreError> {
    let mut transaction = connection.begin().await?;
    let dropped = drop_in(&mut transaction, record).await;
    schemas::settle(transaction, dropped).await
}

/// Whether they could be dropped now: the same, taken back. That somebody reads them says nothing of later.
pub async fn look(
    connection: &mut PgConnection,
    record: &Record,
) -> Result<Result<(), NotOurs>, StoreError> {
    let mut transaction = connection.begin().await?;
    let dropped = drop_in(&mut transaction, record).await;
    // An error of the server has ended it already.
    transaction.rollback().await.ok();
    match dropped {
        Err(StoreError::Contended(_)) => Ok(Ok(())),
        dropped => Ok(dropped?.map(|_| ())),
    }
}

/// The same as [`drop`], as a part of a transaction that is rolled back where they are not dropped.
pub(super) async fn drop_in(
    transaction: &mut PgConnection,
    record: &Record,
) -> Result<Result<u64, NotOurs>, StoreError> {
    if let Some(in_the_way) =
        schemas::in_the_way(&mut *transaction, PREVIOUS, record.previous_schema).await?
    {
        return Ok(Err(in_the_way));
    }
    let mut freed = 0;
    if let Some(schema) = schemas::find(&mut *transaction, PREVIOUS).await? {
        let found: Vec<(String, Oid, i64)> =
            sqlx::query_as(TABLES).bind(Oid(schema)).fetch_all(&mut *transaction).await?;
        let others: Vec<&str> = found
            .iter()
            .filter(|(_, oid, _)| !record.previous.contains(&oid.0))
            .map(|(name, _, _)| name.as_str())
            .collect();
        if !others.is_empty() {
            return Ok(Err(NotOurs::Schema { schema: PREVIOUS, objects: others.join(", ") }));
        }
        freed = found.iter().map(|(_, _, bytes)| bytes.unsigned_abs()).sum();
        let names: Vec<String> = found.into_iter().map(|(name, _, _)| name).collect();
        if let Err(needed) = schemas::drop(&mut *transaction, PREVIOUS, &names).await? {
            return Ok(Err(needed));
        }
    }
    records::forget_previous(transaction, None).await?;
    Ok(Ok(freed))
}
