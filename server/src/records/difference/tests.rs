use agentfs_contract::manifest::{FORMAT, Manifest, ManifestError, Purpose, Table};
use agentfs_contract::verification::{Level, Verification};
use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::sample::subsequence;
use serde_json::json;

use super::*;
use crate::recovery::catalogue::Unusable;

const OURS: &str = "7-1-agentfs";
const ANOTHER: &str = "8-1-agentfs";

fn now() -> Timestamp {
    "2026-11-28T12:00:00Z".parse().unwrap()
}

/// A backup of so many hours ago.
pub(in crate::records) fn backup(instance: &str, hours: i64) -> Backup {
    let at = now() - SignedDuration::from_hours(hours);
    let table = Table { rows: 3, bytes: Some(120), fingerprint: Some("00ff".into()) };
    let manifest = Manifest {
        format: FORMAT,
        purpose: Purpose::Backup,
        scope: Scope::Full,
        file: format!("agentfs_{}.dump", at.strftime("%Y%m%d_%H%M%S")),
        bytes: 330 << 20,
        sha256: "ab".into(),
        encryption: None,
        instance: instance.into(),
        schema_version: 14,
        min_compatible: 1,
        postgres: "18.1 (Debian 18.1-1)".into(),
        pg_dump: "18.1".into(),
        program: "0.1.0".into(),
        snapshot_at: at,
        finished_at: at + SignedDuration::from_millis(40_500),
        database_bytes: 1 << 30,
        tables: [("entries".to_owned(), table)].into(),
        left_out: vec![],
        checksum: String::new(),
    };
    Backup::of_manifest(manifest.write().0)
}

pub(in crate::records) fn catalogue(backups: Vec<Backup>) -> Catalogue {
    Catalogue { backups, ..Catalogue::default() }
}

fn verified(mut backup: Backup, level: Level, failure: Option<&str>) -> Backup {
    backup.verifications.push(Verification {
        backup: backup.id().into(),
        manifest: backup.manifest.checksum.clone(),
        level,
        failure: failure.map(str::to_owned),
        at: backup.manifest.finished_at + SignedDuration::from_mins(1),
        program: "0.1.0".into(),
        postgres: None,
        steps: vec![],
    });
    backup
}

/// What a run knows, and the records that it finds.
struct Case {
    catalogue: Catalogue,
    location: Location,
    ours: Vec<Instance>,
    removed: Vec<String>,
    retention: Option<Retention>,
    asked: Option<(String, String)>,
    records: Vec<Existing>,
}

impl Case {
    fn of(backups: Vec<Backup>) -> Self {
        Self {
            catalogue: catalogue(backups),
            location: Location::Folder("/backups".into()),
            ours: vec![Instance::named(OURS)],
            removed: vec![],
            retention: None,
            asked: None,
            records: vec![],
        }
    }

    fn changes(&self) -> Vec<Change> {
        let known = Known {
            agentfs: "memory",
            location: &self.location,
            catalogue: &self.catalogue,
            ours: &self.ours,
            removed: &self.removed,
            retention: self.retention.as_ref(),
            asked: self.asked.as_ref().map(|(name, id)| (&**name, &**id)),
            now: now(),
        };
        known.differs_from(&self.records)
    }

    /// Makes all changes, and returns them.
    fn run(&mut self) -> Vec<Change> {
        let changes = self.changes();
        for change in changes.clone() {
            match change {
                Change::Create { name, id, status, .. } => {
                    assert!(self.records.iter().all(|seen| seen.name != name), "{name} is there");
                    self.records.push(Existing { record_of: Some(id), ..existing(&name, status) });
                }
                Change::Say { name, status } => self.named(&name).status = status,
                Change::Delete { name, uid } => {
                    self.records.retain(|seen| (&seen.name, &seen.uid) != (&name, &uid));
                }
            }
        }
        changes
    }

    fn named(&mut self, name: &str) -> &mut Existing {
        self.records.iter_mut().find(|seen| seen.name == name).expect(name)
    }

    fn names(&self) -> Vec<&str> {
        self.records.iter().map(|seen| &*seen.name).collect()
    }

    /// The record of a backup, which is made where it is missing.
    fn with_records(mut self) -> Self {
        self.run();
        self
    }
}

fn existing(name: &str, status: Status) -> Existing {
    let uid = format!("uid-{name}");
    Existing { name: name.into(), uid, is_ending: false, record_of: None, status }
}

fn name(backup: &Backup) -> String {
    record::name("memory", backup.id())
}

