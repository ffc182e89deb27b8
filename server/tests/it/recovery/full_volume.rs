//! Backups into a volume that has no room for one more.

use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::database::{Database, shared};
use crate::support::namespace::in_namespace;

/// The commands of the scripts. The volume's size leaves no room for a fourth dump besides three old ones.
const PROLOGUE: &str = r#"
    set -eu
    mount -t tmpfs -o size=600k tmpfs .
    cd "$PWD"
    backup() { "$AGENTFS" backup --pg-bin "$PROGRAMS" --dir . "$@" 2>&1; }
    # old DAYS: a backup of so many days ago, of the release before, with the manifest of the one that is there.
    old() {
        name=agentfs_$(date -u -d "$1 days ago" +%Y%m%d)_000000
        head -c 195000 /dev/zero > "$name.dump"
        sed "s/\"format\": 2/\"format\": 1/; s/\"snapshot_at\": \"[^T]*/\"snapshot_at\": \"$(date -u -d "$1 days ago" +%Y-%m-%d)/
             s/\"file\": .*/\"file\": \"$name.dump\",/; s/\"bytes\": .*/\"bytes\": 195000,/" made.json > "$name.manifest.json"
    }
    three_old() {
        backup > /dev/null
        mv */agentfs_*.manifest.json made.json
        rm -r */
        for days in 42 41 40; do old $days; done
        rm made.json
    }
"#;

/// What a script says in a folder of 600 KiB; it must succeed.
fn in_small_volume(database: &Database, script: &str) -> Option<String> {
    let namespace = in_namespace()?;
    let folder = TempDir::new().unwrap();
    let Output { status, stdout, stderr } = Command::new("unshare")
        .args(namespace)
        .args(["sh", "-c", &format!("{PROLOGUE}{script}")])
        .current_dir(folder.path())
        .env("AGENTFS", env!("CARGO_BIN_EXE_agentfs-server"))
        .env("PROGRAMS", shared().programs())
        .env("DATABASE_URL", &database.url)
        .output()
        .unwrap();
    let said = String::from_utf8(stdout).unwrap();
    assert!(status.success(), "{said}{}", String::from_utf8_lossy(&stderr));
    Some(said)
}

#[tokio::test]
async fn what_has_expired_makes_room_for_the_next_backup() {
    let database = Database::migrated().await;
    let script = "three_old; backup --retention-days 1 --keep-last 1; ls -R";
    let Some(said) = in_small_volume(&database, script) else { return };
    assert!(said.contains("old ones removed: 3"), "{said}");
    assert_eq!(said.matches(".manifest.json").count(), 1, "{said}");
}

#[tokio::test]
async fn remains_of_a_killed_backup_make_room_at_once() {
    let database = Database::migrated().await;
    let script = "backup > /dev/null; rm */*; cd */
                  head -c 590000 /dev/zero > agentfs_20260101_000000.dump.partial; cd ..; backup; ls -R";
    let Some(said) = in_small_volume(&database, script) else { return };
    assert!(said.contains("Backup complete") && !said.contains("partial"), "{said}");
}

#[tokio::test]
async fn a_volume_that_stays_full_says_what_to_do_and_loses_none_of_the_last_backups() {
    let database = Database::migrated().await;
    let script = r#"three_old; backup --retention-days 1 --keep-last 3 || echo "code $?"; ls -R"#;
    let Some(said) = in_small_volume(&database, script) else { return };
    assert!(said.contains("code 75") && said.contains("no space is left in ."), "{said}");
    assert!(said.contains("make the volume larger") && said.contains("the last 3"), "{said}");
    assert_eq!(said.matches("_000000.manifest.json").count(), 3, "{said}");
    assert!(!said.contains("partial"), "{said}");
}
