//! Tenants, API keys and used quota of the live database, brought into another one that takes its place: by the rules of
//! [`crate::store::in_place::security`], between two databases.
//!
//! They are copied twice. What was live before the exchange stays beside the tables in a schema of its own, so that what was written
//! between the first copy and the exchange is told from what the new database has written since, and is brought over as well.

use futures::TryStreamExt as _;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::store::StoreError;
use crate::store::in_place::security::{Carried, Keys, Security};

/// The schema of what was live at the first copy. It is there until the second is done.
const SCHEMA: &str = "agentfs_carried";

/// A table whose live rows win.
struct Table {
    name: &'static str,
    key: &'static [&'static str],
    /// What becomes of the rows that were changed between the copies; see [`Table::of`].
    changed: Changed,
}

/// How a row is brought over that was changed between the copies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Changed {
    /// Unless the new database has changed it too.
    Unless,
    /// The same, and an end of a key is never undone.
    Ended,
    /// By how much its numbers have grown.
    Grown,
}

/// Those first that others refer to.
const TABLES: [Table; 3] = [
    Table { name: "tenants", key: &["id"], changed: Changed::Unless },
    Table { name: "api_keys", key: &["id"], changed: Changed::Ended },
    Table { name: "quota_usage", key: &["tenant_id", "day"], changed: Changed::Grown },
];

/// Used quota is accounting: whoever's tenants and keys are valid, it is the live database's.
const IS_ACCOUNTING: Changed = Changed::Grown;

/// The columns of a table, quoted.
const COLUMNS: &str = "
SELECT quote_ident(attname) FROM pg_attribute
 WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum";

/// Brings what `live` has into `new`, which nobody uses yet. Where both have a row, the live one wins.
pub async fn carry(
    live: &mut PgConnection,
    new: &mut PgConnection,
    security: Security,
    keys: Keys,
) -> Result<Carried, StoreError> {
    let mut new = new.begin().await?;
    drop_base(&mut new).await?;
    new.execute(AssertSqlSafe(format!("CREATE SCHEMA {SCHEMA}"))).await?;
    let mut live = live.begin().await?;
    live.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let mut carried = Carried::default();
    for table in TABLES {
        if security == Security::FromBackup && table.changed != IS_ACCOUNTING {
            continue;
        }
        let (name, base) = (table.name, format!("{SCHEMA}.{}", table.name));
        let columns = common(&table, &mut live, &mut new).await?;
        let make = format!("CREATE TABLE {base} (LIKE {name} INCLUDING DEFAULTS)");
        new.execute(AssertSqlSafe(make)).await?;
        copy(&mut live, name, &mut new, &base, &columns).await?;
        let keyed = table.on_key("b", "t");
        let only_new = format!("NOT EXISTS (SELECT FROM {base} b WHERE {keyed})");
        match (name, keys) {
            ("tenants", _) => carried.tenants = count(&mut new, name, &only_new).await?,
            ("api_keys", Keys::Added) => carried.keys = count(&mut new, name, &only_new).await?,
            ("api_keys", Keys::LeftOut) => {
                let delete = AssertSqlSafe(format!("DELETE FROM {name} t WHERE {only_new}"));
                carried.left_out = new.execute(delete).await?.rows_affected();
            }
            _ => {}
        }
        let (list, set) = (columns.join(", "), table.set(&columns, "excluded."));
        let (old, given) = (row("t", &columns), row("excluded", &columns));
        let upsert = format!(
            "INSERT INTO {name} AS t ({list}) SELECT {list} FROM {base}
                 ON CONFLICT ({}) DO UPDATE SET {set} WHERE {old} IS DISTINCT FROM {given}",
            table.key.join(", ")
        );
        new.execute(AssertSqlSafe(upsert)).await?;
    }
    live.rollback().await?;
    new.commit().await?;
    Ok(carried)
}

/// Brings over what was written to `previous` between [`carry`] and the exchange. `new` is live and in use. Done again, it changes
/// nothing.
pub async fn carry_rest(
    previous: &mut PgConnection,
    new: &mut PgConnection,
) -> Result<(), StoreError> {
    for table in TABLES {
        let (name, base) = (table.name, format!("{SCHEMA}.{}", table.name));
        let is_there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(&base)
            .fetch_one(&mut *new)
            .await?;
        if !is_there {
            continue;
        }
        let mut new = new.begin().await?;
        let columns = common(&table, previous, &mut new).await?;
        let now = format!("pg_temp.carried_{name}");
        let make = format!(
            "CREATE TEMP TABLE carried_{name} (LIKE {base} INCLUDING DEFAULTS) ON COMMIT DROP"
        );
        new.execute(AssertSqlSafe(make)).await?;
        copy(previous, name, &mut new, &now, &columns).await?;
        for statement in table.of(&now, &base, &columns) {
            new.execute(AssertSqlSafe(statement)).await?;
        }
        new.execute(AssertSqlSafe(format!("DROP TABLE {base}"))).await?;
        new.commit().await?;
    }
    drop_base(new).await
}

/// Removes what is kept for the second copy.
async fn drop_base(connection: &mut PgConnection) -> Result<(), StoreError> {
    for table in TABLES {
        let drop = format!("DROP TABLE IF EXISTS {SCHEMA}.{}", table.name);
        connection.execute(AssertSqlSafe(drop)).await?;
    }
    connection.execute(AssertSqlSafe(format!("DROP SCHEMA IF EXISTS {SCHEMA}"))).await?;
    Ok(())
}

