//! The arguments of `agentfs-server restore`, and what goes with what.

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use agentfs_contract::request::Request;
use agentfs_contract::setting::{BACKUP_INSTANCE, BACKUP_RECIPIENTS};
use uuid::Uuid;

use super::super::requested::Live;
use super::super::{duration, duration_with_unit, identities, location, memory, setting, size};
use crate::commands::output::Output;
use crate::recovery::catalogue::Selector;
use crate::recovery::restore::in_place::{GivenRoom, InPlaceOptions, UndoOptions};
use crate::recovery::restore::{LoadOptions, RestoreOptions, Source};
use crate::recovery::{BackupOptions, Recipients, RecoveryError};
use crate::settings::DatabaseSettings;
use crate::store::in_place::security::Security;

/// How long the previous tables stay, and how long a switch is tried for, unless it is told otherwise.
const KEEP_PREVIOUS: Duration = Duration::from_hours(24);
const SWITCH_PATIENCE: Duration = Duration::from_mins(10);

/// The least rate that rows are loaded at: a session that waits long for the next row keeps the whole server from making and dropping
/// databases.
const LEAST_RATE: u64 = 1 << 20;

/// Why `--lost-to` is refused.
pub(super) const NOT_LISTED: &str = "--lost-to lists what the tables of before have, which only --strategy swap-schema keeps in the database: leave it out";

/// Why `--template` is refused.
const NO_DATABASE_MADE: &str = "--template does not go with --in-place, but with --into-database and --strategy rename-database, which make a database: leave it out";

const SETTINGS: &str = "\
There are four forms; each refuses the options of the others:
  restore --backup ID --in-place            replaces what is live with the backup, while the API serves
  restore --backup ID --into-database NAME  creates a new database beside what is live, which does not change
  restore --undo                            brings back what was live before the last restore in place
  restore --drop-previous                   frees the space of what was live before; --undo is then impossible

It asks before it removes anything that is live. Without a terminal, --yes is required. --yes does not agree to a second restore
that drops versions which --undo could still bring back: run --undo or --drop-previous first.
Progress goes to standard error, the result to standard output. Exit codes: 0 succeeded; 1 failed, and something needs a
fix; 75 failed, and a retry may succeed.

Settings (environment variables; default in parentheses):
  DATABASE_URL          postgres://user:password@host:5432/database, the live one, of PostgreSQL itself, not of a connection pool (required)
  BACKUP_LOCATION       where backups are stored: a folder, or s3://bucket/prefix (none)
  BACKUP_INSTANCE       tells the database apart from copies with the same history (none)
  BACKUP_IDENTITY_FILE  the file with age identities that decrypt backups (none)
  POSTGRES_VOLUME_SIZE  the size of the database server's volume, such as 10GB, if it cannot be determined (none)
  TMPDIR                a folder with space for a dump that is encrypted or not on this machine (/tmp)";

/// Arguments of `agentfs-server restore`.
#[derive(Debug, clap::Args)]
#[command(after_help = SETTINGS)]
#[command(group = clap::ArgGroup::new("source").args(["backup", "file"]))]
pub struct RestoreArgs {
    #[command(flatten)]
    form: Form,

    /// Where backups are stored: a folder, or s3://bucket/prefix. Defaults to BACKUP_LOCATION
    #[arg(long, visible_alias = "dir", value_name = "LOCATION")]
    from: Option<String>,
    /// The backup: its id, `latest`, or `latest-verified`, the newest that a restore has verified
    #[arg(long, value_name = "ID")]
    backup: Option<String>,
    /// A file of `pg_dump -Fc` instead of a backup. It has no manifest, so not everything can be checked
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Accept a backup of another database than that of DATABASE_URL, or of another history of it
    #[arg(long)]
    allow_foreign: bool,
    /// Accept a backup whose last verification failed; with --strategy clean also one that is not verified, and skip
    /// the backup of what is live
    #[arg(long)]
    force: bool,
    /// The file with age identities that decrypt the backup. Defaults to BACKUP_IDENTITY_FILE
    #[arg(long, value_name = "FILE")]
    identity_file: Option<PathBuf>,

    /// In place: how the backup replaces what is live (docs/OPERATIONS.md says when to use which). Defaults to
    /// swap-schema
    #[arg(long, value_enum)]
    strategy: Option<Strategy>,
    /// In place: which tenants and keys are valid afterwards. `live`: those of the live database, so that no revoked
    /// key becomes valid again; `from-backup`: only those of the backup. Defaults to live
    #[arg(long, value_enum)]
    security: Option<Tenants>,
    /// In place, undo: how long to keep what was live before, so that the restore can be undone, such as
    /// 48h or 7d. Defaults to 24h
    #[arg(long, value_name = "TIME", value_parser = duration_with_unit)]
    keep_previous: Option<Duration>,
    /// In place, undo: how long to try to lock the tables while other sessions use them; requests do not wait
    /// meanwhile. Defaults to 10m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    switch_patience: Option<Duration>,
    /// How many connections load, and build indexes, in parallel. Defaults to the number of CPUs of this machine, from 2 to 8
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: Option<u16>,
    /// The maximum rate of loading per second, such as 50MB, to spare the API; at least 1MB. Defaults to
    /// unlimited
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    max_rate: Option<u64>,
    /// The free space of the database server, such as 40GB, if it cannot be determined
    #[arg(long, value_name = "SIZE", value_parser = size)]
    free_space: Option<u64>,

