//! Leases: objects beside a backup that say who reads it and until when, so that nobody removes it meanwhile.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::catalogue::{Backup, Kind, MANIFEST, Name};
use super::error::RecoveryError;
use super::fault_point::{FaultPoint, reach};
use super::process::Process;
use super::record::write_once;
use super::storage::{Object, Storage, StorageError};

/// How long a lease lasts whose holder is gone.
const VALID: SignedDuration = SignedDuration::from_hours(6);
/// After this time a lease is followed by a new one. It leaves time for two more tries.
const RENEW: Duration = Duration::from_hours(2);

/// What a lease says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The name of its object.
    #[serde(skip)]
    pub name: String,
    /// The command that reads the backup.
    pub by: String,
    /// When it ends, unless it is followed by another one.
    pub until: Timestamp,
    /// The process that reads it; `None` where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
}

impl Held {
    /// Whether it was left: its process ran on this machine and is gone.
    pub fn is_left(&self) -> bool {
        self.process.as_ref().is_some_and(Process::is_gone)
    }

    /// What an object says; `None` where that cannot be read.
    pub(super) fn parse(object: &Object, json: &[u8]) -> Option<Self> {
        let held: Self = serde_json::from_slice(json).ok()?;
        Some(Self { name: object.name.clone(), ..held })
    }

    /// A lease that cannot be read counts until it must have ended.
    pub(super) fn unreadable(object: &Object) -> Self {
        let until = object.modified.saturating_add(VALID).unwrap_or(Timestamp::MAX);
        Self { name: object.name.clone(), by: "somebody".into(), until, process: None }
    }
}

/// The leases of the backup `path` among these objects.
pub(super) async fn of(
    storage: &Storage,
    objects: &[Object],
    path: &str,
) -> Result<Vec<Held>, StorageError> {
    let mut leases = Vec::new();
    for object in objects {
        let is_one = Name::parse(&object.name).is_some_and(|name| {
            name.kind == Kind::Lease && path.strip_prefix(name.folder) == Some(name.id)
        });
        if let Some(json) = if is_one { storage.read_small(&object.name).await? } else { None } {
            leases.push(Held::parse(object, &json).unwrap_or_else(|| Held::unreadable(object)));
        }
    }
    Ok(leases)
}

/// A backup that nobody removes for as long as this value is there.
#[derive(Debug)]
pub struct Lease {
    /// The lease ends when this is dropped.
    end: Option<oneshot::Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl Lease {
    /// Takes a lease on a backup. `by` is the command that reads it, such as `verify`.
    ///
    /// It fails with [`RecoveryError::NoBackup`] where the backup has been removed since its catalogue was read: whoever removes
    /// backups looks for leases once their manifests are gone, so one of the two sees the other.
    pub async fn take(storage: &Storage, backup: &Backup, by: &str) -> Result<Self, RecoveryError> {
        let holder = Holder::of(storage, backup, by);
        let name = holder.write().await?;
        let (end, ended) = oneshot::channel();
        let keeper = Some(tokio::spawn(holder.keep(name, ended, RENEW)));
        let lease = Self { end: Some(end), keeper };
        if storage.read_small(&backup.object(MANIFEST)).await?.is_none() {
            lease.release().await;
            return Err(RecoveryError::NoBackup(format!(
                "the backup {} has just been removed",
                backup.id()
            )));
        }
        Ok(lease)
    }

    /// Ends the lease on a backup that was read, where there is one.
    pub async fn release_read(lease: Option<Self>) {
        if let Some(lease) = lease {
            lease.release().await;
            reach(FaultPoint::LeaseRemoved);
        }
    }

    /// Ends the lease.
    pub async fn release(mut self) {
        self.end.take();
        if let Some(keeper) = self.keeper.take() {
            // A keeper that panicked leaves an object that ends by itself.
            keeper.await.ok();
        }
    }
}

impl Drop for Lease {
    /// Ends the lease of work that failed or was cancelled, and waits for that: the program may end right after.
    fn drop(&mut self) {
        self.end.take();
        let (Some(keeper), Ok(runtime)) = (self.keeper.take(), Handle::try_current()) else {
            return;
        };
        if runtime.runtime_flavor() == RuntimeFlavor::MultiThread {
            tokio::task::block_in_place(|| runtime.block_on(keeper)).ok();
        }
    }
}

/// Who keeps a lease.
#[derive(Debug)]
struct Holder {
    storage: Storage,
    stem: String,
    by: String,
}

impl Holder {
    fn of(storage: &Storage, backup: &Backup, by: &str) -> Self {
        Self { storage: storage.clone(), stem: backup.path(), by: by.to_owned() }
    }

    /// Writes a new object, since none can be changed; returns its name.
    async fn write(&self) -> Result<String, StorageError> {
        let name = format!("{}.lease_{:016x}.json", self.stem, rand::random::<u64>());
        let until = Timestamp::now().saturating_add(VALID).unwrap_or(Timestamp::MAX);
        let (by, process) = (self.by.clone(), Process::this());
        let held = Held { name: name.clone(), by, until, process };
        // Its fields are all such that JSON has.
        let json = serde_json::to_vec(&held).unwrap_or_default();
        write_once(&self.storage, &name, &json).await?;
        Ok(name)
    }

