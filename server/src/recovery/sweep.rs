//! Removes what killed runs left at a location. Foreign objects are never touched.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::catalogue::{Backup, Catalogue, Orphan, remove};
use super::error::RecoveryError;
use super::instance::Instance;
use super::storage::{Removal, Storage};

/// What is not covered by a lock is left alone for so long: somebody may be at work on it.
const AGE: SignedDuration = SignedDuration::from_hours(24);
/// What all names of backups begin with.
const OURS: &str = "agentfs_";

/// Sweeps up after the runs of an instance; returns how many objects, uploads and backups are gone. The caller has the lock of
/// the instance, and has read the catalogue since: nobody else makes or removes a backup of it, so that what belongs to none was
/// left, however young it is. Of other instances only uploads go, after a day: the rest is for their own backups.
pub(super) async fn sweep(
    storage: &Storage,
    catalogue: &Catalogue,
    instance: &Instance,
) -> Result<usize, RecoveryError> {
    let now = Timestamp::now();
    let folder = format!("{instance}/");
    let mut swept = storage.sweep(&folder, Duration::ZERO).await?;
    // Of releases before 0.2, which have another lock, and of other instances.
    let folders = catalogue.backups.iter().map(|backup| backup.folder.as_str()).chain([""]);
    for other in folders.filter(|other| *other != folder).collect::<BTreeSet<_>>() {
        swept += storage.sweep(&format!("{other}{OURS}"), AGE.unsigned_abs()).await?;
    }
    let is_left = |orphan: &&Orphan| {
        let name = &orphan.object.name;
        let is_read = orphan.leased_until.is_some_and(|until| until > now);
        let is_old = orphan.object.modified < now - AGE;
        !is_read && (name.starts_with(&folder) || (is_old && !name.contains('/')))
    };
    for orphan in catalogue.orphans.iter().filter(is_left) {
        swept += usize::from(storage.remove(&orphan.object.name).await? == Removal::Removed);
    }
    let ours = |backup: &&Backup| instance.is(&backup.manifest.instance);
    for backup in catalogue.backups.iter().filter(ours) {
        let is_old = backup.written_at < now - AGE;
        if backup.dump_bytes.is_none() && is_old && backup.live_lease(now).is_none() {
            swept += usize::from(remove(storage, backup).await? == Removal::Removed);
            continue;
        }
        for lease in backup.leases.iter().filter(|lease| lease.until <= now) {
            swept += usize::from(storage.remove(&lease.name).await? == Removal::Removed);
        }
    }
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use agentfs_contract::verification::Level;

    use super::*;
    use crate::recovery::catalogue::tests::{Place, hours_ago, instance, manifest, verification};
    use crate::recovery::{lease, record};

    async fn swept(place: &Place) -> usize {
        let catalogue = Catalogue::read(&place.storage).await.unwrap();
        sweep(&place.storage, &catalogue, &instance()).await.unwrap()
    }

    #[tokio::test]
    async fn what_killed_runs_left_goes_and_nothing_else() {
        let place = Place::new().await;
        let backup = place.add(manifest(hours_ago(2))).await;
        let record = verification(&backup.manifest, Level::Restore, None, hours_ago(1));
        record::write(&place.storage, &backup, &record).await.unwrap();
        let folder = &backup.folder;
        let held =
            |until| lease::Held { name: String::new(), by: "verify".into(), until, process: None };
        let json = |until| serde_json::to_vec(&held(until)).unwrap();
        let later = Timestamp::now() + SignedDuration::from_hours(1);
        for (name, content) in [
            // Left by runs of this instance, however young.
            (format!("{folder}agentfs_20260101_000000.dump"), b"dump".to_vec()),
            (format!("{folder}agentfs_20260101_000001.dump.age"), b"dump".to_vec()),
            (
                format!("{folder}agentfs_20260101_000002.verified_20260102_000000.json"),
                b"{}".to_vec(),
            ),
            (format!("{folder}agentfs_20260101_000003.dump.partial"), b"dump".to_vec()),
            (format!("{folder}agentfs_20260101_000004.lease_00.json"), json(hours_ago(1))),
            (format!("{}.lease_01.json", backup.path()), json(hours_ago(1))),
        ] {
            place.write(&name, &content);
        }
        let kept = [
            // What is still read, what is of others, and what is nobody's.
            (format!("{folder}agentfs_20260101_000005.dump"), b"dump".to_vec()),
            (format!("{folder}agentfs_20260101_000005.lease_00.json"), json(later)),
            ("8-1-agentfs/agentfs_20260101_000000.dump".into(), b"dump".to_vec()),
            (format!("{folder}agentfs_20260101_000006.manifest.json"), b"{".to_vec()),
            (format!("{folder}agentfs_20260101_000006.dump"), b"dump".to_vec()),
            (format!("{folder}mine.dump"), b"mine".to_vec()),
            ("agentfs_20200101_000000.dump".into(), b"mine".to_vec()),
            ("notes.txt".into(), b"mine".to_vec()),
        ];
        for (name, content) in &kept {
            place.write(name, content);
            place.age(name, 48);
        }
        let mut expected: Vec<String> = kept.into_iter().map(|(name, _)| name).collect();
        expected.extend(
            place
                .read()
                .await
                .named(&backup.path())
                .beside
                .into_iter()
                .filter(|name| !name.contains("lease")),
        );
        expected.extend([backup.dump(), backup.object(super::super::catalogue::MANIFEST)]);
        expected.sort();
        assert_eq!(swept(&place).await, 6);
        assert_eq!(place.names().await, expected);
        assert!(!place.path(&format!("{folder}agentfs_20260101_000003.dump.partial")).exists());
        assert_eq!(swept(&place).await, 0);
    }

    #[tokio::test]
    async fn a_manifest_without_a_dump_goes_when_it_is_old_and_ours() {
        let place = Place::new().await;
        let (young, old) =
            (place.add(manifest(hours_ago(1))).await, place.add(manifest(hours_ago(30))).await);
        let mut foreign = manifest(hours_ago(31));
        foreign.instance = "8-1-agentfs".into();
        let foreign = place.add(foreign).await;
        for backup in [&young, &old, &foreign] {
            std::fs::remove_file(place.path(&backup.dump())).unwrap();
        }
        let name = |backup: &Backup| backup.object(super::super::catalogue::MANIFEST);
        place.age(&name(&old), 30);
        place.age(&name(&foreign), 31);
        assert_eq!(swept(&place).await, 1);
        assert_eq!(place.names().await, [name(&young), name(&foreign)]);
    }

    #[tokio::test]
    async fn of_other_instances_only_old_uploads_go() {
        let place = Place::new().await;
        let mut other = manifest(hours_ago(2));
        other.instance = "8-1-agentfs".into();
        let other = place.add(other).await;
        let names = ["1.dump.partial", "2.dump.partial", "3.dump"]
            .map(|name| format!("{}agentfs_20260101_00000{name}", other.folder));
        for name in &names {
            place.write(name, b"part");
            place.age(name, 48);
        }
        place.age(&names[1], 1);
        assert_eq!(swept(&place).await, 1);
        assert_eq!(names.map(|name| place.path(&name).exists()), [false, true, true]);
    }

    #[tokio::test]
    async fn what_the_release_before_left_in_the_root_goes_when_it_is_old() {
        let place = Place::new().await;
        let (old, young) =
            ("agentfs_20200101_000001.dump.partial", "agentfs_20200101_000002.dump.partial");
        for name in [old, young] {
            place.write(name, b"part");
        }
        place.age(old, 25);
        assert_eq!(swept(&place).await, 1);
        assert!(!place.path(old).exists() && place.path(young).exists());
    }
}
