//! `restore --in-place --strategy clean`: what it brings back, keeps, refuses, and what is there wherever it is killed.

mod emptied;
mod versions;

use agentfs_contract::manifest::Manifest;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use super::site::{Site, WRITES, lost, new_key, status};
use crate::support::api::Api;
use crate::support::cli::{Said, admin};
use crate::support::eventually::eventually;

/// A safety backup is newer than the one that is meant, and not verified.
const CLEAN: [&str; 4] = ["--strategy", "clean", "--backup", "latest-verified"];
const GATE: &str = "SELECT count(*) FROM schema_version";
const UNFINISHED: &str =
    "SELECT count(*) FROM agentfs_meta.restores WHERE phase NOT IN ('finished', 'given up')";

impl Site {
    fn clean_as(&self, url: &str, variables: &[(&str, &str)]) -> Said {
        self.clean_with(url, &CLEAN, variables)
    }

    fn clean_with(&self, url: &str, how: &[&str], variables: &[(&str, &str)]) -> Said {
        let fixed = ["restore", "--in-place", "--yes"];
        Self::run(url, &[&fixed[..], how, &self.location()].concat(), variables)
    }

    /// The same until it has the turn: the server may not have noticed yet that the sessions of a killed one have ended, and the names of
    /// backups tell seconds apart and no less.
    async fn clean_in_turn(&self, url: &str, variables: &[(&str, &str)]) -> Said {
        let restore = async || self.clean_as(url, variables);
        eventually("it has the turn", restore, |said| said.code != Some(75)).await
    }

    async fn clean_after(&self, variables: &[(&str, &str)]) -> Said {
        self.clean_in_turn(&self.database.superuser_url, variables).await
    }

    fn verified_backup(&self) {
        let backup = [&["backup", "--verify", "restore"][..], &self.location()].concat();
        let scratch = [("BACKUP_SCRATCH_URL", self.database.superuser_url.as_str())];
        Self::run(&self.database.url, &backup, &scratch).json();
    }

    fn manifests(&self) -> usize {
        let instances = std::fs::read_dir(self.folder.path()).unwrap();
        let folders = instances.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
        let files = folders.flat_map(|folder| std::fs::read_dir(folder).unwrap());
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".manifest.json")).count()
    }
}

