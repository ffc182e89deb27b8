//! The day's writes of a tenant.

use futures::future::join_all;
use serde_json::json;

use crate::support::api::Api;
use crate::support::database::Database;

const LIMIT: (&str, &str) = ("WRITE_QUOTA_PER_DAY", "100");

#[tokio::test]
async fn across_replicas_exactly_the_quota_is_accepted() {
    let database = Database::migrated().await;
    let first = Api::start_with(&database, &[], &[LIMIT]).await;
    let replicas =
        [first.replica(&database, &[LIMIT]).await, first.replica(&database, &[LIMIT]).await, first];
    let puts = (0..300).map(|i| {
        let client = &replicas[i % 3].client;
        async move {
            let body = json!({"agent_id": "ada", "path": format!("/p/{}", i % 7), "value": i});
            client.post("/v1/put", body).await.0.as_u16()
        }
    });
    let statuses = join_all(puts).await;
    assert_eq!(statuses.iter().filter(|s| **s == 200).count(), 100);
    assert_eq!(statuses.iter().filter(|s| **s == 429).count(), 200);
    assert_eq!(database.number("SELECT count(*) FROM entry_versions").await, 100);
    assert_eq!(database.number("SELECT writes FROM quota_usage").await, 100);
}

#[tokio::test]
async fn a_full_quota_says_when_it_begins_anew_and_a_reset_takes_effect_at_once() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &[], &[("WRITE_QUOTA_PER_DAY", "2")]).await;
    api.client.put("/a", json!(1)).await;
    api.client.delete("/a").await;
    assert_eq!(api.client.delete("/a").await["deleted"], false, "a delete of nothing is free");
    let request = api.client.request("/v1/put", r#"{"agent_id":"ada","path":"/a","value":1}"#);
    let refused = request.send().await.unwrap();
    assert_eq!(refused.status(), 429);
    let wait: u32 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=86_400).contains(&wait));
    assert!(refused.text().await.unwrap().contains("QUOTA_WRITES_PER_DAY"));
    database.execute("UPDATE quota_usage SET writes = 0 WHERE day = CURRENT_DATE").await;
    api.client.put("/a", json!(2)).await;
}
