//! Errors of backups, verifications, restores and drills.

use std::io;

use agentfs_contract::manifest::ManifestError;
use agentfs_postgres::{PostgresError, SUPPORTED};
use jiff::Timestamp;

use super::encryption::EncryptionError;
use super::request::RequestError;
use super::restore::in_place::InPlaceError;
use super::restore::{RestoreError, StrategyError};
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
    #[error("{}{}", .0, at(.0))]
    Store(#[from] StoreError),
    /// The database cannot be backed up now, or not as a whole.
    #[error("{}{}", .0, at_of_snapshot(.0))]
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
        "the backup {backup} is read by `{by}` until {until:.0} at the latest; {}",
        if *.is_left { "that one was killed on this machine: add --force to remove it all the same" } else { "try again when that has ended" }
    )]
    Leased {
        /// The backup.
        backup: String,
        /// The command that reads it.
        by: String,
        /// When its lease ends.
        until: Timestamp,
        /// Whether that command was killed on this machine.
        is_left: bool,
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
    /// The new backup was made, and could not be verified. That says nothing of it.
    #[error("the backup {made} is complete, but it could not be verified: {error}")]
    NotVerified {
        /// The new dump.
        made: String,
        /// The error.
        #[source]
        error: Box<RecoveryError>,
    },
    /// The backup is not what it should be.
    #[error("the backup is not good: {0}")]
    Flawed(String),
    /// The database did not take what was loaded into it. That says nothing of the backup.
    #[error("{what} could not be loaded: {error}; once that is mended, run this again")]
    NotLoaded {
        /// The rows of a table, or an index.
        what: String,
        /// Why not.
        #[source]
        error: StoreError,
    },
    /// A restored database is not served from.
    #[error("`serve` does not serve what was restored: {0}")]
    NotServed(String),
    /// `serve` did not come so far as to serve it, or did not answer. That says nothing of the backup.
    #[error("`serve` did not run on what was restored, which says nothing of the backup: {why}")]
    ServeFailed {
        /// What happened.
        why: String,
        /// Whether it may go well next time.
        is_transient: bool,
    },
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
    /// Something of the server that was restored into could not be removed.
    #[error("what was restored into stays, until the next run removes it: {0}")]
    ScratchStays(String),
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
    /// What was restored is as it should be, and this program cannot work with it. That says nothing of the backup.
    #[error(
        "what was restored is whole, and cannot be brought from schema version {from} to {SCHEMA_VERSION}: {why}. An agentfs-server of \
         the former restores it"
    )]
    NotUpgraded {
        /// The schema of the backup.
        from: i32,
        /// Why not.
        why: String,
    },
    /// What was restored could not be migrated.
    #[error("what was restored cannot be migrated: {0}")]
    Migration(#[from] MigrationError),
    /// A backup was not restored into a new database.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// A restore in place, or its undoing, did not do what was asked.
    #[error(transparent)]
    InPlace(#[from] InPlaceError),
    /// A restore in place could not be done by the strategy that was asked for.
    #[error(transparent)]
    Strategy(#[from] StrategyError),
    /// The request that it works for is not carried out now.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// It took longer than it may.
    #[error("the {what} took longer than the {seconds} s of --deadline; nothing of it is left")]
    Deadline {
        /// What took so long.
        what: &'static str,
        /// How long it may take.
        seconds: u64,
        /// Whether it is not tried again, as where a resource asked for it once.
        is_final: bool,
    },
    /// Interrupted by a signal.
    #[error("the {0} was ended by a signal; nothing of it is left")]
    Interrupted(&'static str),
}

/// Where a database is that cannot be reached.
fn at(error: &StoreError) -> String {
    error.endpoint().map(|endpoint| format!(" (at {endpoint})")).unwrap_or_default()
}

fn at_of_snapshot(error: &SnapshotError) -> String {
    match error {
        SnapshotError::Store(error) => at(error),
        _ => String::new(),
    }
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

/// What they say where this machine, the server or the network is at fault.
const NOT_OF_DUMP: [&str; 21] = [
    "No space left on device",
    "Disk quota exceeded",
    "Read-only file system",
    "Input/output error",
    "out of memory",
    "out of shared memory",
    "Cannot allocate memory",
    "could not fork",
    "could not resize shared memory",
    "Resource temporarily unavailable",
    "Too many open files",
    "Permission denied",
    "Connection timed out",
    "timeout expired",
    "No route to host",
    "Network is unreachable",
    "could not translate host name",
    "canceling statement due to",
    "signal:",
    // Of a pg_restore that was built without zstd.
    "this build does not support compression",
    // Of a program that was not started.
    "(os error ",
];
/// How every error of a server begins, but for those that end the session.
const OF_SERVER: &str = "ERROR:";

/// What a server says of rows; where a value is none of its type, its words hold that, which is somebody's memory.
fn of_rows(error: &StoreError) -> String {
    not_valid(&error.code()).unwrap_or_else(|| error.cause().to_string())
}

fn not_valid(code: &str) -> Option<String> {
    let is_of_value = code.starts_with("22");
    is_of_value.then(|| format!("a value is not valid for its column (SQLSTATE {code})"))
}

impl RecoveryError {
    /// Whether a restore in place has switched before it failed: what it restored is live.
    pub fn has_switched(&self) -> bool {
        matches!(self, Self::InPlace(InPlaceError::AfterSwitch { .. }))
    }

    /// The size in bytes that the database's volume has to have for what was to be restored, where that is what it failed of.
    pub fn wants_volume(&self) -> Option<u64> {
        match self {
            Self::InPlace(InPlaceError::NoSpace { volume, .. }) => *volume,
            Self::InPlace(InPlaceError::Left { error, .. })
            | Self::Restore(RestoreError::Unfinished { error, .. }) => error.wants_volume(),
            _ => None,
        }
    }

    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error)
            | Self::NotLoaded { error, .. }
            | Self::Snapshot(SnapshotError::Store(error))
            | Self::Migration(MigrationError::Store(error)) => {
                error.is_transient() && !error.is_login_refused()
            }
            Self::Storage(error) => error.is_transient(),
            Self::Restore(error) => error.is_transient(),
            Self::InPlace(error) => error.is_transient(),
            Self::Strategy(error) => error.is_transient(),
            Self::Request(error) => error.is_transient(),
            Self::Snapshot(error) => {
                matches!(error, SnapshotError::Busy(_) | SnapshotError::Lost(_))
            }
            Self::ServeFailed { is_transient, .. } => *is_transient,
            Self::NotVerified { error, .. } => error.is_transient(),
            Self::Program { said, .. } => PASSES.iter().any(|words| said.contains(words)),
            Self::TableHeld { .. }
            | Self::Migration(MigrationError::NoSchema(_))
            | Self::Interrupted(_)
            | Self::Leased { .. }
            // Once somebody has made room, it goes on by itself.
            | Self::Full { .. } => true,
            Self::Deadline { is_final, .. } => !is_final,
            _ => false,
        }
    }

    /// What is wrong with the backup; `None` where the error says nothing of that.
    pub fn flaw(&self) -> Option<String> {
        match self {
            Self::Flawed(flaw) => Some(flaw.clone()),
            Self::NotServed(_) => Some(self.to_string()),
            Self::Migration(error) if error.is_of_data() => Some(self.to_string()),
            _ => None,
        }
    }

    /// The same of `what` that is loaded: where rows are at fault, the backup is.
    pub(super) fn of_loading(self, what: &str) -> Self {
        match self {
            Self::Store(error) if error.is_of_rows() => {
                Self::Flawed(format!("{what}: {}", of_rows(&error)))
            }
            Self::Store(error) => Self::NotLoaded { what: what.to_owned(), error },
            Self::Program { program, said } => {
                Self::Program { program, said: format!("{what}: {said}") }
            }
            Self::Flawed(flaw) => Self::Flawed(format!("{what}: {flaw}")),
            other => other,
        }
    }

    /// The same of what comes once all of a backup of the schema `from` was restored, and is as it should be: where that is older than
    /// this program's, the backup is not at fault.
    pub(super) fn of_upgrade(self, from: i32) -> Self {
        match self.flaw() {
            Some(flaw) if from < SCHEMA_VERSION => {
                let of_value = match &self {
                    Self::Migration(error) => not_valid(&error.code()),
                    _ => None,
                };
                Self::NotUpgraded { from, why: of_value.unwrap_or(flaw) }
            }
            _ => self,
        }
    }

    /// Of a program that reads a dump: its failure is the dump's, unless it says that something else is amiss.
    pub(super) fn of_dump(self) -> Self {
        let is_transient = self.is_transient();
        match self {
            Self::Program { program, said }
                if !is_transient && !NOT_OF_DUMP.iter().any(|words| said.contains(words)) =>
            {
                Self::Flawed(format!("{program} fails on the dump: {said}"))
            }
            other => other,
        }
    }

    /// The same once the dump was read as a whole: then only the server can refuse what is in it.
    pub(super) fn of_whole_dump(self) -> Self {
        match &self {
            Self::Program { said, .. } if said.contains(OF_SERVER) => self.of_dump(),
            _ => self,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn program(said: &str) -> RecoveryError {
        RecoveryError::Program { program: "pg_restore", said: said.to_owned() }
    }

    #[test]
    fn a_migration_that_has_to_wait_finds_no_flaw() {
        let error = RecoveryError::Migration(MigrationError::Locked { holder: None });
        assert_eq!(error.flaw(), None);
    }

    #[test]
    fn that_serve_fails_is_no_flaw_but_another_answer_is() {
        for is_transient in [true, false] {
            let error = RecoveryError::ServeFailed { why: "no answer".to_owned(), is_transient };
            assert_eq!((error.flaw(), error.is_transient()), (None, is_transient));
        }
        assert!(RecoveryError::NotServed("1 of 20 entries".to_owned()).flaw().is_some());
    }

    #[test]
    fn what_a_program_says_is_a_flaw_only_where_the_dump_is_at_fault() {
        // Whether it is one while the dump is read, and whether once it was.
        for (said, while_read, once_read) in [
            ("error: could not execute query: ERROR:  type \"x\" does not exist", true, true),
            ("error: COPY failed for table \"a\": ERROR:  invalid input syntax", true, true),
            ("error: could not read from input file: end of file", true, false),
            ("error: input file does not appear to be a valid archive", true, false),
            ("Fehler: Verbindung fehlgeschlagen", true, false),
            ("error: ERROR:  could not extend file: No space left on device", false, false),
            ("error: ERROR:  could not extend file: Disk quota exceeded", false, false),
            ("error: ERROR:  out of shared memory", false, false),
            ("error: ERROR:  canceling statement due to user request", false, false),
            ("error: could not read from input file: Input/output error", false, false),
            ("error: connection to server failed: Connection timed out", false, false),
            ("error: connection to server failed: timeout expired", false, false),
            ("error: connection to server failed: No route to host", false, false),
            ("error: could not translate host name \"db\" to address", false, false),
            ("error: could not open input file: Too many open files", false, false),
            ("No such file or directory (os error 2)", false, false),
            ("signal: 9 (SIGKILL)", false, false),
            ("error: this build does not support compression with zstd", false, false),
            ("error: server closed the connection unexpectedly", false, false),
        ] {
            assert_eq!(program(said).of_dump().flaw().is_some(), while_read, "{said}");
            assert_eq!(program(said).of_whole_dump().flaw().is_some(), once_read, "{said}");
        }
    }
}
