//! The entries that are got and put, and whether they are as they must be afterwards.

use agentfs_server::domain::access::api_key::ApiKey;
use agentfs_server::store::connection::address::DatabaseAddress;
use anyhow::{Context as _, ensure};
use secrecy::ExposeSecret as _;
use sqlx::types::Uuid;
use sqlx::{Executor as _, PgConnection, Row as _};

const ENTRIES: &str = include_str!("../pgbench/entries.sql");
const TABLES: &str = include_str!("../pgbench/tables.sql");

/// Entries of a statement.
const CHUNK: u64 = 1_000_000;

/// What a database is filled with: entries whose paths end with a number, all of the same length. Entry `n` belongs to tenant `n`
/// modulo their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Population {
    /// Entries of all tenants.
    pub entries: u64,
    /// Tenants. The first is the default tenant.
    pub tenants: u64,
}

/// What pgbench's own statements are written for.
pub const DEFAULT: Population = Population { entries: 100_000, tenants: 1 };

impl Population {
    /// The number of the first entry.
    pub fn first(self) -> u64 {
        let mut first = 100_000;
        while self.entries > 9 * first {
            first *= 10;
        }
        first
    }

    /// Fills the migrated database, and makes a key for each tenant, in their order.
    pub async fn fill(self, database: &DatabaseAddress) -> anyhow::Result<Vec<String>> {
        let mut connection = database.connect_unlimited().await?;
        let keys = self.make_tenants(&mut connection).await?;
        let (first, end) = (self.first(), self.first() + self.entries);
        let mut begin = first;
        while begin < end {
            let last = end.min(begin + CHUNK) - 1;
            sqlx::query(ENTRIES)
                .bind(i64::try_from(begin)?)
                .bind(i64::try_from(last)?)
                .bind(i64::try_from(self.tenants)?)
                .execute(&mut connection)
                .await
                .context("filling")?;
            begin = last + 1;
        }
        connection.execute("VACUUM ANALYZE entries, entry_versions").await?;
        Ok(keys)
    }

    async fn make_tenants(self, connection: &mut PgConnection) -> anyhow::Result<Vec<String>> {
        let tenants: Vec<Uuid> = (0..self.tenants).map(|n| Uuid::from_u128(n.into())).collect();
        let keys: Vec<ApiKey> = tenants.iter().map(|_| ApiKey::generate()).collect();
        sqlx::query(
            "INSERT INTO tenants (id, name) SELECT id, 'bench ' || id::text FROM unnest($1::uuid[]) AS t (id)
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(&tenants)
        .execute(&mut *connection)
        .await?;
        sqlx::query(
            "INSERT INTO api_keys (id, tenant_id, secret_hash, scopes)
             SELECT id, tenant_id, hash, '{memory:read,memory:write,search:read}'
               FROM unnest($1::text[], $2::uuid[], $3::bytea[]) AS k (id, tenant_id, hash)",
        )
        .bind(keys.iter().map(|key| key.id().as_str()).collect::<Vec<_>>())
        .bind(&tenants)
        .bind(keys.iter().map(|key| key.secret_hash().as_bytes().to_vec()).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
        connection.execute("ANALYZE tenants, api_keys").await?;
        Ok(keys.iter().map(|key| key.reveal().expose_secret().to_owned()).collect())
    }
}

/// Makes the tables of pgbench's own puts, of the [`DEFAULT`] entries.
pub async fn make_tables(database: &DatabaseAddress) -> anyhow::Result<()> {
    let mut connection = database.connect_unlimited().await?;
    // One by one: VACUUM is refused among other statements.
    for statement in TABLES.split_inclusive(";\n") {
        connection.execute(statement).await?;
    }
    Ok(())
}

/// Checks what the server wrote, which must have ended. `acknowledged`: puts that a client saw the answer of;
/// `in_flight`: most that may have been written without a client waiting for the answer.
pub async fn check(
    database: &DatabaseAddress,
    population: Population,
    acknowledged: u64,
    in_flight: u64,
) -> anyhow::Result<()> {
    let mut connection = database.connect_unlimited().await?;
    let Written { versions, counted, broken } = written(&mut connection, population).await?;
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
    /// By the tenants' quotas.
    counted: i64,
    /// Entries whose versions are not 1 to n or whose head is not version n.
    broken: i64,
}

async fn written(connection: &mut PgConnection, population: Population) -> anyhow::Result<Written> {
    let row = sqlx::query(
        "WITH history AS (
             SELECT tenant_id, agent_id, path, count(*) AS count, min(version) AS first, max(version) AS last
               FROM entry_versions GROUP BY tenant_id, agent_id, path
         )
         SELECT (SELECT count(*) FROM entry_versions) - $1,
                (SELECT coalesce(sum(writes), 0)::bigint FROM quota_usage),
                (SELECT count(*)
                   FROM history h
                   FULL JOIN (SELECT e.tenant_id, e.agent_id, e.path, e.version, v.version AS latest
                                FROM entries e
                                LEFT JOIN entry_versions v
                                  ON v.tenant_id = e.tenant_id AND v.id = e.latest_version_id
                                     AND v.agent_id = e.agent_id AND v.path = e.path) e
                     ON e.tenant_id = h.tenant_id AND e.agent_id = h.agent_id AND e.path = h.path
                  WHERE (h.first = 1 AND h.last = h.count AND e.version = h.count AND e.latest = h.count) IS NOT TRUE)",
    )
    .bind(i64::try_from(population.entries)?)
    .fetch_one(connection)
    .await?;
    Ok(Written { versions: row.try_get(0)?, counted: row.try_get(1)?, broken: row.try_get(2)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_numbers_have_the_same_length() {
        for entries in [1, 10_000, 100_000, 900_000, 900_001, 1_000_000, 10_000_000] {
            let first = Population { entries, tenants: 1 }.first();
            let length = |number: u64| number.to_string().len();
            assert_eq!(length(first), length(first + entries - 1), "{entries}");
        }
        assert_eq!(DEFAULT.first(), 100_000);
    }
}
