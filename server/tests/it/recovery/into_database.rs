//! `agentfs-server restore --into-database`, beside a live database.

use std::fs;
use std::path::{Path, PathBuf};

use agentfs_contract::manifest::Manifest;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::api::Api;
use crate::support::cli::{Said, admin, admin_json, agentfs};
use crate::support::database::{Database, shared};
use crate::support::semantic;
use crate::support::worker::{EMBEDDED, Worker, until};

/// A location of backups, and the role that restores.
struct Backups {
    folder: TempDir,
    url: String,
}

impl Backups {
    /// Restores are done as the superuser.
    fn of(database: &Database) -> Self {
        Self { folder: TempDir::new().unwrap(), url: database.superuser_url.clone() }
    }

    fn run(&self, url: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
        let programs = shared().programs().to_str().unwrap();
        let fixed = ["--pg-bin", programs, "--dir", self.folder.path().to_str().unwrap()];
        let variables = [&[("DATABASE_URL", url)], variables].concat();
        agentfs(&[arguments, &fixed].concat(), &variables)
    }

    /// Makes a backup and returns its id.
    fn back_up(&self, database: &Database) -> String {
        let made = self.run(&database.url, &["backup", "--output", "json"], &[]).json();
        made["id"].as_str().unwrap().to_owned()
    }

    fn restore(&self, name: &str, arguments: &[&str]) -> Said {
        self.restore_as(&self.url, name, arguments)
    }

    fn restore_as(&self, url: &str, name: &str, arguments: &[&str]) -> Said {
        self.restore_with(url, name, arguments, &[])
    }

