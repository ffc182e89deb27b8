//! `agentfs-server backup`, with PostgreSQL's own programs: what is in a backup, and what is said where none is made.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use agentfs_contract::termination::BackupReport;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;

use crate::support::api::Api;
use crate::support::backups::Backups;
use crate::support::cli::agentfs;
use crate::support::database::{Database, shared};
use crate::support::semantic::{put, start};
use crate::support::shell::Shell;
use crate::support::worker::{EMBEDDED, OPEN, Worker, until, variables};

/// Restores a full dump of the folder's only instance by the owner of a database.
const RESTORE: &str =
    r#"pg_restore --no-comments --exit-on-error -d "$PGDATABASE" */agentfs_*.dump"#;

#[tokio::test]
async fn a_backup_restores_and_holds_what_its_manifest_says() {
    let (api, database) = Api::start().await;
    for n in 0..3 {
        api.client.put("/notes/lunch", json!(n)).await;
    }
    // What somebody else keeps beside our tables is theirs.
    database.execute("CREATE TABLE foreign_one AS SELECT 1 AS a").await;
    let backups = Backups::new();
    let said = backups.run(&database, &["--output", "json"]).json();
    let manifest = backups.manifest();
    let names = backups.names();
    assert_eq!(names.len(), 2, "{names:?}");
    let dump = &backups.files(".dump")[0];
    assert_eq!(said["path"], dump.to_str().unwrap());
    assert_eq!(said["manifest"]["checksum"], manifest.checksum.as_str());
    assert_eq!(said["id"], manifest.id());
    for (path, mode) in [(dump.as_path(), 0o600), (dump.parent().unwrap(), 0o700)] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, mode, "{path:?}");
    }
    let shell = Shell::of_owner(&database, backups.path());
    let sum = shell.line("sha256sum */agentfs_*.dump").await;
    assert!(sum.starts_with(&manifest.sha256), "{sum}");
    assert_eq!(manifest.bytes, fs::metadata(dump).unwrap().len());
    assert_eq!((manifest.tables["entry_versions"].rows, manifest.tables["entries"].rows), (3, 1));
    assert!(!manifest.tables.contains_key("rate_limits"), "UNLOGGED");
    assert!(!manifest.tables.contains_key("foreign_one"), "somebody else's");

    let new = Database::empty().await;
    let shell = Shell::of_owner(&new, backups.path());
    shell.line(RESTORE).await;
    for (table, held) in &manifest.tables {
        let count = format!("psql -At -c 'SELECT count(*) FROM {table}'");
        assert_eq!(shell.line(&count).await, held.rows.to_string(), "{table}");
    }
    let replica = api.replica(&new, &[("RATE_LIMIT_REQUESTS_PER_MINUTE", "100")]).await;
    assert_eq!(replica.client.get("/notes/lunch").await["value"], json!(2));
    let migrated = agentfs_server::commands::migrate::migrate(&new.address(), None).await.unwrap();
    assert_eq!(migrated.applied, 0, "the list of migrations is in the backup");
}

#[tokio::test]
async fn a_folder_that_is_missing_is_made_and_dir_is_the_same_as_to() {
    let (database, folder) = (Database::migrated().await, TempDir::new().unwrap());
    let inner = folder.path().join("made/for/it");
    let programs = shared().programs().to_str().unwrap();
    let given = ["backup", "--pg-bin", programs, "--dir", inner.to_str().unwrap()];
    let said = agentfs(&given, &[("DATABASE_URL", &database.url)]);
    let made = format!("The folder {} was missing, and was made.", inner.display());
    assert!(said.err.contains(&made), "{said:?}");
    let said = said.text();
    assert!(said.starts_with(&format!("Backup complete: {}/", inner.display())), "{said}");
    assert!(said.ends_with("old ones removed: 0"), "{said}");
    let unset = agentfs(&given[..3], &[("DATABASE_URL", &database.url)]).failure();
    assert!(unset.contains("with --to, or set BACKUP_LOCATION"), "{unset}");
    let other = folder.path().join("set");
    let set = [("DATABASE_URL", &*database.url), ("BACKUP_LOCATION", other.to_str().unwrap())];
    agentfs(&given[..3], &set).text();
    assert!(other.is_dir());
}

