//! A database that takes no writes or is out of something: what is asked meanwhile, and that it passes by itself.

use agentfs_server::store::connection::address::Link;
use reqwest::Response;
use serde_json::{Value, json};
use sqlx::Executor as _;

use crate::support::api::{Api, Client, new_key};
use crate::support::database::{Database, Postgres, session};
use crate::support::eventually::eventually;
use crate::support::proxy::Proxy;
use crate::support::replica::Replica;

const LIMITS: [(&str, &str); 2] =
    [("RATE_LIMIT_REQUESTS_PER_MINUTE", "100000"), ("SEARCH_RATE_LIMIT_PER_MINUTE", "100000")];

async fn ask(client: &Client, route: &str, body: Value) -> Response {
    client.request(route, &body.to_string()).send().await.unwrap()
}

async fn put(client: &Client, value: u32) -> Response {
    ask(client, "/v1/put", json!({"agent_id": "ada", "path": "/notes/x", "value": value})).await
}

/// An answer that asks to try again; its sentence.
async fn refused(response: Response) -> String {
    assert_eq!(response.status(), 503, "{response:?}");
    let seconds: u32 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(seconds >= 1);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"]["code"], "UNAVAILABLE");
    body["error"]["message"].as_str().unwrap().to_owned()
}

async fn until_health(client: &Client, route: &str, status: u16, reason: Option<&str>) {
    let look = async || {
        let answer = client.http.get(format!("{}{route}", client.url)).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let wanted = |(got, body): &(u16, Value)| *got == status && body["reason"].as_str() == reason;
    eventually(route, look, wanted).await;
}

/// Writes are refused with a wish to try again, and reads are served, also where a key's limit was never leased.
async fn assert_reads_alone_are_served(client: &Client, fresh_key: &str) {
    let told = async || refused(put(client, 9).await).await;
    eventually("it is told", told, |said| said.contains("takes no writes")).await;
    let put = json!({"agent_id": "ada", "path": "/notes/x", "value": 9, "if_version": null});
    let said = refused(ask(client, "/v1/put", put).await).await;
    assert!(said.contains("nothing was written"), "{said}");
    let fresh = client.with_key(fresh_key);
    for client in [client, &fresh] {
        assert_eq!(client.get("/notes/x").await["value"], 1);
        for (route, body) in [
            ("/v1/list", json!({"agent_id": "ada", "prefix": "/"})),
            ("/v1/history", json!({"agent_id": "ada", "path": "/notes/x"})),
            ("/v1/search", json!({"agent_id": "ada", "query": "anything", "mode": "text"})),
        ] {
            let answer = ask(client, route, body).await;
            assert_eq!(answer.status(), 200, "{route}: {answer:?}");
            assert_eq!(answer.headers()["x-ratelimit-limit"], "100000");
        }
    }
    // Nobody knows whether a version is lost that a standby has not.
    let unknown = "00000000-0000-7000-8000-000000000000";
    let get = json!({"agent_id": "ada", "path": "/notes/x", "min_version": unknown});
    let said = refused(ask(client, "/v1/get", get).await).await;
    assert!(said.contains("a standby that is behind"), "{said}");
    until_health(client, "/healthz", 503, Some("DatabaseReadOnly")).await;
}

/// A connection that was just made stays for a second where it is.
async fn until_written(client: &Client, value: u32) {
    let write = async || put(client, value).await.status().as_u16();
    eventually("it is written", write, |status| *status == 200).await;
}

/// Searches are counted again only where the pool has left its read-only connections.
async fn until_searches_count(client: &Client, database: &Database) {
    let searches = "SELECT coalesce(sum(searches), 0)::bigint FROM quota_usage";
    let before = database.number(searches).await;
    let search = json!({"agent_id": "ada", "query": "anything", "mode": "text"});
    let count = async || {
        client.ok("/v1/search", search.clone()).await;
        database.number(searches).await
    };
    eventually("a search is counted", count, |count| *count > before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_database_is_read_and_written_again_as_soon_as_it_takes_writes() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &[], &LIMITS).await;
    let fresh_key = new_key(&database, &[]).await;
    assert_eq!(put(&api.client, 1).await.status(), 200);
    database.set_read_only(true).await;
    database.end_sessions().await;
    assert_reads_alone_are_served(&api.client, &fresh_key).await;
    let late = api.replica(&database, &LIMITS).await;
    until_health(&late.client, "/readyz", 503, Some("DatabaseReadOnly")).await;

    // The sessions that there are stay read-only.
    database.set_read_only(false).await;
    until_written(&api.client, 2).await;
    until_searches_count(&api.client, &database).await;
    until_health(&api.client, "/healthz", 200, None).await;
    until_health(&late.client, "/readyz", 200, None).await;
    assert_eq!(database.number("SELECT count(*) FROM entry_versions").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_behind_the_primarys_name_is_left_for_the_primary() {
    let postgres = Postgres::start(&[]);
    let primary = postgres.database().await;
    primary.migrate().await;
    let proxy = Proxy::before(&primary.url).await;
    let database = Database { url: proxy.url(&primary.url), ..primary.clone() };
    let api = Api::start_with(&database, &[], &LIMITS).await;
    let fresh_key = new_key(&primary, &[]).await;
    assert_eq!(put(&api.client, 1).await.status(), 200);
    // As long as it is copied, all that is written is in it.
    let standby = Replica::of(&postgres, &primary).await;
    proxy.lead_to(&standby.database.url);
    proxy.reset().await;
    assert_reads_alone_are_served(&api.client, &fresh_key).await;

    // Connections to the standby stay open.
    proxy.lead_to(&primary.url);
    until_written(&api.client, 2).await;
    until_searches_count(&api.client, &primary).await;
    until_health(&api.client, "/healthz", 200, None).await;
    // Reads leave it too, though it would go on serving them, and so does each writer at its next turn.
    let left = async || {
        api.client.put("/turns", json!(1)).await;
        api.client.get("/notes/x").await;
        api.client.ok("/v1/list", json!({"agent_id": "ada", "prefix": "/"})).await;
        let sessions =
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'agentfs-server'";
        standby.database.number(sessions).await
    };
    eventually("the standby is left", left, |sessions| *sessions == 0).await;
    let written = "SELECT count(*) FROM entry_versions WHERE path <> '/turns'";
    assert_eq!(primary.number(written).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_connection_to_a_read_only_database_is_kept() {
    let database = Database::empty().await;
    database.set_read_only(true).await;
    let mut link = Link::new(database.address());
    // An old one is not, so the machine may have been too slow once.
    let kept = async || {
        let before = session(&mut link).await;
        let write = sqlx::query("CREATE TABLE x ()").execute(link.connection().await.unwrap());
        let refused = write.await.unwrap_err().into();
        link.note(&refused);
        session(&mut link).await == before
    };
    eventually("it is kept", kept, |kept| *kept).await;
}

/// Raises an error of a class on each write of a version.
async fn fail_writes(database: &Database, code: &str) {
    let function = format!(
        "CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN RAISE EXCEPTION 'of the test' USING ERRCODE = '{code}'; END $$"
    );
    database.connect().await.execute(sqlx::AssertSqlSafe(function)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_lacks_or_ends_is_a_503_with_retry_after() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &[], &[]).await;
    assert_eq!(put(&api.client, 1).await.status(), 200);
    fail_writes(&database, "53100").await;
    database
        .execute("CREATE TRIGGER fail BEFORE INSERT ON entry_versions FOR EACH STATEMENT EXECUTE FUNCTION fail()")
        .await;
    let checked = json!({"agent_id": "ada", "path": "/y", "value": 1, "if_version": null});
    for code in ["53000", "53100", "53200", "53400"] {
        fail_writes(&database, code).await;
        for response in
            [put(&api.client, 2).await, ask(&api.client, "/v1/put", checked.clone()).await]
        {
            let said = refused(response).await;
            assert!(said.contains("has run out of disk, memory"), "{code}: {said}");
        }
    }
    for code in ["57P01", "57P02", "57P03", "57P04", "57P05"] {
        fail_writes(&database, code).await;
        refused(put(&api.client, 2).await).await;
        let said = refused(ask(&api.client, "/v1/put", checked.clone()).await).await;
        assert!(said.contains("nothing was written"), "{code}: COMMIT was never sent: {said}");
    }
    // A full disk costs no search.
    fail_writes(&database, "53100").await;
    database
        .execute("CREATE TRIGGER fail BEFORE INSERT ON quota_usage FOR EACH STATEMENT EXECUTE FUNCTION fail()")
        .await;
    let search = json!({"agent_id": "ada", "query": "anything", "mode": "text"});
    api.client.ok("/v1/search", search).await;

    database.execute("DROP FUNCTION fail CASCADE").await;
    assert_eq!(put(&api.client, 2).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_free_connection_requests_are_503_with_retry_after() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &[], &[]).await;
    assert_eq!(put(&api.client, 1).await.status(), 200);
    let limit = |connections: i32| {
        format!(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT {connections}', current_database()); END $$"
        )
    };
    let mut held = database.connect().await;
    held.execute(sqlx::AssertSqlSafe(limit(0))).await.unwrap();
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    held.execute(others).await.unwrap();
    let get = json!({"agent_id": "ada", "path": "/notes/x"});
    let list = json!({"agent_id": "ada", "prefix": "/"});
    for (route, body) in [("/v1/get", get), ("/v1/list", list)] {
        refused(ask(&api.client, route, body).await).await;
    }
    refused(put(&api.client, 2).await).await;
    held.execute(sqlx::AssertSqlSafe(limit(-1))).await.unwrap();
    assert_eq!(put(&api.client, 2).await.status(), 200);
}
