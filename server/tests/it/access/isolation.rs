//! Two tenants with equal agents and paths: neither sees nor touches what is the other's, on any route.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::api::{Api, Client};
use crate::support::cli::admin_json;
use crate::support::database::Database;
use crate::support::jobs;

/// A tenant at work: everything it writes holds its name.
struct Tenant {
    id: Uuid,
    name: &'static str,
    client: Client,
}

impl Tenant {
    async fn new(name: &'static str, api: &Api, database: &Database) -> Self {
        let made = admin_json(database, &["create-tenant", name]);
        let id = made["tenant_id"].as_str().unwrap();
        let key = admin_json(database, &["create-key", "--tenant", id, "--scope", "admin"]);
        let client = api.client.with_key(key["api_key"].as_str().unwrap());
        let tenant = Self { id: id.parse().unwrap(), name, client };
        for path in ["/shared/x", "/shared/y", &format!("/own/{name}/z")] {
            tenant.put(path).await;
        }
        tenant
    }

    async fn put(&self, path: &str) -> Value {
        let body = json!({"agent_id": "ada", "path": path, "value": self.name, "tags": [self.name], "searchable": true});
        self.client.ok("/v1/put", body).await
    }

    async fn get(&self, path: &str) -> Value {
        self.client.get(path).await["value"].clone()
    }
}

async fn two(settings: &[(&str, &str)]) -> (Database, Api, Tenant, Tenant) {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &[], settings).await;
    let one = Tenant::new("almond", &api, &database).await;
    let other = Tenant::new("beech", &api, &database).await;
    (database, api, one, other)
}

/// A request to each route that reads, which finds something of the one who asks; of now, and of the moment `then`.
fn reads(then: &Value) -> Vec<(&'static str, Value)> {
    let get = json!({"op": "get", "agent_id": "ada", "path": "/shared/x"});
    vec![
        ("/v1/history", json!({"agent_id": "ada", "path": "/shared/x"})),
        ("/v1/dump", json!({"agent_id": "ada"})),
        ("/v1/dump", json!({"agent_id": "ada", "prefix": "/shared"})),
        ("/v1/dump", json!({"agent_id": "ada", "order": "newest", "filter": {"a": {"$ne": 1}}})),
        (
            "/v1/search",
            json!({"agent_id": "ada", "query": "almond beech", "filter": {"a": {"$ne": 1}}}),
        ),
        ("/v1/list", json!({"agent_id": "ada", "prefix": "/", "depth": 3, "details": true})),
        ("/v1/list", json!({"agent_id": "ada", "prefix": "/own", "details": true, "as_of": then})),
        ("/v1/get", json!({"agent_id": "ada", "path": "/shared/x", "as_of": then})),
        ("/v1/list", json!({"agent_id": "ada", "prefix": "/own", "as_of": then})),
        ("/v1/glob", json!({"agent_id": "ada", "pattern": "/**", "as_of": then})),
        ("/v1/dump", json!({"agent_id": "ada", "as_of": then})),
        ("/v1/search", json!({"agent_id": "ada", "query": "almond beech", "as_of": then})),
        ("/v1/get", json!({"agent_id": "ada", "path": "/shared/x"})),
        ("/v1/list", json!({"agent_id": "ada", "prefix": "/own"})),
        ("/v1/glob", json!({"agent_id": "ada", "pattern": "/**"})),
        ("/v1/search", json!({"agent_id": "ada", "query": "almond beech", "limit": 50})),
        ("/v1/batch", json!({"operations": [get]})),
        ("/v1/batch", json!({"operations": [get], "atomic": true})),
    ]
}

#[tokio::test]
async fn no_read_finds_anything_of_another_tenant() {
    let (_database, _api, one, other) = two(&[]).await;
    let then = [one.put("/own/almond/z").await, other.put("/own/beech/z").await];
    for (own, foreign) in [(&one, &other), (&other, &one)] {
        let agents = own.client.ok("/v1/agents", json!({})).await;
        assert_eq!(agents, json!({"agents": [{"id": "ada", "memory_count": 3}]}));
        for (route, body) in reads(&then[1]["created_at"]) {
            let answer = own.client.ok(route, body).await.to_string();
            assert!(answer.contains(own.name), "{route}: {answer}");
            assert!(!answer.contains(foreign.name), "{route}: {answer}");
        }
        let path = format!("/own/{}/z", foreign.name);
        assert_eq!(own.client.get(&path).await, json!({"found": false}));
        let listed = own.client.ok("/v1/list", json!({"agent_id": "ada", "prefix": path})).await;
        assert_eq!(listed["items"], json!([]));
    }
}

#[tokio::test]
async fn a_cursor_of_another_tenant_shows_what_is_ones_own() {
    let (_database, _api, one, other) = two(&[]).await;
    for (route, mut body) in [
        ("/v1/list", json!({"agent_id": "ada", "prefix": "/shared", "limit": 1})),
        ("/v1/glob", json!({"agent_id": "ada", "pattern": "/**", "limit": 1})),
        ("/v1/dump", json!({"agent_id": "ada", "limit": 1})),
        ("/v1/history", json!({"agent_id": "ada", "path": "/shared/x", "limit": 1})),
    ] {
        other.put("/shared/x").await;
        one.put("/shared/x").await;
        let page = other.client.ok(route, body.clone()).await;
        body["cursor"] = page["next_cursor"].clone();
        let next = one.client.ok(route, body).await.to_string();
        assert!(!next.contains(other.name), "{route}: {next}");
    }
}

