//! Agents.

use agentfs_server::domain::DEFAULT_TENANT;
use agentfs_server::store::entries::agents;
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::support::api::{Api, Client};

async fn agents_of(client: &Client, limit: usize) -> Vec<(String, i64)> {
    let pages = client.pages("/v1/agents", json!({"limit": limit}), "agents").await;
    assert!(pages.iter().all(|page| page.len() <= limit));
    let agent =
        |v: &Value| (v["id"].as_str().unwrap().to_owned(), v["memory_count"].as_i64().unwrap());
    pages.concat().iter().map(agent).collect()
}

#[tokio::test]
async fn agents_with_live_entries_are_counted_in_order() {
    let (api, db) = Api::start().await;
    for (agent, count) in [("b", 3), ("a", 1), ("é-b", 2), ("gone", 1), ("a b", 1)] {
        for i in 0..count {
            let body = json!({"agent_id": agent, "path": format!("/{i}"), "value": 0});
            api.client.ok("/v1/put", body).await;
        }
    }
    for agent in ["gone", "b"] {
        api.client.ok("/v1/delete", json!({"agent_id": agent, "path": "/0"})).await;
    }
    db.execute("UPDATE entries SET expires_at = now() WHERE agent_id = 'b' AND path = '/1'").await;
    let expected = [("a", 1), ("a b", 1), ("b", 1), ("é-b", 2)].map(|(a, n)| (a.to_owned(), n));
    for limit in [1, 2, 4, 1000] {
        assert_eq!(agents_of(&api.client, limit).await, expected, "limit {limit}");
    }
    let (status, code, message) = api.client.error("/v1/agents", json!({"limit": 0})).await;
    assert_eq!((status, code.as_str()), (400, "VALIDATION_ERROR"), "{message}");
}

#[tokio::test]
async fn the_body_may_be_left_out() {
    let (api, _db) = Api::start().await;
    api.client.put("/x", json!(1)).await;
    let expected = json!({"agents": [{"id": "ada", "memory_count": 1}]});
    let bare = api.client.http.post(format!("{}/v1/agents", api.client.url));
    let bare = bare.bearer_auth(&api.client.key).send().await.unwrap();
    assert_eq!(bare.json::<Value>().await.unwrap(), expected);
    let empty = api.client.request("/v1/agents", "").send().await.unwrap();
    assert_eq!(empty.json::<Value>().await.unwrap(), expected);
    assert_eq!(api.client.request("/v1/agents", "{").send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn other_tenants_and_keys_without_the_scope_see_nothing() {
    let (api, db) = Api::start().await;
    api.client.put("/x", json!(1)).await;
    db.execute(
        "INSERT INTO tenants (id, name) VALUES ('11111111-1111-1111-1111-111111111111', 'other')",
    )
    .await;
    db.execute("UPDATE entries SET tenant_id = '11111111-1111-1111-1111-111111111111'").await;
    assert_eq!(agents_of(&api.client, 9).await, []);
    let searcher = Api::start_with(&db, &["search:read"], &[]).await;
    for route in ["/v1/agents", "/v1/dump", "/v1/history"] {
        let body = json!({"agent_id": "ada", "path": "/x"});
        let (status, code, _) = searcher.client.error(route, body).await;
        assert_eq!((status, code.as_str()), (403, "FORBIDDEN"), "{route}");
    }
}

#[tokio::test]
async fn a_page_reads_the_entries_of_its_own_agents_alone() {
    let (_api, db) = Api::start().await;
    db.execute(
        "INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at)
         SELECT '00000000-0000-0000-0000-000000000000', 'a' || i % 20, '/' || i, gen_random_uuid(), 1, now()
           FROM generate_series(1, 20000) i",
    )
    .await;
    for analysed in [false, true] {
        if analysed {
            db.execute("VACUUM ANALYZE entries").await;
        }
        let mut connection = db.connect().await;
        let mut transaction = connection.begin().await.unwrap();
        let page = agents::page_at(&mut *transaction, DEFAULT_TENANT, None, 2).await.unwrap();
        assert_eq!(page.agents.iter().map(|a| a.entries).collect::<Vec<_>>(), [1000, 1000]);
        assert_eq!(page.rest.as_deref(), Some("a1"));
        let read: i64 = sqlx::query_scalar(
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'entries'",
        )
        .fetch_one(&mut *transaction)
        .await
        .unwrap();
        assert!((2000..2010).contains(&read), "{read} rows read, analysed: {analysed}");
    }
}
