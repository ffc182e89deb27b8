//! Databases that live for one run on a server that has others. A run has a name, drawn at random, which its databases and its role
//! begin with, and an advisory lock on it, which ends with its session: what no session has the lock of is left of a run that died.

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::StoreError;
use super::connection::address::DatabaseAddress;
use super::databases::connect_never_idle;
use crate::settings::DatabaseUrl;

/// What the names of databases and roles begin with.
const PREFIX: &str = "agentfs_scratch_";

/// A server that has databases of others.
#[derive(Debug)]
pub struct ScratchServer {
    connection: PgConnection,
    url: DatabaseUrl,
    run: String,
    made: usize,
    /// The role that owns the databases, where ours may do everything.
    owner: Option<(String, SecretString)>,
    /// The server's major version.
    pub major: u32,
}

const LOOK: &str = "
SELECT current_setting('server_version_num')::int / 10000, rolsuper, rolsuper OR rolcreatedb
  FROM pg_roles WHERE rolname = current_user";

/// The lock on a run. It is taken before anything of the run is made.
const LOCK: &str = "SELECT pg_advisory_lock(hashtextextended('agentfs-server ' || $1, 0))";
/// Whether a session has the lock on a run, by whatever database it came.
const LIVES: &str = "
SELECT EXISTS (SELECT FROM pg_locks
                WHERE locktype = 'advisory' AND objsubid = 1
                  AND classid::bigint << 32 | objid::bigint = hashtextextended('agentfs-server ' || $1, 0))";

/// The runs that have something here.
const RUNS: &str = "
SELECT DISTINCT substring(name FROM '^agentfs_scratch_[0-9a-f]{16}')
  FROM (SELECT datname::text AS name FROM pg_database UNION ALL SELECT rolname::text FROM pg_roles) AS made
 WHERE name ~ '^agentfs_scratch_[0-9a-f]{16}'";
const DATABASES: &str = "SELECT datname::text FROM pg_database WHERE starts_with(datname, $1)";
const ROLES: &str = "SELECT rolname::text FROM pg_roles WHERE rolname = $1";

impl ScratchServer {
    /// Connects to the database of `url`, from which others are made, and removes what runs left that died. `None` where its role
    /// may not make databases.
    pub async fn connect(url: &DatabaseUrl) -> Result<Option<Self>, StoreError> {
        let mut connection = connect_never_idle(url).await?;
        let (major, is_superuser, may_create): (i32, bool, bool) =
            sqlx::query_as(LOOK).fetch_one(&mut connection).await?;
        if !may_create {
            return Ok(None);
        }
        let run = format!("{PREFIX}{:016x}", rand::random::<u64>());
        let mut server = Self {
            connection,
            url: url.clone(),
            run,
            made: 0,
            owner: None,
            major: major.unsigned_abs(),
        };
        server.sweep().await?;
        sqlx::query(LOCK).bind(&server.run).execute(&mut server.connection).await?;
        if is_superuser {
            server.make_owner().await?;
        }
        Ok(Some(server))
    }

    /// What is restored may not do everything, though the role of the URL may.
    async fn make_owner(&mut self) -> Result<(), StoreError> {
        // Letters, digits and _ alone: nothing to escape.
        let password = SecretString::from(format!("{:032x}", rand::random::<u128>()));
        let (name, secret) = (self.run.clone(), password.expose_secret());
        self.execute(format!("CREATE ROLE {name} LOGIN PASSWORD '{secret}'")).await?;
        self.owner = Some((name, password));
        Ok(())
    }

