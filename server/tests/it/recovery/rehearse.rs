//! `agentfs-server backup --rehearse`: an upgrade that is tried on a restored copy, before anything of the database changes.

use std::fs;

use agentfs_contract::termination::{BackupReport, Report};
use agentfs_contract::verification::Verification;
use agentfs_server::store::schema::{SCHEMA_VERSION, migrate_to};
use serde_json::json;
use tempfile::NamedTempFile;

use crate::support::backups::Backups;
use crate::support::cli::{Said, agentfs};
use crate::support::database::{Database, shared};

/// A schema of an earlier release.
const OLDER: i32 = 10;

/// A database of that with an entry.
async fn older() -> Database {
    let database = Database::empty().await;
    Box::pin(migrate_to(&database.address(), OLDER)).await.unwrap();
    database
        .execute(
            "INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at)
             SELECT id, 'a', '/notes', '01990000-0000-7000-8000-000000000000', 1, now() FROM tenants;
             INSERT INTO entry_versions (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at)
             SELECT id, '01990000-0000-7000-8000-000000000000', 'a', '/notes', 1, '[1.50]', '{}', 0.5, true, now() FROM tenants",
        )
        .await;
    database
}

/// Backs up and rehearses; also what Kubernetes is told.
fn rehearse(database: &Database, backups: &Backups) -> (Said, String) {
    let told = NamedTempFile::new().unwrap();
    let variables = [
        ("DATABASE_URL", &*database.url),
        ("BACKUP_SCRATCH_URL", &*database.superuser_url),
        ("AGENTFS_TERMINATION_LOG", told.path().to_str().unwrap()),
    ];
    let said = backups.run_with(&variables, &["--rehearse", "--output", "json"]);
    (said, fs::read_to_string(told.path()).unwrap())
}

async fn version(database: &Database) -> i64 {
    database.number("SELECT version::bigint FROM schema_version").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_is_rehearsed_on_a_copy() {
    let (database, backups) = (older().await, Backups::new());
    let (said, told) = rehearse(&database, &backups);
    let said = said.json();
    assert_eq!(said["manifest"]["schema_version"], OLDER);
    let found: Verification = serde_json::from_value(said["verification"].clone()).unwrap();
    assert!(found.proves(), "{found:?}");
    let steps: Vec<&str> = found.steps.iter().map(|step| step.name.as_str()).collect();
    assert!(steps.ends_with(&["compare", "schema", "migrate", "serve"]), "{steps:?}");
    let told = BackupReport::read(&told).unwrap();
    assert_eq!((told.verification.unwrap().verified.as_str(), told.message), ("True", None));
    assert_eq!(version(&database).await, i64::from(OLDER), "nothing of the database is migrated");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_copy_cannot_be_migrated_the_backup_is_good_and_the_database_as_it_was() {
    let (database, backups) = (older().await, Backups::new());
    // Somebody has migrated it by something else than this program knows.
    database.execute("UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 10").await;
    let (said, told) = rehearse(&database, &backups);
    assert_eq!(said.code, Some(1), "to try it again would not help: {said:?}");
    let why = format!(
        "what was restored is whole, and cannot be brought from schema version {OLDER} to {SCHEMA_VERSION}: what was restored cannot be \
         migrated: migration failed: migration 10 was previously applied but has been modified"
    );
    assert!(
        said.err.contains(&format!("is complete, but it could not be verified: {why}")),
        "{said:?}"
    );
    let manifest = backups.manifest();
    let told_of = BackupReport::read(&told).unwrap();
    assert_eq!(told_of.backup.unwrap().id, manifest.id());
    assert!(told_of.verification.is_none());
    let report = Report::read(&told).unwrap();
    assert!(report.message.starts_with(&why) && !report.transient, "{report:?}");
    assert_eq!(version(&database).await, i64::from(OLDER));

    // A verification by this program says the same, and holds nothing against the backup.
    let (from, programs) =
        (backups.path().to_str().unwrap(), shared().programs().to_str().unwrap());
    let verify = ["verify", "--from", from, "--pg-bin", programs];
    let said = agentfs(&verify, &[("BACKUP_SCRATCH_URL", &database.superuser_url)]).failure();
    assert!(said.contains(&why), "{said}");
    let records = backups.names().into_iter().filter(|name| name.contains("failed"));
    assert_eq!(records.collect::<Vec<_>>(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_to_an_older_program_is_not_rehearsed() {
    let (database, backups) = (Database::migrated().await, Backups::new());
    database.execute("UPDATE schema_version SET version = 1000").await;
    let (said, told) = rehearse(&database, &backups);
    let said = said.json();
    assert_eq!(
        (&said["manifest"]["schema_version"], said.get("verification")),
        (&json!(1000), None)
    );
    let told = BackupReport::read(&told).unwrap();
    assert!(told.backup.is_some() && told.verification.is_none() && told.message.is_none());
}
