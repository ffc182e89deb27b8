//! Keys, scopes and tenants.

use std::time::Duration;

use agentfs_server::domain::access::api_key::ApiKey;
use futures::future::join_all;
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::support::api::{Api, new_key};
use crate::support::database::Database;
use crate::support::eventually::eventually;

#[tokio::test]
async fn only_valid_keys_are_let_in() {
    let (api, _db) = Api::start().await;
    let body = json!({"agent_id": "ada", "path": "/x"});
    let (id, _) = api.client.key.split_once('.').unwrap();
    let stranger = ApiKey::generate().reveal().expose_secret().to_owned();
    let wrong_secret = format!("{id}.{}", stranger.split_once('.').unwrap().1);
    for (key, told) in [
        ("nonsense", "malformed"),
        (stranger.as_str(), "unknown, revoked or expired"),
        // Whether an id exists is told to nobody.
        (wrong_secret.as_str(), "unknown, revoked or expired"),
    ] {
        let (status, code, message) = api.client.with_key(key).error("/v1/get", body.clone()).await;
        assert_eq!((status, code.as_str()), (401, "UNAUTHORIZED"), "{key}");
        assert!(message.contains(told), "{key}: {message}");
    }
    let get = || api.client.http.post(format!("{}/v1/get", api.client.url)).json(&body);
    let basic = get().header("authorization", "Basic YTpi");
    for (request, told) in [(get(), "there is no API key"), (basic, "does not begin with Bearer")] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 401);
        let answer: serde_json::Value = response.json().await.unwrap();
        assert!(answer["error"]["message"].as_str().unwrap().contains(told), "{answer}");
    }
}

#[tokio::test]
async fn scopes_bound_what_a_key_may_do() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &["memory:read"], &[]).await;
    api.client.get("/x").await;
    for (route, body) in [
        ("/v1/put", json!({"agent_id": "a", "path": "/x", "value": 1})),
        ("/v1/delete", json!({"agent_id": "a", "path": "/x"})),
        ("/v1/admin/create-key", json!({})),
    ] {
        let (status, code, message) = api.client.error(route, body).await;
        assert_eq!((status, code.as_str()), (403, "FORBIDDEN"), "{message}");
    }
}

#[tokio::test]
async fn a_revoked_key_stops_working_within_ten_seconds() {
    let (api, db) = Api::start().await;
    api.client.get("/x").await;
    db.execute("UPDATE api_keys SET revoked_at = now()").await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(api.client.error("/v1/get", json!({"agent_id": "ada", "path": "/x"})).await.0, 401);
}

#[tokio::test]
async fn keys_in_use_are_looked_up_again_and_stop_working_within_ten_seconds_too() {
    let (api, db) = Api::start().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(api.client.with_key(&new_key(&db, &[]).await));
    }
    let body = json!({"agent_id": "ada", "path": "/x"});
    let use_all = async || {
        let used = clients.iter().map(|client| client.post("/v1/get", body.clone()));
        join_all(used).await.into_iter().map(|(status, _)| status.as_u16()).collect::<Vec<_>>()
    };
    // For longer than they are cached.
    for _ in 0..20 {
        assert_eq!(use_all().await, [200; 20]);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let (revoked, _) = clients[0].key.split_once('.').unwrap();
    sqlx::query("UPDATE api_keys SET revoked_at = now() WHERE id = $1")
        .bind(revoked)
        .execute(&mut db.connect().await)
        .await
        .unwrap();
    for _ in 0..20 {
        use_all().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let statuses = use_all().await;
    assert_eq!((statuses[0], &statuses[1..]), (401, &[200; 19][..]));
}

#[tokio::test]
async fn what_the_database_takes_long_to_say_of_a_key_is_not_believed() {
    let (api, db) = Api::start().await;
    api.until_served().await;
    let fresh = api.client.with_key(&new_key(&db, &[]).await);
    let (id, _) = fresh.key.split_once('.').unwrap();
    // When it is told, it may have changed for long.
    db.slow_down("api_keys", &format!("id = '{id}'"), 4.0).await;
    let body = json!({"agent_id": "ada", "prefix": "/"});
    let (status, code, message) = fresh.error("/v1/list", body.clone()).await;
    assert_eq!((status, code.as_str()), (503, "UNAVAILABLE"), "{message}");
    db.execute("DROP POLICY slow ON api_keys; ALTER TABLE api_keys DISABLE ROW LEVEL SECURITY")
        .await;
    let ask = async || fresh.post("/v1/list", body.clone()).await.0.as_u16();
    eventually("what it says at once is believed", ask, |status| *status == 200).await;
}

#[tokio::test]
async fn a_key_that_is_remembered_stops_working_when_it_expires() {
    let (api, db) = Api::start().await;
    // Less than what a key is remembered for, and enough for a first request on a busy machine.
    db.execute("UPDATE api_keys SET expires_at = now() + interval '6 seconds'").await;
    api.client.get("/x").await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(api.client.error("/v1/get", json!({"agent_id": "ada", "path": "/x"})).await.0, 401);
}

const TOKEN: &str = "first light of a day on which keys begin";

#[tokio::test]
async fn keys_are_made_by_the_bootstrap_token_and_by_admins() {
    let database = Database::migrated().await;
    let tenant = uuid::Uuid::new_v4();
    sqlx::query("INSERT INTO tenants (id, name) VALUES ($1, 'acme')")
        .bind(tenant)
        .execute(&mut database.connect().await)
        .await
        .unwrap();
    let api = Api::start_with(&database, &["admin"], &[("ADMIN_BOOTSTRAP_TOKEN", TOKEN)]).await;
    let admin = &api.client;
    let token = admin.with_key(TOKEN);

    let made =
        token.ok("/v1/admin/create-key", json!({"tenant_id": tenant, "label": "acme"})).await;
    assert_eq!(made["tenant_id"], json!(tenant));
    let acme = admin.with_key(made["api_key"].as_str().unwrap());
    acme.put("/secret", json!("acme's")).await;
    assert_eq!(
        admin.get("/secret").await,
        json!({"found": false}),
        "tenants do not see each other"
    );

    let own = admin
        .ok("/v1/admin/create-key", json!({"scopes": ["memory:read"], "expires_in_seconds": 60}))
        .await;
    assert_eq!(own["tenant_id"], json!(uuid::Uuid::nil()));
    let named = admin.ok("/v1/admin/create-key", json!({"tenant_id": tenant})).await;
    assert_eq!(named["tenant_id"], json!(tenant), "an admin of the default tenant is one of all");
    let (status, code, _) =
        token.error("/v1/admin/create-key", json!({"tenant_id": uuid::Uuid::new_v4()})).await;
    assert_eq!((status, code.as_str()), (400, "TENANT_NOT_FOUND"));
    let (_, _, message) = token.error("/v1/admin/create-key", json!({"scopes": ["write"]})).await;
    assert!(message.contains("\"write\" is not a scope"), "{message}");
    assert_eq!(
        admin.with_key("second light").error("/v1/admin/create-key", json!({})).await.0,
        401
    );
}
