//! Administration over HTTP: who may do what, and to which tenant.

use futures::future::join_all;
use serde_json::json;
use uuid::Uuid;

use crate::support::api::{Api, Client};
use crate::support::cli::{admin, agentfs};
use crate::support::database::Database;
use crate::support::jobs;

const TOKEN: &str = "first light of a day on which keys begin";

/// An API, an admin key of the default tenant, one of a tenant of its own, and that tenant.
async fn administrators(database: &Database) -> (Api, Client, Client, Uuid) {
    let api = Api::start_with(database, &["admin"], &[("ADMIN_BOOTSTRAP_TOKEN", TOKEN)]).await;
    let cluster = api.client.clone();
    let made = cluster.ok("/v1/admin/create-tenant", json!({"name": "acme"})).await;
    let acme: Uuid = made["tenant_id"].as_str().unwrap().parse().unwrap();
    let key = json!({"tenant_id": acme, "scopes": ["admin"]});
    let made = cluster.ok("/v1/admin/create-key", key).await;
    let tenants = cluster.with_key(made["api_key"].as_str().unwrap());
    (api, cluster, tenants, acme)
}

async fn refused(client: &Client, route: &str, body: serde_json::Value) -> (u16, String) {
    let (status, code, _) = client.error(route, body).await;
    (status, code)
}

