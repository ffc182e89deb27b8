//! Measures a replica's lag behind its primary by positions in the write-ahead log, independent of clocks and
//! of idle times.

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::domain::TenantId;
use crate::store::StoreError;

/// A primary's position in the write-ahead log.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Position {
    /// PostgreSQL's system identifier and the database's name: the same on all replicas.
    pub instance: String,
    /// The position. Everything committed before lies before it.
    pub lsn: String,
}

const POSITION: &str = concat!("SELECT ", instance!(), " AS instance, (", lsn!(), ")::text AS lsn");

/// Reads a primary's position.
pub async fn position(primary: impl PgExecutor<'_>) -> Result<Position, StoreError> {
    sqlx::query_as(POSITION).fetch_one(primary).await.map_err(Into::into)
}

/// A replica's progress.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Replayed {
    /// The database it is a replica of.
    pub instance: String,
    /// How many of the positions it has reached.
    pub reached: i64,
}

const REPLAYED: &str = concat!(
    "SELECT ",
    instance!(),
    " AS instance,
       (SELECT count(*) FROM unnest($1::text[]) AS u (lsn) WHERE u.lsn::pg_lsn <= ",
    lsn!(),
    ") AS reached"
);

/// Counts how many of a primary's positions, ascending, a replica has reached.
pub async fn replayed(
    replica: impl PgExecutor<'_>,
    positions: &[&str],
) -> Result<Replayed, StoreError> {
    sqlx::query_as(REPLAYED).bind(positions).fetch_one(replica).await.map_err(Into::into)
}

/// Whether a version is there. Commits become visible on a replica in order, so then all before it are there as well. `None`: it
/// is not, and the server takes no writes, so it may be a standby that is behind.
pub async fn has_version(
    executor: impl PgExecutor<'_>,
    tenant: TenantId,
    version: Uuid,
) -> Result<Option<bool>, StoreError> {
    let (has, is_read_only): (bool, bool) = sqlx::query_as(
        "SELECT EXISTS (SELECT FROM entry_versions WHERE tenant_id = $1 AND id = $2),
                current_setting('transaction_read_only')::bool",
    )
    .bind(tenant.0)
    .bind(version)
    .fetch_one(executor)
    .await?;
    Ok((has || !is_read_only).then_some(has))
}
