//! Makes databases on a server, names and drops them.

pub mod carried;
pub mod exchange;
pub mod likeness;
pub mod lost;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use super::connection::address::DatabaseAddress;
use super::connection::patient;
use super::connection::snapshot::Identity;
use super::in_place::space::{self, Told};
use super::{StoreError, fingerprint, scratch};
use crate::settings::DatabaseUrl;

/// The longest name that PostgreSQL keeps, in bytes.
pub const MAX_NAME: usize = 63;

/// A server, on a connection of its own to a database that is not the one that is made.
#[derive(Debug)]
pub struct Server {
    connection: PgConnection,
    /// Its major version.
    pub major: u32,
    /// Our role.
    pub role: String,
    /// What tells the database of the URL, which may be gone, and its history from all others.
    pub identity: Identity,
    /// Whether the database of the URL is there.
    pub has_database: bool,
}

const LOOK: &str = concat!(
    "
SELECT current_setting('server_version_num')::int / 10000, current_user::text,
       (SELECT system_identifier::text FROM pg_control_system()), ",
    timeline!()
);

/// What became of a new database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It is there.
    Made,
    /// There is no such template.
    NoTemplate,
    /// Our role may not make databases, or not copy that one.
    NotAllowed,
}

/// Whether sessions that only wait are ended depends on the server.
const NEVER_IDLE: &str =
    "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'";

/// The key of the advisory lock on a name. The lock ends with the session.
macro_rules! key {
    () => {
        "hashtextextended('agentfs-server database ' || $1, 0)"
    };
}

const HOLD: &str = concat!("SELECT pg_try_advisory_lock(", key!(), ")");
const LET_GO: &str = concat!("SELECT pg_advisory_unlock(", key!(), ")");
/// Whether another session has the lock: a session's advisory lock excludes only those in the same database.
const IS_HELD_ELSEWHERE: &str = concat!(
    "SELECT EXISTS (SELECT FROM pg_locks
                     WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND pid <> pg_backend_pid()
                       AND classid::bigint << 32 | objid::bigint = ",
    key!(),
    ")"
);

/// template0 has the server's locale; where its encoding is another than UTF8, that may not go with UTF8.
const CREATE: &str = "
SELECT format('CREATE DATABASE %I TEMPLATE %I ENCODING ''UTF8''', $1, t.datname)
       || CASE WHEN t.datname = 'template0' AND pg_encoding_to_char(t.encoding) <> 'UTF8' THEN ' LOCALE ''C''' ELSE '' END
  FROM pg_database t
 WHERE t.datname = $2";

impl Server {
    /// Connects to the server of a URL, whether or not the database of the URL is there.
    pub async fn connect(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let (connection, has_database) = match connect_never_idle(url).await {
            Ok(connection) => (connection, true),
            Err(error) => (connect_beside(url).await.map_err(|_| error)?, false),
        };
        Self::of(connection, url, has_database).await
    }

    /// The same by a database that every server has, so that nobody is in that of the URL.
    pub async fn connect_beside(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let mut server = Self::of(connect_beside(url).await?, url, false).await?;
        server.has_database = server.has(url.database()).await?;
        Ok(server)
    }

    async fn of(
        mut connection: PgConnection,
        url: &DatabaseUrl,
        has_database: bool,
    ) -> Result<Self, StoreError> {
        let row = sqlx::query(LOOK).fetch_one(&mut connection).await?;
        Ok(Self {
            major: row.try_get::<i32, _>(0)?.unsigned_abs(),
            role: row.try_get(1)?,
            identity: Identity {
                system: row.try_get(2)?,
                timeline: row.try_get::<i32, _>(3)?.cast_unsigned(),
                database: url.database().to_owned(),
            },
            has_database,
            connection,
        })
    }

    /// What it tells of the room on its volume.
    pub async fn tell_room(&mut self, knows_size: bool) -> Result<Told, StoreError> {
        space::tell(&mut self.connection, knows_size).await
    }

