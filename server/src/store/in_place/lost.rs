//! Versions that a switch took out of the live memory: those of the previous tables that the live ones do not have. A version keeps
//! its id for ever, also as a tombstone, so what was swept since is none of them.

use futures::{Stream, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx as _;
use serde::{Deserialize, Serialize};
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use super::PREVIOUS;
use crate::store::StoreError;
use crate::store::names::quoted;

/// What a tenant lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// The tenant.
    pub tenant: Uuid,
    /// How many versions.
    pub versions: i64,
    /// When the first of them was written.
    pub from: Timestamp,
    /// When the last of them was written.
    pub to: Timestamp,
}

/// A version that was lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LostVersion {
    /// Whose it was.
    pub tenant: Uuid,
    /// The agent.
    pub agent: String,
    /// Where.
    pub path: String,
    /// Its number.
    pub version: i64,
    /// Its id.
    pub id: Uuid,
    /// When it was written.
    pub created_at: Timestamp,
    /// Whether it was a tombstone: a delete, or what had expired.
    pub deleted: bool,
}

/// How much the clock of a server of ours, which ids are made by, may be behind the database's.
const CLOCKS: SignedDuration = SignedDuration::from_hours(1);

/// Ids begin with their moment, and so lie in the order of their primary key: only those of late are looked at.
const ESTIMATE: &str = "
SELECT coalesce(sum(late.versions), 0)::bigint
  FROM tenants t
 CROSS JOIN LATERAL (
       SELECT count(*) AS versions FROM entry_versions v WHERE v.tenant_id = t.id AND v.id >= $1 AND v.created_at > $2) late";

/// About how many versions were written since a moment.
pub async fn estimate(connection: &mut PgConnection, since: Timestamp) -> Result<i64, StoreError> {
    let asked = sqlx::query_scalar(ESTIMATE).bind(first_id(since - CLOCKS)).bind(since.to_sqlx());
    Ok(asked.fetch_one(connection).await?)
}

/// The same by tenant: what goes with tables of the schema `live` that are about to be emptied, by the moments of versions.
pub(super) async fn since(
    connection: &mut PgConnection,
    live: &str,
    since: Timestamp,
) -> Result<Vec<Lost>, StoreError> {
    let by_tenant = AssertSqlSafe(format!(
        "SELECT v.tenant_id, count(*), min(v.created_at), max(v.created_at) FROM {}.entry_versions v
          WHERE v.id >= $1 AND v.created_at > $2 GROUP BY 1 ORDER BY 1",
        quoted(live)
    ));
    let asked = sqlx::query(by_tenant).bind(first_id(since - CLOCKS)).bind(since.to_sqlx());
    of_rows(&asked.fetch_all(connection).await?)
}

fn of_rows(rows: &[PgRow]) -> Result<Vec<Lost>, StoreError> {
    let lost = rows.iter().map(|row| {
        Ok(Lost {
            tenant: row.try_get(0)?,
            versions: row.try_get(1)?,
            from: moment(row, 2)?,
            to: moment(row, 3)?,
        })
    });
    Ok(lost.collect::<Result<_, sqlx::Error>>()?)
}

/// How many live versions of the schema `live` the previous tables do not have: what an undoing would take out.
pub async fn by_undoing(connection: &mut PgConnection, live: &str) -> Result<i64, StoreError> {
    let count = AssertSqlSafe(format!("SELECT count(*) {}", only_in(live, PREVIOUS)));
    Ok(sqlx::query_scalar(count).fetch_one(connection).await?)
}

/// How many versions of the previous tables are not live in the schema `live`: what goes for good with these tables.
pub async fn by_dropping(connection: &mut PgConnection, live: &str) -> Result<i64, StoreError> {
    let count = AssertSqlSafe(format!("SELECT count(*) {}", only_in(PREVIOUS, live)));
    Ok(sqlx::query_scalar(count).fetch_one(connection).await?)
}

/// The least id (UUIDv7) of a moment.
fn first_id(at: Timestamp) -> Uuid {
    let millis = u128::from(at.as_millisecond().max(0).unsigned_abs());
    Uuid::from_u128(millis << 80)
}

/// The versions of the previous tables that are not live in the schema `live`, by tenant.
pub async fn by_tenant(connection: &mut PgConnection, live: &str) -> Result<Vec<Lost>, StoreError> {
    let by_tenant = AssertSqlSafe(format!(
        "SELECT v.tenant_id, count(*), min(v.created_at), max(v.created_at) {} GROUP BY 1 ORDER BY 1",
        only_in(PREVIOUS, live)
    ));
    of_rows(&sqlx::query(by_tenant).fetch_all(connection).await?)
}

/// Each of these versions, by tenant, agent, path and number.
pub fn each<'c>(
    connection: &'c mut PgConnection,
    live: &str,
) -> impl Stream<Item = Result<LostVersion, StoreError>> + Send + use<'c> {
    let each = AssertSqlSafe(format!(
        "SELECT v.tenant_id, v.agent_id, v.path, v.version, v.id, v.created_at, v.deleted_at IS NOT NULL {} ORDER BY 1, 2, 3, 4",
        only_in(PREVIOUS, live)
    ));
    sqlx::query(each).fetch(connection).map(|row| version(&row?).map_err(Into::into))
}

/// Whether there are previous tables.
pub async fn is_known(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let versions = format!("{PREVIOUS}.entry_versions");
    let found = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(versions);
    Ok(found.fetch_one(connection).await?)
}

/// Whether the previous tables are still in the schema whose OID is `schema`, which somebody may have dropped or renamed by hand.
pub async fn is_kept(
    connection: &mut PgConnection,
    schema: Option<u32>,
) -> Result<bool, StoreError> {
    let found = "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                                 WHERE n.oid = $1 AND n.nspname = $2 AND c.relname = 'entry_versions')";
    let found = sqlx::query_scalar(found).bind(schema.map(Oid)).bind(PREVIOUS);
    Ok(found.fetch_one(connection).await?)
}

/// SQL: the versions `v` of the schema `here` that `there` has not.
fn only_in(here: &str, there: &str) -> String {
    format!(
        "FROM {}.entry_versions v
         WHERE NOT EXISTS (SELECT FROM {}.entry_versions other WHERE other.tenant_id = v.tenant_id AND other.id = v.id)",
        quoted(here),
        quoted(there)
    )
}

fn version(row: &PgRow) -> Result<LostVersion, sqlx::Error> {
    Ok(LostVersion {
        tenant: row.try_get(0)?,
        agent: row.try_get(1)?,
        path: row.try_get(2)?,
        version: row.try_get(3)?,
        id: row.try_get(4)?,
        created_at: moment(row, 5)?,
        deleted: row.try_get(6)?,
    })
}

fn moment(row: &PgRow, column: usize) -> Result<Timestamp, sqlx::Error> {
    row.try_get::<jiff_sqlx::Timestamp, _>(column).map(jiff_sqlx::Timestamp::to_jiff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_moment_begin_at_the_first() {
        let at: Timestamp = "2026-11-29T04:00:00Z".parse().unwrap();
        let seconds = u64::try_from(at.as_second()).unwrap();
        let of = |seconds| Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0));
        assert!(of(seconds - 1) < first_id(at) && first_id(at) <= of(seconds));
    }
}