/// The columns that a table has in both databases, which may have schemas of two releases.
async fn common(
    table: &Table,
    one: &mut PgConnection,
    other: &mut PgConnection,
) -> Result<Vec<String>, StoreError> {
    let of_one: Vec<String> = sqlx::query_scalar(COLUMNS).bind(table.name).fetch_all(one).await?;
    let mut of_other: Vec<String> =
        sqlx::query_scalar(COLUMNS).bind(table.name).fetch_all(other).await?;
    of_other.retain(|column| of_one.contains(column));
    Ok(of_other)
}

/// Copies the columns of a table into one of another database.
async fn copy(
    from: &mut PgConnection,
    table: &str,
    to: &mut PgConnection,
    into: &str,
    columns: &[String],
) -> Result<(), StoreError> {
    let list = columns.join(", ");
    let mut rows =
        from.copy_out_raw(&format!("COPY (SELECT {list} FROM {table}) TO STDOUT")).await?;
    let mut copying = to.copy_in_raw(&format!("COPY {into} ({list}) FROM STDIN")).await?;
    loop {
        match rows.try_next().await {
            Ok(Some(piece)) => {
                copying.send(piece).await?;
            }
            Ok(None) => break,
            Err(error) => {
                copying.abort("the rows could not be read").await?;
                return Err(error.into());
            }
        }
    }
    copying.finish().await?;
    Ok(())
}

async fn count(
    connection: &mut PgConnection,
    table: &str,
    condition: &str,
) -> Result<u64, StoreError> {
    let count = AssertSqlSafe(format!("SELECT count(*) FROM {table} t WHERE {condition}"));
    let count: i64 = sqlx::query_scalar(count).fetch_one(connection).await?;
    Ok(count.unsigned_abs())
}

/// `ROW(t.a, t.b)`.
fn row(of: &str, columns: &[String]) -> String {
    let columns: Vec<String> = columns.iter().map(|column| format!("{of}.{column}")).collect();
    format!("ROW({})", columns.join(", "))
}

impl Table {
    /// The condition that two rows have one key.
    fn on_key(&self, one: &str, other: &str) -> String {
        let equal = self.key.iter().map(|column| format!("{one}.{column} = {other}.{column}"));
        equal.collect::<Vec<_>>().join(" AND ")
    }

    /// The columns that are not of the key, each set to the same of another row.
    fn set(&self, columns: &[String], from: &str) -> String {
        let others = columns.iter().filter(|column| !self.key.contains(&column.as_str()));
        others.map(|column| format!("{column} = {from}{column}")).collect::<Vec<_>>().join(", ")
    }

    /// Statements that bring over what of `now` is not as in `base`.
    fn of(&self, now: &str, base: &str, columns: &[String]) -> Vec<String> {
        let (name, key) = (self.name, self.key.join(", "));
        let list = columns.join(", ");
        let (on_base, changed) = (self.on_key("b", "n"), row("n", columns));
        let changed = format!(
            "FROM {now} n LEFT JOIN {base} b ON {on_base} WHERE {changed} IS DISTINCT FROM {}",
            row("b", columns)
        );
        if self.changed == Changed::Grown {
            let value = |column: &String| {
                if self.key.contains(&column.as_str()) {
                    format!("n.{column}")
                } else {
                    format!("n.{column} - coalesce(b.{column}, 0)")
                }
            };
            let values = columns.iter().map(value).collect::<Vec<_>>().join(", ");
            let grow = columns.iter().filter(|column| !self.key.contains(&column.as_str()));
            let grow = grow.map(|column| format!("{column} = t.{column} + excluded.{column}"));
            let grow = grow.collect::<Vec<_>>().join(", ");
            // In the order in which writers lock these rows.
            return vec![format!(
                "INSERT INTO {name} AS t ({list}) SELECT {values} {changed} ORDER BY {}
                     ON CONFLICT ({key}) DO UPDATE SET {grow}",
                self.key.iter().map(|column| format!("n.{column}")).collect::<Vec<_>>().join(", ")
            )];
        }
        let values =
            columns.iter().map(|column| format!("n.{column}")).collect::<Vec<_>>().join(", ");
        let mut statements = vec![format!(
            "INSERT INTO {name} AS t ({list}) SELECT {values} {changed}
                 ON CONFLICT ({key}) DO UPDATE SET {}
              WHERE {} IS NOT DISTINCT FROM (SELECT {} FROM {base} b WHERE {})",
            self.set(columns, "excluded."),
            row("t", columns),
            row("b", columns),
            self.on_key("b", "t")
        )];
        if self.changed == Changed::Ended {
            statements.push(format!(
                "UPDATE {name} t SET revoked_at = coalesce(t.revoked_at, n.revoked_at),
                                     expires_at = least(t.expires_at, n.expires_at)
                   FROM {now} n JOIN {base} b USING ({key})
                  WHERE {} AND (n.revoked_at IS DISTINCT FROM b.revoked_at OR n.expires_at < b.expires_at
                                OR b.expires_at IS NULL AND n.expires_at IS NOT NULL)",
                self.on_key("t", "n")
            ));
        }
        statements
    }
}
