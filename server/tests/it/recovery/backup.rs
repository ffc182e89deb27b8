//! `agentfs-server backup`, with PostgreSQL's own programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use agentfs_contract::termination::BackupReport;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;

use crate::support::api::Api;
use crate::support::cli::{Said, agentfs};
use crate::support::database::{Database, shared};
use crate::support::eventually::eventually;
use crate::support::shell::Shell;

fn backup_with(url: &str, folder: &Path, arguments: &[&str]) -> Said {
    let programs = shared().programs().to_str().expect("UTF-8");
    let fixed = ["backup", "--pg-bin", programs, "--dir", folder.to_str().expect("UTF-8")];
    agentfs(&[&fixed, arguments].concat(), &[("DATABASE_URL", url)])
}

fn backup(database: &Database, folder: &Path, arguments: &[&str]) -> Said {
    backup_with(&database.url, folder, arguments)
}

/// Names in a folder, sorted, without the lock's.
fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let ours = names(folder).into_iter().filter(|name| name.ends_with(ending));
    ours.map(|name| folder.join(name)).collect()
}

fn read(manifest: &Path) -> Value {
    serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap()
}

/// Makes the backup with this manifest one of so many days ago.
fn age(manifest: &Path, days: i64) {
    let mut read = read(manifest);
    let at = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * days);
    read["snapshot_at"] = json!(at.to_string());
    fs::write(manifest, read.to_string()).unwrap();
}

#[tokio::test]
async fn a_backup_restores_and_holds_what_its_manifest_says() {
    let (api, database) = Api::start().await;
    for n in 0..3 {
        api.client.put("/notes/lunch", json!(n)).await;
    }
    let folder = TempDir::new().unwrap();
    let inner = folder.path().join("made/for/it");
    let said = backup(&database, &inner, &[]).text();
    let (dumps, manifests) = (files(&inner, ".dump"), files(&inner, ".manifest.json"));
    assert!(said.starts_with(&format!("Backup complete: {}", dumps[0].display())), "{said}");
    assert_eq!((dumps.len(), manifests.len(), names(&inner).len()), (1, 1, 2));
    for (path, mode) in [(&dumps[0], 0o600), (&inner, 0o700)] {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, mode, "{path:?}");
    }

    let manifest = read(&manifests[0]);
    let sum = Shell::of_owner(&database, &inner).line("sha256sum agentfs_*.dump").await;
    assert!(sum.starts_with(manifest["sha256"].as_str().unwrap()), "{sum}");
    assert_eq!(manifest["rows"]["entry_versions"], 3);
    assert_eq!(manifest["rows"]["entries"], 1);
    assert!(manifest["rows"].get("rate_limits").is_none(), "UNLOGGED");

    let new = Database::empty().await;
    let restore = r#"pg_restore --no-comments --exit-on-error -d "$PGDATABASE" agentfs_*.dump"#;
    Shell::of_owner(&new, &inner).line(restore).await;
    for (table, rows) in manifest["rows"].as_object().unwrap() {
        let count = format!("psql -At -c 'SELECT count(*) FROM {table}'");
        assert_eq!(Shell::of_owner(&new, &inner).line(&count).await, rows.to_string(), "{table}");
    }
    let replica = api.replica(&new, &[]).await;
    assert_eq!(replica.client.get("/notes/lunch").await["value"], json!(2));
}

#[tokio::test]
async fn entries_alone_are_the_four_tables() {
    let (database, folder) = (Database::migrated().await, TempDir::new().unwrap());
    backup(&database, folder.path(), &["--scope", "entries"]).text();
    let manifest = read(&files(folder.path(), ".manifest.json")[0]);
    assert!(manifest["file"].as_str().unwrap().starts_with("agentfs_entries_2"), "{manifest}");
    let tables: Vec<&String> = manifest["rows"].as_object().unwrap().keys().collect();
    assert_eq!(tables, ["api_keys", "entries", "entry_versions", "tenants"]);
    let bare = shared().bare_database().await;
    let restore = r#"pg_restore --exit-on-error -d "$PGDATABASE" agentfs_entries_*.dump"#;
    Shell::of_owner(&bare, folder.path()).line(restore).await;
}

#[tokio::test]
async fn old_backups_go_and_nothing_else() {
    let (database, folder) = (Database::migrated().await, TempDir::new().unwrap());
    let folder = folder.path();
    backup(&database, folder, &[]).text();
    let first = files(folder, ".manifest.json").remove(0);
    age(&first, 31);
    // Somebody's own dump, in the runbook's naming, is nobody's to remove; what a dead backup left is.
    fs::write(folder.join("agentfs_20200101_000000.dump"), "mine").unwrap();
    let dead = fs::File::create(folder.join("agentfs_20200101_000001.dump.partial")).unwrap();
    dead.set_modified(SystemTime::now() - Duration::from_hours(25)).unwrap();
    fs::write(folder.join("agentfs_20200101_000002.dump.partial"), "under way").unwrap();
    fs::write(folder.join("agentfs_20200101_000003.manifest.json"), "{}").unwrap();

    std::thread::sleep(Duration::from_millis(1100));
    let said = backup(&database, folder, &[]).text();
    assert!(said.ends_with("old ones removed: 0"), "it is among the last 3: {said}");
    std::thread::sleep(Duration::from_millis(1100));
    let said = backup(&database, folder, &["--keep-last", "1"]).text();
    assert!(said.ends_with("old ones removed: 1"), "{said}");
    assert!(!first.exists());
    let kept = names(folder);
    assert_eq!(kept.len(), 2 + 4, "{kept:?}");
    assert_eq!(kept[..2], ["agentfs_20200101_000000.dump", "agentfs_20200101_000002.dump.partial"]);
}

