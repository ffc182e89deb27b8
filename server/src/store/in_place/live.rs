//! What the live tables hold, and the previous ones, as far as it decides on a restore.

use jiff_sqlx::ToSqlx as _;
use sqlx::postgres::PgConnection;

use super::PREVIOUS;
use super::records::{self, Record};
use crate::store::StoreError;

/// Whether there is any memory.
pub async fn has_memory(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let found = "SELECT EXISTS (SELECT FROM entry_versions)";
    Ok(sqlx::query_scalar(found).fetch_one(connection).await?)
}

/// The version of the previous tables' schema.
pub async fn previous_version(connection: &mut PgConnection) -> Result<i32, StoreError> {
    let version = sqlx::AssertSqlSafe(format!("SELECT version FROM {PREVIOUS}.schema_version"));
    Ok(sqlx::query_scalar(version).fetch_one(connection).await?)
}

/// Whether some run has kept autovacuum off tables, and not let it on again.
pub async fn is_autovacuum_off(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let is_there = "SELECT to_regclass('agentfs_meta.autovacuum_off') IS NOT NULL";
    if !sqlx::query_scalar(is_there).fetch_one(&mut *connection).await? {
        return Ok(false);
    }
    let found = "SELECT EXISTS (SELECT FROM agentfs_meta.autovacuum_off)";
    Ok(sqlx::query_scalar(found).fetch_one(connection).await?)
}

/// Whether the time of the previous tables of `record` is over.
pub async fn is_over(connection: &mut PgConnection, record: &Record) -> Result<bool, StoreError> {
    let Some(until) = record.previous_until else { return Ok(false) };
    let is_over = sqlx::query_scalar("SELECT now() >= $1").bind(until.to_sqlx());
    Ok(is_over.fetch_one(connection).await?)
}

/// The record whose previous tables may go: their time is over, and no run that needs them is unfinished.
pub async fn expired(connection: &mut PgConnection) -> Result<Option<Record>, StoreError> {
    if records::unfinished(connection).await?.is_some() {
        return Ok(None);
    }
    let Some(record) = records::with_previous(connection).await? else { return Ok(None) };
    Ok(is_over(connection, &record).await?.then_some(record))
}