#[tokio::test]
async fn entries_alone_are_the_four_tables() {
    let (database, backups) = (Database::migrated().await, Backups::new());
    backups.make(&database, &["--scope", "entries", "--derived", "drop"]);
    let manifest = backups.manifest();
    assert!(manifest.file.starts_with("agentfs_entries_2"), "{manifest:?}");
    let tables: Vec<&String> = manifest.tables.keys().collect();
    assert_eq!(tables, ["api_keys", "entries", "entry_versions", "tenants"]);
    assert_eq!(manifest.left_out, [""; 0]);
    let bare = shared().bare_database().await;
    let restore = r#"pg_restore --exit-on-error -d "$PGDATABASE" */agentfs_entries_*.dump"#;
    Shell::of_owner(&bare, backups.path()).line(restore).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_is_made_anew_by_itself() {
    let (api, database, provider) = start(&[]).await;
    let worker = Worker::start(&database, &provider, &[]);
    put(&api.client, "/a", "Ada is allergic to peanuts").await;
    until(&database, EMBEDDED, 1).await;
    worker.stop().await;
    // It waits for a worker at the moment of the backup.
    put(&api.client, "/b", "Ben likes walnuts").await;
    let backups = Backups::new();
    backups.make(&database, &["--derived", "drop"]);
    let manifest = backups.manifest();
    let derived = ["embedding_chunks", "embedding_jobs", "embeddings", "search_documents"];
    assert_eq!(manifest.left_out, derived);
    assert!(manifest.tables.keys().all(|table| !manifest.left_out.contains(table)));
    assert_eq!(manifest.tables["embedding_models"].rows, 1);

    let new = Database::empty().await;
    Shell::of_owner(&new, backups.path()).line(RESTORE).await;
    for table in ["SELECT count(*) FROM embeddings", "SELECT count(*) FROM search_documents", OPEN]
    {
        assert_eq!(new.number(table).await, 0, "{table}");
    }
    let restored = api.replica(&new, &variables(&provider, &[])).await;
    let worker = Worker::start(&new, &provider, &[]);
    new.until("SELECT count(*) FROM search_documents", 2).await;
    until(&new, EMBEDDED, 2).await;
    for (query, mode, paths) in
        [("peanuts", "text", 1), ("walnuts", "text", 1), ("nuts", "semantic", 2)]
    {
        let body = json!({"agent_id": "ada", "query": query, "mode": mode});
        let found = restored.client.ok("/v1/search", body).await;
        assert_eq!(found["results"].as_array().unwrap().len(), paths, "{mode}: {found}");
    }
    worker.stop().await;
}

#[tokio::test]
async fn a_manifest_holds_nothing_of_memory() {
    let (database, backups) = (Database::migrated().await, Backups::new());
    let api = Api::start_with(&database, &[], &[]).await;
    let secret = "xyzzy";
    let body = json!({"agent_id": format!("agent-{secret}"), "path": format!("/path/{secret}"), "searchable": true,
                      "value": {secret: [secret]}, "tags": [secret]});
    api.client.post_once(&format!("key-{secret}"), "/v1/put", body).await;
    let named = "INSERT INTO tenants (id, name) VALUES (gen_random_uuid(), 'xyzzy');
                 UPDATE api_keys SET label = 'xyzzy'";
    database.execute(named).await;
    let printed = backups.make(&database, &["--output", "json"]);
    let manifest = fs::read_to_string(&backups.files(".manifest.json")[0]).unwrap();
    for text in [&printed, &manifest, &backups.names().join("\n")] {
        assert!(!text.contains(secret), "{text}");
    }
    let shell = Shell::of_owner(&database, backups.path());
    let held = shell.line("pg_restore -f - */agentfs_*.dump | grep -c xyzzy").await;
    assert!(held.parse::<u32>().unwrap() >= 5, "{held}");
}

#[tokio::test]
async fn what_cannot_be_backed_up_leaves_nothing_and_says_why() {
    let backups = Backups::new();
    let empty = Database::empty().await;
    let said = backups.run(&empty, &[]).failure();
    assert!(said.contains("holds no AgentFS data"), "{said}");

    let migrated = Database::migrated().await;
    let arguments = ["backup", "--pg-bin", "/nowhere", "--to", backups.path().to_str().unwrap()];
    let said = agentfs(&arguments, &[("DATABASE_URL", &migrated.url)]).failure();
    assert!(said.contains("postgresql-client-"), "{said}");
    let said = agentfs(&arguments, &[]).failure();
    assert!(said.contains("DATABASE_URL is not set"), "{said}");

    let variables = [("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/x")];
    let said = backups.run_with(&variables, &[]);
    assert_eq!(said.code, Some(75), "it may be there later: {said:?}");
    assert!(said.err.contains("cannot be reached") && !said.err.contains("hunter2"), "{said:?}");
    assert!(said.err.contains("(at 127.0.0.1:1)"), "{said:?}");

    // A wrong password, and a database that is not there: somebody has to mend that.
    let url = reqwest::Url::parse(&migrated.url).unwrap();
    let (mut password, mut database) = (url.clone(), url.clone());
    password.set_password(Some("wrong")).unwrap();
    database.set_path("nowhere");
    for wrong in [password, database] {
        let said = backups.run_with(&[("DATABASE_URL", wrong.as_str())], &[]).failure();
        let at = format!("(at {}:{})", url.host_str().unwrap(), url.port().unwrap());
        assert!(said.contains(&at), "{said}");
    }

    // A table that the role may not read.
    let mut superuser = PgConnection::connect(&migrated.superuser_url).await.unwrap();
    superuser.execute("ALTER TABLE search_documents OWNER TO CURRENT_USER").await.unwrap();
    superuser.execute("REVOKE ALL ON search_documents FROM agentfs").await.unwrap();
    let said = backups.run(&migrated, &[]).failure();
    assert!(said.contains("GRANT SELECT ON public.search_documents"), "{said}");
    let password = reqwest::Url::parse(&migrated.url).unwrap().password().unwrap().to_owned();
    assert!(!said.contains(&password), "{said}");
    backups.make(&migrated, &["--scope", "entries"]);

    // One that is not there, though the schema says so.
    superuser.execute("DROP TABLE search_documents").await.unwrap();
    let said = backups.run(&migrated, &[]).failure();
    assert!(said.contains("the table search_documents is missing"), "{said}");
    let names = backups.names();
    assert!(names.len() == 2 && names[0].contains("agentfs_entries_"), "{names:?}");
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
    let (database, backups) = (Database::migrated().await, Backups::new());
    let left = backups.path().join(".termination-log");
    fs::write(&left, "").unwrap();
    let variables =
        [("DATABASE_URL", &*database.url), ("AGENTFS_TERMINATION_LOG", left.to_str().unwrap())];
    let skips: [&[&str]; 2] = [&[], &["--unless-newer-than", "1h"]];
    for arguments in skips {
        fs::write(&left, "").unwrap();
        assert_eq!(backups.run_with(&variables, arguments).code, Some(0));
        let report = BackupReport::read(&fs::read_to_string(&left).unwrap()).unwrap();
        let bytes = "SELECT pg_database_size(current_database())";
        let bytes: i64 =
            sqlx::query_scalar(bytes).fetch_one(&mut database.connect().await).await.unwrap();
        // PostgreSQL may have written a page or two since.
        let difference = report.database_bytes.abs_diff(bytes.unsigned_abs());
        assert!(difference < 1 << 20, "{report:?}, {bytes}");
    }
}

#[tokio::test]
async fn a_backup_that_is_young_enough_saves_another() {
    let (database, other) = (Database::migrated().await, Database::migrated().await);
    let backups = Backups::new();
    let unless = ["--unless-newer-than", "20h"];
    // There is none yet; one of another scope or of another database is none of these.
    for (database, arguments) in [(&other, vec![]), (&database, vec!["--scope", "entries"])] {
        let said = backups.make(database, &[&unless[..], &arguments].concat());
        assert!(said.starts_with("Backup complete"), "{said}");
    }
    let said = backups.make(&database, &unless);
    assert!(said.starts_with("Backup complete"), "{said}");
    let before = backups.names();
    let said = backups.make(&database, &unless);
    assert!(said.starts_with("Skipped: agentfs_2"), "{said}");
    let said: Value = serde_json::from_str(
        &backups.make(&database, &[&unless[..], &["--output", "json"]].concat()),
    )
    .unwrap();
    assert_eq!(said["skipped"], true);
    assert_eq!(backups.names(), before);

    // One that was cut short is none to rely on, and neither is an older one.
    let (newer, name) = (said["newer"].as_str().unwrap(), database.url.rsplit_once('/').unwrap().1);
    let dumps = backups.files(&format!("{newer}.dump"));
    let dump = dumps.iter().find(|path| path.to_str().unwrap().contains(name)).unwrap();
    let whole = fs::read(dump).unwrap();
    fs::write(dump, &whole[..whole.len() - 1]).unwrap();
    let said = backups.make(&database, &unless);
    assert!(said.starts_with("Backup complete"), "{said}");
    let said = backups.make(&database, &["--unless-newer-than", "0"]);
    assert!(said.starts_with("Backup complete"), "{said}");
}
