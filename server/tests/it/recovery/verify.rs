//! `agentfs-server verify` of backups that are good, and what it leaves behind.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use age::secrecy::ExposeSecret as _;
use agentfs_contract::verification::Level;
use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tempfile::{NamedTempFile, TempDir};

use super::kept::Kept;
use crate::support::api::{Api, tenants_key};
use crate::support::database::Database;
use crate::support::eventually::eventually;
use crate::support::shell::Shell;

/// A database with the memory of two tenants.
async fn remembered() -> Database {
    let (api, database) = Api::start().await;
    let another = api.client.with_key(&tenants_key(&database).await);
    for client in [&api.client, &another] {
        for n in 0..3 {
            client.put(&format!("/notes/{n}"), json!({"n": [n, 1.50, "é\u{1f600}\n"]})).await;
        }
        client.put("/gone", json!(1)).await;
        client.delete("/gone").await;
    }
    database
}

/// Databases and roles of runs on the shared server.
async fn left(database: &Database) -> Vec<String> {
    let left = "SELECT datname::text FROM pg_database WHERE datname LIKE 'agentfs_scratch_dead%'
                UNION ALL SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'agentfs_scratch_dead%'";
    let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
    sqlx::query_scalar(left).fetch_all(&mut superuser).await.unwrap()
}

