//! The schema that a backup is loaded into, beside the live one. Its tables are made by our own migrations.

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use sqlx::postgres::types::Oid;
use uuid::Uuid;

use super::records::{self, Phase};
pub use super::schemas::{NotOurs, in_the_way};
use super::{MOVING, NEW, STAYING, schemas};
use crate::settings::DatabaseUrl;
use crate::store::StoreError;

/// The URL by which statements find the tables of the schema `NEW` first.
pub fn url(live: &DatabaseUrl) -> DatabaseUrl {
    live.with_search_path(NEW)
}

/// Makes the schema, empty, and notes its OID in the record `id`, in one transaction. `connection` is one to the live schema.
pub async fn make(
    connection: &mut PgConnection,
    id: Uuid,
) -> Result<Result<(), NotOurs>, StoreError> {
    let mut transaction = connection.begin().await?;
    let made = make_in(&mut transaction, id).await;
    schemas::settle(transaction, made).await
}

async fn make_in(
    transaction: &mut PgConnection,
    id: Uuid,
) -> Result<Result<(), NotOurs>, StoreError> {
    if !records::hold(&mut *transaction, id, Phase::Staging).await? {
        return Ok(Err(NotOurs::Record));
    }
    if let Some(in_the_way) = schemas::in_the_way(&mut *transaction, NEW, None).await? {
        return Ok(Err(in_the_way));
    }
    let oid = schemas::create(&mut *transaction, NEW).await?;
    records::note_staging(transaction, id, oid).await?;
    Ok(Ok(()))
}

/// Tables of ours in the schema `$1`.
const STAGED: &str = "
SELECT format('%s.%I', relnamespace::regnamespace, relname)
  FROM pg_class
 WHERE relnamespace = $1 AND relkind = 'r' AND relname = ANY ($2)
 ORDER BY relname";

/// Drops the schema with all that was staged in it, where its OID is `oid`: the tables by name and never with CASCADE. Fine where it is gone.
pub async fn drop(
    connection: &mut PgConnection,
    oid: u32,
) -> Result<Result<(), NotOurs>, StoreError> {
    let mut tables = staged(connection, oid).await?;
    loop {
        let mut transaction = connection.begin().await?;
        let dropped = drop_in(&mut transaction, oid, &tables).await;
        let dropped = schemas::settle(transaction, dropped).await?;
        if !matches!(dropped, Err(NotOurs::Needed { .. })) {
            return Ok(dropped);
        }
        // A statement that nobody waits for any more may have made one since.
        let now = staged(connection, oid).await?;
        if now == tables {
            return Ok(dropped);
        }
        tables = now;
    }
}

async fn staged(connection: &mut PgConnection, oid: u32) -> Result<Vec<String>, StoreError> {
    let ours: Vec<&str> = MOVING.into_iter().chain(STAYING).collect();
    Ok(sqlx::query_scalar(STAGED).bind(Oid(oid)).bind(ours).fetch_all(connection).await?)
}

async fn drop_in(
    transaction: &mut PgConnection,
    oid: u32,
    tables: &[String],
) -> Result<Result<(), NotOurs>, StoreError> {
    if schemas::find(&mut *transaction, NEW).await? != Some(oid) {
        return Ok(Ok(()));
    }
    schemas::drop(transaction, NEW, tables).await
}
