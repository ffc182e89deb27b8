//! A backup that is verified at once where that is asked for, and its record.

use std::pin::Pin;

use agentfs_contract::manifest::Manifest;
use agentfs_contract::setting::BACKUP_SCRATCH_URL;
use agentfs_contract::termination::BackupReport;
use agentfs_contract::verification::{Level, Verification};
use futures::future::FusedFuture;
use secrecy::SecretString;

use super::{identities, setting};
use crate::records::{self, Run, facts};
use crate::recovery::catalogue::Selector;
use crate::recovery::{
    self, BackupOptions, Instance, RecoveryError, Report, VerifyOptions, verify,
};
use crate::settings::DatabaseUrl;
use crate::store::schema::SCHEMA_VERSION;

/// How a backup is tried once it is made.
#[derive(Debug, Clone, Copy)]
pub(super) enum Trial {
    /// Not at all.
    None,
    /// As a verification of this level does.
    Verify(Level),
    /// As before an upgrade: a copy is brought to this program's schema and served from, where that is not older than the database's.
    Rehearse,
}

impl Trial {
    /// The level of the verification that follows a backup.
    fn level(self, made: &Manifest) -> Option<Level> {
        let schema = made.schema_version;
        match self {
            Self::None => None,
            Self::Verify(level) => Some(level),
            Self::Rehearse if schema > SCHEMA_VERSION => {
                tracing::info!(
                    "there is no upgrade to rehearse: the database has schema version {schema}, and this program is of {SCHEMA_VERSION}"
                );
                None
            }
            Self::Rehearse => Some(Level::Restore),
        }
    }
}

/// A backup that was made.
pub(super) struct Made {
    pub(super) backup: Report,
    /// What a verification found, or why it could not be carried out.
    pub(super) verified: Result<Option<Verification>, RecoveryError>,
}

impl Made {
    /// What Kubernetes is told of it.
    pub(super) fn report(&self, options: &BackupOptions) -> BackupReport {
        BackupReport {
            database_bytes: self.backup.manifest.database_bytes,
            backup: Some(facts::of_manifest(&self.backup.manifest, &options.location)),
            verification: self.verification().map(facts::of_verification),
            message: self.verified.as_ref().err().map(ToString::to_string),
            transient: self.verified.as_ref().err().map(RecoveryError::is_transient),
        }
    }

    fn verification(&self) -> Option<&Verification> {
        self.verified.as_ref().ok()?.as_ref()
    }
}

/// Makes a backup, tries it, and brings the records in line with the catalogue. One that cannot be verified, or is not good, stays.
pub(super) async fn back_up(
    options: &BackupOptions,
    trial: Trial,
    mut ended: Pin<&mut impl FusedFuture<Output = RecoveryError>>,
) -> Result<Made, RecoveryError> {
    let backup = match recovery::back_up(options, ended.as_mut()).await {
        Ok(backup) => backup,
        Err(error) => {
            // What was pruned, or even made, before it failed.
            if matches!(error, RecoveryError::Prune { .. }) {
                keep(options, None, &[]).await;
            }
            return Err(error);
        }
    };
    let verified = match trial.level(&backup.manifest) {
        Some(level) => {
            // It takes long, and may be killed: the backup is there even so.
            keep_made(options, &backup, ended.as_mut()).await;
            Box::pin(verify_made(options, &backup, level, ended.as_mut())).await.map(Some)
        }
        None => Ok(None),
    };
    keep_made(options, &backup, ended).await;
    Ok(Made { backup, verified })
}

async fn keep_made(
    options: &BackupOptions,
    backup: &Report,
    ended: Pin<&mut impl FusedFuture<Output = RecoveryError>>,
) {
    tokio::select! {
        () = keep(options, Some(&backup.manifest), &backup.expired.removed) => {}
        // The next run mends it.
        _ = ended => {}
    }
}

/// What Kubernetes is told where a younger backup does. Records that are missing are made even so.
pub(super) async fn skipped(options: &BackupOptions, newer: &Manifest) -> BackupReport {
    let instance = Instance::named(&newer.instance);
    let retention = options.retention.as_ref();
    let run = Run { instance: Some(&instance), retention, ..Run::at(&options.location) };
    records::keep(run).await;
    BackupReport {
        database_bytes: newer.database_bytes,
        backup: None,
        verification: None,
        message: None,
        transient: None,
    }
}

async fn keep(options: &BackupOptions, made: Option<&Manifest>, removed: &[String]) {
    let instance = match made {
        Some(made) => Some(Instance::named(&made.instance)),
        None => Instance::of_database(&options.url, options.copy.as_deref()).await.ok(),
    };
    records::keep(Run {
        location: &options.location,
        instance: instance.as_ref(),
        made: made.map(Manifest::id),
        removed,
        retention: options.retention.as_ref(),
    })
    .await;
}

async fn verify_made(
    options: &BackupOptions,
    backup: &Report,
    level: Level,
    ended: Pin<&mut impl FusedFuture<Output = RecoveryError>>,
) -> Result<Verification, RecoveryError> {
    // A signal that came while old backups were removed.
    if ended.is_terminated() {
        return Err(RecoveryError::Interrupted("verification"));
    }
    let manifest = &backup.manifest;
    let scratch_url = setting(BACKUP_SCRATCH_URL).map(SecretString::from);
    let scratch_url = scratch_url.as_ref().map(DatabaseUrl::parse).transpose()?;
    let options = VerifyOptions {
        location: options.location.clone(),
        backup: Selector::Id(format!("{}/{}", manifest.instance, manifest.id())),
        instance: None,
        level,
        identities: identities(None),
        scratch_url,
        pg_bin: options.pg_bin.clone(),
        // The backup's own is noted already.
        request: None,
    };
    Ok(verify(&options, ended).await?.verification)
}