    /// Renews the lease each time that so much has passed, until its end, and removes what is left of it then.
    async fn keep(self, mut name: String, mut end: oneshot::Receiver<()>, renew: Duration) {
        while tokio::time::timeout(renew, &mut end).await.is_err() {
            match self.write().await {
                Ok(next) => self.remove(&std::mem::replace(&mut name, next)).await,
                Err(error) => tracing::warn!("the lease {name} cannot be renewed: {error}"),
            }
        }
        self.remove(&name).await;
    }

    async fn remove(&self, name: &str) {
        if let Err(error) = self.storage.remove(name).await {
            tracing::warn!("the lease {name} stays until it has ended: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::catalogue::tests::{Place, hours_ago, instance, manifest};
    use crate::recovery::catalogue::{Catalogue, remove};
    use crate::recovery::sweep::sweep;

    async fn leases(place: &Place, backup: &Backup) -> usize {
        place.read().await.named(&backup.path()).leases.len()
    }

    #[tokio::test]
    async fn a_lease_lasts_until_it_is_released() {
        let place = Place::new().await;
        let backup = place.add(manifest(hours_ago(2))).await;
        let lease = Lease::take(&place.storage, &backup, "verify").await.unwrap();
        let held = place.read().await.named(&backup.path()).live_lease(Timestamp::now()).cloned();
        let held = held.unwrap();
        assert_eq!(held.by, "verify");
        let left = held.until.duration_since(Timestamp::now());
        assert!(left > SignedDuration::from_hours(5) && left <= VALID, "{left}");
        lease.release().await;
        assert_eq!(leases(&place, &backup).await, 0);
    }

    #[tokio::test]
    async fn a_lease_of_a_process_that_is_gone_is_known_as_left() {
        let place = Place::new().await;
        let backup = place.add(manifest(hours_ago(2))).await;
        let lease = Lease::take(&place.storage, &backup, "verify").await.unwrap();
        let held = place.read().await.named(&backup.path()).leases.remove(0);
        assert!(held.process.is_some() && !held.is_left(), "{held:?}");
        let mut json = serde_json::to_value(&held).unwrap();
        // As if this process's id had been another one's.
        json["process"]["started"] = 0.into();
        let gone: Held = serde_json::from_value(json.clone()).unwrap();
        assert!(gone.is_left());
        json["process"]["boot"] = "another machine".into();
        assert!(!serde_json::from_value::<Held>(json.clone()).unwrap().is_left());
        json.as_object_mut().unwrap().remove("process");
        assert!(!serde_json::from_value::<Held>(json).unwrap().is_left(), "of an earlier release");
        lease.release().await;
    }

    #[tokio::test]
    async fn a_lease_is_followed_by_another_before_it_ends() {
        let place = Place::new().await;
        let backup = place.add(manifest(hours_ago(2))).await;
        let holder = Holder::of(&place.storage, &backup, "verify");
        let first = holder.write().await.unwrap();
        let (end, ended) = oneshot::channel();
        let keeper = tokio::spawn(holder.keep(first.clone(), ended, Duration::from_millis(1)));
        while place.names().await.contains(&first) {
            tokio::task::yield_now().await;
        }
        assert!(leases(&place, &backup).await >= 1, "never without one");
        drop(end);
        keeper.await.unwrap();
        assert_eq!(leases(&place, &backup).await, 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_lease_of_work_that_is_cancelled_is_gone_at_once() {
        let place = Place::new().await;
        let backup = place.add(manifest(hours_ago(2))).await;
        let lease = Lease::take(&place.storage, &backup, "verify").await.unwrap();
        assert_eq!(leases(&place, &backup).await, 1);
        drop(lease);
        assert_eq!(leases(&place, &backup).await, 0);
    }

    #[tokio::test]
    async fn no_lease_is_had_of_a_backup_that_is_gone() {
        let place = Place::new().await;
        let backup = place.add(manifest(hours_ago(2))).await;
        remove(&place.storage, &backup).await.unwrap();
        let refused = Lease::take(&place.storage, &backup, "verify").await.unwrap_err();
        assert!(refused.to_string().contains("has just been removed"), "{refused}");
        assert_eq!(place.names().await, [""; 0]);
    }

    #[tokio::test]
    async fn whoever_took_a_lease_in_time_reads_to_the_end() {
        let place = Place::new().await;
        let backup = place.add(manifest(hours_ago(2))).await;
        // After the catalogue was read by which the backup is removed.
        let lease = Lease::take(&place.storage, &backup, "verify").await.unwrap();
        remove(&place.storage, &backup).await.unwrap();
        let sweep = async || {
            let catalogue = Catalogue::read(&place.storage).await.unwrap();
            assert_eq!(catalogue.backups.len(), 0);
            sweep(&place.storage, &catalogue, &instance()).await.unwrap()
        };
        assert_eq!(sweep().await, 0);
        assert!(place.names().await.contains(&backup.dump()), "it is read");
        lease.release().await;
        assert_eq!(sweep().await, 1);
        assert_eq!(place.names().await, [""; 0]);
    }

    #[tokio::test]
    async fn a_lease_that_cannot_be_read_counts_until_it_must_have_ended() {
        let place = Place::new().await;
        let backup = place.add(manifest(hours_ago(9))).await;
        let name = format!("{}.lease_00ff.json", backup.path());
        place.write(&name, b"{");
        let is_live = async || {
            let backup = place.read().await.named(&backup.path());
            backup.live_lease(Timestamp::now()).is_some()
        };
        assert!(is_live().await);
        place.age(&name, 7);
        assert!(!is_live().await);
    }
}