    /// Undo: the id of the restore to undo, from its result; it must be the last one. Defaults to the last one
    #[arg(long, value_name = "ID")]
    restore: Option<Uuid>,

    /// In place, undo: a file to list the versions in that are no longer live, as lines of JSON
    #[arg(long, value_name = "FILE")]
    pub(super) lost_to: Option<PathBuf>,

    /// Into a database, or in place with rename-database: the template of the new database, if the role may not create
    /// the extension vector. Defaults to template0
    #[arg(long, value_name = "NAME")]
    template: Option<String>,
    /// When to build vector indexes (HNSW); without them semantic search is exact and slower. Defaults to now
    #[arg(long, value_enum)]
    indexes: Option<Indexes>,
    /// The maintenance_work_mem for building indexes, such as 2GB. Defaults to what they need, up to 512 MB
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    index_memory: Option<String>,

    /// Answer yes beforehand, except to dropping what --undo could still bring back
    #[arg(long, short)]
    pub(super) yes: bool,
    /// The time limit, such as 2h. Defaults to none
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) deadline: Option<Duration>,
    /// The folder of PostgreSQL's programs, if they are not on PATH
    #[arg(long, value_name = "DIR")]
    pg_bin: Option<PathBuf>,
    /// The output format
    #[arg(long, value_enum, default_value_t)]
    pub(super) output: Output,
}

/// A number of bytes a second.
fn rate(text: &str) -> Result<u64, String> {
    match size(text)? {
        bytes @ LEAST_RATE.. => Ok(bytes),
        _ => Err("give 1MB at least, or leave it out".to_owned()),
    }
}

/// One of these four.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Form {
    /// Replace what is live, while the API serves
    #[arg(long)]
    in_place: bool,
    /// Restore into a new database with this name, on the server of DATABASE_URL. Nothing existing changes
    #[arg(long, value_name = "NAME")]
    into_database: Option<String>,
    /// Undo the last restore in place: what was live before becomes live again
    #[arg(long)]
    undo: bool,
    /// Drop what was live before the last restore in place, without waiting for --keep-previous
    #[arg(long)]
    drop_previous: bool,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    InPlace,
    IntoDatabase,
    Undo,
    DropPrevious,
}

impl What {
    /// Its option.
    fn option(self) -> &'static str {
        match self {
            Self::InPlace => "--in-place",
            Self::IntoDatabase => "--into-database",
            Self::Undo => "--undo",
            Self::DropPrevious => "--drop-previous",
        }
    }
}

/// How a restore takes the place of what is live.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Strategy {
    // One transaction exchanges the tables; the API serves all the time.
    #[default]
    SwapSchema,
    // A new database gets the name of the live one.
    RenameDatabase,
    // The live tables are emptied and filled again; the API answers 503 meanwhile.
    Clean,
}

/// Whose tenants and keys are valid afterwards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Tenants {
    #[default]
    Live,
    FromBackup,
}

/// When vector indexes are built.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Indexes {
    #[default]
    Now,
    Later,
}

impl RestoreArgs {
    /// What is done, or which option does not go with it and what to do about that.
    pub(super) fn what(&self) -> Result<What, String> {
        let what = match self.form {
            Form { in_place: true, .. } => What::InPlace,
            Form { into_database: Some(_), .. } => What::IntoDatabase,
            Form { undo: true, .. } => What::Undo,
            _ => What::DropPrevious,
        };
        let restores = [What::InPlace, What::IntoDatabase].as_slice();
        let switches = [What::InPlace, What::Undo].as_slice();
        let in_place = [What::InPlace].as_slice();
        let given = [
            (self.from.is_some(), "--from", restores),
            (self.backup.is_some(), "--backup", restores),
            (self.file.is_some(), "--file", restores),
            (self.allow_foreign, "--allow-foreign", restores),
            (self.force, "--force", restores),
            (self.identity_file.is_some(), "--identity-file", restores),
            (self.pg_bin.is_some(), "--pg-bin", restores),
            (self.indexes.is_some(), "--indexes", restores),
            (self.index_memory.is_some(), "--index-memory", restores),
            (self.template.is_some(), "--template", restores),
            (self.restore.is_some(), "--restore", &[What::Undo]),
            (self.keep_previous.is_some(), "--keep-previous", switches),
            (self.switch_patience.is_some(), "--switch-patience", switches),
            (self.lost_to.is_some(), "--lost-to", switches),
            (self.strategy.is_some(), "--strategy", in_place),
            (self.security.is_some(), "--security", in_place),
            (self.jobs.is_some(), "--jobs", restores),
            (self.max_rate.is_some(), "--max-rate", restores),
            (self.free_space.is_some(), "--free-space", restores),
        ];
        let misplaced =
            given.into_iter().find(|(is_given, _, of)| *is_given && !of.contains(&what));
        if let Some((_, option, of)) = misplaced {
            let of: Vec<&str> = of.iter().map(|what| what.option()).collect();
            return Err(format!(
                "{option} does not go with {}, but with {}: leave it out",
                what.option(),
                of.join(" and ")
            ));
        }
        if self.template.is_some()
            && what == What::InPlace
            && self.strategy() != Strategy::RenameDatabase
        {
            return Err(NO_DATABASE_MADE.to_owned());
        }
        if self.lost_to.is_some() && self.strategy() != Strategy::SwapSchema {
            return Err(NOT_LISTED.to_owned());
        }
        if let Some(there) = self.lost_to.as_ref().filter(|file| file.exists()) {
            let there = there.display();
            return Err(format!(
                "--lost-to writes a new file, and {there} is there: name another one"
            ));
        }
        if !restores.contains(&what) {
            return Ok(what);
        }
        match (&self.backup, &self.file) {
            (None, None) => Err(
                "nothing to restore is named: add --backup ID (or latest, or latest-verified), or --file FILE for a dump without a manifest"
                    .to_owned(),
            ),
            (None, Some(_)) if self.from.is_some() => Err(
                "--file names the dump itself, so there is no location to look in: leave --from out, or name a backup there by --backup ID"
                    .to_owned(),
            ),
            _ => Ok(what),
        }
    }