#[tokio::test]
async fn a_backup_is_proven_by_a_throwaway_server_that_leaves_nothing() {
    let database = remembered().await;
    let kept = Kept::backup(&database, &[], &[]);
    let temporary = TempDir::new().unwrap();
    fs::set_permissions(temporary.path(), Permissions::from_mode(0o711)).unwrap();
    let variables = [("BACKUP_SCRATCH_URL", ""), ("TMPDIR", temporary.path().to_str().unwrap())];
    let said = kept.verify_with(&["--output", "json"], &variables).json();
    assert_eq!((&said["good"], &said["served"]), (&json!(true), &json!(6)), "{said}");
    assert_eq!(said["tables"], 14);
    let records = kept.records(kept.first.id());
    assert_eq!(json!(records[0]), said["verification"]);
    assert_eq!((records.len(), records[0].level), (1, Level::Restore));
    assert_eq!(records[0].postgres.as_ref(), Some(&kept.first.postgres));
    let steps: Vec<&str> = records[0].steps.iter().map(|step| step.name.as_str()).collect();
    let expected = ["fetch", "read", "start", "load", "compare", "schema", "migrate", "serve"];
    assert_eq!(steps, expected);
    assert_eq!(kept.latest_verified().await, kept.first.id());
    let names: Vec<_> =
        fs::read_dir(temporary.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(names, [""; 0].map(std::path::PathBuf::from));
}

#[tokio::test]
async fn an_archive_is_read_without_a_server_and_is_not_verified_by_that() {
    let kept = Kept::backup(&remembered().await, &[], &[]);
    let said = kept.verify_with(&["--level", "archive"], &[("BACKUP_SCRATCH_URL", "")]).text();
    let begin = format!("{} read as a whole in ", kept.first.id());
    assert!(said.starts_with(&begin) && said.contains("only --level restore proves"), "{said}");
    let records = kept.records(kept.first.id());
    assert_eq!((records.len(), records[0].level), (1, Level::Archive));
    assert!(!records[0].proves() && records[0].failure.is_none());
}

#[tokio::test]
async fn databases_on_a_server_are_dropped_and_so_are_those_of_runs_that_died() {
    let database = remembered().await;
    let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
    let (dead, alive) = ("agentfs_scratch_dead000000000001", "agentfs_scratch_dead000000000002");
    let hold = "SELECT pg_advisory_lock(hashtextextended('agentfs-server ' || $1, 0))";
    sqlx::query(hold).bind(alive).execute(&mut superuser).await.unwrap();
    for run in [alive, dead] {
        superuser.execute(sqlx::AssertSqlSafe(format!("CREATE ROLE {run}"))).await.unwrap();
        let create = format!("CREATE DATABASE {run}_1");
        superuser.execute(sqlx::AssertSqlSafe(create)).await.unwrap();
    }

    let kept = Kept::backup(&database, &[], &[]);
    let said = kept.verify(&[]).text();
    let begin = format!("{} verified by a restore in ", kept.first.id());
    assert!(said.starts_with(&begin) && said.ends_with("served 6 of 6 entries"), "{said}");
    // Another test's run may be removing it at this moment.
    let of_alive = [format!("{alive}_1"), alive.to_owned()];
    eventually("the dead one's is gone", async || left(&database).await, |left| *left == of_alive)
        .await;
    sqlx::query("SELECT pg_advisory_unlock_all()").execute(&mut superuser).await.unwrap();
    kept.verify(&[]).text();
    eventually("all is gone", async || left(&database).await, Vec::is_empty).await;
    assert_eq!(kept.records(kept.first.id()).len(), 2, "each is a record of its own");
}

#[tokio::test]
async fn backups_without_what_can_be_made_anew_are_verified_by_what_they_have() {
    let database = remembered().await;
    for arguments in [["--scope", "entries"], ["--derived", "drop"]] {
        let kept = Kept::backup(&database, &arguments, &[]);
        kept.verify(&[]).text();
        let record = kept.records(kept.first.id()).remove(0);
        assert!(record.proves(), "{record:?}");
        // It is migrated and served from as a whole one is.
        assert!(record.steps.iter().any(|step| step.name == "serve"), "{record:?}");
    }
}

#[tokio::test]
async fn an_encrypted_backup_needs_its_identity() {
    let database = remembered().await;
    let (own, another) = (age::x25519::Identity::generate(), age::x25519::Identity::generate());
    let recipient = own.to_public().to_string();
    let kept = Kept::backup(&database, &[], &[("BACKUP_RECIPIENTS", &recipient)]);
    let file = |identity: &age::x25519::Identity| {
        let mut file = NamedTempFile::new().unwrap();
        writeln!(file, "{}", identity.to_string().expose_secret()).unwrap();
        file
    };
    for level in ["archive", "restore"] {
        let said = kept.verify(&["--level", level]).failure();
        assert!(said.contains("is encrypted: name the file of an identity"), "{said}");
        let wrong = file(&another);
        let wrong = ["--level", level, "--identity-file", wrong.path().to_str().unwrap()];
        let said = kept.verify(&wrong).failure();
        assert!(said.contains("was encrypted to other recipients"), "{said}");
    }
    assert_eq!(kept.records(kept.first.id()), [], "that says nothing of the backup");

    let identity = file(&own);
    let variables = [("BACKUP_IDENTITY_FILE", identity.path().to_str().unwrap())];
    kept.verify_with(&[], &variables).text();
    assert_eq!(kept.latest_verified().await, kept.first.id());

    // Damage is found without an identity as well.
    let path = kept.inner().join(&kept.first.file);
    let mut dump = fs::read(&path).unwrap();
    let middle = dump.len() / 2;
    dump[middle] ^= 1;
    fs::write(&path, dump).unwrap();
    kept.assert_bad(kept.first.id(), &["--level", "archive"], "its SHA-256 is another one");
}

#[tokio::test]
async fn a_backup_of_another_instance_is_verified_and_said_to_be_one() {
    let kept = Kept::backup(&remembered().await, &[], &[]);
    let another = Database::migrated().await;
    let id = kept.first.id();
    let said = kept.verify_with(&["--backup", id], &[("DATABASE_URL", &another.url)]).text();
    let note =
        format!("a backup of another instance than that of DATABASE_URL: {}", kept.first.instance);
    assert!(said.contains(&note), "{said}");
    let ours = kept.verify_with(&["--backup", id], &[("DATABASE_URL", &kept.database.url)]).text();
    assert!(!ours.contains("another instance"), "{ours}");
}

#[tokio::test]
async fn a_backup_of_the_release_before_is_verified_by_what_it_has() {
    let database = remembered().await;
    let kept = Kept::backup(&database, &[], &[]);
    let shell = Shell::of_owner(&database, kept.folder.path());
    shell.line("pg_dump -Fc -Z 1 --no-unlogged-table-data -f agentfs_20250101_000000.dump").await;
    let dump = kept.folder.path().join("agentfs_20250101_000000.dump");
    let sum = shell.line("sha256sum agentfs_20250101_000000.dump").await;
    let rows: serde_json::Map<_, _> =
        kept.first.tables.iter().map(|(name, table)| (name.clone(), json!(table.rows))).collect();
    let manifest = json!({
        "format": 1, "scope": "full", "file": "agentfs_20250101_000000.dump",
        "bytes": fs::metadata(&dump).unwrap().len(), "sha256": &sum[..64], "instance": "7/agentfs",
        "schema_version": kept.first.schema_version, "min_compatible": 1, "postgres": kept.first.postgres,
        "program": "0.1.0", "snapshot_at": "2025-01-01T00:00:00Z", "finished_at": "2025-01-01T00:00:01Z", "rows": rows
    });
    let path = kept.folder.path().join("agentfs_20250101_000000.manifest.json");
    fs::write(&path, manifest.to_string()).unwrap();
    let verify = ["--backup", "agentfs_20250101_000000"];
    kept.verify(&verify).text();

    let mut lie = manifest;
    lie["rows"]["entries"] = json!(7);
    fs::write(&path, lie.to_string()).unwrap();
    let said = kept.verify(&verify);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("entries: 8 rows, the manifest says 7"), "{said:?}");
}

#[tokio::test]
async fn tables_in_a_schema_of_their_own_restore_as_well() {
    let database = Database::empty().await;
    let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
    let move_away = "CREATE SCHEMA extensions; GRANT USAGE ON SCHEMA extensions TO agentfs;
                     ALTER EXTENSION vector SET SCHEMA extensions; CREATE SCHEMA memory AUTHORIZATION agentfs";
    superuser.execute(move_away).await.unwrap();
    let url = format!("{}?options=-c%20search_path%3Dmemory", database.url);
    let elsewhere = Database { url, superuser_url: database.superuser_url.clone() };
    elsewhere.migrate().await;
    let kept = Kept::backup(&elsewhere, &[], &[]);
    kept.verify(&[]).text();
}

#[tokio::test]
async fn indexes_of_somebody_else_on_our_tables_are_told_and_do_no_harm() {
    let database = remembered().await;
    database.execute("CREATE INDEX my_own ON entries (updated_at)").await;
    let kept = Kept::backup(&database, &[], &[]);
    let said = kept.verify(&[]).text();
    assert!(said.contains("more indexes: CREATE INDEX my_own ON public.entries"), "{said}");
}
