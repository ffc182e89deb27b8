//! Errors of restores in place that go another way than by a swap of schemas.

use crate::recovery::error::RecoveryError;
use crate::store::StoreError;
use crate::store::schema::SCHEMA_VERSION;

/// Why a restore in place was not done by its strategy. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum StrategyError {
    /// There is no live database.
    #[error(
        "there is no database {0} whose place a backup could take: restore into one of that name, with --into-database {0}"
    )]
    NoDatabase(String),
    /// The live database cannot be read.
    #[error(
        "the tenants and keys of the live database {database} cannot be read ({error}): mend that, or add --security from-backup to take \
         those of the backup, with which keys that were revoked since are valid again"
    )]
    Unreadable {
        /// The database.
        database: String,
        /// What is wrong.
        #[source]
        error: StoreError,
    },
    /// The live schema is newer than this program.
    #[error(
        "the schema of the live database is version {live}, and what is restored would be of version {restored}: use the agentfs-server that serves it"
    )]
    NewerLive {
        /// Its schema.
        live: i32,
        /// The one of what is restored.
        restored: i32,
    },
    /// The backup has another schema than the live database.
    #[error(
        "nothing was changed: the backup's schema is version {backup}, that of the live tables is {live}, and --strategy clean migrates \
         nothing: restore a backup of version {live}{}",
        if *is_emptied { "" } else { ", or by --strategy swap-schema or rename-database" }
    )]
    OtherSchema {
        /// The live one.
        live: i32,
        /// The backup's.
        backup: i32,
        /// Whether the live tables are empty already, so that no other strategy takes them.
        is_emptied: bool,
    },
    /// Another release has emptied the live tables.
    #[error(
        "nothing was done: the live tables are empty, and requests are answered with 503; they are of schema version {0}, and this program \
         fills those of version {SCHEMA_VERSION}: restore by --strategy clean with the agentfs-server of the release that has emptied them"
    )]
    OtherEmptied(i32),
    /// Our role may not make temporary tables.
    #[error(
        "our role may make no temporary tables in the database, and the live tables cannot be filled without: as the owner of the database \
         or a superuser, run {0}, then run this again"
    )]
    NoTemporary(String),
    /// No restore has proven the backup.
    #[error(
        "nothing was changed: no restore has proven the backup {0}, and --strategy clean cannot be undone: run `agentfs-server verify \
         --backup {0} --level restore` first, with the same --from, or add --force to go without"
    )]
    NotVerified(String),
    /// The backup is encrypted, and the one of what is live would not be.
    #[error(
        "nothing was changed: the backup {0} is encrypted, and the backup of what is live, which is made before, would not be: set \
         BACKUP_RECIPIENTS, or add --force to go without"
    )]
    InClear(String),
    /// Our role may not make what restores are noted in.
    #[error(
        "our role may not note in the database how far the restore is ({0}): as a superuser, run CREATE SCHEMA IF NOT EXISTS agentfs_meta \
         AUTHORIZATION the owner of AgentFS' tables, then run this again as that"
    )]
    NothingNoted(StoreError),
    /// What is live could not be backed up before.
    #[error(
        "nothing was changed: the backup of what is live could not be made, and --strategy clean cannot be undone ({error}): mend that, or \
         add --force to go without"
    )]
    NoSafety {
        /// Why not.
        #[source]
        error: Box<RecoveryError>,
    },
    /// The live tables are emptied and not filled again.
    #[error(
        "the live tables are empty, and requests are answered with 503: the restore of {backup} by --strategy clean did not come to its end \
         ({error}); run it again, or restore another backup by --strategy clean{}",
        .safety.as_deref().map(|id| format!("; {id} is of what was live")).unwrap_or_default()
    )]
    NotFilled {
        /// The backup.
        backup: String,
        /// The backup of what was live.
        safety: Option<String>,
        /// What went wrong.
        #[source]
        error: Box<RecoveryError>,
    },
    /// The live tables are empty, since a run that was to fill them was interrupted.
    #[error(
        "nothing was done: the restore of {backup} by --strategy clean was interrupted, the live tables are empty, and requests are answered \
         with 503: run that again, or restore another backup by --strategy clean{}",
        .safety.as_deref().map(|id| format!("; {id} is of what was live")).unwrap_or_default()
    )]
    Emptied {
        /// The backup.
        backup: String,
        /// The backup of what was live.
        safety: Option<String>,
    },
    /// Something else has the name of the previous database.
    #[error(
        "the database {0} is not of a restore, and the live database would be kept under that name: rename or drop it, then run this again"
    )]
    NameTaken(String),
    /// The role may not rename the live database.
    #[error(
        "the role {role} may not rename the database {database}: as a superuser, run ALTER ROLE {role} CREATEDB; and ALTER DATABASE {database} \
         OWNER TO {role}; or restore by --strategy swap-schema, which renames none"
    )]
    NotOwner {
        /// The role.
        role: String,
        /// The database.
        database: String,
    },
    /// Policies say who may read which rows of the live tables, and the new database would not have them.
    #[error(
        "nothing was changed: row security limits who may read {}, and the new database would give the same roles all rows: restore by \
         --strategy swap-schema, which keeps it, or drop the policies and run ALTER TABLE … DISABLE ROW LEVEL SECURITY, then run this again",
        .0.join(", ")
    )]
    RowSecurity(Vec<String>),
    /// A restore has switched and is not at its end.
    #[error(
        "the restore of {0} has switched and is not at its end: run it again first, so that nothing of what was live before is missing"
    )]
    Unfinished(String),
    /// Sessions of others would keep the database from being renamed.
    #[error(
        "nothing was changed: {role} may not end {sessions}, and a database is renamed only without sessions: end them as a superuser, or \
         restore by --strategy swap-schema, which needs nobody to leave"
    )]
    Foreign {
        /// Our role.
        role: String,
        /// The sessions, for people.
        sessions: String,
    },
    /// The live database was not given up while it was renamed.
    #[error(
        "nothing was changed: the database {database} could not be renamed within {seconds} s, since new sessions came again and again \
         ({sessions}): have whoever that is wait, then run this again"
    )]
    Crowded {
        /// The database.
        database: String,
        /// How long it was tried.
        seconds: u64,
        /// The sessions, for people.
        sessions: String,
    },
    /// The session that kept others off the live database has ended.
    #[error(
        "nothing was changed: the session that kept migrations and backups off the live database has ended ({0}); run this again"
    )]
    Lost(StoreError),
}

impl StrategyError {
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Crowded { .. } | Self::Lost(_) => true,
            Self::Unreadable { error, .. } => error.is_transient(),
            Self::NoSafety { error } => error.is_transient(),
            // While the tables are empty, a deadline is no reason to give up.
            Self::NotFilled { error, .. } => {
                error.is_transient() || matches!(**error, RecoveryError::Deadline { .. })
            }
            _ => false,
        }
    }
}
