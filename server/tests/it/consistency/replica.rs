//! Reads from a real streaming replica: when they go there, when they do not, and what they see.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use reqwest::Url;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;

use crate::support::api::Api;
use crate::support::database::{Database, Postgres};
use crate::support::process::free_port;
use crate::support::server_user::{bash, folder};

/// A replica that streams from the server of a database; ended when dropped.
struct Replica {
    place: TempDir,
    programs: PathBuf,
    /// The database on the replica, for its owner and for one who may do everything.
    database: Database,
}

impl Replica {
    async fn of(postgres: &Postgres, database: &Database) -> Self {
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), Permissions::from_mode(0o711)).unwrap();
        folder(&place.path().join("home"));
        let port = free_port();
        let at = |url: &str| {
            let mut url = Url::parse(url).unwrap();
            url.set_port(Some(port)).unwrap();
            url.to_string()
        };
        let on_replica =
            Database { url: at(&database.url), superuser_url: at(&database.superuser_url) };
        let programs = postgres.programs().to_owned();
        let replica = Self { place, programs, database: on_replica };
        let url = Url::parse(&database.superuser_url).unwrap();
        let script = format!(
            "set -euo pipefail
             pg_basebackup -D data -R --checkpoint=fast
             printf '%s\\n' 'port = {port}' 'unix_socket_directories = '\"''\" >> data/postgresql.auto.conf
             pg_ctl -D data -l log -w -t 60 start"
        );
        let output = replica
            .bash(&script)
            .env("PGHOST", url.host_str().unwrap())
            .env("PGPORT", url.port().unwrap().to_string())
            .env("PGUSER", url.username())
            .env("PGPASSWORD", url.password().unwrap())
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        replica
    }

    fn bash(&self, script: &str) -> tokio::process::Command {
        let mut command = bash();
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .args(["-c", script])
            .current_dir(self.place.path().join("home"))
            .env("PATH", format!("{}:{path}", self.programs.display()))
            .stdin(Stdio::null());
        command
    }

    /// What the superuser says there.
    async fn told(&self, sql: &'static str) {
        let mut superuser = PgConnection::connect(&self.database.superuser_url).await.unwrap();
        superuser.execute(sql).await.unwrap();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let stop = "[ ! -e data/postmaster.pid ] || pg_ctl -D data -m immediate -w stop";
        self.bash(stop).as_std_mut().stdout(Stdio::null()).status().ok();
    }
}

async fn reading(database: &Database, replica: &str, max_lag: &str) -> Api {
    let settings = [("DATABASE_READ_URL", replica), ("DATABASE_READ_MAX_LAG_SECONDS", max_lag)];
    let api = Api::start_with(database, &[], &settings).await;
    api.until_served().await;
    api
}

async fn put(api: &Api, value: u32) -> String {
    let body = json!({"agent_id": "ada", "path": "/notes/x", "value": value, "searchable": true, "tags": [value.to_string()]});
    api.client.ok("/v1/put", body).await["version_id"].as_str().unwrap().to_owned()
}

async fn get(api: &Api, min_version: Option<&str>) -> Value {
    let body = json!({"agent_id": "ada", "path": "/notes/x", "min_version": min_version});
    api.client.ok("/v1/get", body).await["value"].clone()
}

const FRESH: &str = "agentfs_read_replica_fresh";

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_to_a_replica_that_is_fresh_enough_and_see_what_they_must() {
    let postgres = Postgres::start(&[]);
    let database = postgres.database().await;
    database.migrate().await;
    let replica = Replica::of(&postgres, &database).await;
    let url = &replica.database.url;
    let patient = reading(&database, url, "3600").await;
    let strict = reading(&database, url, "1").await;
    for api in [&patient, &strict] {
        api.until_metric(FRESH, |fresh| fresh > 0.5).await;
    }
    let first = put(&patient, 1).await;
    assert_eq!(get(&patient, Some(&first)).await, json!(1));
    // That one may have gone to the primary, where the replica did not have the version yet; this one does not.
    get(&patient, None).await;
    let batches = r#"agentfs_batch_rows_count{queue="replica reads"}"#;
    patient.until_metric(batches, |batches| batches > 0.5).await;
    let metrics = patient.metrics().await;
    assert!(metrics.contains(r#"agentfs_queue_requests{queue="replica reads"} 0"#), "{metrics}");

    // From here on the replica stands still.
    replica.told("SELECT pg_wal_replay_pause()").await;
    let shown = get(&patient, None).await;
    let second = put(&patient, 2).await;
    patient.client.put("/notes/y", json!(0)).await;
    assert_eq!(get(&patient, None).await, shown, "it is read from the replica");
    assert_eq!(get(&patient, Some(&second)).await, json!(2), "it must see what it knows of");
    let list = json!({"agent_id": "ada", "prefix": "/notes"});
    let glob = json!({"agent_id": "ada", "pattern": "/notes/*"});
    let search = json!({"agent_id": "ada", "query": "2", "mode": "text"});
    for (route, body, field, stale, now) in [
        ("/v1/list", list, "items", 1, 2),
        ("/v1/glob", glob, "paths", 1, 2),
        ("/v1/search", search, "results", 0, 1),
    ] {
        let count = async |body: Value| {
            patient.client.ok(route, body).await[field].as_array().unwrap().len()
        };
        let mut seeing = body.clone();
        seeing["min_version"] = json!(second);
        assert_eq!(count(body).await, stale, "{route}");
        assert_eq!(count(seeing).await, now, "{route}");
    }
    // The past is the primary's.
    let as_of = jiff::Timestamp::now().to_string();
    let past = json!({"agent_id": "ada", "pattern": "/notes/*", "as_of": as_of});
    assert_eq!(patient.client.ok("/v1/glob", past).await["paths"].as_array().unwrap().len(), 2);

    // It may be a second behind and is more: the primary is read.
    strict.until_metric(FRESH, |fresh| fresh < 0.5).await;
    assert_eq!(get(&strict, None).await, json!(2));

    replica.told("SELECT pg_wal_replay_resume()").await;
    strict.until_metric(FRESH, |fresh| fresh > 0.5).await;
    // A replica that is lost costs no read.
    drop(replica);
    for _ in 0..20 {
        assert_eq!(get(&patient, Some(&second)).await, json!(2));
        assert_eq!(get(&strict, Some(&second)).await, json!(2));
    }
    patient.until_metric(FRESH, |fresh| fresh < 0.5).await;
    assert_eq!(get(&patient, None).await, json!(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_database_is_never_read() {
    let (database, other) = (Database::migrated().await, Database::migrated().await);
    let api = reading(&database, &other.url, "3600").await;
    put(&api, 1).await;
    // The first look has been by then, or the second one.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(get(&api, None).await, json!(1));
    assert!(api.metrics().await.contains("agentfs_read_replica_fresh 0"));
}

#[test]
fn a_wrong_address_names_its_setting() {
    let settings = [
        ("DATABASE_URL", "postgres://u:p@h/d"),
        ("DATABASE_READ_URL", "mysql://x"),
        ("DATABASE_READ_MAX_LAG_SECONDS", "0"),
    ];
    let said = crate::support::cli::agentfs(&["serve"], &settings);
    assert!(said.err.contains("DATABASE_READ_URL is not valid"), "{said:?}");
    assert!(said.err.contains("DATABASE_READ_MAX_LAG_SECONDS"), "{said:?}");
}
