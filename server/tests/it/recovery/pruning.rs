//! Which backups `agentfs-server backup` removes, and which it leaves alone.

use std::fs;
use std::time::{Duration, SystemTime};

use crate::support::backups::{Backups, age, read};
use crate::support::database::Database;

#[tokio::test]
async fn old_backups_go_and_nothing_else() {
    let (database, backups) = (Database::migrated().await, Backups::new());
    let folder = backups.path();
    backups.make(&database, &[]);
    let first = backups.files(".manifest.json").remove(0);
    let instance = first.parent().unwrap();
    age(&first, 31);
    // Somebody's own dump, in the runbook's naming, is nobody's to remove; what a dead backup left is.
    fs::write(folder.join("agentfs_20200101_000000.dump"), "mine").unwrap();
    let dead = fs::File::create(folder.join("agentfs_20200101_000001.dump.partial")).unwrap();
    dead.set_modified(SystemTime::now() - Duration::from_hours(25)).unwrap();
    fs::write(folder.join("agentfs_20200101_000002.dump.partial"), "under way").unwrap();
    fs::write(folder.join("agentfs_20200101_000003.manifest.json"), "{}").unwrap();
    // Where the backup has the lock, nothing else is under way.
    fs::write(instance.join("agentfs_20200101_000004.dump.partial"), "dead").unwrap();

    let said = backups.make(&database, &[]);
    assert!(said.ends_with("old ones removed: 0"), "it is among the last 3: {said}");
    let said = backups.make(&database, &["--keep-last", "1", "--prune", "false"]);
    assert!(said.ends_with("old ones removed: 0") && first.exists(), "{said}");
    let said = backups.make(&database, &["--keep-last", "1"]);
    assert!(said.ends_with("old ones removed: 1"), "{said}");
    assert!(!first.exists());
    let kept = backups.names();
    assert_eq!(kept.len(), 3 * 2 + 3, "{kept:?}");
    for name in ["0.dump", "2.dump.partial", "3.manifest.json"] {
        assert!(kept.contains(&format!("agentfs_20200101_00000{name}")), "{name}: {kept:?}");
    }
}

#[tokio::test]
async fn backups_of_another_database_stay_however_old_and_many() {
    let (lost, new) = (Database::migrated().await, Database::migrated().await);
    let backups = Backups::new();
    backups.make(&lost, &[]);
    let of_lost = backups.files(".manifest.json").remove(0);
    age(&of_lost, 400);
    backups.make(&new, &[]);
    let of_new = backups.files(".manifest.json").into_iter().find(|path| *path != of_lost).unwrap();
    age(&of_new, 400);
    let said = backups.make(&new, &["--keep-last", "1", "--retention-days", "1"]);
    assert!(said.ends_with("old ones removed: 1"), "{said}");
    assert!(!of_new.exists());
    assert!(of_lost.exists(), "the only backup of a lost database is gone");
    assert!(of_lost.with_file_name(read(&of_lost).file).exists());
}

#[tokio::test]
async fn a_copy_of_a_database_prunes_nothing_of_the_other() {
    let (database, backups) = (Database::migrated().await, Backups::new());
    let made = |copy: &str, arguments: &[&str]| {
        let variables = [("DATABASE_URL", &*database.url), ("BACKUP_INSTANCE", copy)];
        backups.run_with(&variables, arguments).text()
    };
    made("claim a", &[]);
    let first = backups.files(".manifest.json").remove(0);
    assert!(first.to_str().unwrap().contains("-claim~20a/"), "{first:?}");
    age(&first, 400);
    let said = made("claim-b", &["--keep-last", "1", "--retention-days", "1"]);
    assert!(said.ends_with("old ones removed: 0") && first.exists(), "{said}");
}
