//! The arguments of `agentfs-server restore`, and what goes with what.

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use agentfs_contract::request::Request;
use agentfs_contract::setting::{BACKUP_INSTANCE, BACKUP_RECIPIENTS};
use uuid::Uuid;

use super::super::requested::Live;
use super::super::{duration, identities, location, memory, setting, size};
use crate::commands::output::Output;
use crate::recovery::catalogue::Selector;
use crate::recovery::restore::in_place::{InPlaceOptions, UndoOptions};
use crate::recovery::restore::{RestoreOptions, Source, default_jobs};
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
One of four, and each of them refuses the options of the others:
  restore --backup ID --in-place            the memory of before takes the place of what is live, while the API serves
  restore --backup ID --into-database NAME  a new database beside what is live, which is not changed
  restore --undo                            what was live before the last restore in place is live again
  restore --drop-previous                   frees the room of what was live before, which --undo then cannot bring back

It asks before it takes anything out of the live memory; where there is no terminal, --yes has to agree beforehand.
Progress is printed on standard error, the result on standard output. It ends with 0; with 1 where somebody has to mend
something; with 75 where the same may go well next time.

Settings (environment variables; default in parentheses):
  DATABASE_URL          postgres://user:password@host:5432/database, the live one, of PostgreSQL itself and not of a pool (required)
  BACKUP_LOCATION       where backups are kept: a folder, or s3://bucket/prefix (none)
  BACKUP_INSTANCE       what tells the database from copies with the same history (none)
  BACKUP_IDENTITY_FILE  the file of the age identities that decrypt backups (none)
  TMPDIR                a folder with room for a dump that is encrypted or not on this machine (/tmp)";

/// Arguments of `agentfs-server restore`.
#[derive(Debug, clap::Args)]
#[command(after_help = SETTINGS)]
#[command(group = clap::ArgGroup::new("source").args(["backup", "file"]))]
pub struct RestoreArgs {
    #[command(flatten)]
    form: Form,

    /// Where the backups are: a folder, or s3://bucket/prefix. Defaults to BACKUP_LOCATION
    #[arg(long, visible_alias = "dir", value_name = "LOCATION")]
    from: Option<String>,
    /// The backup: its id, or `latest`, or `latest-verified`, the newest that a restore has proven
    #[arg(long, value_name = "ID")]
    backup: Option<String>,
    /// In place of a backup, a file of `pg_dump -Fc`. It has no manifest, so that not all of it can be checked
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Also a backup of another database than that of DATABASE_URL, or of another history of it
    #[arg(long)]
    allow_foreign: bool,
    /// Also a backup whose last verification failed; with --strategy clean also one that no restore has proven, and without a backup of
    /// what is live before
    #[arg(long)]
    force: bool,
    /// The file of age identities that decrypt the backup. Defaults to BACKUP_IDENTITY_FILE
    #[arg(long, value_name = "FILE")]
    identity_file: Option<PathBuf>,

    /// In place: how it takes the place of what is live (docs/OPERATIONS.md says when each is right). Defaults to swap-schema
    #[arg(long, value_enum)]
    strategy: Option<Strategy>,
    /// In place: whose tenants and keys are valid afterwards. `live`: those of now, so that no revoked key comes back;
    /// `from-backup`: the backup's alone. Defaults to live
    #[arg(long, value_enum)]
    security: Option<Tenants>,
    /// In place, undo: how long what was live before stays, so that it can be undone. Defaults to 24h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    keep_previous: Option<Duration>,
    /// In place, undo: how long it tries to get the tables while others hold them; nobody waits for it meanwhile. Defaults to 10m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    switch_patience: Option<Duration>,
    /// In place: connections that load at once. Defaults to the processors of this machine, from 2 to 8
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: Option<u16>,
    /// In place: most bytes of rows a second, such as 50MB, so that the API feels less of it; 1MB at least. Defaults to as many as go
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    max_rate: Option<u64>,
    /// In place: what is free for the database, such as 40GB, where nothing else tells it
    #[arg(long, value_name = "SIZE", value_parser = size)]
    free_space: Option<u64>,

    /// Undo: the id of the restore that is to be taken back, as its result has it. Any other one is refused. Defaults to the last one
    #[arg(long, value_name = "ID")]
    restore: Option<Uuid>,

    /// In place, undo: a file for the versions that are not live any more, one line of JSON each
    #[arg(long, value_name = "FILE")]
    pub(super) lost_to: Option<PathBuf>,

    /// Into a database, or in place by rename-database: the database that the new one begins as a copy of, where the role may not make
    /// the extension vector. Defaults to template0
    #[arg(long, value_name = "NAME")]
    template: Option<String>,
    /// When vector indexes (HNSW) are built, without which searches by meaning are exact and slower. Defaults to now
    #[arg(long, value_enum)]
    indexes: Option<Indexes>,
    /// The maintenance_work_mem that they are built with, such as 2GB. Defaults to what they need, up to 512 MB
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    index_memory: Option<String>,

    /// Agree beforehand to what would be asked
    #[arg(long, short)]
    pub(super) yes: bool,
    /// How long it may take, such as 2h. Defaults to any time
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) deadline: Option<Duration>,
    /// The folder of PostgreSQL's programs, where they are not on PATH
    #[arg(long, value_name = "DIR")]
    pg_bin: Option<PathBuf>,
    /// How the result is printed
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
    /// Put it in the place of what is live, while the API serves
    #[arg(long)]
    in_place: bool,
    /// Make a new database of it, on the server of DATABASE_URL. Nothing that is there is changed
    #[arg(long, value_name = "NAME")]
    into_database: Option<String>,
    /// Make live again what was live before the last restore in place
    #[arg(long)]
    undo: bool,
    /// Drop what was live before the last restore in place, as happens by itself after --keep-previous
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
            (self.jobs.is_some(), "--jobs", in_place),
            (self.max_rate.is_some(), "--max-rate", in_place),
            (self.free_space.is_some(), "--free-space", in_place),
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
            jobs: self.jobs.map_or_else(default_jobs, usize::from),
            max_rate: self.max_rate,
            free_space: self.free_space,
        })
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
