//! Backups as tests need them, and the tests of the catalogue.

use std::fs;
use std::path::PathBuf;

use agentfs_contract::manifest::{FORMAT, Scope, Table};
use agentfs_contract::verification::Level;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use super::*;
use crate::recovery::location::Location;
use crate::recovery::record;
use crate::store::connection::snapshot::Identity;

/// What the made-up dumps hold.
pub(in crate::recovery) const DUMP: &[u8] = b"a dump";

/// The instance of backups unless a test says otherwise.
pub(in crate::recovery) fn instance() -> Instance {
    Instance::of(&Identity { system: "7".into(), timeline: 1, database: "agentfs".into() }, None)
}

/// The manifest of a backup of this moment.
pub(in crate::recovery) fn manifest(at: Timestamp) -> Manifest {
    let table = Table { rows: 3, bytes: Some(120), fingerprint: Some("00ff".into()) };
    let made_up = Manifest {
        format: FORMAT,
        purpose: Purpose::Backup,
        scope: Scope::Full,
        file: format!("agentfs_{}.dump", at.strftime("%Y%m%d_%H%M%S")),
        bytes: DUMP.len() as u64,
        sha256: "7a4a6b6a0d7d7d9d2a1a9fcdf5e6b1ac".into(),
        encryption: None,
        instance: instance().name().into(),
        schema_version: 14,
        min_compatible: 1,
        postgres: "17.5".into(),
        pg_dump: "17.5".into(),
        program: "0.1.0".into(),
        snapshot_at: at,
        finished_at: at,
        database_bytes: 8_000_000,
        tables: [("entries".to_owned(), table)].into(),
        left_out: vec![],
        checksum: String::new(),
    };
    made_up.write().0
}

/// A whole backup of this manifest.
pub(in crate::recovery) fn backup(manifest: Manifest) -> Backup {
    Backup::of_manifest(manifest)
}

/// A verification of this backup that ended at `at`.
pub(in crate::recovery) fn verification(
    manifest: &Manifest,
    level: Level,
    failure: Option<&str>,
    at: Timestamp,
) -> Verification {
    Verification {
        backup: manifest.id().into(),
        manifest: manifest.checksum.clone(),
        level,
        failure: failure.map(str::to_owned),
        at,
        program: "0.1.0".into(),
        postgres: None,
        steps: vec![],
    }
}

/// So many hours ago, to the second.
pub(in crate::recovery) fn hours_ago(hours: i64) -> Timestamp {
    let second = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    second - SignedDuration::from_hours(hours)
}

/// A folder of backups.
pub(in crate::recovery) struct Place {
    folder: TempDir,
    pub(in crate::recovery) storage: Storage,
}

impl Place {
    pub(in crate::recovery) async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let location = Location::Folder(folder.path().to_owned());
        Self { storage: Storage::create(&location).await.unwrap(), folder }
    }

    pub(in crate::recovery) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(in crate::recovery) fn write(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Makes a file as old as something of so many hours ago.
    pub(in crate::recovery) fn age(&self, name: &str, hours: i64) {
        let file = fs::File::options().append(true).open(self.path(name)).unwrap();
        file.set_modified(hours_ago(hours).into()).unwrap();
    }

    /// Makes a whole backup with this manifest.
    pub(in crate::recovery) async fn add(&self, manifest: Manifest) -> Backup {
        let (manifest, json) = manifest.write();
        let backup = backup(manifest);
        self.write(&backup.dump(), DUMP);
        self.write(&backup.object(MANIFEST), &json);
        self.read().await.named(&backup.path())
    }

    pub(in crate::recovery) async fn read(&self) -> Read {
        Read(Catalogue::read(&self.storage).await.unwrap())
    }

    /// The names of all objects.
    pub(in crate::recovery) async fn names(&self) -> Vec<String> {
        let objects = self.storage.list().await.unwrap();
        objects.into_iter().map(|object| object.name).collect()
    }
}

/// A catalogue that was read.
pub(in crate::recovery) struct Read(pub(in crate::recovery) Catalogue);

