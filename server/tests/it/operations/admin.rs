//! What operators do by command.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;
use uuid::Uuid;

use crate::support::api::{Api, Client};
use crate::support::cli::{admin, admin_json, agentfs};
use crate::support::database::Database;
use crate::support::eventually::eventually;
use crate::support::jobs;

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

#[tokio::test]
async fn a_tenants_key_from_its_making_to_its_end() {
    let (api, database) = Api::start().await;
    let tenant = admin_json(&database, &["create-tenant", "Acme"])["tenant_id"].clone();
    let tenant = text(&tenant);
    let made = admin_json(
        &database,
        &["create-key", "--tenant", tenant, "--label", "ci", "--scope", "memory:read"],
    );
    let (key, id) = (text(&made["api_key"]), text(&made["key_id"]));
    assert_eq!((&made["tenant_id"], &made["ok"]), (&json!(tenant), &json!(true)));

    let acme = api.client.with_key(key);
    assert_eq!(acme.get("/x").await, json!({"found": false}));
    assert_eq!(
        acme.error("/v1/put", json!({"agent_id": "a", "path": "/x", "value": 1})).await.0,
        403
    );

    let listed = admin(&database, &["list-keys", "--tenant", tenant, "--output", "json"]).text();
    assert!(!listed.contains(key.split_once('.').unwrap().1), "{listed}");
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let row = &listed["keys"][0];
    assert_eq!(listed["keys"].as_array().unwrap().len(), 1);
    assert_eq!(
        (text(&row["key_id"]), text(&row["state"]), text(&row["label"]), &row["scopes"]),
        (id, "active", "ci", &json!(["memory:read"]))
    );
    assert_eq!((&row["expires_at"], &row["revoked_at"]), (&Value::Null, &Value::Null));

    let said = admin(&database, &["revoke-key", id]).text();
    assert!(said.contains(id) && said.contains("is revoked"), "{said}");
    let again = admin(&database, &["revoke-key", id]).text();
    assert!(again.contains("was revoked at"), "{again}");
    assert_eq!(admin_json(&database, &["revoke-key", id])["already"], true);
    let after = admin_json(&database, &["list-keys", "--tenant", tenant]);
    assert_eq!(after["keys"][0]["state"], "revoked");
}

#[tokio::test]
async fn tables_are_for_people() {
    let database = Database::migrated().await;
    let key = admin(&database, &["create-key", "--label", "one\ntwo"]).text();
    let (id, secret) = key.split_once('.').unwrap();
    admin(&database, &["create-key", "--expires-in-seconds", "1"]).text();
    sleep(Duration::from_millis(1100)).await;
    let table = admin(&database, &["list-keys"]).text();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(lines[0].starts_with("ID ") && lines[0].contains("STATE"), "{table}");
    assert!(lines[1].contains(id) && lines[1].contains("active") && lines[1].contains("one\\ntwo"));
    assert!(lines[2].contains("expired"), "{table}");
    assert!(!table.contains(secret), "{table}");

    let made = admin(&database, &["create-tenant", "Acme Ltd"]).text();
    let tenants = admin(&database, &["list-tenants"]).text();
    let acme = tenants.lines().find(|line| line.contains("Acme Ltd")).unwrap();
    assert!(made.contains(&acme[..36]), "{made}");
    assert!(tenants.contains("default"), "{tenants}");
    assert_eq!(admin_json(&database, &["list-tenants"])["tenants"][0]["active_keys"], 1);
}

async fn until_refused(client: &Client) {
    let get = async || client.post("/v1/get", json!({"agent_id": "ada", "path": "/x"})).await;
    eventually("the key stops working", get, |(status, _)| *status == 401).await;
}

#[tokio::test]
async fn a_revoked_key_stops_on_every_replica() {
    let (first, database) = Api::start().await;
    let second = first.replica(&database, &[]).await;
    first.client.get("/x").await;
    second.client.get("/x").await;
    admin(&database, &["revoke-key", first.client.key.split_once('.').unwrap().0]).text();
    tokio::join!(until_refused(&first.client), until_refused(&second.client));
}

#[tokio::test]
async fn a_quota_is_shown_and_reset_at_once() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &[], &[("WRITE_QUOTA_PER_DAY", "2")]).await;
    let tenant = Uuid::nil().to_string();
    let nothing = admin(&database, &["quota", "show"]).text();
    assert!(nothing.contains("no tenant has used anything"), "{nothing}");
    api.client.put("/a", json!("four")).await;
    api.client.put("/b", json!(1)).await;
    let full = json!({"agent_id": "ada", "path": "/c", "value": 1});
    assert_eq!(api.client.error("/v1/put", full.clone()).await.1, "QUOTA_WRITES_PER_DAY");
    database.execute("UPDATE quota_usage SET searches = 5, embed_tokens = 7").await;

    let shown = admin_json(&database, &["quota", "show", "--tenant", &tenant]);
    let expected = json!({"tenant_id": tenant, "name": "default", "writes": 2, "bytes": 7, "idempotency_keys": 0, "stored_bytes": 529, "embed_tokens": 7, "searches": 5});
    assert_eq!(shown["usage"], json!([expected]));
    let day = text(&shown["day"]);
    let table = admin(&database, &["quota", "show", "--day", day]).text();
    assert!(table.lines().nth(1).unwrap().contains(day), "{table}");
    let before = ["quota", "show", "--tenant", &tenant, "--day", "2020-02-29"];
    assert_eq!(admin_json(&database, &before)["usage"][0]["writes"], 0);

    let said = admin(&database, &["quota", "reset", "--tenant", &tenant, "--writes"]).text();
    assert!(said.starts_with("writes of tenant"), "{said}");
    api.client.ok("/v1/put", full).await;
    let left = "SELECT writes * 100 + searches * 10 + embed_tokens FROM quota_usage";
    assert_eq!(database.number(left).await, 157, "the others stay");
    let all = admin_json(&database, &["quota", "reset", "--tenant", &tenant]);
    assert_eq!(
        all["reset"],
        json!(["writes", "bytes", "idempotency_keys", "searches", "embed_tokens"])
    );
    assert_eq!(database.number(left).await, 0);
}

