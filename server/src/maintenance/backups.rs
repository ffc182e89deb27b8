//! Reads the catalogue of backups now and then, for the gauges of the backups of this API's own database.

use std::convert::Infallible;
use std::fmt::Display;
use std::pin::pin;
use std::time::Duration;

use agentfs_contract::verification::{Level, Verification};
use jiff::Timestamp;
use tokio::time::{sleep, timeout};

use super::trouble::Trouble;
use crate::recovery::catalogue::{Backup, Catalogue, Reader};
use crate::recovery::storage::Storage;
use crate::recovery::{Instance, Location, RecoveryError};
use crate::runtime::jitter::jittered;
use crate::runtime::metrics::{BackupSample, Metrics};
use crate::store::connection::address::DatabaseAddress;
use crate::store::connection::snapshot::Identity;

const BEGIN_AFTER: Duration = Duration::from_secs(1);
/// Average time between two looks.
const EVERY: Duration = Duration::from_mins(1);
/// The longest that a look takes.
const PATIENCE: Duration = Duration::from_secs(50);

/// Which backups are looked at.
#[derive(Debug)]
pub struct Watched {
    /// BACKUP_LOCATION.
    pub location: Location,
    /// BACKUP_INSTANCE, which tells the database from copies with the same history.
    pub copy: Option<String>,
    /// The database.
    pub database: DatabaseAddress,
}

/// Looks until it is dropped.
pub async fn watch(backups: Option<Watched>, metrics: Metrics) -> Infallible {
    let Some(watched) = backups else { return std::future::pending().await };
    let (mut looker, mut trouble) = (Looker::default(), Trouble::default());
    sleep(BEGIN_AFTER).await;
    loop {
        let mut note = |error: &dyn Display| {
            metrics.backup_catalogue_up(false);
            if trouble.is_news(true) {
                let location = &watched.location;
                tracing::warn!(
                    "the backups at {location} cannot be listed for now; trying again: {error}"
                );
            }
        };
        let mut look = pin!(looker.look(&watched.location));
        let read = loop {
            match timeout(PATIENCE, &mut look).await {
                Ok(Ok(catalogue)) => break Some(catalogue),
                Ok(Err(error)) => {
                    note(&error);
                    break None;
                }
                // A second look would wait for the same, such as a file system that hangs.
                Err(_) => note(&format!("no answer within {} s", PATIENCE.as_secs())),
            }
        };
        if let Some(catalogue) = read {
            trouble.is_news(false);
            metrics.backup_catalogue_up(true);
            sample(&watched, &catalogue, &metrics).await;
        }
        sleep(jittered(EVERY)).await;
    }
}

/// Records what the catalogue says of the database. While that cannot be reached, the numbers of before stay.
async fn sample(watched: &Watched, catalogue: &Catalogue, metrics: &Metrics) {
    // The health check says it aloud where that fails.
    if let Ok(Ok(identity)) = timeout(PATIENCE, Identity::of(&watched.database)).await {
        let instance = Instance::of(&identity, watched.copy.as_deref());
        metrics.backups(&sample_of(catalogue, &instance));
    }
}

/// What is kept between two looks.
#[derive(Debug, Default)]
struct Looker {
    storage: Option<Storage>,
    reader: Reader,
}

impl Looker {
    async fn look(&mut self, location: &Location) -> Result<Catalogue, RecoveryError> {
        let storage = match self.storage.take() {
            Some(storage) => storage,
            None => Storage::open(location).await?,
        };
        let catalogue = self.reader.read(&storage).await?;
        // After an error it is opened anew.
        self.storage = Some(storage);
        Ok(catalogue)
    }
}

fn sample_of(catalogue: &Catalogue, instance: &Instance) -> BackupSample {
    let newest_first = || catalogue.of(instance).rev();
    let newest_whole = newest_first().find(|backup| backup.is_whole);
    let verifications = || newest_first().flat_map(Backup::newest_verifications);
    let restores = verifications().filter(|record| record.level == Level::Restore);
    let newest_restore =
        restores.filter(|record| record.failure.is_none()).max_by_key(|record| record.at);
    BackupSample {
        database: instance.name().to_owned(),
        count: newest_first().count(),
        last_success: newest_whole.map(|backup| seconds(backup.manifest.snapshot_at)),
        last_verified: newest_first().find_map(Backup::proof).map(|record| seconds(record.at)),
        last_size: newest_whole.map(|backup| backup.manifest.bytes),
        verification_failed: newest_first()
            .next()
            .is_some_and(|newest| newest.known_failure().is_some()),
        restore_seconds: newest_restore.map(Verification::seconds),
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}
