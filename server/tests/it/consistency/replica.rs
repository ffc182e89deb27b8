//! Reads from a real streaming replica: when they go there, when they do not, and what they see.

use agentfs_server::settings::DatabaseUrl;
use agentfs_server::store::connection::address::DatabaseAddress;
use reqwest::Url;
use serde_json::{Value, json};
use sqlx::Executor as _;
use tempfile::TempDir;

use crate::support::api::Api;
use crate::support::cli::agentfs;
use crate::support::database::{Database, Postgres};
use crate::support::eventually::eventually;
use crate::support::replica::Replica;

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

    // From here on the replica stands still, with the first version.
    eventually(
        "the replica has it",
        async || get(&patient, None).await,
        |value| *value == json!(1),
    )
    .await;
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

/// A restore in place locks all tables on the primary for a moment, and its replica for as long as it takes to replay the end of that.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_waits_for_a_lock_on_the_replica_is_soon_asked_of_the_primary() {
    const LOCKED: &str = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 'entries'::regclass";
    let postgres = Postgres::start(&[]);
    let database = postgres.database().await;
    database.migrate().await;
    let replica = Replica::of(&postgres, &database).await;
    let api = reading(&database, &replica.database.url, "3600").await;
    let version = put(&api, 1).await;
    api.until_metric(FRESH, |fresh| fresh > 0.5).await;

    let mut locking = database.connect().await;
    locking.execute("BEGIN; LOCK TABLE entries IN ACCESS EXCLUSIVE MODE").await.unwrap();
    replica.database.until(LOCKED, 1).await;
    replica.told("SELECT pg_wal_replay_pause()").await;
    locking.execute("ROLLBACK").await.unwrap();
    assert_eq!(get(&api, None).await, json!(1));
    assert_eq!(get(&api, Some(&version)).await, json!(1));
    let list = json!({"agent_id": "ada", "prefix": "/notes"});
    assert_eq!(api.client.ok("/v1/list", list).await["items"].as_array().unwrap().len(), 1);
    replica.database.until(LOCKED, 1).await;

    let url = DatabaseUrl::parse(&replica.database.url.clone().into()).unwrap();
    let pool = DatabaseAddress::of_replica(&url).pool(1);
    let waits: String = sqlx::query_scalar("SHOW lock_timeout").fetch_one(&pool).await.unwrap();
    assert_eq!(waits, "100ms");
}

#[tokio::test]
async fn a_version_that_nobody_has_is_gone() {
    let (api, database) = Api::start().await;
    let known = put(&api, 1).await;
    let as_of = jiff::Timestamp::now().to_string();
    let asked = [
        ("/v1/get", json!({"agent_id": "ada", "path": "/notes/x"})),
        ("/v1/get", json!({"agent_id": "ada", "path": "/notes/x", "as_of": as_of})),
        ("/v1/list", json!({"agent_id": "ada", "prefix": "/"})),
        ("/v1/list", json!({"agent_id": "ada", "prefix": "/", "as_of": as_of})),
        ("/v1/glob", json!({"agent_id": "ada", "pattern": "/**"})),
        ("/v1/glob", json!({"agent_id": "ada", "pattern": "/**", "as_of": as_of})),
        ("/v1/search", json!({"agent_id": "ada", "query": "1"})),
        ("/v1/search", json!({"agent_id": "ada", "query": "1", "as_of": as_of})),
    ];
    for (route, body) in &asked {
        let mut seeing = body.clone();
        seeing["min_version"] = json!(known);
        api.client.ok(route, seeing).await;
    }
    // A restore of what was before.
    database.execute("DELETE FROM entry_versions").await;
    for (route, body) in asked {
        let mut seeing = body;
        seeing["min_version"] = json!(known);
        let (status, code, message) = api.client.error(route, seeing).await;
        assert_eq!((status, code.as_str()), (409, "VERSION_GONE"), "{route}");
        assert!(message.contains(&known), "{message}");
    }
}

