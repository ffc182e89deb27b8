//! Backups of servers of each major version that is supported.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::kept::Kept;
use crate::support::api::Api;
use crate::support::cli::agentfs;
use crate::support::database::{Database, of_major, script};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_16_is_backed_up_and_restored() {
    is_backed_up_and_restored(16, &of_major(16).programs().join("pg_restore")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_17_is_backed_up_and_restored() {
    is_backed_up_and_restored(17, &script("pgclient", 17).join("pg_restore")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_18_is_backed_up_and_restored() {
    is_backed_up_and_restored(18, &script("pgclient", 18).join("pg_restore")).await;
}

/// Backs a server up, with programs that the command finds itself, and restores into the same server: by `pg_restore`, and by the
/// command. Verifies the backup on a throwaway server of its version.
async fn is_backed_up_and_restored(major: u32, pg_restore: &Path) {
    let postgres = of_major(major);
    let database = postgres.database().await;
    database.migrate().await;
    let api = Api::start_with(&database, &[], &[]).await;
    for n in 0..3 {
        api.client.put("/notes/lunch", json!(n)).await;
    }
    let folder = TempDir::new().unwrap();
    let location = folder.path().to_str().unwrap();
    let arguments = ["backup", "--to", location, "--output", "json"];
    let made = agentfs(&arguments, &[("DATABASE_URL", &database.url)]).json();
    let manifest = &made["manifest"];
    for (field, of) in [("postgres", "the server"), ("pg_dump", "its programs")] {
        let version = manifest[field].as_str().unwrap();
        assert!(version.starts_with(&format!("{major}.")), "{of}: {version}");
    }

    let new = postgres.database().await;
    restore(pg_restore, made["path"].as_str().unwrap(), &new);
    holds(&new, manifest).await;
    let restored = api.replica(&new, &[]).await;
    assert_eq!(restored.client.get("/notes/lunch").await["value"], json!(2));

    let from = ["--from", location, "--output", "json"];
    let verify = ["verify", "--backup", "latest", "--level", "restore"];
    let programs = postgres.programs().to_str().unwrap();
    // The server of the tests is of 18, and built without the compression that other programs dump with.
    let on = match major {
        18 => ["--scratch-url", &database.superuser_url],
        _ => ["--pg-bin", programs],
    };
    let url = [("DATABASE_URL", &*database.url)];
    let verified = agentfs(&[&verify[..], &from, &on].concat(), &url).json();
    let steps = verified["verification"]["steps"].to_string();
    for step in ["load", "compare", "migrate", "serve"] {
        assert!(steps.contains(step), "{step}: {verified}");
    }

    let name = format!("{}_restored", database.url.rsplit_once('/').unwrap().1);
    let into = ["restore", "--backup", "latest-verified", "--into-database", &name];
    let superuser = [("DATABASE_URL", &*database.superuser_url)];
    let said = agentfs(&[&into[..], &from].concat(), &superuser).json();
    assert_eq!(said["was_verified"], true, "{said}");
    let superuser_url = format!("{}/{name}", database.superuser_url.rsplit_once('/').unwrap().0);
    let beside = Database { url: superuser_url.clone(), superuser_url };
    holds(&beside, manifest).await;
    let restored = api.replica(&beside, &[]).await;
    assert_eq!(restored.client.get("/notes/lunch").await["value"], json!(2));
}

fn restore(pg_restore: &Path, archive: &str, into: &Database) {
    let arguments = ["--no-comments", "--exit-on-error", "--dbname", &into.url, archive];
    let output = Command::new(pg_restore).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// The rows of each table are as many as the manifest says.
async fn holds(database: &Database, manifest: &Value) {
    let tables = manifest["tables"].as_object().unwrap();
    assert!(tables.contains_key("entry_versions"), "{manifest}");
    for (table, held) in tables {
        let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let mut connection = database.connect().await;
        let rows: i64 = sqlx::query_scalar(count).fetch_one(&mut connection).await.unwrap();
        assert_eq!(json!(rows), held["rows"], "{table}");
    }
}

#[tokio::test]
async fn programs_that_are_too_old_are_refused_with_what_to_install() {
    let database = Database::migrated().await;
    let folder = TempDir::new().unwrap();
    let older = of_major(17).programs().to_str().unwrap();
    let arguments = ["backup", "--to", folder.path().to_str().unwrap(), "--pg-bin", older];
    let said = agentfs(&arguments, &[("DATABASE_URL", &database.url)]).failure();
    assert!(said.contains("no pg_dump of PostgreSQL 18 or newer"), "{said}");
    assert!(said.contains("postgresql-client-18") && said.contains("--pg-bin"), "{said}");
}

#[tokio::test]
async fn a_backup_is_not_verified_on_a_server_of_another_version() {
    let kept = Kept::backup(&Database::migrated().await, &[], &[]);
    let older = of_major(17).database().await;
    let said = kept.verify_with(&[], &[("BACKUP_SCRATCH_URL", &older.superuser_url)]).failure();
    let why = "the server of --scratch-url is PostgreSQL 17, and the backup is of 18";
    assert!(said.contains(why) && said.contains("for a throwaway server"), "{said}");
    assert_eq!(kept.records(kept.first.id()), [], "that says nothing of the backup");
    let made = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'agentfs_scratch_%'";
    assert_eq!(older.number(made).await, 0, "nothing is left there");
}
