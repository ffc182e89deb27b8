//! What is measured: dump and restore by the runbook's commands, and by ours.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use agentfs_load::postgres::{Postgres, environment};
use agentfs_load::servers::{sibling, tied};
use agentfs_server::store::connection::address::DatabaseAddress;
use anyhow::{Context as _, bail};
use secrecy::SecretString;
use serde::Deserialize;
use sqlx::Executor as _;
use tokio::process::Command;
use url::Url;

use crate::entries;
use crate::meter::{Cost, Meter};

/// The database that is restored into.
const RESTORED: &str = "agentfs_restored";

/// One dump and one restore.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Measured {
    pub(crate) dump: Cost,
    pub(crate) restore: Cost,
    /// Bytes of the dump.
    pub(crate) bytes: u64,
}

impl Measured {
    /// Both together.
    pub(crate) fn whole(&self) -> Cost {
        self.dump + self.restore
    }
}

/// One dump by our command, restored into a new database and in place, and what these commands say of themselves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ours {
    pub(crate) measured: Measured,
    /// The same dump, and the restore in place: its seconds are those until it serves, or until its vector index is built.
    pub(crate) in_place: Measured,
    pub(crate) backup: Said,
    pub(crate) restore: Said,
    pub(crate) switch: Said,
}

/// What a command prints with `--output json`, as far as it matters here.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Said {
    pub(crate) steps: Vec<Step>,
    /// Until the API can serve what was restored.
    pub(crate) serving_seconds: Option<f64>,
    /// Until its searches by meaning have their index.
    pub(crate) indexed_seconds: Option<f64>,
    /// How long requests waited for a switch.
    pub(crate) switch_seconds: Option<f64>,
}

/// A step of a command.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) seconds: f64,
}

/// One database, dumped and restored in two ways.
pub(crate) struct Sides<'a> {
    pub(crate) postgres: &'a Postgres,
    /// The folder of PostgreSQL's client programs, for both.
    pub(crate) programs: &'a Path,
    /// Where dumps go.
    pub(crate) folder: &'a Path,
    /// The database, as superuser.
    pub(crate) source: &'a Url,
    /// How many entries it has.
    pub(crate) entries: usize,
    /// Whether it has an index of embeddings.
    pub(crate) with_index: bool,
}