fn deleted(changes: &[Change]) -> Vec<&str> {
    let name = |change: &'_ Change| matches!(change, Change::Delete { .. });
    changes
        .iter()
        .filter(|change| name(change))
        .map(|change| match change {
            Change::Delete { name, .. }
            | Change::Say { name, .. }
            | Change::Create { name, .. } => &**name,
        })
        .collect()
}

#[test]
fn each_backup_of_ours_gets_a_record_and_then_nothing_is_to_be_done() {
    let mut case = Case::of(vec![backup(OURS, 30), backup(ANOTHER, 20), backup(OURS, 6)]);
    let changes = case.run();
    assert_eq!(changes.len(), 2);
    assert_eq!(case.names(), ["memory-20261128-060000", "memory-20261127-060000"]);
    assert_eq!(case.changes(), []);
    let status = json!(case.records[0].status);
    assert_eq!(
        status,
        json!({"backup": {
            "id": "agentfs_20261128_060000", "location": "/backups", "instance": OURS, "scope": "Full",
            "snapshotTime": "2026-11-28T06:00:00Z", "finishedTime": "2026-11-28T06:00:40Z", "duration": "41s",
            "size": "330Mi", "bytes": 346_030_080, "entries": 3, "databaseBytes": 1_073_741_824, "postgres": "18.1",
            "encrypted": false,
        }})
    );
}

#[test]
fn what_is_read_is_what_was_written() {
    let mut case = Case::of(vec![verified(backup(OURS, 6), Level::Restore, None)]).with_records();
    let status = case.records[0].status.clone();
    let object = |agentfs: &str| {
        json!({
            "metadata": {"name": "memory-20261128-060000", "uid": "uid-memory-20261128-060000"},
            "spec": {"agentFS": agentfs, "recordOf": "agentfs_20261128_060000", "scope": "Full"},
            "status": status,
        })
    };
    assert_eq!(Existing::read(&object("memory"), "memory"), Some(case.records.remove(0)));
    assert_eq!(Existing::read(&object("other"), "memory"), None);
    let mut ending = object("memory");
    ending["metadata"]["deletionTimestamp"] = json!("2026-11-28T06:00:00Z");
    assert!(Existing::read(&ending, "memory").unwrap().is_ending);
}

#[test]
fn a_verification_changes_the_record_and_one_that_is_superseded_does_not() {
    let mut case = Case::of(vec![backup(OURS, 6)]).with_records();
    let said = |case: &mut Case, level, failure| {
        case.catalogue.backups[0] = verified(case.catalogue.backups[0].clone(), level, failure);
        case.run();
        let found = case.records[0].status.verification.clone().unwrap();
        (found.verified, found.level, found.message)
    };
    let of = |verified: &str, level: &str, message: Option<&str>| {
        (verified.to_owned(), level.to_owned(), message.map(str::to_owned))
    };
    assert_eq!(said(&mut case, Level::Archive, None), of("Unknown", "Archive", None));
    assert_eq!(said(&mut case, Level::Restore, None), of("True", "Restore", None));
    assert_eq!(said(&mut case, Level::Archive, None), of("True", "Restore", None));
    let bad = Some("entries: 1 of 3 rows differs");
    assert_eq!(said(&mut case, Level::Archive, bad), of("False", "Archive", bad));
}

#[test]
fn a_dump_that_was_cut_short_is_no_verified_backup() {
    let mut case = Case::of(vec![verified(backup(OURS, 6), Level::Restore, None)]).with_records();
    case.catalogue.backups[0].is_whole = false;
    case.catalogue.backups[0].dump_bytes = Some(3);
    case.run();
    let found = case.records[0].status.verification.clone().unwrap();
    assert_eq!(
        (&*found.verified, found.message.as_deref()),
        ("False", Some("the dump was cut short"))
    );
    assert_eq!(case.changes(), []);
}

#[test]
fn what_this_run_removed_goes_and_what_is_gone_otherwise_has_vanished() {
    let all = vec![backup(OURS, 30), backup(OURS, 20), backup(OURS, 6)];
    let (removed, lost) = (all[0].path(), name(&all[1]));
    let mut case = Case::of(all).with_records();
    case.removed = vec![removed];
    case.retention = Some(Retention::default());
    case.catalogue.backups.drain(..2);
    let changes = case.run();
    assert_eq!(deleted(&changes), ["memory-20261127-060000"]);
    assert_eq!(case.named(&lost).status.vanished_time, Some(now()));
    assert!(case.named(&lost).status.backup.is_some(), "it still says what it was");
    assert_eq!(case.changes(), []);
    // It is back, as from a copy of the bucket.
    case.catalogue.backups.push(backup(OURS, 20));
    case.run();
    assert_eq!(case.named(&lost).status.vanished_time, None);
}