#[tokio::test]
async fn failed_jobs_are_queued_again_the_oldest_first() {
    let database = Database::migrated().await;
    let acme = admin_json(&database, &["create-tenant", "Acme"])["tenant_id"].clone();
    jobs::add(&database, Uuid::nil(), "failed", 3).await;
    jobs::add(&database, text(&acme).parse().unwrap(), "failed", 2).await;
    jobs::add(&database, Uuid::nil(), "running", 1).await;
    let requeue = |more: &[&str]| {
        admin_json(&database, &[&["requeue", "--status", "failed"], more].concat())["requeued"]
            .clone()
    };
    assert_eq!(requeue(&["--limit", "2"]), 2);
    assert_eq!(
        database.number("SELECT max(id) FROM embedding_jobs WHERE status = 'queued'").await,
        2
    );
    assert_eq!(requeue(&["--tenant", text(&acme)]), 2);
    assert_eq!(
        admin(&database, &["requeue", "--status", "failed"]).text(),
        "1 job is queued again"
    );
    assert_eq!(requeue(&[]), 0);
    let fresh = "SELECT count(*) FROM embedding_jobs WHERE status = 'queued' AND attempts = 0
                    AND leased_until IS NULL AND next_attempt_at <= now()";
    assert_eq!(database.number(fresh).await, 5);
    assert_eq!(
        database.number("SELECT count(*) FROM embedding_jobs WHERE status = 'running'").await,
        1
    );
}

#[tokio::test]
async fn mistakes_are_told_with_what_to_do() {
    let database = Database::migrated().await;
    let nobody = Uuid::new_v4().to_string();
    for arguments in [
        &["create-key", "--tenant", &nobody] as &[&str],
        &["list-keys", "--tenant", &nobody],
        &["quota", "show", "--tenant", &nobody],
        &["quota", "reset", "--tenant", &nobody],
        &["quota", "recount", "--tenant", &nobody],
        &["requeue", "--status", "failed", "--tenant", &nobody],
    ] {
        let sentence = admin(&database, arguments).failure();
        assert!(sentence.contains(&format!("there is no tenant {nobody}")), "{sentence}");
    }
    let whole = admin(&database, &["create-key"]).text();
    let cases: [(&[&str], &str); 7] = [
        (&["create-key", "--scope", "write"], "\"write\" is not a scope"),
        (&["create-key", "--expires-in-seconds", "-5"], "cannot expire in -5 s"),
        (&["create-key", "--label", &"x".repeat(201)], "at most 200 characters"),
        (&["create-tenant", " "], "name must not be empty"),
        (&["revoke-key", "agfs_live_AAAAAAAAAAA"], "there is no key agfs_live_AAAAAAAAAAA"),
        (&["revoke-key", "42"], "\"42\" is not the id of a key"),
        (&["revoke-key", &whole], "the part before the dot"),
    ];
    for (arguments, part) in cases {
        let sentence = admin(&database, arguments).failure();
        assert!(sentence.contains(part), "{sentence}");
        assert!(!sentence.contains(whole.split_once('.').unwrap().1), "{sentence}");
    }
    for usage in [
        &["create-key", "--tenant", "12"] as &[&str],
        &["quota", "reset", "--tenant", "default"],
        &["requeue", "--status", "failed", "--tenant", "default"],
    ] {
        let said = admin(&database, usage);
        assert_eq!(said.code, Some(2), "{said:?}");
        let remedy = "a tenant's id is a UUID; agentfs-server admin list-tenants shows";
        assert!(said.err.contains(remedy), "{said:?}");
    }
    for usage in [
        &["requeue", "--status", "done"] as &[&str],
        &["requeue", "--status", "failed", "--limit", "0"],
        &["quota", "show", "--day", "yesterday"],
        &["list-keys", "--tenant", "acme"],
        &["list-keys", "--output", "yaml"],
    ] {
        assert_eq!(admin(&database, usage).code, Some(2), "{usage:?}");
    }

    let empty = Database::empty().await;
    let sentence = admin(&empty, &["list-tenants"]).failure();
    assert!(sentence.contains("run `agentfs-server migrate`"), "{sentence}");
    assert!(agentfs(&["admin", "list-keys"], &[]).failure().contains("DATABASE_URL is not set"));
    let away = [("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/d")];
    let said = agentfs(&["admin", "list-keys"], &away);
    assert_eq!(said.code, Some(75), "the same may succeed later: {said:?}");
    assert!(said.err.contains("cannot be reached") && !said.err.contains("hunter2"), "{said:?}");
}
