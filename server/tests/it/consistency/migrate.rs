//! Migrations and the deployment's admin key.

use std::process::Stdio;

use agentfs_contract::termination::{MigrationReport, Report};
use agentfs_server::commands::migrate::migrate;
use agentfs_server::domain::access::api_key::ApiKey;
use agentfs_server::store::schema::{SCHEMA_VERSION, TABLES};
use futures::future::join_all;
use reqwest::Url;
use secrecy::ExposeSecret as _;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::support::api::Api;
use crate::support::cli::agentfs;
use crate::support::database::{Database, shared};
use crate::support::process::free_port;

#[tokio::test]
async fn many_at_once_migrate_once() {
    let database = Database::empty().await;
    let address = database.address();
    let reports = join_all((0..5).map(|_| migrate(&address, None))).await;
    let applied: usize = reports.iter().map(|r| r.as_ref().unwrap().applied).sum();
    let all = database.number("SELECT count(*) FROM _sqlx_migrations").await;
    assert_eq!(i64::try_from(applied).unwrap(), all);
    assert!(reports.iter().all(|r| r.as_ref().unwrap().version == SCHEMA_VERSION));
}

#[tokio::test]
async fn a_new_admin_key_replaces_the_deployments_earlier_one_and_no_other() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &[], &[]).await;
    let (old, new) = (ApiKey::generate().reveal(), ApiKey::generate().reveal());
    for key in [&old, &old, &new] {
        migrate(&database.address(), Some(key)).await.unwrap();
    }
    let make = |key: &str| {
        let client = api.client.with_key(key);
        async move { client.post("/v1/admin/create-key", json!({})).await.0.as_u16() }
    };
    assert_eq!(make(new.expose_secret()).await, 200);
    api.client.get("/x").await;
    migrate(&database.address(), Some(&old)).await.unwrap();
    assert_eq!(make(old.expose_secret()).await, 200);
    let lasting = "SELECT count(*) FROM api_keys WHERE managed_by IS NOT NULL AND revoked_at IS NULL AND expires_at IS NULL";
    assert_eq!(database.number(lasting).await, 1);
}

#[tokio::test]
async fn the_list_of_our_tables_is_whole() {
    let database = Database::migrated().await;
    let found: Vec<String> = sqlx::query_scalar(
        "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' AND tablename <> '_sqlx_migrations' ORDER BY 1",
    )
    .fetch_all(&mut database.connect().await)
    .await
    .unwrap();
    assert_eq!(found, TABLES);
}

#[tokio::test]
async fn a_schema_with_capitals_is_migrated_and_rid_of_invalid_indexes() {
    let mut database = Database::empty().await;
    database.execute("CREATE SCHEMA \"Memory\"").await;
    database.url = format!("{}?options=-c%20search_path%3D%22Memory%22", database.url);
    database.migrate().await;
    let there = "SELECT count(*) FROM pg_indexes WHERE schemaname = 'Memory' AND indexname = 'entries_tree'";
    assert_eq!(database.number(there).await, 1);
    let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
    let interrupt = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = '\"Memory\".entries_tree'::regclass";
    superuser.execute(interrupt).await.unwrap();
    database.migrate().await;
    assert_eq!(database.number(there).await, 0);
}

#[tokio::test]
async fn the_databases_own_time_zone_becomes_utc_where_we_may() {
    let database = Database::empty().await;
    let name = database.url.rsplit_once('/').unwrap().1;
    let elsewhere = format!("ALTER DATABASE {name} SET timezone TO 'Pacific/Kiritimati'");
    let superuser = PgConnection::connect(&database.superuser_url).await;
    superuser.unwrap().execute(AssertSqlSafe(elsewhere.clone())).await.unwrap();
    let settings =
        "SELECT setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
                     WHERE d.datname = current_database() AND s.setrole = 0";
    for _ in 0..2 {
        database.migrate().await;
        let set: Vec<String> =
            sqlx::query_scalar(settings).fetch_one(&mut database.connect().await).await.unwrap();
        assert_eq!(set, ["TimeZone=UTC"]);
    }
    // Of another owner, it stays as it is.
    let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
    let taken = format!("ALTER DATABASE {name} OWNER TO postgres; {elsewhere}");
    sqlx::raw_sql(AssertSqlSafe(taken)).execute(&mut superuser).await.unwrap();
    let (_, sentence) = run(&["migrate"], &[("DATABASE_URL", database.url.as_str())]);
    assert!(sentence.contains(&format!("ALTER DATABASE {name} OWNER TO agentfs;")), "{sentence}");
    superuser.execute("GRANT CREATE ON SCHEMA public TO agentfs").await.unwrap();
    database.migrate().await;
}