#[test]
fn a_dump_without_which_there_is_no_backup_has_vanished_too() {
    let mut case = Case::of(vec![backup(OURS, 6)]).with_records();
    case.catalogue.backups[0].dump_bytes = None;
    case.catalogue.backups[0].is_whole = false;
    case.run();
    assert_eq!(case.records[0].status.vanished_time, Some(now()));
    assert_eq!(case.changes(), []);
}

#[test]
fn what_a_killed_run_removed_had_its_time() {
    let all = vec![backup(OURS, 24 * 40), backup(OURS, 24 * 2), backup(OURS, 24), backup(OURS, 1)];
    let (old, young) = (name(&all[0]), name(&all[1]));
    let mut case = Case::of(all).with_records();
    case.catalogue.backups.drain(..2);
    // A command that does not know the policy cannot tell.
    assert_eq!(case.changes(), []);
    case.retention = Some(Retention { days: 30, keep_last: 1, ..Retention::default() });
    assert_eq!(deleted(&case.run()), [&*old]);
    assert!(case.named(&young).status.vanished_time.is_some(), "nothing would have removed it");
    // A policy that keeps one of each month would have kept it.
    let mut case = Case::of(vec![backup(OURS, 24 * 40), backup(OURS, 1)]).with_records();
    case.catalogue.backups.remove(0);
    case.retention =
        Some(Retention { days: 30, keep_last: 1, keep_monthly: 3, ..Retention::default() });
    assert_eq!(deleted(&case.run()), [""; 0]);
    assert!(case.named(&old).status.vanished_time.is_some());
}

#[test]
fn that_the_newest_is_gone_is_seen_without_the_policy() {
    let all = vec![backup(OURS, 20), backup(OURS, 6)];
    let (older, newest) = (name(&all[0]), name(&all[1]));
    let mut case = Case::of(all).with_records();
    case.catalogue.backups.pop();
    case.run();
    assert_eq!(case.named(&newest).status.vanished_time, Some(now()), "no rules remove it");
    assert_eq!(case.named(&older).status.vanished_time, None);
}

#[test]
fn records_of_another_location_and_of_another_history_stay_as_they_are() {
    let mut case = Case::of(vec![backup(OURS, 30), backup(ANOTHER, 20)]);
    case.ours.push(Instance::named(ANOTHER));
    case.run();
    case.ours.pop();
    assert_eq!(case.changes(), [], "backups of the history before are there");
    case.location = Location::Folder("/elsewhere".into());
    case.catalogue.backups = vec![backup(OURS, 1)];
    let changes = case.run();
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert!(case.records.iter().all(|seen| seen.status.vanished_time.is_none()));
}

#[test]
fn who_asked_for_a_backup_gets_it_and_no_second_record_is_made() {
    let mut case = Case::of(vec![backup(OURS, 1)]);
    case.records.push(existing("before-upgrade", Status::default()));
    assert_eq!(case.changes().len(), 1, "nobody knows yet that it is for somebody");
    case.asked = Some(("before-upgrade".into(), case.catalogue.backups[0].id().into()));
    let changes = case.run();
    assert!(matches!(&changes[..], [Change::Say { name, .. }] if name == "before-upgrade"));
    case.asked = None;
    assert_eq!(case.changes(), []);
    // Another run looked between the backup and its record.
    let id = case.catalogue.backups[0].id().to_owned();
    let record = existing("memory-20261128-110000", case.records[0].status.clone());
    case.records.insert(0, Existing { record_of: Some(id.clone()), ..record });
    assert_eq!(deleted(&case.run()), ["memory-20261128-110000"]);
    // The pod was killed after its first backup, and made a second one.
    case.catalogue.backups.push(backup(OURS, 0));
    case.asked = Some(("before-upgrade".into(), case.catalogue.backups[1].id().into()));
    case.run();
    let told = |seen: &Existing| (seen.name.clone(), seen.status.backup.clone().unwrap().id);
    let told: Vec<_> = case.records.iter().map(told).collect();
    let second = case.catalogue.backups[1].id().to_owned();
    assert_eq!(
        told,
        [("before-upgrade".to_owned(), second), ("memory-20261128-110000".to_owned(), id)]
    );
}

