//! The entries that are got and put, and whether they are as they must be afterwards.

use agentfs_server::domain::DEFAULT_TENANT;
use anyhow::ensure;
use sqlx::{Executor as _, PgConnection, Row as _};

use agentfs_load::postgres::Postgres;

const ENTRIES: &str = include_str!("../../pgbench/entries.sql");

/// Entries that the run begins with.
const COUNT: i64 = 100_000;

/// Fills the migrated database.
pub(crate) async fn load(postgres: &Postgres) -> anyhow::Result<()> {
    let mut connection = postgres.database()?.connect_unlimited().await?;
    connection.execute(ENTRIES).await?;
    connection
        .execute("VACUUM ANALYZE entries, entry_versions, bench.entries, bench.entry_versions")
        .await?;
    let mut maintenance = postgres.maintenance()?.connect_unlimited().await?;
    maintenance.execute("CHECKPOINT").await?;
    Ok(())
}

/// Checks what the server wrote, which must have ended. `acknowledged`: puts that a client saw the answer of;
/// `in_flight`: most that may have been written without a client waiting for the answer.
pub(crate) async fn check(
    postgres: &Postgres,
    acknowledged: u64,
    in_flight: u64,
) -> anyhow::Result<()> {
    let mut connection = postgres.database()?.connect_unlimited().await?;
    let Written { versions, counted, broken } = written(&mut connection).await?;
    let least = i64::try_from(acknowledged)?;
    let most = i64::try_from(acknowledged + in_flight)?;
    ensure!(
        (least..=most).contains(&versions),
        "{acknowledged} puts were acknowledged, at most {in_flight} more were under way, but {versions} versions were written"
    );
    ensure!(
        counted == versions,
        "{versions} versions were written, but the quota counted {counted}"
    );
    ensure!(
        broken == 0,
        "{broken} entries have gaps in their versions or a head that is not the last one"
    );
    Ok(())
}

/// What the server has written.
struct Written {
    versions: i64,
    /// By the tenant's quota.
    counted: i64,
    /// Entries whose versions are not 1 to n or whose head is not version n.
    broken: i64,
}

async fn written(connection: &mut PgConnection) -> anyhow::Result<Written> {
    let row = sqlx::query(
        "WITH history AS (
             SELECT agent_id, path, count(*) AS count, min(version) AS first, max(version) AS last
               FROM entry_versions WHERE tenant_id = $1 GROUP BY agent_id, path
         )
         SELECT (SELECT count(*) FROM entry_versions WHERE tenant_id = $1) - $2,
                (SELECT coalesce(sum(writes), 0)::bigint FROM quota_usage WHERE tenant_id = $1),
                (SELECT count(*)
                   FROM history h
                   FULL JOIN (SELECT e.agent_id, e.path, e.version, v.version AS latest
                                FROM entries e
                                LEFT JOIN entry_versions v
                                  ON v.tenant_id = e.tenant_id AND v.id = e.latest_version_id
                                     AND v.agent_id = e.agent_id AND v.path = e.path
                               WHERE e.tenant_id = $1) e
                     ON e.agent_id = h.agent_id AND e.path = h.path
                  WHERE (h.first = 1 AND h.last = h.count AND e.version = h.count AND e.latest = h.count) IS NOT TRUE)",
    )
    .bind(DEFAULT_TENANT.0)
    .bind(COUNT)
    .fetch_one(connection)
    .await?;
    Ok(Written { versions: row.try_get(0)?, counted: row.try_get(1)?, broken: row.try_get(2)? })
}