#[tokio::test]
async fn what_pgvector_lacks_is_said_with_what_to_do() {
    let database = shared().bare_database().await;
    let name = database.url.rsplit_once('/').unwrap().1;
    let variables = [("DATABASE_URL", database.url.as_str())];
    let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();

    // A folder of extensions that is not there: a PostgreSQL without pgvector. The setting is of PostgreSQL 18.
    let path = format!("ALTER ROLE agentfs IN DATABASE {name} SET extension_control_path");
    superuser.execute(AssertSqlSafe(format!("{path} TO '/nowhere'"))).await.unwrap();
    let (code, sentence) = run(&["migrate"], &variables);
    assert_eq!(code, Some(1));
    assert!(sentence.contains("has no pgvector") && sentence.contains("-pgvector;"), "{sentence}");
    superuser.execute(AssertSqlSafe(path.replace(" SET ", " RESET "))).await.unwrap();

    let (code, sentence) = run(&["migrate"], &variables);
    assert_eq!(code, Some(1));
    let todo = format!("psql -U postgres -d {name} -c 'CREATE EXTENSION vector'");
    assert!(
        sentence.contains("the role agentfs may not") && sentence.contains(&todo),
        "{sentence}"
    );

    // An extension of before halfvec.
    let old = "CREATE EXTENSION vector; ALTER TYPE halfvec RENAME TO not_yet; UPDATE pg_extension SET extversion = '0.6.2' WHERE extname = 'vector'";
    sqlx::raw_sql(old).execute(&mut superuser).await.unwrap();
    let (_, sentence) = run(&["migrate"], &variables);
    assert!(
        sentence.contains("0.6.2") && sentence.contains("ALTER EXTENSION vector UPDATE"),
        "{sentence}"
    );
    superuser.execute("ALTER TYPE not_yet RENAME TO halfvec").await.unwrap();
    database.migrate().await;
}

/// Exit code and words of a command that says what is wrong.
fn run(command: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let said = agentfs(command, variables);
    (said.code, said.err)
}

#[test]
fn failures_say_what_to_do_and_whether_to_try_again() {
    let (code, sentence) = run(&["migrate"], &[]);
    assert_eq!(code, Some(1));
    assert!(sentence.contains("DATABASE_URL is not set"), "{sentence}");
    let words = tempfile::NamedTempFile::new().unwrap();
    let log = words.path().to_str().unwrap();
    let nobody =
        [("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/d"), ("AGENTFS_TERMINATION_LOG", log)];
    let (code, sentence) = run(&["migrate"], &nobody);
    assert_eq!(code, Some(75), "{sentence}");
    assert!(sentence.contains("127.0.0.1:1") && !sentence.contains("hunter2"), "{sentence}");
    let report = Report::read(&std::fs::read_to_string(log).unwrap()).unwrap();
    assert!(report.transient && report.message.contains("127.0.0.1:1"), "{report:?}");
    let (code, sentence) = run(&["serve"], &[("DATABASE_URL", "nonsense"), ("PORT", "x")]);
    assert_eq!(code, Some(1));
    assert!(
        sentence.contains("DATABASE_URL is not valid") && sentence.contains("PORT is \"x\""),
        "{sentence}"
    );
}

/// A port that leads to the server at `port`, and at which that says to be of another major version.
async fn of_another_version(port: u16, major: [u8; 2]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            tokio::spawn(async move {
                let (name, mut buffer) = (b"server_version\0", vec![0; 1 << 16]);
                while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
                    let said = &mut buffer[..count];
                    if let Some(at) = said.windows(name.len()).position(|part| part == name) {
                        said[at + name.len()..][..2].copy_from_slice(&major);
                    }
                    to_client.write_all(said).await?;
                }
                to_client.shutdown().await
            });
        }
    });
    own
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_supported_is_told_to_have_no_backups() {
    let database = Database::empty().await;
    let mut other = Url::parse(&database.url).unwrap();
    let port = of_another_version(other.port().unwrap(), *b"19").await;
    other.set_port(Some(port)).unwrap();
    let left = tempfile::NamedTempFile::new().unwrap();
    let log = left.path().to_str().unwrap();
    let wanted = "the server is PostgreSQL 19, and AgentFS supports 16 to 18";
    for (url, is_told) in [(database.url.as_str(), false), (other.as_str(), true)] {
        let said =
            agentfs(&["migrate"], &[("DATABASE_URL", url), ("AGENTFS_TERMINATION_LOG", log)]);
        assert_eq!(said.code, Some(0), "{said:?}");
        let report = MigrationReport::read(&std::fs::read_to_string(log).unwrap()).unwrap();
        let why = report.no_backups.unwrap_or_default();
        assert_eq!((why.is_empty(), why.starts_with(wanted)), (!is_told, is_told), "{why}");
        assert_eq!(said.out.contains(wanted), is_told, "{said:?}");
    }
}

#[tokio::test]
async fn a_database_that_is_about_to_start_is_waited_for() {
    let database = Database::empty().await;
    let mut url = Url::parse(&database.url).unwrap();
    let postgres = url.port().unwrap();
    let port = free_port();
    url.set_port(Some(port)).unwrap();
    let mut migrator = Command::new(env!("CARGO_BIN_EXE_agentfs-server"))
        .arg("migrate")
        .env("DATABASE_URL", url.as_str())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(migrator.stdout.take().unwrap()).lines();
    let mut waits = async || log.next_line().await.unwrap().expect("it waits");
    while !waits().await.contains("waiting for the database") {}
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let proxy = tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", postgres)).await.unwrap();
                tokio::io::copy_bidirectional(&mut client, &mut server).await.ok();
            });
        }
    });
    while log.next_line().await.unwrap().is_some() {}
    assert!(migrator.wait().await.unwrap().success());
    proxy.abort();
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, sentence) =
        run(&["serve"], &[("DATABASE_URL", "postgres://u:p@127.0.0.1:1/d"), ("PORT", &port)]);
    assert_eq!(code, Some(1));
    assert!(sentence.contains(&format!("port {port} is in use")), "{sentence}");
}