/// How a request is answered by a server that keeps off.
async fn until_refused(api: &Api) {
    let get = async || {
        let get = json!({"agent_id": "ada", "path": "/notes/lunch"});
        api.client.post("/v1/get", get).await.0.as_u16()
    };
    eventually("requests are refused", get, |status| *status == 503).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_may_make_neither_schema_nor_database_fills_the_live_tables() {
    let (api, database) = Api::start().await;
    let site = Site::of(&database);
    let searchable = |path: &str, value: &str| json!({"agent_id": "ada", "path": path, "value": value, "searchable": true});
    api.client.ok("/v1/put", searchable("/notes/lunch", "peanuts")).await;
    let (revoked, revoked_key) = new_key(&database);
    site.verified_backup();
    admin(&database, &["revoke-key", &revoked]).text();
    let (_, new) = new_key(&database);
    api.client.ok("/v1/put", searchable("/notes/lunch", "crackers")).await;
    api.client.ok("/v1/put", searchable("/notes/dinner", "soup")).await;
    let writes = database.number(WRITES).await;

    // Owner of the tables, and of nothing else.
    let role = format!("owner_{}", Uuid::new_v4().simple());
    let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
    let make = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'secret' IN ROLE agentfs NOCREATEDB;
         REVOKE CREATE ON DATABASE {live} FROM PUBLIC; ALTER DATABASE {live} OWNER TO CURRENT_USER;
         REVOKE CREATE ON DATABASE {live} FROM agentfs;
         REVOKE TEMPORARY ON DATABASE {live} FROM PUBLIC, agentfs",
        live = site.names().live
    );
    superuser.execute(AssertSqlSafe(make)).await.unwrap();
    let url = format!("postgres://{role}:secret@{}", database.url.rsplit_once('@').unwrap().1);
    let before = site.manifests();
    let said = site.clean_in_turn(&url, &[]).await;
    let grant = format!("GRANT TEMPORARY ON DATABASE {} TO {role}", site.names().live);
    assert!(said.code == Some(1) && said.err.contains(&grant), "{said:?}");
    assert_eq!(site.manifests(), before, "it is known before anything is done");
    assert_eq!(api.client.get("/notes/dinner").await["value"], json!("soup"));
    superuser.execute(AssertSqlSafe(grant)).await.unwrap();
    let said = site.clean_in_turn(&url, &[]).await;
    assert!(said.code == Some(1) && said.err.contains("CREATE SCHEMA IF NOT EXISTS"), "{said:?}");
    assert_eq!(api.client.get("/notes/dinner").await["value"], json!("soup"));
    let given = "CREATE SCHEMA IF NOT EXISTS agentfs_meta AUTHORIZATION agentfs";
    superuser.execute(given).await.unwrap();

    let before = site.manifests();
    let said = site.clean_in_turn(&url, &[]).await;
    let restored: Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"));
    assert_eq!((&restored["had_switched"], lost(&restored)), (&json!(false), 2), "{restored}");
    for words in ["answers 503", "cannot be undone", "is backed up to"] {
        assert!(said.err.contains(words), "{words}: {said:?}");
    }
    assert_eq!(site.manifests(), before + 1, "what was live is backed up");
    api.until_served().await;
    assert_eq!(api.client.get("/notes/lunch").await["value"], json!("peanuts"));
    assert_eq!(api.client.get("/notes/dinner").await, json!({"found": false}));
    assert_eq!(status(&api, &database, &revoked_key).await, 401);
    assert_eq!(status(&api, &database, &new).await, 200);
    assert_eq!(database.number(WRITES).await, writes, "no day's quota is refilled");
    assert_eq!(database.number(UNFINISHED).await, 0);
    // Ids go on behind those that were given.
    api.client.ok("/v1/put", searchable("/notes/supper", "bread")).await;
    assert_eq!(api.client.get("/notes/supper").await["value"], json!("bread"));
    let said = site.undo();
    assert!(said.code == Some(1) && said.err.contains("keeps nothing of before"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_the_tables_are_empty_it_has_changed_nothing() {
    let (api, database) = Api::start().await;
    let site = Site::of(&database);
    api.client.put("/notes/lunch", json!("peanuts")).await;
    site.verified_backup();
    api.client.put("/notes/lunch", json!("crackers")).await;
    for point in ["in-place-begun", "closed"] {
        let killed = site.clean_after(&[("AGENTFS_FAULT_POINT", point)]).await;
        assert_eq!(killed.code, None, "{point}: {killed:?}");
        // Whoever comes next lets servers in again.
        let reopened = async || {
            Site::run(&database.superuser_url, &["restore", "--drop-previous", "--yes"], &[]);
            database.number(GATE).await
        };
        eventually("servers may come again", reopened, |rows| *rows == 1).await;
        api.until_served().await;
        assert_eq!(api.client.get("/notes/lunch").await["value"], json!("crackers"), "{point}");
    }
    let restored = site.clean_after(&[]).await.json();
    assert_eq!(lost(&restored), 1);
    api.until_served().await;
    assert_eq!(api.client.get("/notes/lunch").await["value"], json!("peanuts"));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_once_the_tables_are_empty_no_half_memory_is_served_until_the_next_fills_them() {
    let (api, database) = Api::start().await;
    let site = Site::of(&database);
    api.client.put("/notes/lunch", json!("peanuts")).await;
    site.verified_backup();
    api.client.put("/notes/lunch", json!("crackers")).await;
    for point in ["emptied", "loaded", "compared", "filled"] {
        let killed = site.clean_after(&[("AGENTFS_FAULT_POINT", point)]).await;
        assert_eq!(killed.code, None, "{point}: {killed:?}");
        assert_eq!(database.number(GATE).await, 0, "{point}");
        until_refused(&api).await;
    }
    // Nobody else takes it for a whole memory, or for none.
    let refused = async |arguments: &[&str]| {
        let arguments = [arguments, &site.location()].concat();
        let run = async || Site::run(&database.superuser_url, &arguments, &[]);
        let has_turn = |said: &Said| said.code != Some(75) || !said.err.contains("under way");
        let said = eventually("sessions end", run, has_turn).await;
        assert!(said.code != Some(0) && said.err.contains("--strategy clean"), "{said:?}");
        assert_eq!(database.number(GATE).await, 0, "{arguments:?}");
    };
    refused(&["backup"]).await;
    let swap = ["restore", "--in-place", "--backup", "latest", "--yes", "--free-space", "1TB"];
    refused(&swap).await;
    refused(&[&swap[..5], &["--strategy", "rename-database"]].concat()).await;
    until_refused(&api).await;

    let restored = site.clean_after(&[]).await.json();
    assert_eq!((&restored["had_switched"], lost(&restored)), (&json!(false), 1), "{restored}");
    api.until_served().await;
    assert_eq!(api.client.get("/notes/lunch").await["value"], json!("peanuts"));
    assert_eq!(database.number(UNFINISHED).await, 0);
    // After its COMMIT it is done, and never done twice.
    api.client.put("/notes/lunch", json!("toast")).await;
    let killed = site.clean_after(&[("AGENTFS_FAULT_POINT", "switched")]).await;
    assert_eq!(killed.code, None, "{killed:?}");
    api.until_served().await;
    api.client.put("/notes/since", json!(1)).await;
    let ended = site.clean_after(&[]).await.json();
    assert_eq!((&ended["had_switched"], lost(&ended)), (&json!(true), 1), "{ended}");
    assert_eq!(api.client.get("/notes/since").await["value"], json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn clean_changes_nothing_where_it_cannot_come_to_its_end() {
    let (api, database) = Api::start().await;
    let site = Site::of(&database);
    api.client.put("/notes/lunch", json!("peanuts")).await;
    site.back_up();
    api.client.put("/notes/lunch", json!("crackers")).await;
    let refused = async |said: Said, code: i32, words: &[&str]| {
        assert_eq!(said.code, Some(code), "{said:?}");
        assert!(words.iter().all(|word| said.err.contains(word)), "{words:?}: {said:?}");
        api.until_served().await;
        assert_eq!(api.client.get("/notes/lunch").await["value"], json!("crackers"));
    };
    let latest = ["--strategy", "clean"];
    refused(site.restore(&latest), 1, &["no restore has proven", "add --force"]).await;

    // Somebody has a table: it is tried again, and given up.
    let forced = [&latest[..], &["--force", "--switch-patience", "1s"]].concat();
    let mut holder = database.connect().await;
    holder.execute("BEGIN; SELECT count(*) FROM entries").await.unwrap();
    refused(site.restore(&forced), 75, &["within 1 s", "session"]).await;
    holder.execute("ROLLBACK").await.unwrap();

    // Rows of others refer to ours.
    database
        .execute("CREATE TABLE of_others (model integer REFERENCES embedding_models (id))")
        .await;
    refused(site.restore(&forced), 1, &["foreign key"]).await;
    database.execute("DROP TABLE of_others").await;
    assert_eq!(site.manifests(), 1, "--force makes no backup before");

    let change = |change: &dyn Fn(&mut Manifest)| {
        let folder = std::fs::read_dir(site.folder.path()).unwrap();
        let instance = folder.map(|entry| entry.unwrap().path()).find(|path| path.is_dir());
        let files = std::fs::read_dir(instance.unwrap()).unwrap().map(|file| file.unwrap().path());
        let is_manifest =
            |path: &std::path::PathBuf| path.to_str().unwrap().ends_with(".manifest.json");
        let path = { files }.find(is_manifest).unwrap();
        let mut manifest = Manifest::read(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut manifest);
        std::fs::write(&path, manifest.write().1).unwrap();
    };
    change(&|manifest| manifest.schema_version = 13);
    refused(site.restore(&forced), 1, &["migrates nothing", "version 13"]).await;
}
