//! Errors of backups, verifications, restores and drills.

use std::io;

use agentfs_contract::manifest::ManifestError;
use agentfs_postgres::{PostgresError, SUPPORTED};
use jiff::Timestamp;

use super::encryption::EncryptionError;
use super::restore::RestoreError;
use super::storage::StorageError;
use crate::settings::{InvalidDatabaseUrl, SettingsError};
use crate::store::StoreError;
use crate::store::connection::snapshot::SnapshotError;
use crate::store::schema::{MigrationError, SCHEMA_VERSION};

/// Why something was not done. Partial files are removed.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The environment does not say where the database is.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The location of the backups is none.
    #[error("the location of the backups cannot be used: {0}")]
    Location(String),
    /// The location of the backups failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The database failed or cannot be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database cannot be backed up now, or not as a whole.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// Something was not encrypted or decrypted.
    #[error(transparent)]
    Encryption(#[from] EncryptionError),
    /// There is nothing to back up.
    #[error(
        "the database {0} holds no AgentFS data; check DATABASE_URL, or run `agentfs-server migrate` first"
    )]
    NoSchema(String),
    /// The server's version is not supported.
    #[error(
        "the server is PostgreSQL {0}, and AgentFS supports {first} to {last}: bring the database to one of these (docs/UPGRADING.md)",
        first = SUPPORTED.start(),
        last = SUPPORTED.end()
    )]
    UnsupportedMajor(u32),
    /// PostgreSQL's program is missing.
    #[error(
        "no {program} of PostgreSQL {major} or newer was found, and an older one cannot read it; install PostgreSQL's client programs (Debian: apt-get install postgresql-client-{major}), or name their folder with --pg-bin"
    )]
    NoProgram {
        /// The program.
        program: &'static str,
        /// The major version of the server, or of the archive's `pg_dump`.
        major: u32,
    },
    /// A program of PostgreSQL failed.
    #[error("{program} failed: {said}")]
    Program {
        /// The program.
        program: &'static str,
        /// Its error message.
        said: String,
    },
    /// The manifest of a backup cannot be used.
    #[error("the backup {id}: {error}")]
    Manifest {
        /// The backup.
        id: String,
        /// Why not.
        #[source]
        error: ManifestError,
    },
    /// No backup is the one that was asked for.
    #[error("{0}")]
    NoBackup(String),
    /// Somebody reads a backup that was to be removed.
    #[error(
        "the backup {backup} is read by `{by}` until {until:.0} at the latest; try again when that has ended"
    )]
    Leased {
        /// The backup.
        backup: String,
        /// The command that reads it.
        by: String,
        /// When its lease ends.
        until: Timestamp,
    },
    /// Backups were to be removed that must stay.
    #[error("nothing was removed: {0}; add --force to remove it all the same")]
    MustStay(String),
    /// Somebody has kept a table from being read for too long.
    #[error(
        "a table could not be dumped, since somebody has held it for {seconds} s{}: wait for their end, or end them, then run this again",
        .holder.as_deref().map(|holder| format!(" ({holder})")).unwrap_or_default()
    )]
    TableHeld {
        /// How long it was waited for.
        seconds: u64,
        /// The table and who has it, for people.
        holder: Option<String>,
    },
    /// There is no room for the dump.
    #[error("no space is left in {location} ({error}): make the volume larger, or {advice}")]
    Full {
        /// The location of the backups.
        location: String,
        /// What else helps.
        advice: String,
        /// The error.
        #[source]
        error: Box<RecoveryError>,
    },
    /// The new backup was made, but an expired one could not be removed.
    #[error("the backup {made} is complete, but an old one could not be removed: {error}")]
    Prune {
        /// The new dump.
        made: String,
        /// The error.
        #[source]
        error: Box<RecoveryError>,
    },
    /// The backup is not what it should be.
    #[error("the backup is not good: {0}")]
    Flawed(String),
    /// A restored database is not served from.
    #[error("`serve` does not serve what was restored: {0}")]
    NotServed(String),
    /// The folder for temporary files cannot be used.
    #[error(
        "the folder for temporary files cannot be used: {0}; set TMPDIR to a folder with room for what is restored"
    )]
    WorkFolder(#[source] io::Error),
    /// There is no server to restore into.
    #[error(
        "there is no server to restore into: {0} Or name a server of that version on which databases may be made, with --scratch-url."
    )]
    NoServer(#[source] Box<PostgresError>),
    /// The URL of a server to restore into is none.
    #[error("--scratch-url is not valid: {0}")]
    ScratchUrl(#[from] InvalidDatabaseUrl),
    /// The role may not make databases.
    #[error(
        "the role of --scratch-url may not make databases on {0}: run ALTER ROLE … CREATEDB there as a superuser, or leave the option out for a throwaway server"
    )]
    MayNotCreate(String),
    /// The role may not make the extension, or something else that a dump needs.
    #[error(
        "a database for the backup cannot be made ready: {0}; name a role with --scratch-url that may create the extension vector"
    )]
    NotPrepared(#[source] StoreError),
    /// The server to restore into has another version.
    #[error(
        "the server of --scratch-url is PostgreSQL {found}, and the backup is of {wanted}: name one of that version, or leave the option out for a throwaway server"
    )]
    OtherMajor {
        /// The server's version.
        found: u32,
        /// The backup's.
        wanted: u32,
    },
    /// The schema of the backup is too new for this program.
    #[error(
        "the backup {id} has schema version {schema}, made by agentfs-server {program}, and this program knows up to {SCHEMA_VERSION}: use that version or a newer one"
    )]
    NewerSchema {
        /// The backup.
        id: String,
        /// Its schema.
        schema: i32,
        /// The program that made it.
        program: String,
    },
    /// What was restored could not be migrated.
    #[error("what was restored cannot be migrated: {0}")]
    Migration(#[from] MigrationError),
    /// A backup was not restored into a new database.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// It took longer than it may.
    #[error("the {what} took longer than the {seconds} s of --deadline; nothing of it is left")]
    Deadline {
        /// What took so long.
        what: &'static str,
        /// How long it may take.
        seconds: u64,
    },
    /// Interrupted by a signal.
    #[error("the {0} was ended by a signal; nothing of it is left")]
    Interrupted(&'static str),
}

/// What PostgreSQL's programs say where the same may go well next time: the server ends, starts, or has no connection left.
const PASSES: [&str; 7] = [
    "server closed the connection unexpectedly",
    "terminating connection due to",
    "the database system is",
    "too many clients already",
    "remaining connection slots",
    "Connection refused",
    "SSL SYSCALL error",
];

/// What they say where this machine is at fault.
const OF_THIS_MACHINE: [&str; 5] = [
    "No space left on device",
    "out of memory",
    "Cannot allocate memory",
    "could not fork",
    "signal:",
];

impl RecoveryError {
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) | Self::Migration(MigrationError::Store(error)) => {
                error.is_transient()
            }
            Self::Storage(error) => error.is_transient(),
            Self::Restore(error) => error.is_transient(),
            Self::Snapshot(error) => match error {
                SnapshotError::Store(error) => error.is_transient(),
                SnapshotError::Busy { .. } | SnapshotError::Lost(_) => true,
                SnapshotError::Pooled
                | SnapshotError::Missing(_)
                | SnapshotError::Unreadable(_) => false,
            },
            Self::Program { said, .. } => PASSES.iter().any(|words| said.contains(words)),
            Self::TableHeld { .. }
            | Self::Interrupted(_)
            | Self::Leased { .. }
            | Self::Deadline { .. } => true,
            _ => false,
        }
    }

    /// What is wrong with the backup; `None` where the error says nothing of that.
    pub fn flaw(&self) -> Option<String> {
        match self {
            Self::Flawed(flaw) => Some(flaw.clone()),
            Self::NotServed(_) => Some(self.to_string()),
            Self::Migration(error) if !matches!(error, MigrationError::Store(error) if error.is_transient()) => {
                Some(self.to_string())
            }
            _ => None,
        }
    }

    /// Of a program that reads a dump: its failure is the dump's, unless it says that something else is amiss.
    pub(super) fn of_dump(self) -> Self {
        let is_transient = self.is_transient();
        match self {
            Self::Program { program, said }
                if !is_transient && !OF_THIS_MACHINE.iter().any(|words| said.contains(words)) =>
            {
                Self::Flawed(format!("{program} fails on the dump: {said}"))
            }
            other => other,
        }
    }

    pub(super) fn no_server(error: PostgresError) -> Self {
        Self::NoServer(Box::new(error))
    }

    /// Whether `pg_dump` has waited for a table for too long: only that wait has a statement_timeout.
    pub(super) fn is_of_a_held_table(&self) -> bool {
        // `pg_dump` sets such a timeout for its locks alone.
        matches!(self, Self::Program { program: "pg_dump", said } if said.contains("due to statement timeout"))
    }

    /// Whether the location of the backups has no space left. A full disk of the database's is another matter.
    pub(super) fn is_out_of_space(&self) -> bool {
        matches!(self, Self::Storage(error) if error.is_out_of_space())
    }
}
