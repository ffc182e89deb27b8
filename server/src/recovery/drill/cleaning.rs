//! Removes what a drill has made: each thing is tried, though another could not be removed.

use std::fmt::Display;
use std::time::Duration;

use agentfs_contract::manifest::Purpose;
use tokio::time::timeout;

use super::super::catalogue::{Catalogue, remove};
use super::super::error::RecoveryError;
use super::super::fault_point::{FaultPoint, reach};
use super::super::instance::Instance;
use super::super::scratch::Scratch;
use super::super::storage::{Removal, Storage};
use super::error::DrillError;
use crate::tenancy::{Administrator, Tenancy, TenancyError};

/// How long one removal may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is needed to remove a drill's things.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cleaning<'a> {
    pub(super) storage: &'a Storage,
    pub(super) instance: &'a Instance,
    pub(super) tenancy: &'a Tenancy,
}

/// What stays.
#[derive(Debug, Default)]
pub(super) struct Cleaned {
    /// What could not be removed, and why.
    pub(super) left: Vec<String>,
    /// What the location keeps by object lock, and until when.
    pub(super) protected: Vec<String>,
}

impl Cleaned {
    fn note<E: Display>(&mut self, what: &str, removed: Result<(), E>) {
        if let Err(error) = removed {
            self.left.push(format!("{what}: {error}"));
        }
    }
}

impl Cleaning<'_> {
    /// Removes what a killed drill has left; no other one is under way.
    pub(super) async fn of_killed_drill(self) -> Result<(), DrillError> {
        for sentence in self.backups().await? {
            tracing::warn!("a former drill has left this: {sentence}");
        }
        if self.tenancy.remove_drill_tenant(Administrator::command()).await? {
            tracing::warn!("removed the tenant that a killed drill had left");
        }
        Ok(())
    }

    /// Removes all that a drill has made, and says what stays.
    pub(super) async fn all(self, scratch: Option<Scratch>, key: Option<&str>) -> Cleaned {
        let mut cleaned = Cleaned::default();
        if let Some(scratch) = scratch {
            cleaned.note("the server that was restored into", in_time(scratch.end()).await);
        }
        reach(FaultPoint::DrillRestoredRemoved);
        match in_time(self.backups()).await {
            Ok(protected) => cleaned.protected = protected,
            Err(error) => cleaned.note("the drill's backup", Err(error)),
        }
        reach(FaultPoint::DrillBackupRemoved);
        if let Some(key) = key {
            cleaned.note("the drill's key, which ends by itself", in_time(self.key(key)).await);
        }
        let tenant =
            async { self.tenancy.remove_drill_tenant(Administrator::command()).await.map(drop) };
        cleaned.note("the tenant agentfs-drill with the marker", in_time(tenant).await);
        reach(FaultPoint::DrillTenantRemoved);
        cleaned
    }

    async fn key(self, id: &str) -> Result<(), TenancyError> {
        self.tenancy.revoke_key(Administrator::command(), id, false).await.map(drop)
    }

    /// Removes the drills' backups of this instance, and says which ones the location keeps.
    async fn backups(self) -> Result<Vec<String>, RecoveryError> {
        let mut protected = Vec::new();
        for backup in &Catalogue::read(self.storage).await?.backups {
            let is_drills = backup.manifest.purpose == Purpose::Drill;
            if !is_drills || !self.instance.is(&backup.manifest.instance) {
                continue;
            }
            if let Removal::Protected(until) = remove(self.storage, backup).await? {
                let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
                protected.push(format!("the backup {} is protected{until}", backup.id()));
            }
        }
        Ok(protected)
    }
}

/// The result of a removal, or that it takes too long.
async fn in_time<T, E: Display>(work: impl Future<Output = Result<T, E>>) -> Result<T, String> {
    match timeout(PATIENCE, work).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err(format!("not within {} s", PATIENCE.as_secs())),
    }
}