    /// Makes an empty database, encoded in UTF8; its URL for the role that owns it, and for the one that made it.
    pub async fn create(&mut self) -> Result<(DatabaseUrl, DatabaseUrl), StoreError> {
        self.made += 1;
        let name = format!("{}_{}", self.run, self.made);
        let of_owner = match &self.owner {
            Some((owner, _)) => format!("OWNER {owner} "),
            None => String::new(),
        };
        let create = format!(
            "CREATE DATABASE {name} {of_owner}TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'"
        );
        self.execute(create).await?;
        let comment = "SELECT format('COMMENT ON DATABASE %I IS %L', $1,
            'agentfs-server verifies a backup here since ' || now() || ', and removes this at its end')";
        let comment: String =
            sqlx::query_scalar(comment).bind(&name).fetch_one(&mut self.connection).await?;
        self.execute(comment).await?;
        let made = self.url.with_database(&name);
        let restoring = match &self.owner {
            Some((owner, password)) => made.with_login(owner, password),
            None => made.clone(),
        };
        Ok((restoring, made))
    }

    /// Fails where the session is gone, and with it the lock on the run.
    pub async fn check(&mut self) -> Result<(), StoreError> {
        self.connection.ping().await.map_err(StoreError::from)
    }

    /// Removes all that this run has made.
    pub async fn remove(mut self) -> Result<(), StoreError> {
        let run = self.run.clone();
        self.remove_run(&run).await
    }

    /// Removes what runs left that died.
    async fn sweep(&mut self) -> Result<(), StoreError> {
        let runs: Vec<String> = sqlx::query_scalar(RUNS).fetch_all(&mut self.connection).await?;
        for run in runs {
            let lives: bool =
                sqlx::query_scalar(LIVES).bind(&run).fetch_one(&mut self.connection).await?;
            if lives {
                continue;
            }
            // What another role made, or what another run removes at this moment, is not for us.
            if let Err(error) = self.remove_run(&run).await {
                tracing::warn!(
                    "what a verification that died left as {run} stays: {}",
                    error.cause()
                );
            }
        }
        Ok(())
    }

    async fn remove_run(&mut self, run: &str) -> Result<(), StoreError> {
        let databases: Vec<String> =
            sqlx::query_scalar(DATABASES).bind(run).fetch_all(&mut self.connection).await?;
        for name in databases {
            // Of the run's name, and so nothing to escape.
            self.execute(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
        }
        let roles: Vec<String> =
            sqlx::query_scalar(ROLES).bind(run).fetch_all(&mut self.connection).await?;
        for name in roles {
            self.execute(format!("DROP ROLE IF EXISTS {name}")).await?;
        }
        Ok(())
    }

    async fn execute(&mut self, statement: String) -> Result<(), StoreError> {
        self.connection.execute(AssertSqlSafe(statement)).await?;
        Ok(())
    }
}

/// Makes what a dump of tables alone expects: the schemas, of which `schema` is the one that is searched, and the extension of vectors
/// in the schema `extension`. The role of `url` has to be one that may; `owner` is the one that restores.
pub async fn prepare(
    url: &DatabaseUrl,
    owner: &str,
    schema: &str,
    extension: &str,
) -> Result<(), StoreError> {
    let mut connection = DatabaseAddress::of(url).connect_unlimited().await?;
    let statements = [
        "SELECT format('CREATE SCHEMA %I AUTHORIZATION %I', $1, $3) WHERE to_regnamespace(quote_ident($1)) IS NULL",
        "SELECT format('CREATE SCHEMA %I AUTHORIZATION %I', $2, $3) WHERE to_regnamespace(quote_ident($2)) IS NULL",
        "SELECT format('CREATE EXTENSION vector WITH SCHEMA %I', $2)
          WHERE NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')",
        "SELECT format('ALTER EXTENSION vector SET SCHEMA %I', $2)
           FROM pg_extension WHERE extname = 'vector' AND extnamespace <> to_regnamespace(quote_ident($2))",
        "SELECT format('ALTER DATABASE %I SET search_path = %I', current_database(), $1) WHERE $1 <> 'public'",
    ];
    for statement in statements {
        let made: Option<String> = sqlx::query_scalar(statement)
            .bind(schema)
            .bind(extension)
            .bind(owner)
            .fetch_optional(&mut connection)
            .await?;
        if let Some(statement) = made {
            connection.execute(AssertSqlSafe(statement)).await?;
        }
    }
    Ok(())
}