#[tokio::test]
async fn backups_of_another_database_stay_however_old_and_many() {
    let (lost, new) = (Database::migrated().await, Database::migrated().await);
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    backup(&lost, folder, &[]).text();
    let of_lost = files(folder, ".manifest.json").remove(0);
    age(&of_lost, 400);
    std::thread::sleep(Duration::from_millis(1100));
    backup(&new, folder, &[]).text();
    let of_new = files(folder, ".manifest.json").into_iter().find(|path| *path != of_lost).unwrap();
    age(&of_new, 400);
    std::thread::sleep(Duration::from_millis(1100));
    let said = backup(&new, folder, &["--keep-last", "1", "--retention-days", "1"]).text();
    assert!(said.ends_with("old ones removed: 1"), "{said}");
    assert!(!of_new.exists());
    assert!(of_lost.exists(), "the only backup of a lost database is gone");
    assert!(folder.join(read(&of_lost)["file"].as_str().unwrap()).exists());
}

#[tokio::test]
async fn what_cannot_be_backed_up_leaves_nothing_and_says_why() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let empty = Database::empty().await;
    let said = backup(&empty, folder, &[]).failure();
    assert!(said.contains("holds no AgentFS data"), "{said}");

    let migrated = Database::migrated().await;
    let arguments = ["backup", "--pg-bin", "/nowhere", "--dir", folder.to_str().unwrap()];
    let said = agentfs(&arguments, &[("DATABASE_URL", &migrated.url)]).failure();
    assert!(said.contains("postgresql-client-"), "{said}");
    let said = agentfs(&arguments, &[]).failure();
    assert!(said.contains("DATABASE_URL is not set"), "{said}");

    // A table that the role may not read: pg_dump's own words, without the password.
    let mut superuser = PgConnection::connect(&migrated.superuser_url).await.unwrap();
    superuser.execute("CREATE TABLE foreign_one (a int)").await.unwrap();
    let said = backup(&migrated, folder, &[]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("permission denied for table foreign_one"), "{said:?}");
    assert!(!said.err.contains(&password(&migrated)), "{said:?}");

    let said = backup_with("postgres://u:hunter2@127.0.0.1:1/x", folder, &[]);
    assert_eq!(said.code, Some(75), "it may be there later: {said:?}");
    assert!(said.err.contains("cannot be reached") && !said.err.contains("hunter2"), "{said:?}");
    assert_eq!(names(folder), [""; 0]);
}

#[tokio::test]
async fn warnings_of_a_backup_are_logged_beside_its_output() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().to_str().unwrap();
    // A folder cannot be written as the file of the termination message.
    let variables = [("DATABASE_URL", "mysql://nowhere"), ("AGENTFS_TERMINATION_LOG", log)];
    let said = agentfs(&["backup", "--dir", log], &variables);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{said:?}");
    assert!(
        said.err.contains("\"level\":\"WARN\"") && said.err.contains("termination message"),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_backup_leaves_the_size_of_the_database_for_kubernetes() {
    let (database, folder) = (Database::migrated().await, TempDir::new().unwrap());
    let left = folder.path().join("termination-log");
    fs::write(&left, "").unwrap();
    let programs = shared().programs().to_str().unwrap();
    let to = folder.path().join("backups");
    let arguments = ["backup", "--pg-bin", programs, "--dir", to.to_str().unwrap()];
    let variables =
        [("DATABASE_URL", &*database.url), ("AGENTFS_TERMINATION_LOG", left.to_str().unwrap())];
    assert_eq!(agentfs(&arguments, &variables).code, Some(0));
    let report = BackupReport::read(&fs::read_to_string(&left).unwrap()).unwrap();
    let bytes = "SELECT pg_database_size(current_database())";
    let bytes: i64 =
        sqlx::query_scalar(bytes).fetch_one(&mut database.connect().await).await.unwrap();
    // PostgreSQL may have written a page or two since.
    assert!(report.database_bytes.abs_diff(bytes.unsigned_abs()) < 1 << 20, "{report:?}, {bytes}");
}

fn password(database: &Database) -> String {
    reqwest::Url::parse(&database.url).unwrap().password().unwrap().to_owned()
}

#[tokio::test]
async fn only_one_backup_at_a_time_and_a_signal_ends_it_without_a_trace() {
    let (database, folder) = (Database::migrated().await, TempDir::new().unwrap());
    let folder = folder.path();
    // Somebody changes a table: the dump waits.
    let mut holder = database.connect().await;
    let lock = "BEGIN; LOCK TABLE entries IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut holder).await.unwrap();
    let mut waiting = Command::new(env!("CARGO_BIN_EXE_agentfs-server"))
        .args(["backup", "--scope", "entries", "--dir", folder.to_str().unwrap()])
        .args(["--pg-bin", shared().programs().to_str().unwrap()])
        .env("DATABASE_URL", &database.url)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = eventually("it begins", async || names(folder), |names| !names.is_empty()).await;
    assert!(begun[0].ends_with(".dump.partial"), "{begun:?}");
    let said = backup(&database, folder, &[]);
    assert_eq!(said.code, Some(75), "{said:?}");
    assert!(said.err.contains("another backup is being made"), "{said:?}");

    let pid = nix::unistd::Pid::from_raw(waiting.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(waiting.wait().unwrap().code(), Some(75));
    assert_eq!(names(folder), [""; 0]);
}