    /// Whether there is a database of this name.
    pub async fn has(&mut self, name: &str) -> Result<bool, StoreError> {
        let found = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)";
        Ok(sqlx::query_scalar(found).bind(name).fetch_one(&mut self.connection).await?)
    }

    /// Holds a name within the database that this is connected to, until the connection ends. False where another one holds it.
    pub async fn hold(&mut self, name: &str) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar(HOLD).bind(name).fetch_one(&mut self.connection).await?)
    }

    /// The same on the whole server, so that two of these programs do not make a database of a name at once, whatever database each is
    /// connected to. Of two that come at once both may step back.
    pub async fn hold_on_server(&mut self, name: &str) -> Result<bool, StoreError> {
        if !self.hold(name).await? {
            return Ok(false);
        }
        let is_held = sqlx::query_scalar(IS_HELD_ELSEWHERE).bind(name);
        let is_held: bool = is_held.fetch_one(&mut self.connection).await?;
        if is_held {
            sqlx::query(LET_GO).bind(name).execute(&mut self.connection).await?;
        }
        Ok(!is_held)
    }

    /// Makes a database of our role, encoded in UTF8, as a copy of `template`.
    pub async fn create(&mut self, name: &str, template: &str) -> Result<Created, StoreError> {
        let statement: Option<String> = sqlx::query_scalar(CREATE)
            .bind(name)
            .bind(template)
            .fetch_optional(&mut self.connection)
            .await?;
        let Some(statement) = statement else { return Ok(Created::NoTemplate) };
        let created = self.connection.execute(AssertSqlSafe(statement)).await;
        match created.map_err(StoreError::from) {
            Ok(_) => Ok(Created::Made),
            Err(error) if error.is_forbidden() => Ok(Created::NotAllowed),
            Err(error) => Err(error),
        }
    }

    /// Gives a database another name; nobody may be connected to it.
    pub async fn rename(&mut self, from: &str, to: &str) -> Result<(), StoreError> {
        self.execute("SELECT format('ALTER DATABASE %I RENAME TO %I', $1, $2)", &[from, to]).await
    }

    /// Drops a database, and ends the sessions in it.
    pub async fn drop(&mut self, name: &str) -> Result<(), StoreError> {
        let forced = "SELECT format('DROP DATABASE IF EXISTS %I WITH (FORCE)', $1)";
        match self.execute(forced, &[name]).await {
            // Only a superuser may end an autovacuum worker. Without FORCE, PostgreSQL ends that itself.
            Err(error) if error.is_forbidden() => {
                self.execute("SELECT format('DROP DATABASE IF EXISTS %I', $1)", &[name]).await
            }
            dropped => dropped,
        }
    }

    /// Executes the statement that `sql` makes of `names`.
    async fn execute(&mut self, sql: &'static str, names: &[&str]) -> Result<(), StoreError> {
        let query = names.iter().fold(sqlx::query_scalar(sql), |query, name| query.bind(*name));
        let statement: String = query.fetch_one(&mut self.connection).await?;
        self.connection.execute(AssertSqlSafe(statement)).await?;
        Ok(())
    }
}

/// Makes what a dump expects of a new database of `owner`, who is our role: its schemas, and the extension of vectors. False where
/// our role may not.
pub async fn prepare(
    url: &DatabaseUrl,
    owner: &str,
    schema: &str,
    extension: &str,
) -> Result<bool, StoreError> {
    match scratch::prepare(url, owner, schema, extension).await {
        Ok(()) => Ok(true),
        Err(error) if error.is_forbidden() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gathers the statistics of our tables, by which PostgreSQL plans: a restore brings none.
pub async fn analyse(url: &DatabaseUrl) -> Result<(), StoreError> {
    let mut connection = DatabaseAddress::of(url).connect_unlimited().await?;
    patient::set_up(&mut connection).await?;
    for table in fingerprint::tables(&mut connection, None).await? {
        let analyse = AssertSqlSafe(format!("ANALYZE {}", table.quoted));
        connection.execute(analyse).await?;
    }
    Ok(())
}

/// A session that only waits, such as while a database is filled, and is not ended for that.
pub(super) async fn connect_never_idle(url: &DatabaseUrl) -> Result<PgConnection, StoreError> {
    let mut connection = DatabaseAddress::of(url).connect_unlimited().await?;
    connection.execute(NEVER_IDLE).await?;
    Ok(connection)
}

/// Connects to a database that every server has, and that is not the one of the URL.
async fn connect_beside(url: &DatabaseUrl) -> Result<PgConnection, StoreError> {
    if url.database() != "postgres"
        && let Ok(connection) = connect_never_idle(&url.with_database("postgres")).await
    {
        return Ok(connection);
    }
    connect_never_idle(&url.with_database("template1")).await
}