#[tokio::test]
async fn no_write_touches_anything_of_another_tenant() {
    let (database, _api, one, other) = two(&[]).await;
    let kept = other.put("/shared/x").await;
    let shared = json!({"agent_id": "ada", "path": "/shared/x"});
    assert_eq!(one.client.ok("/v1/delete", shared).await["deleted"], true);
    assert_eq!(one.client.delete(&format!("/own/{}/z", other.name)).await["deleted"], false);
    let operations = json!([
        {"op": "delete", "agent_id": "ada", "path": "/shared/y"},
        {"op": "put", "agent_id": "ada", "path": "/shared/x", "value": one.name},
    ]);
    for atomic in [false, true] {
        one.client.ok("/v1/batch", json!({"operations": operations, "atomic": atomic})).await;
    }
    assert_eq!(other.get("/shared/x").await, other.name);
    assert_eq!(other.get("/shared/y").await, other.name);

    // The other's version is no version of this tenant's entry.
    let condition = json!({"agent_id": "ada", "path": "/shared/x", "value": 1, "if_version": kept["version_id"]});
    assert_eq!(one.client.error("/v1/put", condition).await.1, "VERSION_CONFLICT");
    assert_eq!(other.get("/shared/x").await, other.name);
    let touch =
        json!({"agent_id": "ada", "path": format!("/own/{}/z", other.name), "ttl_seconds": 1});
    assert_eq!(one.client.ok("/v1/touch", touch).await["touched"], false);
    let moved = json!({"agent_id": "ada", "from": "/shared", "to": "/moved"});
    assert_eq!(one.client.ok("/v1/move", moved).await["moved"], 1);
    let deleted = json!({"agent_id": "ada", "path": "/moved", "recursive": true});
    assert_eq!(one.client.ok("/v1/delete", deleted).await["deleted_entries"], 1);
    assert_eq!(other.get("/shared/x").await, other.name);
    assert_eq!(other.get("/shared/y").await, other.name);
    let versions = "SELECT count(DISTINCT tenant_id) FROM entry_versions WHERE path = '/shared/x'";
    assert_eq!(database.number(versions).await, 2);
}

#[tokio::test]
async fn idempotency_keys_are_each_tenants_own() {
    let (_database, _api, one, other) = two(&[]).await;
    let mut written = Vec::new();
    for tenant in [&one, &other] {
        let body = json!({"agent_id": "ada", "path": "/once", "value": tenant.name});
        let (status, answer) = tenant.client.post_once("same-key", "/v1/put", body).await;
        assert_eq!(status, 200, "{answer}");
        written.push(answer["version_id"].clone());
    }
    assert_ne!(written[0], written[1]);
    assert_eq!(
        (one.get("/once").await, other.get("/once").await),
        (json!(one.name), json!(other.name))
    );
}

#[tokio::test]
async fn quotas_are_each_tenants_own() {
    let (_database, _api, one, other) = two(&[("WRITE_QUOTA_PER_DAY", "5")]).await;
    one.put("/shared/x").await;
    one.put("/shared/x").await;
    let more = json!({"agent_id": "ada", "path": "/shared/x", "value": 1});
    assert_eq!(one.client.error("/v1/put", more).await.1, "QUOTA_WRITES_PER_DAY");
    other.put("/shared/x").await;
    other.put("/shared/x").await;
}

#[tokio::test]
async fn administrators_are_of_their_own_tenant() {
    let (database, _api, one, other) = two(&[]).await;
    let made = one.client.ok("/v1/admin/create-key", json!({"scopes": ["memory:read"]})).await;
    assert_eq!(made["tenant_id"], json!(one.id));
    let foreign = json!({"tenant_id": other.id});
    assert_eq!(one.client.error("/v1/admin/create-key", foreign).await.1, "FORBIDDEN");
    assert_eq!(
        one.client.error("/v1/admin/create-tenant", json!({"name": "x"})).await.1,
        "FORBIDDEN"
    );
    let keys = one.client.ok("/v1/admin/list-keys", json!({})).await;
    let keys = keys["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().all(|key| key["tenant_id"] == json!(one.id)), "{keys:?}");
    other.client.ok("/v1/admin/create-key", json!({})).await;
    let cursor = other.client.ok("/v1/admin/list-keys", json!({"limit": 1})).await;
    assert!(cursor["next_cursor"].is_string(), "{cursor}");
    let foreign = json!({"cursor": cursor["next_cursor"], "limit": 10});
    let next = one.client.ok("/v1/admin/list-keys", foreign).await["keys"].to_string();
    assert!(!next.contains(&other.id.to_string()), "{next}");
    let foreign = json!({"key_id": other.client.key.split_once('.').unwrap().0});
    for (asker, expected) in [(&one.client, 404), (&other.client, 400)] {
        let refused = asker.error("/v1/admin/revoke-key", foreign.clone()).await;
        assert_eq!(refused.0, expected, "{refused:?}");
    }
    let tenants = one.client.ok("/v1/admin/list-tenants", json!({})).await.to_string();
    assert!(tenants.contains(one.name) && !tenants.contains(other.name), "{tenants}");
    let usage = one.client.ok("/v1/admin/usage", json!({})).await.to_string();
    assert!(usage.contains(one.name) && !usage.contains(other.name), "{usage}");
    jobs::add(&database, other.id, "failed", 2).await;
    let requeued = one.client.ok("/v1/admin/embeddings/requeue", json!({"status": "failed"})).await;
    assert_eq!(requeued["requeued"], 0);
}

#[tokio::test]
async fn every_route_of_a_tenant_is_looked_at_here() {
    let (_database, api, ..) = two(&[]).await;
    let url = format!("{}/openapi.json", api.client.url);
    let described: Value = api.client.http.get(url).send().await.unwrap().json().await.unwrap();
    let page = include_str!("isolation.rs");
    for route in described["paths"].as_object().unwrap().keys().filter(|r| r.starts_with("/v1/")) {
        assert!(page.contains(&format!("\"{route}\"")), "{route} is missing here");
    }
}