impl Sides<'_> {
    /// As the runbook has it: `pg_dump -Fc`, `createdb`, `pg_restore`.
    pub(crate) async fn runbook(&self) -> anyhow::Result<Measured> {
        let file = self.folder.join("runbook.dump");
        let dump = self.dump(&file, &[]).await?;
        let bytes = fs::metadata(&file)?.len();
        let meter = self.meter().await?;
        self.program("createdb", &[RESTORED.as_ref()]).await?;
        let into = ["-d".as_ref(), RESTORED.as_ref(), file.as_os_str()];
        self.program("pg_restore", &into).await?;
        let restore = meter.stop()?;
        self.end().await?;
        fs::remove_file(&file)?;
        Ok(Measured { dump, restore, bytes })
    }

    /// As we have it: `agentfs-server backup`, then `agentfs-server restore --into-database` and `--in-place`.
    pub(crate) async fn ours(&self) -> anyhow::Result<Ours> {
        let location = self.folder.join("backups");
        let meter = self.meter().await?;
        let to = [OsStr::new("backup"), "--to".as_ref(), location.as_os_str()];
        let backup = self.agentfs(&to).await?;
        let dump = meter.stop()?;
        let meter = self.meter().await?;
        let from = [OsStr::new("restore"), "--from".as_ref(), location.as_os_str()];
        let into = ["--backup", "latest", "--into-database", RESTORED].map(OsStr::new);
        let restore = self.agentfs(&[&from[..], &into].concat()).await?;
        let measured = Measured { dump, restore: meter.stop()?, bytes: dump_in(&location)? };
        self.end().await?;
        let meter = self.meter().await?;
        let place = ["--backup", "latest", "--in-place", "--yes"].map(OsStr::new);
        let switch = self.agentfs(&[&from[..], &place].concat()).await?;
        let reached = if self.with_index { switch.indexed_seconds } else { switch.serving_seconds };
        let wall = reached.context("a restore in place does not say how far it came")?;
        let in_place = Measured { restore: Cost { wall, ..meter.stop()? }, ..measured };
        self.end_in_place().await?;
        fs::remove_dir_all(&location)?;
        Ok(Ours { measured, in_place, backup, restore, switch })
    }

    /// `pg_dump` alone, compressed as ours: what is more in ours is what counts, fingerprints and sums cost.
    pub(crate) async fn dump_alone(&self) -> anyhow::Result<Cost> {
        let file = self.folder.join("alone.dump");
        let cost = self.dump(&file, &["-Z", "zstd:1"]).await?;
        fs::remove_file(&file)?;
        Ok(cost)
    }

    /// Whether these programs can compress by zstd, as those of the server's image.
    pub(crate) async fn have_zstd(&self) -> bool {
        let file = self.folder.join("tried.dump");
        let mut arguments: Vec<&OsStr> =
            ["-Fc", "-Z", "zstd:1", "--schema-only", "-f"].map(OsStr::new).into();
        arguments.push(file.as_os_str());
        let tried = self.command("pg_dump", &arguments).stderr(Stdio::null()).status().await;
        // Nothing is written where it has none.
        let _ = fs::remove_file(&file);
        tried.is_ok_and(|status| status.success())
    }

    async fn dump(&self, file: &Path, compression: &[&str]) -> anyhow::Result<Cost> {
        let meter = self.meter().await?;
        let mut arguments: Vec<&OsStr> = vec!["-Fc".as_ref()];
        arguments.extend(compression.iter().map(OsStr::new));
        arguments.extend(["-f".as_ref(), file.as_os_str()]);
        self.program("pg_dump", &arguments).await?;
        meter.stop()
    }

    /// Begins to measure, once what came before is on the disk.
    async fn meter(&self) -> anyhow::Result<Meter> {
        address(self.source)?.connect_unlimited().await?.execute("CHECKPOINT").await?;
        Meter::start(self.postgres.pid())
    }

    /// Looks into what was restored, and removes it.
    async fn end(&self) -> anyhow::Result<()> {
        let restored = address(&self.postgres.superuser_url(RESTORED))?;
        entries::check(&restored, self.entries, self.with_index).await?;
        self.program("dropdb", &[RESTORED.as_ref()]).await
    }

    /// Looks into what is live now, and removes what was before.
    async fn end_in_place(&self) -> anyhow::Result<()> {
        entries::check(&address(self.source)?, self.entries, self.with_index).await?;
        let mut dropped =
            self.command_of_ours(&["restore", "--drop-previous", "--yes"].map(OsStr::new))?;
        if !dropped.stdout(Stdio::null()).status().await?.success() {
            bail!("the previous tables could not be dropped; the reason is above");
        }
        // As autovacuum does before long, on tables that are new.
        address(self.source)?.connect_unlimited().await?.execute("VACUUM ANALYZE").await?;
        Ok(())
    }

    async fn program(&self, name: &str, arguments: &[&OsStr]) -> anyhow::Result<()> {
        let status = self.command(name, arguments).status().await?;
        if !status.success() {
            bail!("{name} failed ({status}); the reason is above");
        }
        Ok(())
    }

    fn command(&self, name: &str, arguments: &[&OsStr]) -> Command {
        let mut command = tied(&self.programs.join(name));
        command.args(arguments).envs(environment(self.source)).stdin(Stdio::null());
        command
    }

    fn command_of_ours(&self, arguments: &[&OsStr]) -> anyhow::Result<Command> {
        let mut command = tied(&sibling("agentfs-server")?);
        command.args(arguments).env("DATABASE_URL", self.source.as_str()).stdin(Stdio::null());
        Ok(command)
    }

    async fn agentfs(&self, arguments: &[&OsStr]) -> anyhow::Result<Said> {
        let mut command = self.command_of_ours(arguments)?;
        command.args(["--output", "json", "--pg-bin"]).arg(self.programs);
        let output = command.stderr(Stdio::inherit()).output().await?;
        if !output.status.success() {
            bail!("agentfs-server {} failed; the reason is above", arguments[0].display());
        }
        serde_json::from_slice(&output.stdout).context("agentfs-server printed no such JSON")
    }
}

/// Bytes of the one dump at a location.
fn dump_in(location: &Path) -> anyhow::Result<u64> {
    let mut folders: Vec<PathBuf> = vec![location.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)?.flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension() == Some("dump".as_ref()) {
                return Ok(entry.metadata()?.len());
            }
        }
    }
    bail!("there is no dump in {}", location.display())
}

/// A database, for the server's library.
pub(crate) fn address(url: &Url) -> anyhow::Result<DatabaseAddress> {
    Ok(DatabaseAddress::parse(&SecretString::from(url.as_str()))?)
}
