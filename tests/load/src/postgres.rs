//! The run's own PostgreSQL: durable as in production, thrown away at the end.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use agentfs_server::store::connection::address::DatabaseAddress;
use anyhow::{Context as _, bail};
use secrecy::SecretString;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use url::Url;

use crate::servers::{Servers, sibling};

/// Room for the tables in memory, and no checkpoint in the middle of one measurement but not of another. All else is
/// PostgreSQL's own, `fsync` and `synchronous_commit` above all.
const SETTINGS: [&str; 3] =
    ["shared_buffers=512MB", "max_wal_size=8GB", "checkpoint_timeout=30min"];

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
        Self::start_with(servers, &SETTINGS).await
    }

    /// Starts one with these settings, written `name=value`, besides PostgreSQL's own.
    pub async fn start_with(servers: &mut Servers, settings: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(sibling("agentfs-server")?);
        command.args(["dev-postgres", "--throwaway"]);
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

    /// Tells libpq where the database is: not by arguments, which everybody sees.
    pub fn environment(&self) -> [(&'static str, String); 5] {
        environment(&self.database_url)
    }
}

/// The variables that tell libpq what a URL says.
pub fn environment(url: &Url) -> [(&'static str, String); 5] {
    [
        ("PGHOST", url.host_str().unwrap_or_default().to_owned()),
        ("PGPORT", url.port().unwrap_or(5432).to_string()),
        ("PGUSER", url.username().to_owned()),
        ("PGPASSWORD", url.password().unwrap_or_default().to_owned()),
        ("PGDATABASE", url.path().trim_start_matches('/').to_owned()),
    ]
}
