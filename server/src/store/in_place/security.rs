//! Tenants and API keys of a backup beside the live ones.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _};

use crate::store::StoreError;
use crate::store::names::qualified;

/// Whose tenants and keys are valid after a restore.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Security {
    /// The live ones; what only the backup has is added.
    #[default]
    Live,
    /// The backup's alone.
    FromBackup,
}

/// Which keys are added that only the backup has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// All: it is the database's own backup, or the database holds no memory.
    Added,
    /// None: the backup is of another instance, and there is memory.
    LeftOut,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried {
    /// Tenants that were added.
    pub tenants: u64,
    /// Keys that were added.
    pub keys: u64,
    /// Keys of the backup that were left out.
    pub left_out: u64,
}

/// Brings tenants and keys of the schema `staged` into the live one `live`; part of the transaction of the switch. Usage of days that
/// only the backup has comes as well, so that no day's quota is refilled.
pub async fn carry(
    connection: &mut PgConnection,
    staged: &str,
    live: &str,
    security: Security,
    keys: Keys,
) -> Result<Carried, StoreError> {
    let tenants = Table::of(&mut *connection, staged, live, "tenants", &["id"]).await?;
    let api_keys = Table::of(&mut *connection, staged, live, "api_keys", &["id"]).await?;
    let days =
        Table::of(&mut *connection, staged, live, "quota_usage", &["tenant_id", "day"]).await?;
    let mut carried = Carried::default();
    // Tenants before the keys that refer to them.
    match security {
        Security::Live => {
            carried.tenants = tenants.add(&mut *connection).await?;
            match keys {
                Keys::Added => carried.keys = api_keys.add(&mut *connection).await?,
                Keys::LeftOut => carried.left_out = api_keys.missing(&mut *connection).await?,
            }
        }
        Security::FromBackup => {
            // Nobody makes or revokes a key in between; all are read still.
            let lock = format!(
                "LOCK TABLE {}, {} IN SHARE ROW EXCLUSIVE MODE",
                api_keys.live, tenants.live
            );
            connection.execute(AssertSqlSafe(lock)).await?;
            carried.tenants = tenants.missing(&mut *connection).await?;
            carried.keys = api_keys.missing(&mut *connection).await?;
            api_keys.remove(&mut *connection).await?;
            tenants.replace(&mut *connection).await?;
            api_keys.replace(&mut *connection).await?;
            tenants.remove(&mut *connection).await?;
        }
    }
    days.add(&mut *connection).await?;
    Ok(carried)
}

/// A table that stays, on both sides.
struct Table {
    live: String,
    staged: String,
    /// Its columns, quoted for SQL.
    columns: Vec<String>,
    key: &'static [&'static str],
}

/// The columns of the table `$1`. Both sides are of one schema version; their order may differ.
const COLUMNS: &str = "
SELECT quote_ident(attname)
  FROM pg_attribute
 WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
 ORDER BY attnum";

impl Table {
    async fn of(
        connection: &mut PgConnection,
        staged: &str,
        live: &str,
        name: &str,
        key: &'static [&'static str],
    ) -> Result<Self, StoreError> {
        let (live, staged) = (qualified(live, name), qualified(staged, name));
        let columns = sqlx::query_scalar(COLUMNS).bind(&live).fetch_all(connection).await?;
        Ok(Self { live, staged, columns, key })
    }

    /// Adds rows that only the backup has; returns how many. In the order of their keys, as all writers have it.
    async fn add(&self, connection: &mut PgConnection) -> Result<u64, StoreError> {
        self.insert(connection, "NOTHING").await
    }

    /// Adds rows that only the backup has, and makes those that both have the backup's.
    async fn replace(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let set: Vec<String> =
            self.columns.iter().map(|column| format!("{column} = excluded.{column}")).collect();
        self.insert(connection, &format!("UPDATE SET {}", set.join(", "))).await.map(drop)
    }

    async fn insert(
        &self,
        connection: &mut PgConnection,
        on_conflict: &str,
    ) -> Result<u64, StoreError> {
        let Self { live, staged, .. } = self;
        let (columns, key) = (self.columns.join(", "), self.key.join(", "));
        let insert = format!(
            "INSERT INTO {live} ({columns}) SELECT {columns} FROM {staged} ORDER BY {key} ON CONFLICT ({key}) DO {on_conflict}"
        );
        let done = sqlx::query(AssertSqlSafe(insert)).execute(connection).await?;
        Ok(done.rows_affected())
    }

    /// How many rows only the backup has.
    async fn missing(&self, connection: &mut PgConnection) -> Result<u64, StoreError> {
        let Self { live, staged, .. } = self;
        let key = self.key.join(", ");
        let count = format!(
            "SELECT count(*) FROM {staged} WHERE ({key}) NOT IN (SELECT {key} FROM {live})"
        );
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(connection).await?;
        Ok(count.unsigned_abs())
    }

    /// Removes rows that the backup does not have.
    async fn remove(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let Self { live, staged, .. } = self;
        let key = self.key.join(", ");
        let remove =
            format!("DELETE FROM {live} WHERE ({key}) NOT IN (SELECT {key} FROM {staged})");
        sqlx::query(AssertSqlSafe(remove)).execute(connection).await?;
        Ok(())
    }
}
