//! Versions that one database has and another has not.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use uuid::Uuid;

use crate::store::StoreError;
use crate::store::in_place::lost::Lost;

/// In the order of the primary key.
const VERSIONS: &str =
    "SELECT tenant_id, id, created_at FROM entry_versions ORDER BY tenant_id, id";

/// A version: whose it is, its id, and when it was written.
type Version = ((Uuid, Uuid), Timestamp);

fn version(row: &PgRow) -> Result<Version, sqlx::Error> {
    let written: jiff_sqlx::Timestamp = row.try_get(2)?;
    Ok(((row.try_get(0)?, row.try_get(1)?), written.to_jiff()))
}

/// How many versions a database has.
pub async fn count(database: &mut PgConnection) -> Result<i64, StoreError> {
    let count = "SELECT count(*) FROM entry_versions";
    Ok(sqlx::query_scalar(count).fetch_one(database).await?)
}

/// The versions of `previous` that `live` has not, by tenant. Both are read once, side by side.
pub async fn lost(
    previous: &mut PgConnection,
    live: &mut PgConnection,
) -> Result<Vec<Lost>, StoreError> {
    let (mut had, mut has) =
        (sqlx::query(VERSIONS).fetch(previous), sqlx::query(VERSIONS).fetch(live));
    let mut lost: BTreeMap<Uuid, Lost> = BTreeMap::new();
    let mut kept = has.try_next().await?.as_ref().map(version).transpose()?;
    while let Some(row) = had.try_next().await? {
        let (key, at) = version(&row)?;
        while kept.is_some_and(|(kept, _)| kept.cmp(&key) == Ordering::Less) {
            kept = has.try_next().await?.as_ref().map(version).transpose()?;
        }
        if kept.is_none_or(|(kept, _)| kept != key) {
            let of_tenant =
                lost.entry(key.0).or_insert(Lost { tenant: key.0, versions: 0, from: at, to: at });
            of_tenant.versions += 1;
            of_tenant.from = of_tenant.from.min(at);
            of_tenant.to = of_tenant.to.max(at);
        }
    }
    Ok(lost.into_values().collect())
}