impl Read {
    pub(in crate::recovery) fn named(&self, path: &str) -> Backup {
        self.0.backups.iter().find(|backup| backup.path() == path).unwrap().clone()
    }
}

#[tokio::test]
async fn many_backups_are_read_and_what_is_wrong_hides_none() {
    let place = Place::new().await;
    for hours in 1..=100 {
        let backup = backup(manifest(hours_ago(hours)));
        place.write(&backup.dump(), DUMP);
        place.write(&backup.object(MANIFEST), &backup.manifest.clone().write().1);
    }
    let newest = place.read().await.0.backups.last().unwrap().clone();
    let folder = newest.folder.clone();
    let unusable = [
        ("20300101_000000", br#"{"format": 3}"#.to_vec(), "use a newer agentfs-server"),
        ("20300101_000001", b"{".to_vec(), "cannot be read"),
        ("20300101_000002", vec![b' '; (1 << 20) + 1], "too large"),
        ("20300101_000003", newest.manifest.clone().write().1, "changed or damaged"),
    ];
    for (stamp, json, _) in &unusable {
        place.write(&format!("{folder}agentfs_{stamp}.manifest.json"), json);
    }
    for foreign in ["notes.txt", "package.manifest.json", "mine/agentfs_x.manifest.json"] {
        place.write(foreign, b"{}");
    }
    // Somebody's own, in the runbook's naming.
    place.write("agentfs_20200101_000000.dump", b"mine");

    let catalogue = place.read().await.0;
    assert_eq!(catalogue.backups.len(), 100);
    assert!(catalogue.backups.is_sorted_by_key(|backup| backup.manifest.snapshot_at));
    assert!(catalogue.backups.iter().all(|backup| backup.is_whole));
    assert_eq!(catalogue.orphans.len(), 0);
    for ((stamp, _, reason), found) in unusable.iter().zip(&catalogue.unusable) {
        assert_eq!(found.name, format!("{folder}agentfs_{stamp}.manifest.json"));
        assert!(found.error.to_string().contains(reason), "{}", found.error);
    }
    assert_eq!(catalogue.unusable.len(), unusable.len());
    // No older one takes the newest one's place.
    let refused = catalogue.select(&Selector::Latest, None).unwrap_err();
    assert!(
        matches!(&refused, RecoveryError::Manifest { id, .. } if id.ends_with("000003")),
        "{refused}"
    );
    let refused = catalogue.select(&"agentfs_20300101_000001".into(), None).unwrap_err();
    assert!(matches!(refused, RecoveryError::Manifest { .. }), "{refused}");
}

#[tokio::test]
async fn objects_are_read_once_by_one_reader() {
    let place = Place::new().await;
    let first = place.add(manifest(hours_ago(2))).await;
    let mut reader = Reader::default();
    assert_eq!(reader.read(&place.storage).await.unwrap().backups.len(), 1);
    // Objects never change. Where one does all the same, with its size and time kept, it shows who reads it again.
    let (path, at) = (place.path(&first.object(MANIFEST)), first.written_at);
    let length = fs::metadata(&path).unwrap().len();
    fs::write(&path, " ".repeat(length.try_into().unwrap())).unwrap();
    fs::File::options().append(true).open(&path).unwrap().set_modified(at.into()).unwrap();
    place.write(&format!("{}.verified_20300101_000000.json", first.path()), b"{");
    place.write("7-1-agentfs/agentfs_20200101_000000.manifest.json", b"{");
    let again = reader.read(&place.storage).await.unwrap();
    assert_eq!((again.backups.len(), again.unusable.len()), (1, 1));
    assert_eq!(again.backups[0].unreadable.len(), 1);
    assert_eq!(place.read().await.0.backups.len(), 0);
}

#[tokio::test]
async fn a_proof_is_of_this_very_backup_and_ends_with_a_failure() {
    let place = Place::new().await;
    let backup = place.add(manifest(hours_ago(48))).await;
    let (archive, restore) = (Level::Archive, Level::Restore);
    let mut hour = 47;
    let mut after = async |level, failure, edit: fn(&mut Verification)| {
        hour -= 1;
        let mut record = verification(&backup.manifest, level, failure, hours_ago(hour));
        edit(&mut record);
        record::write(&place.storage, &backup, &record).await.unwrap();
        place.read().await.named(&backup.path()).is_verified()
    };
    let as_it_is: fn(&mut Verification) = |_| {};
    assert!(!after(archive, None, as_it_is).await, "an archive proves nothing");
    assert!(!after(restore, None, |record| record.manifest = "other".into()).await);
    assert!(!after(restore, None, |record| record.backup = "other".into()).await);
    assert!(after(restore, None, as_it_is).await);
    assert!(after(archive, None, as_it_is).await);
    assert!(!after(archive, Some("a sum"), as_it_is).await, "what is damaged since");
    assert!(!after(archive, None, as_it_is).await);
    assert!(after(restore, None, as_it_is).await);

    place.write(&format!("{}.failed_20300101_000000.json", backup.path()), b"{");
    assert!(!place.read().await.named(&backup.path()).is_verified(), "a failure is none the less");
    fs::remove_file(place.path(&format!("{}.failed_20300101_000000.json", backup.path()))).unwrap();
    place.write(&backup.dump(), &DUMP[1..]);
    assert!(!place.read().await.named(&backup.path()).is_verified(), "it is not whole");
}

#[tokio::test]
async fn records_of_one_second_do_not_collide() {
    let place = Place::new().await;
    let backup = place.add(manifest(hours_ago(2))).await;
    let record = verification(&backup.manifest, Level::Restore, None, hours_ago(1));
    let mut names = Vec::new();
    for _ in 0..3 {
        names.push(record::write(&place.storage, &backup, &record).await.unwrap());
    }
    names.dedup();
    assert_eq!(names.len(), 3);
    let read = place.read().await.named(&backup.path());
    assert_eq!((read.verifications.len(), read.beside), (3, names));
}

#[tokio::test]
async fn who_is_meant_is_clear_or_asked() {
    let place = Place::new().await;
    let nothing = place.read().await.0;
    let refused = |catalogue: &Catalogue, selector: &str, instance: Option<&Instance>| {
        catalogue.select(&selector.into(), instance).unwrap_err().to_string()
    };
    assert_eq!(
        refused(&nothing, "latest", None),
        format!("there is no backup in {} yet", place.storage)
    );
    let old = place.add(manifest(hours_ago(9))).await;
    let mut drill = manifest(hours_ago(1));
    (drill.purpose, drill.file) =
        (Purpose::Drill, drill.file.replace("agentfs_", "agentfs_drill_"));
    place.add(drill).await;
    let one = place.read().await.0;
    assert_eq!(one.select(&Selector::Latest, None).unwrap().id(), old.id(), "no drill");
    assert!(refused(&one, "latest-verified", None).contains("no backup is verified"));
    let verify = format!("verify --from {} --level restore", place.storage);
    assert!(refused(&one, "latest-verified", None).contains(&verify));
    assert!(refused(&one, "lastest", None).contains("did you mean latest? See"));
    let record = verification(&old.manifest, Level::Restore, None, hours_ago(8));
    record::write(&place.storage, &old, &record).await.unwrap();

    let mut other = old.manifest.clone();
    other.instance = "8-1-agentfs".into();
    let other = place.add(other).await;
    assert_eq!(other.id(), old.id());
    let two = place.read().await.0;
    assert!(refused(&two, "latest", None).contains("7-1-agentfs, 8-1-agentfs"));
    assert_eq!(two.select(&Selector::Latest, Some(&instance())).unwrap().path(), old.path());
    assert!(refused(&two, old.id(), None).contains(&other.path()));
    assert_eq!(two.select(&other.path().as_str().into(), None).unwrap().path(), other.path());
    let proven = two.select(&Selector::LatestVerified, Some(&instance())).unwrap();
    assert_eq!(proven.path(), old.path());
    assert!(
        refused(&two, "agentfs_20200101_000000", None).contains("agentfs-server backups --from ")
    );
}
