//! The reasons of the conditions of an AgentFS, besides those that objects of any kind can give.
//!
//! `docs/TROUBLESHOOTING.md` tells of every one what it means and what to do; a test holds it to that.

use agentfs_contract::health::NotReadyReason;

pub use crate::kit::reasons::{
    AWAITING_RECONCILE, AWAITING_SPEC, INVALID_SPEC, READY, SCRATCH_TOO_SMALL,
};
use crate::kit::reasons::{Reason, reasons};

reasons! {
    /// Nothing is on its way.
    UP_TO_DATE = "UpToDate",
    /// The Secrets are there and can be used.
    PRESENT = "Present",
    /// PostgreSQL accepts connections.
    RUNNING = "Running",
    /// The external database is in use.
    REACHABLE = "Reachable",
    /// The schema fits the server's image.
    MIGRATED = "Migrated",
    /// The pods answer.
    SERVING = "Serving",
    /// A CronJob makes backups.
    SCHEDULED = "Scheduled",
    /// The newest backup is young enough.
    FRESH = "Fresh",
    /// No backup was made yet, and none is due.
    NO_BACKUP_YET = "NoBackupYet",
    /// The first backup is being made.
    BACKING_UP = "BackingUp",
    /// A backup that is young enough was restored and compared.
    VERIFIED = "Verified",
    /// A backup that is young enough was read completely, and nobody knows whether it restores.
    ARCHIVE_VERIFIED = "ArchiveVerified",
    /// No backup was verified yet, and none has to be.
    NOT_VERIFIED_YET = "NotVerifiedYet",
    /// Nothing here can decrypt the backups.
    NOT_VERIFIABLE = "NotVerifiable",
    /// A drill passed that is young enough.
    DRILLED = "Drilled",
    /// No drill has run yet, and none has to be.
    NOT_DRILLED_YET = "NotDrilledYet",
    /// The objectives are met.
    MET = "Met",
    /// An objective was never measured.
    NOT_MEASURED_YET = "NotMeasuredYet",
    /// Pods are starting.
    STARTING = "Starting",
    /// Pods are being replaced.
    ROLLING_OUT = "RollingOut",
    /// The Secrets have to be mended first.
    AWAITING_CREDENTIALS = "AwaitingCredentials",
    /// The database has to be there first.
    AWAITING_DATABASE = "AwaitingDatabase",
    /// The schema has to be there first.
    AWAITING_SCHEMA = "AwaitingSchema",
    /// A backup is made before the schema is migrated.
    AWAITING_BACKUP = "AwaitingBackup",
    /// A restore in place has to end before the schema is migrated.
    AWAITING_RESTORE = "AwaitingRestore",
    /// A restore is under way.
    RESTORING = "Restoring",
    /// The schema is being migrated.
    MIGRATING = "Migrating",
    /// Nothing has connected to the external database.
    NOT_REACHED_YET = "NotReachedYet",
    /// `spec.suspend` is true.
    SUSPENDED = "Suspended",
    /// `spec.suspend` is true, and pods are leaving.
    STOPPING = "Stopping",
    /// `spec.api.replicas` is 0.
    SCALED_TO_ZERO = "ScaledToZero",
    /// Another AgentFS works on the database.
    DATABASE_IN_USE = "DatabaseInUse",
    /// The volume of the embedded database is empty, and held data before.
    DATA_LOST = "DataLost",
    /// The migration of the schema failed.
    MIGRATION_FAILED = "MigrationFailed",
    /// The API pods cannot reach the database.
    DATABASE_UNREACHABLE = "DatabaseUnreachable",
    /// The database of the API pods takes no writes.
    DATABASE_READ_ONLY = "DatabaseReadOnly",
    /// The API pods need a newer schema.
    SCHEMA_TOO_OLD = "SchemaTooOld",
    /// The API pods need an older schema.
    SCHEMA_TOO_NEW = "SchemaTooNew",
    /// The database cannot hold every text.
    DATABASE_NOT_UTF8 = "DatabaseNotUtf8",
    /// The backup before the migration of the schema failed.
    BACKUP_BEFORE_FAILED = "BackupBeforeFailed",
    /// The rehearsal of an upgrade on a restored copy failed.
    REHEARSAL_FAILED = "RehearsalFailed",
    /// No backup can be made of a PostgreSQL of this version.
    DATABASE_UNSUPPORTED = "DatabaseUnsupported",
    /// The last backup failed.
    BACKUP_FAILED = "BackupFailed",
    /// The newest backup is too old.
    BACKUP_OVERDUE = "BackupOverdue",
    /// The newest backup is gone, though nobody removed it by the rules.
    BACKUP_VANISHED = "BackupVanished",
    /// The newest backup that was tried does not restore.
    VERIFICATION_FAILED = "VerificationFailed",
    /// The last verification could not be carried out.
    VERIFICATION_NOT_DONE = "VerificationNotDone",
    /// The newest verified backup is too old.
    VERIFICATION_OVERDUE = "VerificationOverdue",
    /// The last drill did not pass, or could not be carried out.
    DRILL_FAILED = "DrillFailed",
    /// The newest drill is too old.
    DRILL_OVERDUE = "DrillOverdue",
    /// A declared objective is missed.
    OBJECTIVES_MISSED = "ObjectivesMissed",
    /// The autoscaler does not know what to go by.
    AUTOSCALING_FAILED = "AutoscalingFailed",
    /// The API pods are not ready for another reason, which they tell.
    NOT_READY = "NotReady",
}

/// The reason that an API pod gives in its `/readyz`; a word that is not known here is [`NOT_READY`],
/// and the pod's sentence tells the rest.
pub fn of_api_pod(word: &str) -> Reason {
    match NotReadyReason::from_word(word) {
        Some(NotReadyReason::DatabaseUnreachable) => DATABASE_UNREACHABLE,
        Some(NotReadyReason::DatabaseReadOnly) => DATABASE_READ_ONLY,
        Some(NotReadyReason::SchemaTooOld) => SCHEMA_TOO_OLD,
        Some(NotReadyReason::SchemaTooNew) => SCHEMA_TOO_NEW,
        Some(NotReadyReason::DatabaseNotUtf8) => DATABASE_NOT_UTF8,
        Some(NotReadyReason::Draining) | None => NOT_READY,
    }
}