#[test]
fn a_record_without_a_status_is_given_one() {
    let mut case = Case::of(vec![backup(ANOTHER, 6), backup(OURS, 6)]);
    let id = case.catalogue.backups[0].id().to_owned();
    let record = existing("memory-20261128-060000", Status::default());
    case.records.push(Existing { record_of: Some(id), ..record });
    case.run();
    assert_eq!(case.records[0].status.backup.as_ref().unwrap().instance, OURS);
    assert_eq!(case.records.len(), 1);
}

#[test]
fn what_is_being_deleted_is_left_alone_and_made_anew_by_the_next_run() {
    let mut case = Case::of(vec![backup(OURS, 6)]).with_records();
    case.records[0].is_ending = true;
    assert_eq!(case.changes(), []);
    case.records.clear();
    assert_eq!(case.run().len(), 1);
}

#[test]
fn a_manifest_that_cannot_be_read_is_no_backup_that_vanished() {
    let mut case = Case::of(vec![backup(OURS, 6)]).with_records();
    let gone = case.catalogue.backups.remove(0);
    let name = format!("{}.manifest.json", gone.path());
    for (error, verified) in
        [(ManifestError::Newer(3), None), (ManifestError::Damaged, Some("False"))]
    {
        case.catalogue.unusable = vec![Unusable { name: name.clone(), error, beside: vec![] }];
        case.run();
        let Status { vanished_time, verification, .. } = &case.records[0].status;
        let found = verification.as_ref().map(|found| &*found.verified);
        assert_eq!((*vanished_time, found), (None, verified));
        assert_eq!(case.changes(), []);
    }
}

/// Backups of so many hours ago, of two instances.
fn backups() -> impl Strategy<Value = Vec<Backup>> {
    let hours = subsequence((0..60_i64).map(|n| n * 24).collect::<Vec<_>>(), 0..12);
    let kind = (any::<bool>(), 0..4_u8);
    (hours, prop::collection::vec(kind, 12)).prop_map(|(hours, kinds)| {
        let of = |(hours, (is_ours, kind)): (i64, (bool, u8))| {
            let backup = backup(if is_ours { OURS } else { ANOTHER }, hours);
            match kind {
                0 => backup,
                1 => verified(backup, Level::Restore, None),
                2 => verified(backup, Level::Restore, Some("bad")),
                _ => verified(backup, Level::Archive, None),
            }
        };
        hours.into_iter().zip(kinds).map(of).collect()
    })
}

proptest! {
    #[test]
    fn records_converge_whatever_became_of_backups_and_of_records(
        before in backups(),
        after in backups(),
        forgotten in prop::collection::vec(any::<bool>(), 12),
        lost in prop::collection::vec(any::<bool>(), 12),
        has_policy in any::<bool>(),
    ) {
        let mut case = Case::of(before.clone()).with_records();
        let mut lost = lost.into_iter();
        case.records.retain(|_| !lost.next().unwrap_or_default());
        let is_there = |backup: &Backup| after.iter().any(|other| other.path() == backup.path());
        let gone = before.iter().filter(|backup| !is_there(backup)).zip(forgotten);
        case.removed = gone.filter(|(_, by_us)| *by_us).map(|(backup, _)| backup.path()).collect();
        case.catalogue = catalogue(after.clone());
        case.retention = has_policy.then(Retention::default);
        let changes = case.run();

        for name in deleted(&changes) {
            prop_assert!(!after.iter().any(|backup| super::tests::name(backup) == name && backup.manifest.instance == OURS), "{} is there", name);
        }
        for backup in after.iter().filter(|backup| backup.manifest.instance == OURS) {
            let told = case.records.iter().filter(|seen| seen.id() == Some(backup.id())).collect::<Vec<_>>();
            prop_assert_eq!(told.len(), 1);
            prop_assert_eq!(&told[0].status.verification, &facts::verdict(backup));
            prop_assert_eq!(told[0].status.vanished_time, None);
        }
        for seen in &case.records {
            let facts = seen.status.backup.as_ref().unwrap();
            prop_assert_eq!(&*facts.instance, OURS);
            let path = format!("{OURS}/{}", facts.id);
            prop_assert!(!case.removed.contains(&path));
            let is_there = after.iter().any(|backup| backup.path() == path);
            let has_vanished = seen.status.vanished_time.is_some();
            prop_assert!(!(is_there && has_vanished));
            prop_assert!(is_there || has_vanished || !has_policy);
        }
        case.removed.clear();
        prop_assert_eq!(case.changes(), []);
    }
}
