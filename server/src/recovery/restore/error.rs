//! Errors of restores into a new database.

use std::path::PathBuf;

use super::super::error::RecoveryError;
use crate::store::StoreError;
use crate::store::schema::SCHEMA_VERSION;

/// Why a backup was not restored into a new database.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The name of the new database is none.
    #[error("the new database needs a name of 1 to {0} bytes")]
    DatabaseName(usize),
    /// There is a database of that name.
    #[error("there is a database {0} already, and a restore changes none: choose another name")]
    DatabaseExists(String),
    /// Another restore makes a database of that name.
    #[error("another restore into {0} is under way; wait for its end")]
    UnderWay(String),
    /// There is no such template.
    #[error("there is no database {0} to begin with; check --template")]
    NoTemplate(String),
    /// The role may not make a database.
    #[error(
        "the role {role} may not make the database {database}: run ALTER ROLE {role} CREATEDB; as a superuser, then run this again"
    )]
    NoCreateDb {
        /// The role.
        role: String,
        /// The database.
        database: String,
    },
    /// The role may not make the extension.
    #[error(
        "the role {role} may not make the extension vector: as a superuser, once, make a database to begin with (CREATE DATABASE \
         agentfs_template TEMPLATE template0 ENCODING 'UTF8' IS_TEMPLATE true; then in it: CREATE EXTENSION vector), then run this again \
         with --template agentfs_template"
    )]
    NoExtension {
        /// The role.
        role: String,
    },
    /// The backup is of another instance.
    #[error(
        "the backup {id} is of the instance {of}, and DATABASE_URL leads to {instance}: add --allow-foreign (spec.allowForeign of an AgentFSRestore) if you mean it, as after \
         the loss of a database or to look at another one's"
    )]
    Foreign {
        /// The backup.
        id: String,
        /// Its instance.
        of: String,
        /// The one of the URL.
        instance: String,
    },
    /// The last verification of the backup failed.
    #[error(
        "the last verification of the backup {id} failed: {failure}; take another one (--backup latest-verified), or add --force to \
         restore it all the same"
    )]
    KnownBad {
        /// The backup.
        id: String,
        /// What was wrong with it.
        failure: String,
    },
    /// The file is no dump that can be restored.
    #[error("{} cannot be restored: {why}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The file has a schema that is too new for this program.
    #[error(
        "{} has schema version {schema}, and this program knows up to {SCHEMA_VERSION}: use a newer agentfs-server", .path.display()
    )]
    NewerFile {
        /// The file.
        path: PathBuf,
        /// Its schema.
        schema: i32,
    },
    /// The dump is of a newer PostgreSQL than the server.
    #[error(
        "the backup {id} is of PostgreSQL {dump}, and the server of DATABASE_URL is {server}: restore it into PostgreSQL {dump} or newer"
    )]
    NewerPostgres {
        /// The backup.
        id: String,
        /// Its major version.
        dump: u32,
        /// The server's.
        server: u32,
    },
    /// An unfinished database could not be removed.
    #[error(
        "{error}; the unfinished database {database:?} is left ({left}): the next restore of that name removes it"
    )]
    Unfinished {
        /// The database.
        database: String,
        /// Why it is left.
        left: StoreError,
        /// What went wrong.
        #[source]
        error: Box<RecoveryError>,
    },
    /// The database is restored, but its vector indexes are not built.
    #[error(
        "the database {database} is restored and can be served from, but its vector indexes are not built ({error}): build them by \
         `agentfs-server admin embeddings index MODEL`"
    )]
    NotIndexed {
        /// The database.
        database: String,
        /// What went wrong.
        #[source]
        error: Box<RecoveryError>,
    },
}

impl RestoreError {
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::UnderWay(_) => true,
            Self::Unfinished { error, .. } => error.is_transient(),
            _ => false,
        }
    }
}
