//! Requests that meet a lock of somebody else.

use std::collections::HashSet;

use serde_json::json;

use crate::support::api::Api;
use crate::support::database::Database;
use crate::support::eventually::eventually;

/// Since when sessions of the API wait for locks.
async fn waits(database: &Database) -> Vec<String> {
    let waits = "SELECT l.waitstart::text FROM pg_locks l JOIN pg_stat_activity a USING (pid)
                  WHERE NOT l.granted AND l.waitstart IS NOT NULL
                    AND a.datname = current_database() AND a.application_name = 'agentfs-server'";
    sqlx::query_scalar(waits).fetch_all(&mut database.connect().await).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_waited_for_longer_than_a_statement_waits() {
    let (api, database) = Api::start().await;
    let put = json!({"agent_id": "ada", "path": "/x/y", "value": "peanuts", "searchable": true});
    api.client.ok("/v1/put", put).await;
    for (lock, route, body) in [
        // As a writer of the tenant does.
        (
            "BEGIN; SELECT FROM quota_usage FOR NO KEY UPDATE",
            "/v1/search",
            json!({"agent_id": "ada", "query": "peanuts"}),
        ),
        // As the switch of a restore does.
        ("BEGIN; LOCK TABLE entries", "/v1/get", json!({"agent_id": "ada", "path": "/x/y"})),
        ("BEGIN; LOCK TABLE entries", "/v1/list", json!({"agent_id": "ada", "prefix": "/"})),
        ("BEGIN; LOCK TABLE entries", "/v1/agents", json!({})),
    ] {
        let mut holder = database.connect().await;
        sqlx::raw_sql(lock).execute(&mut holder).await.unwrap();
        let client = api.client.clone();
        let asked = tokio::spawn(async move { client.post(route, body).await });
        let mut seen = HashSet::new();
        let tries = async || {
            seen.extend(waits(&database).await);
            seen.len()
        };
        eventually("it is tried again", tries, |tries| *tries > 1 || asked.is_finished()).await;
        sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
        let (status, answer) = asked.await.unwrap();
        assert_eq!(status, 200, "{route}: {answer}");
    }
}
