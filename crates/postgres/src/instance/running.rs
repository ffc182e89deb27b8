//! A running PostgreSQL in a data folder, with the role, the database and the extension that AgentFS needs.

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tokio::time::{sleep, timeout};

use super::cluster;
use super::data_folder::DataFolder;
use super::installation::Installation;
use super::leftover;
use super::log_tail::LogTail;
use super::program;
use super::role::{OWNER, SUPERUSER};
use super::setting::{SETTINGS, Setting};
use super::trusted;
use crate::error::PostgresError;
use crate::process::{Process, describe};
use crate::version::Version;

/// How long PostgreSQL may take until it accepts connections: it may have a crash to recover from.
const READY_WITHIN: Duration = Duration::from_mins(3);
/// How long to try again while the system still holds what a killed PostgreSQL had.
const HELD_WITHIN: Duration = Duration::from_secs(20);

/// What to do when PostgreSQL's user cannot reach the programs.
const REACHABLE_PROGRAMS: &str = "Give other programs by --pg-bin, or set AGENTFS_CACHE to a folder that all users can enter and run scripts/pgserver again";

/// What may be chosen about an instance.
#[derive(Debug, Clone, Default)]
pub struct InstanceOptions {
    /// Settings besides, or in place of, the usual ones.
    pub settings: Vec<Setting>,
    /// Whether the data is thrown away at the end, so that stopping it need not be careful.
    pub throwaway: bool,
    /// Whether the owner may create databases and, from PostgreSQL 18 on, the extension in them, as the role of the image may.
    pub creates_databases: bool,
}

/// A PostgreSQL that runs as a child of this process and ends with it.
#[derive(Debug)]
pub struct Instance {
    installation: Installation,
    folder: DataFolder,
    options: InstanceOptions,
    process: Process,
    port: u16,
    superuser_password: SecretString,
    password: SecretString,
}

impl Instance {
    /// The role that AgentFS uses, and the name of its database.
    pub const OWNER: &'static str = OWNER;

    /// Starts PostgreSQL on the folder's data, which is made where it is missing, and returns when it can be used.
    pub async fn start(
        installation: &Installation,
        folder: DataFolder,
        mut options: InstanceOptions,
    ) -> Result<Self, PostgresError> {
        folder.account().must_reach(&installation.program("postgres"), REACHABLE_PROGRAMS)?;
        leftover::stop(&folder.cluster()).await?;
        let superuser_password = folder.password(SUPERUSER)?;
        let password = folder.password(OWNER)?;
        if !folder.cluster().exists() {
            cluster::make(installation, &folder, options.throwaway).await?;
        }
        folder.check_version(installation)?;
        if options.creates_databases {
            options.settings.extend(trusted::extension(installation, folder.path())?);
        }

        let wanted = folder.last_port();
        let (process, port) =
            launch(installation, &folder, &options, &superuser_password, wanted).await?;
        folder.remember_port(port)?;
        let installation = installation.clone();
        let instance =
            Self { installation, folder, options, process, port, superuser_password, password };
        instance.prepare().await?;
        Ok(instance)
    }

    /// Starts PostgreSQL again, on the same data and port, after it ended by itself.
    pub async fn restart(&mut self) -> Result<(), PostgresError> {
        leftover::stop(&self.folder.cluster()).await?;
        let (process, port) = launch(
            &self.installation,
            &self.folder,
            &self.options,
            &self.superuser_password,
            Some(self.port),
        )
        .await?;
        self.process = process;
        self.port = port;
        self.folder.remember_port(port)
    }

    /// The URL of AgentFS's database for its owner. It holds the password.
    pub fn database_url(&self) -> SecretString {
        self.owner_url(OWNER)
    }

    /// The URL of the maintenance database for the superuser. It holds the password.
    pub fn superuser_url(&self) -> SecretString {
        self.superuser_url_of("postgres")
    }

