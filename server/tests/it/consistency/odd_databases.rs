//! Databases and roles that are set up in another way than a new PostgreSQL has them.

use agentfs_server::store::connection::address::Link;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;

use crate::support::api::{Api, new_key};
use crate::support::cli::{admin, agentfs};
use crate::support::database::{Database, shared};
use crate::support::eventually::eventually;
use crate::support::provider::Provider;
use crate::support::semantic::put;
use crate::support::shell::Shell;
use crate::support::worker::{EMBEDDED, Worker, until, variables};

async fn superuser(database: &Database) -> PgConnection {
    PgConnection::connect(&database.superuser_url).await.unwrap()
}

fn name(database: &Database) -> &str {
    database.url.rsplit_once('/').unwrap().1
}

/// What `migrate` fails with.
#[track_caller]
fn refusal(url: &str) -> String {
    agentfs(&["migrate"], &[("DATABASE_URL", url)]).failure()
}

/// The command in a sentence, from its first word to the semicolon.
fn command(sentence: &str, first: &str) -> String {
    let (_, rest) = sentence.split_once(first).expect(sentence);
    format!("{first}{}", rest.split_once(';').expect(sentence).0)
}

#[tokio::test(flavor = "multi_thread")]
async fn pgvector_works_in_whatever_schema_it_lies() {
    let database = shared().bare_database().await;
    let elsewhere = r#"CREATE SCHEMA "My Types"; CREATE EXTENSION vector SCHEMA "My Types""#;
    sqlx::raw_sql(elsewhere).execute(&mut superuser(&database).await).await.unwrap();
    let sentence = refusal(&database.url);
    assert!(sentence.contains(r#"lies in the schema "My Types""#), "{sentence}");
    assert!(!sentence.contains("0.7.0"), "{sentence}");
    let grant = command(&sentence, "GRANT ");
    superuser(&database).await.execute(AssertSqlSafe(grant)).await.unwrap();

    database.migrate().await;
    let provider = Provider::start().await;
    let api = Api::start_with(&database, &[], &variables(&provider, &[])).await;
    let worker = Worker::start(&database, &provider, &[]);
    put(&api.client, "/a", "Ada is allergic to peanuts").await;
    until(&database, EMBEDDED, 1).await;
    admin(&database, &["embeddings", "index", "fake/8"]).text();
    worker.stop().await;
    let body = json!({"agent_id": "ada", "query": "peanuts", "mode": "semantic"});
    assert_eq!(api.client.ok("/v1/search", body.clone()).await["results"][0]["path"], "/a");

    // A dump names the schema, so it restores where that is.
    let folder = TempDir::new().unwrap();
    Shell::of_owner(&database, folder.path()).line("pg_dump -Fc -f backup.dump").await;
    let new = shared().bare_database().await;
    let restore = r#"pg_restore -d "$PGDATABASE" backup.dump"#;
    Shell::of_superuser(&new, folder.path()).line(restore).await;
    let restored = Api::start_with(&new, &[], &variables(&provider, &[])).await;
    assert_eq!(restored.client.ok("/v1/search", body).await["results"][0]["path"], "/a");
}

#[tokio::test]
async fn tables_beside_pgvector_are_not_taken_for_ours() {
    let database = shared().bare_database().await;
    // Another AgentFS, or another program with migrations of sqlx.
    let elsewhere = "CREATE SCHEMA types; CREATE EXTENSION vector SCHEMA types; GRANT USAGE ON SCHEMA types TO PUBLIC; \
                     CREATE TABLE types._sqlx_migrations (version bigint); GRANT SELECT ON types._sqlx_migrations TO PUBLIC";
    sqlx::raw_sql(elsewhere).execute(&mut superuser(&database).await).await.unwrap();
    let sentence = refusal(&database.url);
    assert!(
        sentence.contains("schema types") && sentence.contains("_sqlx_migrations"),
        "{sentence}"
    );
    superuser(&database).await.execute("DROP TABLE types._sqlx_migrations").await.unwrap();
    database.migrate().await;
}

#[tokio::test]
async fn a_database_that_cannot_hold_every_text_is_refused() {
    let utf8 = Database::migrated().await;
    let other = shared().encoded_database("LATIN1").await;
    let sentence = refusal(&other.url);
    assert!(
        sentence.contains("encoded in LATIN1") && sentence.contains("OWNER agentfs"),
        "{sentence}"
    );

    // One that an earlier version has migrated.
    let folder = TempDir::new().unwrap();
    Shell::of_owner(&utf8, folder.path()).line("pg_dump -Fc -f backup.dump").await;
    let restore = r#"pg_restore -d "$PGDATABASE" backup.dump"#;
    Shell::of_superuser(&other, folder.path()).line(restore).await;
    let key = new_key(&utf8, &[]).await;
    let api = Api::start_with(&utf8, &[], &[]).await.replica(&other, &[]).await;
    let client = api.client.with_key(&key);
    let ready = async || {
        let answer = client.http.get(format!("{}/readyz", client.url)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let told = |(status, body): &(u16, String)| *status == 503 && body.contains("DatabaseNotUtf8");
    let (_, body) = eventually("it is not ready", ready, told).await;
    let create = command(&body, "CREATE DATABASE ");
    let put = json!({"agent_id": "ada", "path": "/x", "value": 1});
    assert_eq!(client.error("/v1/put", put).await.0, 503);

    let made = format!("utf8_{}", name(&other));
    let create = create.replace("agentfs_utf8", &made);
    superuser(&utf8).await.execute(AssertSqlSafe(create)).await.unwrap();
    let url = |url: &str| url.replace(name(&other), &made);
    let right = Database { url: url(&other.url), superuser_url: url(&other.superuser_url) };
    Shell::of_superuser(&right, folder.path()).line(restore).await;
    right.migrate().await;
}

const SETTINGS: &str = "SELECT concat_ws(' ', current_setting('synchronous_commit'), current_setting('client_encoding'),
                                         current_setting('default_transaction_isolation'))";

#[tokio::test]
async fn settings_of_a_role_weaken_no_promise() {
    let (api, database) = Api::start().await;
    drop(api);
    for setting in [
        "synchronous_commit = off",
        "client_encoding = 'LATIN1'",
        "default_transaction_isolation = serializable",
    ] {
        let set = format!("ALTER ROLE agentfs IN DATABASE {} SET {setting}", name(&database));
        superuser(&database).await.execute(AssertSqlSafe(set)).await.unwrap();
    }
    let address = database.address();
    let pool = address.pool(1);
    let mut link = Link::new(address.clone());
    let read = || sqlx::query_scalar::<_, String>(SETTINGS);
    assert_eq!(read().fetch_one(&pool).await.unwrap(), "on UTF8 read committed");
    let linked = read().fetch_one(link.connection().await.unwrap()).await.unwrap();
    assert_eq!(linked, "on UTF8 read committed");
    let mut patient = address.connect_unlimited().await.unwrap();
    assert!(read().fetch_one(&mut patient).await.unwrap().starts_with("on UTF8"));
    // Stronger ones are their owner's.
    let name = name(&database);
    let stronger =
        format!("ALTER ROLE agentfs IN DATABASE {name} SET synchronous_commit = remote_apply");
    superuser(&database).await.execute(AssertSqlSafe(stronger)).await.unwrap();
    let mut patient = address.connect_unlimited().await.unwrap();
    assert!(read().fetch_one(&mut patient).await.unwrap().starts_with("remote_apply"));

    let api = Api::start_with(&database, &[], &[]).await;
    api.client.put("/東京", json!("emoji 😀")).await;
    let folder = TempDir::new().unwrap();
    let programs = shared().programs().to_str().unwrap();
    let arguments = ["backup", "--pg-bin", programs, "--dir", folder.path().to_str().unwrap()];
    agentfs(&arguments, &[("DATABASE_URL", &database.url)]).text();
    let new = Database::empty().await;
    let restore = r#"pg_restore --no-comments --exit-on-error -d "$PGDATABASE" */agentfs_*.dump"#;
    Shell::of_owner(&new, folder.path()).line(restore).await;
    let restored = api.replica(&new, &[]).await;
    assert_eq!(restored.client.get("/東京").await["value"], json!("emoji 😀"));
}

#[tokio::test]
async fn a_password_that_cannot_be_sent_is_no_matter_of_time() {
    let database = Database::empty().await;
    let role = format!("odd_{}", name(&database));
    let create = format!(r"CREATE ROLE {role} LOGIN PASSWORD E'tab\t😀'");
    superuser(&database).await.execute(AssertSqlSafe(create)).await.unwrap();
    let mut url = reqwest::Url::parse(&database.url).unwrap();
    url.set_username(&role).unwrap();
    url.set_password(Some("tab\t😀")).unwrap();
    for url in [url.to_string(), url.as_str().replace('@', "@127.0.0.1:1,")] {
        let sentence = refusal(&url);
        assert!(sentence.contains("such as a tab, a line break or an emoji"), "{sentence}");
        assert!(!sentence.contains("tab%09") && !sentence.contains('😀'), "{sentence}");
    }
    superuser(&database).await.execute(AssertSqlSafe(format!("DROP ROLE {role}"))).await.unwrap();
}
