//! Gauges of the backups of the API's own database. There are none where BACKUP_LOCATION is not set.

use std::sync::{Mutex, PoisonError};

use prometheus::core::{Atomic, AtomicF64, AtomicU64, GenericGaugeVec};
use prometheus::{IntGaugeVec, Registry};

use super::gauges;

/// What is known of the backups of a database.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BackupSample {
    /// The name of the instance: the database and its history.
    pub database: String,
    /// Backups that there are.
    pub count: usize,
    /// The moment that the newest whole one holds, in seconds since 1970.
    pub last_success: Option<f64>,
    /// When the newest one was proven of those that a restore has proven, in seconds since 1970.
    pub last_verified: Option<f64>,
    /// The size of the newest whole one, in bytes.
    pub last_size: Option<u64>,
    /// Whether the newest verification of the newest backup failed.
    pub verification_failed: bool,
    /// How long the newest verification by a restore took, in seconds.
    pub restore_seconds: Option<f64>,
}

#[derive(Debug)]
pub(super) struct BackupGauges {
    catalogue_up: IntGaugeVec,
    count: GenericGaugeVec<AtomicU64>,
    last_success: GenericGaugeVec<AtomicF64>,
    last_verified: GenericGaugeVec<AtomicF64>,
    last_size: GenericGaugeVec<AtomicU64>,
    verification_failed: GenericGaugeVec<AtomicU64>,
    restore_seconds: GenericGaugeVec<AtomicF64>,
    /// The database whose gauges are shown.
    shown: Mutex<String>,
}

impl BackupGauges {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        const DATABASE: &[&str] = &["database"];
        Ok(Self {
            catalogue_up: gauges(
                registry,
                "agentfs_backup_catalogue_up",
                "1 while the backups at BACKUP_LOCATION can be listed, 0 while they cannot.",
                &[],
            )?,
            count: gauges(registry, "agentfs_backup_count", "Backups of the database.", DATABASE)?,
            last_success: gauges(
                registry,
                "agentfs_backup_last_success_timestamp_seconds",
                "Snapshot time of the newest complete backup, in seconds since 1970; 0 without one.",
                DATABASE,
            )?,
            last_verified: gauges(
                registry,
                "agentfs_backup_last_verified_timestamp_seconds",
                "When the newest backup that a restore has verified was verified, in seconds since 1970; 0 without one.",
                DATABASE,
            )?,
            last_size: gauges(
                registry,
                "agentfs_backup_last_size_bytes",
                "Size of the newest complete backup, in bytes.",
                DATABASE,
            )?,
            verification_failed: gauges(
                registry,
                "agentfs_backup_verification_failed",
                "1 if the newest verification of the newest backup failed.",
                DATABASE,
            )?,
            restore_seconds: gauges(
                registry,
                "agentfs_backup_restore_seconds",
                "Duration of the newest verification by a restore, in seconds.",
                DATABASE,
            )?,
            shown: Mutex::default(),
        })
    }

    pub(super) fn catalogue_up(&self, up: bool) {
        self.catalogue_up.with_label_values::<&str>(&[]).set(up.into());
    }

    pub(super) fn show(&self, sample: &BackupSample) {
        let BackupSample { database, .. } = sample;
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if *shown != *database {
            // Of another history, which nothing is backed up of any more.
            self.count.reset();
            self.last_success.reset();
            self.last_verified.reset();
            self.last_size.reset();
            self.verification_failed.reset();
            self.restore_seconds.reset();
            shown.clone_from(database);
        }
        let database = &[database];
        self.count.with_label_values(database).set(sample.count as u64);
        let last_success = sample.last_success.unwrap_or_default();
        self.last_success.with_label_values(database).set(last_success);
        let last_verified = sample.last_verified.unwrap_or_default();
        self.last_verified.with_label_values(database).set(last_verified);
        let failed = sample.verification_failed.into();
        self.verification_failed.with_label_values(database).set(failed);
        set_or_remove(&self.last_size, database, sample.last_size);
        set_or_remove(&self.restore_seconds, database, sample.restore_seconds);
    }
}

/// No number is better than one that is none.
fn set_or_remove<N: Atomic>(gauge: &GenericGaugeVec<N>, database: &[&String], value: Option<N::T>) {
    match value {
        Some(value) => gauge.with_label_values(database).set(value),
        // An error says that there was none.
        None => drop(gauge.remove_label_values(database)),
    }
}