    /// Writes a password file of libpq, for both roles and their owner's eyes only, and returns where it is. It counts for each port of
    /// this machine: a server that is made from a copy of this one has the same roles.
    pub fn write_password_file(&self) -> Result<PathBuf, PostgresError> {
        let path = self.folder.path().join("pgpass");
        let line = |role: &str, password: &SecretString| {
            format!("127.0.0.1:*:*:{role}:{}\n", password.expose_secret())
        };
        let lines = [line(OWNER, &self.password), line(SUPERUSER, &self.superuser_password)];
        self.folder.write_secret(&path, &lines.concat())?;
        Ok(path)
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a database for the owner.
    pub(super) fn owner_url(&self, database: &str) -> SecretString {
        self.url(OWNER, &self.password, database)
    }

    /// The URL of a database for the superuser.
    pub(super) fn superuser_url_of(&self, database: &str) -> SecretString {
        self.url(SUPERUSER, &self.superuser_password, database)
    }

    /// The version that runs.
    pub fn version(&self) -> &Version {
        self.installation.version()
    }

    /// The folder of its data, log and passwords.
    pub fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    /// The data folder.
    pub fn folder(&self) -> &DataFolder {
        &self.folder
    }

    /// The folder of PostgreSQL's programs.
    pub fn bin(&self) -> &Path {
        self.installation.bin()
    }

    /// PostgreSQL's process id.
    pub fn pid(&self) -> i32 {
        self.process.id()
    }

    /// Resolves when PostgreSQL ends, which nobody asked it to: the sentence to say then.
    pub async fn ended(&mut self) -> PostgresError {
        let status = describe(self.process.ended().await);
        PostgresError::Ended { status, log: Some(self.folder.log_path()) }
    }

    /// Stops PostgreSQL and returns when it has ended: cleanly, or at once where the data is thrown away.
    pub async fn stop(mut self) -> DataFolder {
        let signals: &[_] = if self.options.throwaway {
            &[(Signal::SIGQUIT, 10), (Signal::SIGKILL, 10)]
        } else {
            &[(Signal::SIGINT, 60), (Signal::SIGQUIT, 15), (Signal::SIGKILL, 10)]
        };
        for (signal, seconds) in signals {
            self.process.signal(*signal);
            if timeout(Duration::from_secs(*seconds), self.process.ended()).await.is_ok() {
                break;
            }
        }
        // One that was about to be started again, or processes of one that was killed.
        let _ = leftover::stop(&self.folder.cluster()).await;
        self.folder
    }

    /// Makes the role, the database and the extension where they are missing, and the role's password right.
    async fn prepare(&self) -> Result<(), PostgresError> {
        let mut maintenance = self.log_in("postgres").await?;
        let exists = |table: &str, column: &str| {
            format!("SELECT EXISTS (SELECT FROM {table} WHERE {column} = '{OWNER}')")
        };
        let role: bool = sqlx::query_scalar(AssertSqlSafe(exists("pg_roles", "rolname")))
            .fetch_one(&mut maintenance)
            .await
            .map_err(self.failed("look for the role agentfs"))?;
        // The password is drawn from letters, digits, - and _: nothing to escape.
        let verb = if role { "ALTER" } else { "CREATE" };
        let password = self.password.expose_secret();
        let creates = if self.options.creates_databases { "CREATEDB " } else { "" };
        run(&mut maintenance, format!("{verb} ROLE {OWNER} LOGIN {creates}PASSWORD '{password}'"))
            .await
            .map_err(self.failed("set the password of the role agentfs"))?;
        let database: bool = sqlx::query_scalar(AssertSqlSafe(exists("pg_database", "datname")))
            .fetch_one(&mut maintenance)
            .await
            .map_err(self.failed("look for the database agentfs"))?;
        if !database {
            self.make_database(&mut maintenance, OWNER).await?;
        }
        let _ = maintenance.close().await;
        self.make_extension(OWNER).await
    }

    /// Makes a database of the owner's with the extension.
    pub(super) async fn create_database(&self, name: &str) -> Result<(), PostgresError> {
        let mut maintenance = self.log_in("postgres").await?;
        self.make_database(&mut maintenance, name).await?;
        let _ = maintenance.close().await;
        self.make_extension(name).await
    }

    async fn make_database(
        &self,
        maintenance: &mut PgConnection,
        name: &str,
    ) -> Result<(), PostgresError> {
        let name = name.replace('"', "\"\"");
        run(maintenance, format!("CREATE DATABASE \"{name}\" OWNER {OWNER} TEMPLATE template0"))
            .await
            .map_err(self.failed("create the database"))
    }

    async fn make_extension(&self, database: &str) -> Result<(), PostgresError> {
        let mut superuser = self.log_in(database).await?;
        run(&mut superuser, "CREATE EXTENSION IF NOT EXISTS vector".to_owned())
            .await
            .map_err(self.failed("create the extension vector"))?;
        let _ = superuser.close().await;
        Ok(())
    }

    async fn log_in(&self, database: &str) -> Result<PgConnection, PostgresError> {
        connection(self.port, SUPERUSER, &self.superuser_password)
            .database(database)
            .connect()
            .await
            .map_err(self.failed("log in as the superuser"))
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(sqlx::Error) -> PostgresError {
        let path = self.folder.path().to_owned();
        move |source| PostgresError::Sql { action, path, source }
    }

    fn url(&self, role: &str, password: &SecretString, database: &str) -> SecretString {
        let password = password.expose_secret();
        let database = utf8_percent_encode(database, NON_ALPHANUMERIC);
        format!("postgres://{role}:{password}@127.0.0.1:{}/{database}", self.port).into()
    }
}

async fn run(connection: &mut PgConnection, statement: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await.map(|_| ())
}

fn connection(port: u16, role: &str, password: &SecretString) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username(role)
        .password(password.expose_secret())
        .database("postgres")
        .ssl_mode(PgSslMode::Disable)
}

/// Starts the server until it accepts connections. A port that somebody else took is changed for another.
async fn launch(
    installation: &Installation,
    folder: &DataFolder,
    options: &InstanceOptions,
    superuser_password: &SecretString,
    wanted: Option<u16>,
) -> Result<(Process, u16), PostgresError> {
    let mut wanted = wanted;
    let held_until = Instant::now() + HELD_WITHIN;
    loop {
        let port = match wanted.take() {
            Some(port) if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() => port,
            _ => free_port()?,
        };
        let log = folder.open_log()?;
        let tail = LogTail::from_here(&folder.log_path());
        let end = if options.throwaway { Signal::SIGQUIT } else { Signal::SIGINT };
        let mut process = program::start(
            &installation.program("postgres"),
            &arguments(folder, options, port),
            folder.account(),
            end,
            &log,
        )?;
        match ready(&mut process, port, superuser_password, folder).await? {
            Readiness::Ready => return Ok((process, port)),
            Readiness::Ended(_)
                if tail.speaks_of_held_resources() && Instant::now() < held_until =>
            {
                sleep(Duration::from_millis(200)).await;
            }
            Readiness::Ended(status) => {
                return Err(PostgresError::Failed {
                    program: "postgres",
                    status,
                    said: tail.complaints(),
                    log: Some(folder.log_path()),
                });
            }
        }
    }
}

enum Readiness {
    Ready,
    Ended(String),
}

async fn ready(
    process: &mut Process,
    port: u16,
    password: &SecretString,
    folder: &DataFolder,
) -> Result<Readiness, PostgresError> {
    let options = connection(port, SUPERUSER, password);
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        let source = tokio::select! {
            biased;
            status = process.ended() => return Ok(Readiness::Ended(describe(status))),
            attempt = options.connect() => match attempt {
                Ok(connected) => {
                    let _ = connected.close().await;
                    return Ok(Readiness::Ready);
                }
                Err(error) => error,
            },
        };
        let refused = is_refused_login(&source);
        if refused || Instant::now() > deadline {
            // A login is refused by another PostgreSQL too, when ours could not have the port and is about to end.
            if refused && let Ok(status) = timeout(Duration::from_secs(1), process.ended()).await {
                return Ok(Readiness::Ended(describe(status)));
            }
            let (seconds, log) = (READY_WITHIN.as_secs(), Some(folder.log_path()));
            return Err(if refused {
                let path = folder.path().to_owned();
                PostgresError::Sql { action: "log in as the superuser", path, source }
            } else {
                PostgresError::NotReady { seconds, source, log }
            });
        }
        sleep(Duration::from_millis(20)).await;
    }
}

fn is_refused_login(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code == "28P01")
}

fn arguments(folder: &DataFolder, options: &InstanceOptions, port: u16) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["-D".into(), folder.cluster().into()];
    let mut set = |name: &str, value: &str| {
        arguments.push("-c".into());
        arguments.push(format!("{name}={value}").into());
    };
    set("listen_addresses", "127.0.0.1");
    set("port", &port.to_string());
    // A socket's path may have 107 bytes, which a data folder's easily exceeds; TCP is as fast here.
    set("unix_socket_directories", "");
    for (name, value) in SETTINGS {
        set(name, value);
    }
    for setting in &options.settings {
        set(setting.name(), setting.value());
    }
    arguments
}

fn free_port() -> Result<u16, PostgresError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(PostgresError::io("find a free port on", Path::new("127.0.0.1")))
}
