//! `agentfs-server backups`, `forget` and `catalog check`.

use std::fs;
use std::path::{Path, PathBuf};

use agentfs_contract::manifest::{FORMAT, Manifest, Purpose, Scope, Table, hex};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::support::backups::{Backups, age};
use crate::support::cli::{Said, agentfs};
use crate::support::database::Database;
use crate::support::proofs::prove_latest;

const DUMP: &[u8] = b"what is in it is of no matter here";

/// A folder of backups that no database is there for.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes a backup of an instance, of so many days ago; returns its id.
    fn add(&self, instance: &str, days: i64) -> String {
        let at = Timestamp::now() - SignedDuration::from_hours(24 * days);
        let id = format!("agentfs_{}", at.strftime("%Y%m%d_%H%M%S"));
        let table = Table { rows: 1234, bytes: None, fingerprint: None };
        let manifest = Manifest {
            format: FORMAT,
            purpose: Purpose::Backup,
            scope: Scope::Full,
            file: format!("{id}.dump"),
            bytes: DUMP.len() as u64,
            sha256: hex(&Sha256::digest(DUMP)),
            encryption: None,
            instance: instance.into(),
            schema_version: 14,
            min_compatible: 1,
            postgres: "16.9 (Debian 16.9-1)".into(),
            pg_dump: "17.5".into(),
            program: "0.1.0".into(),
            snapshot_at: at,
            finished_at: at,
            database_bytes: 8_000_000,
            tables: [("entries".to_owned(), table)].into(),
            left_out: vec![],
            checksum: String::new(),
        };
        fs::create_dir_all(self.path().join(instance)).unwrap();
        fs::write(self.file(instance, &id, ".dump"), DUMP).unwrap();
        fs::write(self.file(instance, &id, ".manifest.json"), manifest.write().1).unwrap();
        id
    }

    fn file(&self, instance: &str, id: &str, suffix: &str) -> PathBuf {
        self.path().join(instance).join(format!("{id}{suffix}"))
    }

    /// Runs a command on the location, which BACKUP_LOCATION names.
    fn run(&self, arguments: &[&str]) -> Said {
        agentfs(arguments, &[("BACKUP_LOCATION", self.path().to_str().unwrap())])
    }
}

#[tokio::test]
async fn backups_are_listed_without_a_database_the_newest_first() {
    let place = Place::new();
    let none = place.run(&["backups"]).text();
    assert!(none.ends_with("latest: none; latest verified: none"), "{none}");

    let old = place.add("7-1-agentfs", 40);
    prove_latest(place.path(), None).await;
    let middle = place.add("7-1-agentfs", 2);
    prove_latest(place.path(), Some("entries: another row\nthan the manifest's")).await;
    let new = place.add("7-1-agentfs", 1);
    let said = place.run(&["backups", "--keep-last", "1", "--keep-monthly", "1"]).text();
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("ID") && lines[0].ends_with("KEPT"), "{said}");
    let order: Vec<&str> = lines[1..4].iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(order, [&new, &middle, &old]);
    for cell in ["full", "0.0 KiB", "1234", "14", "16.9", "last, days, monthly"] {
        assert!(lines[1].contains(cell), "{cell}: {said}");
    }
    assert!(
        lines[2].contains("failed: entries: another row\\nthan") && lines[2].contains("days until"),
        "{said}"
    );
    assert!(lines[3].contains("newest verified"), "{said}");
    assert_eq!(lines[4], "kept: 30 days, the last 1, 1 monthly");
    assert_eq!(lines[5], format!("latest: {new}; latest verified: {old}"));

    let json = place.run(&["backups", "--output", "json"]).json();
    assert_eq!(json["backups"][0]["manifest"]["tables"]["entries"]["rows"], 1234);
    assert_eq!(json["backups"][1]["verifications"][0]["steps"][0]["name"], "load");
    assert_eq!(json["backups"][2]["kept_because"], serde_json::json!(["last", "newest-verified"]));
    assert!(
        json["backups"][2]["verified_at"].is_string()
            && json["backups"][1]["verified_at"].is_null()
    );
    assert_eq!(json["instances"][0]["latest_verified"], *old);
    assert_eq!(json["retention"]["keep_last"], 3);
}

#[test]
fn instances_are_told_apart_and_damage_is_shown() {
    let place = Place::new();
    let (one, other) = (place.add("7-1-agentfs", 1), place.add("8-1-agentfs", 2));
    fs::write(place.file("7-1-agentfs", "agentfs_20200101_000000", ".manifest.json"), "{").unwrap();
    fs::write(place.file("8-1-agentfs", &other, ".dump"), "cut").unwrap();
    let said = place.run(&["backups"]).text();
    assert!(said.lines().next().unwrap().ends_with("INSTANCE"), "{said}");
    assert!(said.contains("failed: the dump was cut short"), "{said}");
    assert!(
        said.contains("cannot be used: 7-1-agentfs/agentfs_20200101_000000.manifest.json: "),
        "{said}"
    );
    assert!(
        said.contains(&format!("latest of 7-1-agentfs: {one}; latest verified: none")),
        "{said}"
    );
    let json = place.run(&["backups", "--output", "json"]).json();
    assert_eq!(json["unusable"].as_array().unwrap().len(), 1);
    assert_eq!(json["backups"][1]["is_whole"], false);
}