/// A URL with several hosts: one where nobody is, and those of `databases`.
fn several(databases: [&Database; 2], session: &str) -> String {
    let [first, second] = databases.map(|database| Url::parse(&database.url).unwrap());
    let host = |url: &Url| format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    format!(
        "postgres://{}:{}@127.0.0.1:1,{},{}{}?target_session_attrs={session}",
        first.username(),
        first.password().unwrap(),
        host(&first),
        host(&second),
        first.path()
    )
}

async fn is_in_recovery(url: &str) -> Result<bool, String> {
    let address = DatabaseAddress::parse(&url.to_owned().into()).unwrap();
    let mut connection = address.connect_unlimited().await.map_err(|error| error.to_string())?;
    let asked = sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(&mut connection);
    asked.await.map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_hosts_the_right_one_is_found_and_found_again_after_a_failover() {
    let postgres = Postgres::start(&[]);
    let database = postgres.database().await;
    let replica = Replica::of(&postgres, &database).await;
    let url = |session: &str| several([&replica.database, &database], session);
    for (session, standby) in [
        ("any", true),
        ("read-write", false),
        ("read-only", true),
        ("primary", false),
        ("standby", true),
        ("prefer-standby", true),
    ] {
        assert_eq!(is_in_recovery(&url(session)).await, Ok(standby), "{session}");
    }
    let nothing = several([&database, &database], "standby");
    let said = is_in_recovery(&nothing).await.unwrap_err();
    assert!(said.contains("it is not standby, as target_session_attrs demands"), "{said}");
    assert!(said.contains("127.0.0.1:1: ") && said.contains("refused"), "{said}");
    let preferred = several([&database, &database], "prefer-standby");
    assert_eq!(is_in_recovery(&preferred).await, Ok(false));

    let found = Database { url: url("read-write"), superuser_url: database.superuser_url.clone() };
    found.migrate().await;
    // It is asked again and again until the failover is over.
    let api = Api::start_with(&found, &[], &[("RATE_LIMIT_REQUESTS_PER_MINUTE", "100000")]).await;
    api.until_served().await;
    let written = put(&api, 1).await;
    let caught_up = "SELECT count(*) FROM entry_versions";
    replica.database.until(caught_up, 1).await;

    // pg_dump is told the host that has the snapshot, psql takes the URL as it is.
    let folder = TempDir::new().unwrap();
    let programs = postgres.programs().to_str().unwrap();
    let arguments = ["backup", "--pg-bin", programs, "--dir", folder.path().to_str().unwrap()];
    for session in ["read-write", "prefer-standby"] {
        let made = || agentfs(&arguments, &[("DATABASE_URL", &url(session))]);
        // A second has one name alone.
        eventually("a backup", async || made(), |said| said.code == Some(0)).await;
    }
    let psql = std::process::Command::new(postgres.programs().join("psql"))
        .args([&url("read-write"), "-Atc", "SELECT count(*) FROM entries"])
        .output()
        .unwrap();
    assert_eq!(psql.stdout, b"1\n", "{psql:?}");

    drop(postgres);
    let gone = async || is_in_recovery(&database.url).await;
    eventually("the primary is gone", gone, Result::is_err).await.unwrap_err();
    replica.told("SELECT pg_promote()").await;
    let body = json!({"agent_id": "ada", "path": "/notes/x", "value": 2});
    let write = async || api.client.post("/v1/put", body.clone()).await.0.as_u16();
    eventually("writes go on", write, |status| *status == 200).await;
    let list = json!({"agent_id": "ada", "prefix": "/notes", "min_version": written});
    let pooled = async || api.client.post("/v1/list", list.clone()).await.0.as_u16();
    eventually("reads go on", pooled, |status| *status == 200).await;
    assert_eq!(get(&api, Some(&written)).await, json!(2));
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
    let said = agentfs(&["serve"], &settings);
    assert!(said.err.contains("DATABASE_READ_URL is not valid"), "{said:?}");
    assert!(said.err.contains("DATABASE_READ_MAX_LAG_SECONDS"), "{said:?}");
}
