//! Connections to the database that were idle, and that something in between has dropped meanwhile.

use std::time::Duration;

use agentfs_server::store::connection::address::Link;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::api::{Api, Client};
use crate::support::database::{Database, session};
use crate::support::eventually::eventually;
use crate::support::proxy::Proxy;

/// Longer than a connection may be idle without being asked whether it is there.
const PAUSE: Duration = Duration::from_millis(1200);

/// An API whose connections to the database go through a proxy.
async fn proxied() -> (Api, Database, Proxy) {
    let database = Database::migrated().await;
    let proxy = Proxy::before(&database.url).await;
    let by_proxy = Database { url: proxy.url(&database.url), ..database.clone() };
    let mut api = Api::start_with(&by_proxy, &[], &[]).await;
    api.until_served().await;
    // Whoever waits for the whole timeout of a statement, which is 20 s, has not noticed.
    api.client.http =
        reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(15)).build().unwrap();
    (api, database, proxy)
}

/// Each kind of request that must not fail, whatever became of the connections since the last one.
async fn requests(client: &Client, mut before_each: impl AsyncFnMut()) {
    let entry = |more: Value| {
        let mut body = json!({"agent_id": "ada", "path": "/notes/x"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let now = jiff::Timestamp::now().to_string();
    let first = client.put("/notes/x", json!(1)).await["version_id"].clone();
    before_each().await;
    let put = client.ok("/v1/put", entry(json!({"value": 2, "if_version": first}))).await;
    before_each().await;
    client.ok("/v1/put", entry(json!({"value": 2, "searchable": true}))).await;
    before_each().await;
    assert_eq!(client.get("/notes/x").await["value"], 2);
    let batch = json!({"atomic": true, "operations": [
        {"op": "put", "agent_id": "ada", "path": "/notes/y", "value": 1},
        {"op": "get", "agent_id": "ada", "path": "/notes/x"}]});
    let gets = json!({"operations": [
        {"op": "get", "agent_id": "ada", "path": "/notes/y"},
        {"op": "get", "agent_id": "ada", "path": "/notes/x"}]});
    for (route, body) in [
        ("/v1/list", json!({"agent_id": "ada", "prefix": "/"})),
        ("/v1/search", json!({"agent_id": "ada", "query": "anything"})),
        ("/v1/history", entry(json!({}))),
        ("/v1/glob", json!({"agent_id": "ada", "pattern": "/**"})),
        ("/v1/dump", json!({"agent_id": "ada"})),
        ("/v1/agents", json!({})),
        ("/v1/list", json!({"agent_id": "ada", "prefix": "/", "as_of": now})),
        ("/v1/batch", batch),
        ("/v1/batch", gets),
    ] {
        before_each().await;
        client.ok(route, body).await;
    }
    before_each().await;
    let key = Uuid::new_v4().to_string();
    let (status, answer) = client.post_once(&key, "/v1/put", entry(json!({"value": 3}))).await;
    assert_eq!(status, 200, "{answer}");
    before_each().await;
    let last = answer["version_id"].clone();
    assert_ne!(last, put["version_id"]);
    client.ok("/v1/delete", entry(json!({"if_version": last}))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_reset_a_moment_after_their_last_use_cost_no_request() {
    let (api, database, proxy) = proxied().await;
    requests(&api.client, async || proxy.reset().await).await;
    requests(&api.client, async || database.end_sessions().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_were_reset_while_idle_cost_no_request() {
    let (api, _, proxy) = proxied().await;
    let reset = async || {
        tokio::time::sleep(PAUSE).await;
        proxy.reset().await;
    };
    requests(&api.client, reset).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_were_forgotten_while_idle_cost_no_request() {
    let (api, _, proxy) = proxied().await;
    let swallow = async || {
        tokio::time::sleep(PAUSE).await;
        proxy.swallow().await;
    };
    requests(&api.client, swallow).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_postgresql_ends_while_idle_cost_no_request() {
    let database = Database::migrated().await;
    database
        .execute("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET idle_session_timeout = ''1s''', current_database()); END $$")
        .await;
    let api = Api::start_with(&database, &[], &[]).await;
    api.until_served().await;
    requests(&api.client, async || tokio::time::sleep(PAUSE).await).await;
}

#[tokio::test]
async fn all_connections_are_kept_alive() {
    const KEEPALIVE: &str = "SELECT concat_ws('/', current_setting('tcp_keepalives_idle'),
        current_setting('tcp_keepalives_interval'), current_setting('tcp_keepalives_count'))";
    let address = Database::empty().await.address();
    let keepalive = || sqlx::query_scalar::<_, String>(KEEPALIVE);
    assert_eq!(keepalive().fetch_one(&address.pool(1)).await.unwrap(), "60/10/3");
    let mut link = Link::new(address.clone());
    let linked = keepalive().fetch_one(link.connection().await.unwrap()).await.unwrap();
    assert_eq!(linked, "60/10/3");
    let mut alone = address.connect_unlimited().await.unwrap();
    assert_eq!(keepalive().fetch_one(&mut alone).await.unwrap(), "60/10/3");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_answer_are_kept_where_another_one_gave_no_answer() {
    let database = Database::empty().await;
    let proxy = Proxy::before(&database.url).await;
    let address = Database { url: proxy.url(&database.url), ..database }.address();
    let (mut silent, mut alive) = (Link::new(address.clone()), Link::new(address));
    let forgotten = session(&mut silent).await;
    proxy.swallow().await;
    let kept = session(&mut alive).await;
    tokio::time::sleep(PAUSE).await;
    assert_ne!(session(&mut silent).await, forgotten);
    assert_eq!(session(&mut alive).await, kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_whose_connection_vanished_costs_the_pool_no_place_for_long() {
    let database = Database::empty().await;
    let proxy = Proxy::before(&database.url).await;
    let pool = Database { url: proxy.url(&database.url), ..database.clone() }.address().pool(1);
    let of_task = pool.clone();
    let statement = tokio::spawn(async move {
        sqlx::query("SELECT pg_sleep(60)").execute(&of_task).await.unwrap();
    });
    let running = "SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND query = 'SELECT pg_sleep(60)'";
    database.until(running, 1).await;
    proxy.swallow().await;
    // Whoever asked for it waits no longer.
    statement.abort();
    let ask = async || sqlx::query("SELECT").execute(&pool).await.is_ok();
    eventually("there is a place", ask, |answered| *answered).await;
}

#[tokio::test]
async fn a_database_that_is_slow_to_connect_to_is_reached_all_the_same() {
    let database = Database::migrated().await;
    // More than a request waits for a connection.
    let proxy = Proxy::late(&database.url, Duration::from_secs(3)).await;
    let pool = Database { url: proxy.url(&database.url), ..database.clone() }.address().pool(2);
    let ask = async || sqlx::query_scalar::<_, i32>("SELECT 1").fetch_one(&pool).await;
    let first = ask().await;
    assert!(matches!(first, Err(sqlx::Error::PoolTimedOut)), "{first:?}");
    eventually("a connection is made", ask, Result::is_ok).await.unwrap();
    let second = pool.begin().await.unwrap();
    drop(second);
}