    fn restore_with(
        &self,
        url: &str,
        name: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Said {
        let fixed = ["restore", "--backup", "latest", "--into-database", name];
        self.run(url, &[&fixed, arguments].concat(), variables)
    }

    fn file(&self, ending: &str) -> PathBuf {
        let folders = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files =
            folders.filter(|path| path.is_dir()).flat_map(|folder| fs::read_dir(folder).unwrap());
        let is_it = |path: &Path| path.to_str().unwrap().ends_with(ending);
        files
            .find_map(|entry| Some(entry.unwrap().path()).filter(|path| is_it(path)))
            .expect(ending)
    }

    /// Changes the only manifest, and its checksum with it.
    fn change_manifest(&self, change: impl FnOnce(&mut Manifest)) {
        let path = self.file(".manifest.json");
        let mut manifest = Manifest::read(&fs::read(&path).unwrap()).unwrap();
        change(&mut manifest);
        fs::write(&path, manifest.write().1).unwrap();
    }
}

fn new_name() -> String {
    format!("restored_{}", Uuid::new_v4().simple())
}

/// A URL with another database.
fn with_name(url: &str, name: &str) -> String {
    format!("{}/{name}", url.rsplit_once('/').unwrap().0)
}

/// The database `name` beside another one.
fn beside(database: &Database, name: &str) -> Database {
    let superuser_url = with_name(&database.superuser_url, name);
    Database { url: superuser_url.clone(), superuser_url }
}

/// The databases whose names begin with `name`.
async fn databases(database: &Database, name: &str) -> Vec<String> {
    let names = "SELECT datname::text FROM pg_database WHERE starts_with(datname, $1) ORDER BY 1";
    let mut connection = database.connect().await;
    sqlx::query_scalar(names).bind(name).fetch_all(&mut connection).await.unwrap()
}

fn step_names(restored: &Value) -> Vec<&str> {
    let steps = restored["steps"].as_array().unwrap();
    steps.iter().map(|step| step["name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_becomes_a_database_that_serves_beside_the_live_one() {
    let (api, database, provider) = semantic::start(&[]).await;
    for n in 0..3 {
        semantic::put(&api.client, &format!("/{n}"), &format!("note {n}")).await;
    }
    let worker = Worker::start(&database, &provider, &[]);
    until(&database, EMBEDDED, 3).await;
    worker.stop().await;
    let models = admin_json(&database, &["embeddings", "status"]);
    let model = models["models"][0]["name"].as_str().unwrap();
    admin_json(&database, &["embeddings", "index", model]);
    let backups = Backups::of(&database);
    let id = backups.back_up(&database);
    semantic::put(&api.client, "/later", "is in no backup").await;

    let name = new_name();
    let restored = backups.restore(&name, &["--output", "json"]).json();
    assert_eq!(
        (restored["backup"].as_str(), restored["database"].as_str()),
        (Some(&*id), Some(&*name))
    );
    let names = step_names(&restored);
    let mut wanted = ["fetch", "load", "compare", "migrate", "analyse", "index"].iter();
    assert!(wanted.all(|step| names.contains(step)), "{names:?}");
    assert!(
        restored["serving_seconds"].as_f64() <= restored["indexed_seconds"].as_f64(),
        "{restored}"
    );
    let new = beside(&database, &name);
    let index = "SELECT count(*) FROM pg_index
                  WHERE indisvalid AND indexrelid IN (to_regclass('embeddings_hnsw_1'), to_regclass('embedding_chunks_hnsw_1'))";
    assert_eq!(new.number(index).await, 2);
    let zone =
        "SELECT count(*) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
                 WHERE d.datname = current_database() AND 'TimeZone=UTC' = ANY (s.setconfig)";
    assert_eq!(new.number(zone).await, 1);
    let analysed =
        "SELECT count(*) FROM pg_stats WHERE tablename = 'entry_versions' AND attname = 'path'";
    assert_eq!(new.number(analysed).await, 1);
    let replica = api.replica(&new, &[]).await;
    assert_eq!(replica.client.get("/2").await["value"], json!("note 2"));
    assert_eq!(replica.client.get("/later").await, json!({"found": false}));
    assert_eq!(api.client.get("/later").await["value"], json!("is in no backup"));

    let later = new_name();
    let restored = backups.restore(&later, &["--indexes", "later", "--output", "json"]).json();
    assert_eq!(
        (&restored["indexed_seconds"], &restored["without_index"]),
        (&Value::Null, &json!([model]))
    );
    assert_eq!(beside(&database, &later).number(index).await, 0);
    let said = backups.restore(&new_name(), &["--indexes", "later"]).text();
    assert!(said.contains("Serving after") && said.contains(model), "{said}");

    // More than there is in shared memory for processes that build together: one builds.
    let (single, eager) = (new_name(), "?options=-c%20min_parallel_table_scan_size%3D0");
    let url = format!("{}{eager}", backups.url);
    backups.restore_as(&url, &single, &["--index-memory", "1TB"]).text();
    assert_eq!(beside(&database, &single).number(index).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_ended_since_are_named() {
    let database = Database::migrated().await;
    let key = || {
        admin_json(&database, &["create-key", "--label", "x"])["key_id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (revoked, kept) = (key(), key());
    let backups = Backups::of(&database);
    backups.back_up(&database);
    let restored = backups.restore(&new_name(), &["--output", "json"]).json();
    assert_eq!(restored["ended_keys"], json!([]));
    admin(&database, &["revoke-key", &revoked]).text();
    key();
    let name = new_name();
    let said = backups.restore(&name, &[]).text();
    assert!(said.contains(&format!("1 ({revoked})")) && !said.contains(&kept), "{said}");
    assert!(said.contains("revoke-key"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_never_touched_and_two_do_not_meet() {
    let database = Database::migrated().await;
    let backups = Backups::of(&database);
    backups.back_up(&database);
    let live = database.url.rsplit_once('/').unwrap().1;
    let said = backups.restore(live, &[]).failure();
    assert!(
        said.contains(&format!("there is a database {live} already"))
            && said.contains("another name"),
        "{said}"
    );
    let long = "x".repeat(60);
    assert!(backups.restore(&long, &[]).failure().contains("1 to 52 bytes"));

    let name = new_name();
    // By another database of the server, as one that is restored beside that.
    let mut other = PgConnection::connect(&Database::empty().await.superuser_url).await.unwrap();
    let hold = format!(
        "SELECT pg_advisory_lock(hashtextextended('agentfs-server database {name}.unfinished', 0))"
    );
    other.execute(AssertSqlSafe(hold)).await.unwrap();
    let said = backups.restore(&name, &[]);
    assert_eq!(said.code, Some(75), "{said:?}");
    assert!(
        said.err.contains("another restore into") && databases(&database, &name).await.is_empty(),
        "{said:?}"
    );
    // A session that ends has its locks for a moment more.
    other.execute("SELECT pg_advisory_unlock_all()").await.unwrap();
    backups.restore(&name, &[]).text();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_leaves_no_database() {
    let database = Database::migrated().await;
    let backups = Backups::of(&database);
    backups.back_up(&database);
    let name = new_name();
    assert_eq!(backups.restore(&name, &["--deadline", "1ms"]).code, Some(75));
    // A fingerprint that lies is found after the load.
    backups.change_manifest(|manifest| {
        manifest.tables.get_mut("tenants").unwrap().fingerprint = Some("0".repeat(16));
    });
    let said = backups.restore(&name, &[]).failure();
    assert!(said.contains("tenants"), "{said}");
    assert_eq!(databases(&database, &name).await, [""; 0]);
    backups.change_manifest(|manifest| manifest.postgres = "99.1".into());
    let said = backups.restore(&name, &[]).failure();
    assert!(said.contains("is of PostgreSQL 99") && said.contains("or newer"), "{said}");
    backups.change_manifest(|manifest| {
        manifest.postgres = "16.1".into();
        (manifest.schema_version, manifest.min_compatible) = (1000, 1000);
    });
    let said = backups.restore(&name, &[]).failure();
    assert!(said.contains("schema version 1000") && said.contains("a newer one"), "{said}");
    assert_eq!(databases(&database, &name).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kill_9_leaves_is_named_and_removed_by_the_next() {
    let database = Database::migrated().await;
    let backups = Backups::of(&database);
    backups.back_up(&database);
    for point in ["database-made", "loaded", "migrated"] {
        let name = new_name();
        let killed =
            backups.restore_with(&backups.url, &name, &[], &[("AGENTFS_FAULT_POINT", point)]);
        assert_eq!(killed.code, None, "{point}: {killed:?}");
        assert_eq!(databases(&database, &name).await, [format!("{name}.unfinished")], "{point}");
        let said = backups.restore(&name, &[]).text();
        assert!(said.contains("unfinished restore") && said.contains("removed"), "{said}");
        assert_eq!(databases(&database, &name).await, [name]);
    }
}

/// A role of its own, which may log in and what `rights` says; the URL of `database` for it.
async fn role(database: &Database, rights: &str) -> (String, String) {
    let role = format!("role_{}", Uuid::new_v4().simple());
    let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
    let make = format!("CREATE ROLE {role} LOGIN PASSWORD 'secret' {rights}");
    superuser.execute(AssertSqlSafe(make)).await.unwrap();
    let server = database.url.rsplit_once('@').unwrap().1;
    (format!("postgres://{role}:secret@{server}"), role)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_lacks_rights_is_told_what_a_superuser_types() {
    let database = Database::migrated().await;
    let backups = Backups::of(&database);
    backups.back_up(&database);
    let (none, role_of_none) = role(&database, "").await;
    let name = new_name();
    let said = backups.restore_as(&none, &name, &[]).failure();
    assert!(said.contains(&format!("ALTER ROLE {role_of_none} CREATEDB")), "{said}");
    let (maker, role_of_maker) = role(&database, "CREATEDB").await;
    let said = backups.restore_as(&maker, &name, &[]).failure();
    assert!(said.contains("CREATE EXTENSION vector") && said.contains("--template"), "{said}");
    assert_eq!(databases(&database, &name).await, [""; 0]);
    let said = backups.restore_as(&maker, &name, &["--template", "nowhere"]).failure();
    assert!(said.contains("no database nowhere"), "{said}");

    // As the sentence says.
    let template = format!("template_{}", Uuid::new_v4().simple());
    let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
    let make =
        format!("CREATE DATABASE {template} TEMPLATE template0 ENCODING 'UTF8' IS_TEMPLATE true");
    superuser.execute(AssertSqlSafe(make)).await.unwrap();
    beside(&database, &template).execute("CREATE EXTENSION vector").await;
    backups.restore_as(&maker, &name, &["--template", &template]).text();
    let owner =
        "SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = current_database()";
    let mut new = beside(&database, &name).connect().await;
    let owner: String = sqlx::query_scalar(owner).fetch_one(&mut new).await.unwrap();
    assert_eq!(owner, role_of_maker);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_instances_backup_is_restored_only_where_it_is_meant() {
    let (api, lost) = Api::start().await;
    api.client.put("/notes/lunch", json!("peanuts")).await;
    let backups = Backups::of(&lost);
    let id = backups.back_up(&lost);
    let other = Database::migrated().await;
    let name = new_name();
    let instance = lost.url.rsplit_once('/').unwrap().1;
    for selected in ["latest", &id] {
        let arguments = ["restore", "--backup", selected, "--into-database", &name];
        let said = backups.run(&other.superuser_url, &arguments, &[]).failure();
        assert!(said.contains(instance) && said.contains("--allow-foreign"), "{said}");
    }
    let restored = backups.restore_as(&other.superuser_url, &name, &["--allow-foreign"]).text();
    assert!(restored.contains(&name), "{restored}");

    // The disaster: the database is gone, and comes back under its own name.
    drop(api);
    let mut superuser = PgConnection::connect(&other.superuser_url).await.unwrap();
    let drop = format!("DROP DATABASE {instance} WITH (FORCE)");
    superuser.execute(AssertSqlSafe(drop)).await.unwrap();
    let restored = backups.restore(instance, &["--output", "json"]).json();
    assert_eq!(restored["ended_keys"], Value::Null);
    let back = beside(&other, instance);
    assert_eq!(back.number("SELECT count(*) FROM entry_versions").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_known_to_be_bad_needs_force() {
    let database = Database::migrated().await;
    let backups = Backups::of(&database);
    let id = backups.back_up(&database);
    let manifest = Manifest::read(&fs::read(backups.file(".manifest.json")).unwrap()).unwrap();
    let name = new_name();
    let said = backups.restore(&name, &[]).text();
    assert!(said.contains("had not been verified"), "{said}");
    let record = json!({"backup": id, "manifest": manifest.checksum, "level": "restore", "failure": "entries: 1 row is another",
                        "at": "2026-11-28T02:00:00Z", "program": "0.2.0", "steps": []});
    let path =
        backups.file(".manifest.json").with_file_name(format!("{id}.failed_20261128_020000.json"));
    fs::write(&path, record.to_string()).unwrap();
    let later = json!({"backup": id, "manifest": manifest.checksum, "level": "archive", "at": "2026-11-29T02:00:00Z",
                       "program": "0.2.0", "steps": []});
    fs::write(
        path.with_file_name(format!("{id}.verified_20261129_020000.json")),
        later.to_string(),
    )
    .unwrap();
    let said = backups.restore(&new_name(), &[]).failure();
    assert!(said.contains("1 row is another") && said.contains("--force"), "{said}");
    assert_eq!(backups.restore(&new_name(), &["--force"]).code, Some(0));
}
