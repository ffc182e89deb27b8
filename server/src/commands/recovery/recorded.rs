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

/// A backup that was made.
pub(super) struct Made {
    pub(super) backup: Report,
    /// What a verification found.
    pub(super) verification: Option<Verification>,
}

impl Made {
    /// What Kubernetes is told of it.
    pub(super) fn report(&self, options: &BackupOptions) -> BackupReport {
        BackupReport {
            database_bytes: self.backup.manifest.database_bytes,
            backup: Some(facts::of_manifest(&self.backup.manifest, &options.location)),
            verification: self.verification.as_ref().map(facts::of_verification),
        }
    }
}

/// Makes a backup, verifies it at a level, and brings the records in line with the catalogue. One that cannot be verified, or is
/// not good, stays.
pub(super) async fn back_up(
    options: &BackupOptions,
    level: Option<Level>,
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
    let verified = match level {
        Some(level) => {
            Box::pin(verify_made(options, &backup, level, ended.as_mut())).await.map(Some)
        }
        None => Ok(None),
    };
    tokio::select! {
        () = keep(options, Some(&backup.manifest), &backup.expired.removed) => {}
        // The next run mends it.
        _ = ended => {}
    }
    let not_verified =
        |error| RecoveryError::NotVerified { made: backup.path.clone(), error: Box::new(error) };
    let verification = verified.map_err(not_verified)?;
    Ok(Made { backup, verification })
}

/// What Kubernetes is told where a younger backup does. Records that are missing are made even so.
pub(super) async fn skipped(options: &BackupOptions, newer: &Manifest) -> BackupReport {
    let instance = Instance::named(&newer.instance);
    let retention = options.retention.as_ref();
    let run = Run { instance: Some(&instance), retention, ..Run::at(&options.location) };
    records::keep(run).await;
    BackupReport { database_bytes: newer.database_bytes, backup: None, verification: None }
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