#[test]
fn a_location_that_is_none_says_what_to_give() {
    let said = agentfs(&["backups"], &[("BACKUP_LOCATION", "")]).failure();
    assert!(said.contains("--from") && said.contains("BACKUP_LOCATION"), "{said}");
    for command in [&["backups"][..], &["catalog", "check"], &["forget", "--backup", "x"]] {
        let arguments = [command, &["--from", "/nowhere/at/all"]].concat();
        let said = agentfs(&arguments, &[]).failure();
        assert!(said.contains("/nowhere/at/all"), "{said}");
    }
}

#[test]
fn what_is_forgotten_is_named_and_the_last_one_stays() {
    let place = Place::new();
    let (old, new) = (place.add("7-1-agentfs", 9), place.add("7-1-agentfs", 1));
    let lost = place.add("8-1-agentfs", 300);
    let said = place.run(&["forget", "--backup", &new, "--backup", &old]).failure();
    assert!(
        said.contains("no whole backup of 7-1-agentfs would be left") && said.contains("--force"),
        "{said}"
    );
    let said = place.run(&["forget", "--backup", &old]).text();
    assert_eq!(said, format!("Removed: 7-1-agentfs/{old}"));
    assert!(!place.file("7-1-agentfs", &old, ".dump").exists());
    let lease = format!(
        r#"{{"by": "verify", "until": "{}"}}"#,
        Timestamp::now() + SignedDuration::from_hours(1)
    );
    let lease_of_lost = place.file("8-1-agentfs", &lost, ".lease_00ff.json");
    fs::write(&lease_of_lost, lease).unwrap();
    let all_of_lost =
        ["forget", "--instance", "8-1-agentfs", "--all", "--force", "--output", "json"];
    let said = place.run(&all_of_lost);
    assert_eq!(said.code, Some(75), "{said:?}");
    assert!(said.err.contains("read by `verify` until"), "{said:?}");
    fs::remove_file(lease_of_lost).unwrap();
    let removed = place.run(&all_of_lost).json();
    assert_eq!(removed["removed"], serde_json::json!([format!("8-1-agentfs/{lost}")]));
    let left: Vec<_> = fs::read_dir(place.path().join("7-1-agentfs")).unwrap().flatten().collect();
    assert_eq!(
        left.iter().filter(|file| !file.file_name().to_str().unwrap().starts_with('.')).count(),
        2
    );
    let gone = ["forget", "--if-present", "--backup", &old];
    assert_eq!(place.run(&gone).text(), "Nothing was removed");
    place.run(&["forget", "--backup", &old]).failure();
    let said = place.run(&["forget", "--if-present", "--backup", &new]).failure();
    assert!(said.contains("no whole backup of 7-1-agentfs would be left"), "{said}");
    // Not by a slip of the hand.
    for wrong in
        [&["forget"][..], &["forget", "--instance", "x"], &["forget", "--all", "--backup", "x"]]
    {
        assert_eq!(place.run(wrong).code, Some(2), "{wrong:?}");
    }
}

#[test]
fn a_check_ends_with_1_where_something_is_wrong() {
    let place = Place::new();
    let id = place.add("7-1-agentfs", 1);
    let said = place.run(&["catalog", "check", "--sums"]).text();
    assert_eq!(said, "Backups: 1, problems: 0, MiB of dumps read: 1");
    let mut flipped = DUMP.to_vec();
    flipped[3] ^= 1;
    fs::write(place.file("7-1-agentfs", &id, ".dump"), flipped).unwrap();
    assert_eq!(place.run(&["catalog", "check"]).code, Some(0), "its size is right");
    let said = place.run(&["catalog", "check", "--sums"]);
    assert_eq!(said.code, Some(1));
    assert!(
        said.out.starts_with(&format!("problem: 7-1-agentfs/{id}.dump: it is damaged")),
        "{said:?}"
    );
    fs::remove_file(place.file("7-1-agentfs", &id, ".dump")).unwrap();
    let said = place.run(&["catalog", "check", "--output", "json"]);
    assert_eq!(said.code, Some(1));
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(json["problems"][0]["object"], format!("7-1-agentfs/{id}.dump"));
}

#[tokio::test]
async fn a_backup_keeps_what_is_proven_and_sweeps_what_was_left() {
    let (database, backups) = (Database::migrated().await, Backups::new());
    backups.make(&database, &[]);
    let old = backups.files(".manifest.json").remove(0);
    age(&old, 40);
    prove_latest(backups.path(), None).await;
    let left = old.with_file_name("agentfs_20200101_000000.dump");
    fs::write(&left, "of a run that was killed").unwrap();
    let all_old = ["--keep-last", "1", "--retention-days", "0"];
    let said = backups.make(&database, &all_old);
    assert!(said.ends_with("old ones removed: 0") && old.exists(), "the newest verified: {said}");
    assert!(!left.exists(), "{:?}", backups.names());
    // With a newer one proven it is none that must stay.
    prove_latest(backups.path(), None).await;
    let said = backups.make(&database, &all_old);
    assert!(said.ends_with("old ones removed: 1") && !old.exists(), "{said}");
    assert_eq!(backups.files(".dump").len(), 2, "{:?}", backups.names());
}