    /// What is restored, and how.
    pub(super) fn options(
        &self,
        request: Option<Request>,
    ) -> Result<RestoreOptions, RecoveryError> {
        let source = match &self.file {
            Some(file) => Source::File(file.clone()),
            None => Source::Backup {
                location: location(self.from.as_deref(), "--from")?,
                backup: Selector::from(self.backup.as_deref().unwrap_or_default()),
            },
        };
        Ok(RestoreOptions {
            url: DatabaseSettings::url_from_env()?,
            copy: setting(BACKUP_INSTANCE),
            source,
            name: self.form.into_database.clone().unwrap_or_default(),
            template: self.template.clone(),
            builds_indexes: self.indexes.unwrap_or_default() == Indexes::Now,
            index_memory: self.index_memory.clone(),
            load: LoadOptions {
                jobs: self.jobs.map_or(LoadOptions::default().jobs, usize::from),
                max_rate: self.max_rate,
            },
            room: self.room()?,
            allow_foreign: self.allow_foreign,
            force: self.force,
            identities: identities(self.identity_file.as_ref()),
            pg_bin: self.pg_bin.clone(),
            request,
        })
    }

    /// Whether it needs the live database.
    pub(super) fn live(&self) -> Live {
        let replaces = self.strategy() == Strategy::RenameDatabase
            && self.security == Some(Tenants::FromBackup);
        if replaces || self.form.into_database.is_some() { Live::MayBeBroken } else { Live::Needed }
    }

    /// How it takes the place of what is live.
    pub(super) fn strategy(&self) -> Strategy {
        self.strategy.unwrap_or_default()
    }

    /// How a restore in place goes about it.
    pub(super) fn in_place_options(
        &self,
        request: Option<Request>,
    ) -> Result<InPlaceOptions, RecoveryError> {
        let of = self.options(request)?;
        Ok(InPlaceOptions {
            safety: self.safety(&of)?,
            of,
            security: match self.security.unwrap_or_default() {
                Tenants::Live => Security::Live,
                Tenants::FromBackup => Security::FromBackup,
            },
            keep_previous: self.keep_previous.unwrap_or(KEEP_PREVIOUS),
            switch_patience: self.switch_patience.unwrap_or(SWITCH_PATIENCE),
        })
    }

    /// What is said of the database's volume.
    fn room(&self) -> Result<GivenRoom, RecoveryError> {
        let volume = DatabaseSettings::volume_size_from_env(|text| size(text).ok())?;
        Ok(GivenRoom { free: self.free_space, size: volume })
    }

    /// How what is live is backed up before it is emptied: to where the backup is.
    fn safety(&self, of: &RestoreOptions) -> Result<Option<BackupOptions>, RecoveryError> {
        match &of.source {
            Source::Backup { location, .. }
                if self.strategy() == Strategy::Clean && !self.force =>
            {
                Ok(Some(BackupOptions {
                    copy: of.copy.clone(),
                    recipients: Recipients::parse(setting(BACKUP_RECIPIENTS).as_slice())?,
                    pg_bin: of.pg_bin.clone(),
                    ..BackupOptions::new(of.url.clone(), location.clone())
                }))
            }
            _ => Ok(None),
        }
    }

    /// How a restore in place is undone.
    pub(super) fn undo_options(
        &self,
        request: Option<Request>,
    ) -> Result<UndoOptions, RecoveryError> {
        Ok(UndoOptions {
            url: DatabaseSettings::url_from_env()?,
            restore: self.restore,
            request,
            keep_previous: self.keep_previous.unwrap_or(KEEP_PREVIOUS),
            switch_patience: self.switch_patience.unwrap_or(SWITCH_PATIENCE),
        })
    }
}