#[tokio::test]
async fn tenants_are_made_by_those_who_administer_all() {
    let database = Database::migrated().await;
    let (_api, cluster, acme, _) = administrators(&database).await;
    let route = "/v1/admin/create-tenant";
    let by_header = cluster.with_key(TOKEN);
    let made = by_header.ok(route, json!({"name": "by header"})).await;
    assert_eq!(made["ok"], true);
    let nobody = cluster.with_key("");
    nobody.ok(route, json!({"name": " by body ", "token": TOKEN})).await;
    acme.ok(route, json!({"name": "by body", "token": TOKEN})).await;
    assert_eq!(database.number("SELECT count(*) FROM tenants WHERE name = 'by body'").await, 2);

    let (status, code, message) = acme.error(route, json!({"name": "x"})).await;
    assert_eq!((status, code.as_str()), (403, "FORBIDDEN"));
    assert!(message.contains("admin key of the default tenant"), "{message}");
    let unauthorized = (401, "UNAUTHORIZED".to_owned());
    assert_eq!(refused(&nobody, route, json!({"name": "x"})).await, unauthorized);
    let wrong = json!({"name": "x", "token": "second light"});
    assert_eq!(refused(&cluster, route, wrong).await, unauthorized, "a wrong token is no key");
    let reader = cluster.ok("/v1/admin/create-key", json!({"scopes": ["memory:read"]})).await;
    let reader = cluster.with_key(reader["api_key"].as_str().unwrap());
    assert_eq!(refused(&reader, route, json!({"name": "x"})).await.0, 403);
    for name in [json!(""), json!("x".repeat(201)), json!("a\u{7}b"), json!(7)] {
        let answer = refused(&cluster, route, json!({"name": name})).await;
        assert_eq!(answer, (400, "VALIDATION_ERROR".to_owned()));
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_is_told_to_those_who_are_let_in() {
    let database = Database::migrated().await;
    let (_api, cluster, ..) = administrators(&database).await;
    let send = |client: &Client, body: &'static str| {
        let request = client.request("/v1/admin/create-tenant", body).send();
        async move { request.await.unwrap().status().as_u16() }
    };
    assert_eq!(send(&cluster, "{").await, 400);
    assert_eq!(send(&cluster.with_key(""), "{").await, 401);
    let form = cluster
        .http
        .post(format!("{}/v1/admin/create-tenant", cluster.url))
        .bearer_auth(&cluster.key)
        .body("name=x");
    assert_eq!(form.send().await.unwrap().status(), 415);
}

#[tokio::test]
async fn a_server_without_a_bootstrap_token_takes_none() {
    let (api, _database) = Api::start().await;
    // No bearer is told of an empty one.
    let nobody = api.client.with_key("");
    for token in ["", "null", TOKEN] {
        let body = json!({"name": "x", "token": token});
        assert_eq!(refused(&nobody, "/v1/admin/create-tenant", body).await.0, 401, "{token}");
    }
}

#[tokio::test]
async fn keys_are_made_for_the_tenant_that_the_maker_administers() {
    let database = Database::migrated().await;
    let (_api, cluster, acme, tenant) = administrators(&database).await;
    let route = "/v1/admin/create-key";
    let nobody = cluster.with_key("");
    let made = nobody.ok(route, json!({"token": TOKEN})).await;
    assert_eq!(made["tenant_id"], json!(Uuid::nil()));
    let made = nobody.ok(route, json!({"token": TOKEN, "tenant_id": tenant})).await;
    assert_eq!(made["tenant_id"], json!(tenant));
    assert_eq!(acme.ok(route, json!({})).await["tenant_id"], json!(tenant));
    assert_eq!(acme.ok(route, json!({"tenant_id": tenant})).await["tenant_id"], json!(tenant));
    let (stranger, forbidden) =
        (json!({"tenant_id": Uuid::new_v4()}), (403, "FORBIDDEN".to_owned()));
    assert_eq!(refused(&acme, route, stranger.clone()).await, forbidden);
    assert_eq!(refused(&acme, route, json!({"tenant_id": Uuid::nil()})).await, forbidden);
    assert_eq!(refused(&cluster, route, stranger).await, (400, "TENANT_NOT_FOUND".to_owned()));
    let invalid = (400, "VALIDATION_ERROR".to_owned());
    for body in [
        json!({"scopes": []}),
        json!({"expires_in_seconds": 0}),
        json!({"label": "x".repeat(201)}),
        json!({"tenant_id": "acme"}),
    ] {
        assert_eq!(refused(&cluster, route, body.clone()).await, invalid, "{body}");
    }
}

#[tokio::test]
async fn failed_jobs_are_queued_again_within_the_tenant() {
    let database = Database::migrated().await;
    let (_api, cluster, acme, tenant) = administrators(&database).await;
    let route = "/v1/admin/embeddings/requeue";
    jobs::add(&database, tenant, "failed", 2).await;
    jobs::add(&database, Uuid::nil(), "failed", 3).await;
    let failed = json!({"status": "failed"});
    assert_eq!(acme.ok(route, json!({"status": "failed", "limit": 1})).await["requeued"], 1);
    assert_eq!(acme.ok(route, failed.clone()).await, json!({"ok": true, "requeued": 1}));
    assert_eq!(acme.ok(route, failed.clone()).await["requeued"], 0);
    assert_eq!(cluster.ok(route, failed).await["requeued"], 3);
    for body in [json!({"status": "running"}), json!({"status": "failed", "limit": 0}), json!({})] {
        let answer = refused(&cluster, route, body.clone()).await;
        assert_eq!(answer, (400, "VALIDATION_ERROR".to_owned()), "{body}");
    }
}

#[tokio::test]
async fn a_tenant_has_no_more_live_keys_than_it_may() {
    let database = Database::migrated().await;
    let more = [("ADMIN_BOOTSTRAP_TOKEN", TOKEN), ("MAX_KEYS_PER_TENANT", "5")];
    let api = Api::start_with(&database, &["admin"], &more).await;
    let route = "/v1/admin/create-key";
    let made = api.client.ok("/v1/admin/create-tenant", json!({"name": "acme"})).await;
    let wanted = json!({"tenant_id": made["tenant_id"]});
    let at_once = join_all((0..20).map(|_| api.client.post(route, wanted.clone()))).await;
    let made: Vec<_> = at_once.iter().filter(|(status, _)| *status == 200).collect();
    assert_eq!(made.len(), 5, "{at_once:?}");
    let (status, code, message) = api.client.error(route, wanted.clone()).await;
    assert_eq!((status, code.as_str()), (403, "FORBIDDEN"));
    assert!(message.contains("5 keys") && message.contains("MAX_KEYS_PER_TENANT"), "{message}");
    api.client.ok(route, json!({})).await;
    let bootstrap = api.client.with_key("");
    let by_token = json!({"token": TOKEN, "tenant_id": wanted["tenant_id"]});
    assert_eq!(bootstrap.error(route, by_token).await.0, 403, "nobody makes more");

    for end in [
        "UPDATE api_keys SET revoked_at = now() WHERE id = (SELECT min(k.id) FROM api_keys k JOIN tenants t ON t.id = k.tenant_id WHERE t.name = 'acme')",
        "UPDATE api_keys SET expires_at = now() WHERE id = (SELECT max(k.id) FROM api_keys k JOIN tenants t ON t.id = k.tenant_id WHERE t.name = 'acme')",
    ] {
        database.execute(end).await;
        api.client.ok(route, wanted.clone()).await;
        assert_eq!(api.client.error(route, wanted.clone()).await.0, 403);
    }
    let tenant = wanted["tenant_id"].as_str().unwrap();
    let variables = [("DATABASE_URL", database.url.as_str()), ("MAX_KEYS_PER_TENANT", "5")];
    let said = agentfs(&["admin", "create-key", "--tenant", tenant], &variables).failure();
    assert!(said.contains("5 keys") && said.contains("MAX_KEYS_PER_TENANT"), "{said}");
    admin(&database, &["create-key", "--tenant", tenant]).text();
}
