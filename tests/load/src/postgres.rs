//! The run's own PostgreSQL: durable as in production, thrown away at the end.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use agentfs_server::store::connection::address::DatabaseAddress;
use anyhow::{Context as _, bail};
use secrecy::SecretString;
use serde::Deserialize;
use sqlx::{AssertSqlSafe, Executor as _};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use url::Url;

use crate::servers::{Servers, sibling};

/// Room for the tables in memory, no checkpoint in the middle of one measurement but not of another, and WAL to be used again. All
/// else is PostgreSQL's own, `fsync` and `synchronous_commit` above all.
const SETTINGS: [&str; 4] =
    ["shared_buffers=512MB", "max_wal_size=8GB", "min_wal_size=1GB", "checkpoint_timeout=30min"];

/// How many segments of WAL a checkpoint keeps to be used again.
const SEGMENTS: &str = "
SELECT pg_size_bytes(current_setting('min_wal_size')) / pg_size_bytes(current_setting('wal_segment_size'))";

/// A running PostgreSQL.
#[derive(Deserialize)]
pub struct Postgres {
    database_url: Url,
    superuser_url: Url,
    bin: PathBuf,
    pid: i32,
}

impl Postgres {
    /// Starts one. It ends with `servers`, and when this process is gone.
    pub async fn start(servers: &mut Servers) -> anyhow::Result<Self> {
        Self::start_with(servers, None, &SETTINGS).await
    }

    /// Starts one with these settings, written `name=value`, besides PostgreSQL's own. Its programs are in `bin`; without it, the newest
    /// that are found.
    pub async fn start_with(
        servers: &mut Servers,
        bin: Option<&Path>,
        settings: &[&str],
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(sibling("agentfs-server")?);
        command.args(["dev-postgres", "--throwaway"]);
        if let Some(bin) = bin {
            command.arg("--pg-bin").arg(bin);
        }
        for setting in settings {
            command.args(["--set", setting]);
        }
        // Its standard input stays open as long as this process lives: its close is the other way to end it.
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).spawn()?;
        let output = child.stdout.take();
        servers.keep("PostgreSQL", child);
        let Some(output) = output else { bail!("PostgreSQL's output was lost") };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).await?;
        if line.is_empty() {
            bail!("PostgreSQL did not start; the reason is above");
        }
        serde_json::from_str(&line).context("PostgreSQL announced itself in an unknown form")
    }

    /// The database's URL, with the password.
    pub fn database_url(&self) -> &str {
        self.database_url.as_str()
    }

    /// The same.
    pub fn url(&self) -> &Url {
        &self.database_url
    }

    /// The database, for the server's library.
    pub fn database(&self) -> anyhow::Result<DatabaseAddress> {
        Ok(DatabaseAddress::parse(&SecretString::from(self.database_url.as_str()))?)
    }

    /// The maintenance database as superuser.
    pub fn maintenance(&self) -> anyhow::Result<DatabaseAddress> {
        Ok(DatabaseAddress::parse(&SecretString::from(self.superuser_url.as_str()))?)
    }

    /// A database of the server as superuser: its URL, with the password.
    pub fn superuser_url(&self, database: &str) -> Url {
        let mut url = self.superuser_url.clone();
        url.set_path(database);
        url
    }

    /// A database of the server: its URL, with the password.
    pub fn url_of(&self, database: &str) -> Url {
        let mut url = self.database_url.clone();
        url.set_path(database);
        url
    }

    /// Makes a database like the one that it has from the start, to which nobody may be connected.
    pub async fn copy_database(&self, name: &str) -> anyhow::Result<Url> {
        let template = self.database_url.path().trim_start_matches('/');
        let owner = self.database_url.username();
        let create = format!("CREATE DATABASE {name} TEMPLATE {template} OWNER {owner}");
        let mut maintenance = self.maintenance()?.connect_unlimited().await?;
        maintenance.execute(AssertSqlSafe(create)).await?;
        Ok(self.url_of(name))
    }

    /// Drops a database, whoever is connected to it.
    pub async fn drop_database(&self, name: &str) -> anyhow::Result<()> {
        let drop = format!("DROP DATABASE {name} WITH (FORCE)");
        self.maintenance()?.connect_unlimited().await?.execute(AssertSqlSafe(drop)).await?;
        Ok(())
    }

    /// Fills as much WAL as a checkpoint keeps to be used again, and has it kept. On a server that has just been started, a commit
    /// waits now and then while a new segment is filled with zeros, which is not so on one that has run for a while.
    pub async fn recycle_wal(&self) -> anyhow::Result<()> {
        let mut connection = self.maintenance()?.connect_unlimited().await?;
        let segments: i64 = sqlx::query_scalar(SEGMENTS).fetch_one(&mut connection).await?;
        for _ in 0..segments {
            // A segment without any record is not left.
            connection.execute("SELECT pg_logical_emit_message(false, 'bench', '')").await?;
            connection.execute("SELECT pg_switch_wal()").await?;
        }
        connection.execute("CHECKPOINT").await?;
        Ok(())
    }

    /// Its version.
    pub async fn version(&self) -> anyhow::Result<String> {
        let mut connection = self.maintenance()?.connect_unlimited().await?;
        Ok(sqlx::query_scalar("SHOW server_version").fetch_one(&mut connection).await?)
    }

    /// The postmaster's process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The folder of PostgreSQL's programs.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// One of PostgreSQL's programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }
}

/// The variables that tell libpq what a URL says: not by arguments, which everybody sees.
pub fn environment(url: &Url) -> [(&'static str, String); 5] {
    [
        ("PGHOST", url.host_str().unwrap_or_default().to_owned()),
        ("PGPORT", url.port().unwrap_or(5432).to_string()),
        ("PGUSER", url.username().to_owned()),
        ("PGPASSWORD", url.password().unwrap_or_default().to_owned()),
        ("PGDATABASE", url.path().trim_start_matches('/').to_owned()),
    ]
}
