//! Keys over their lives: who made them, when they end, and who may see and revoke them.

use agentfs_server::commands::migrate::migrate;
use agentfs_server::domain::access::api_key::{ApiKey, KeyId};
use agentfs_server::store::access::revoke::{self, Revocation};
use futures::future::join_all;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _};
use uuid::Uuid;

use crate::support::api::{Api, Client};
use crate::support::cli::{admin, admin_json};
use crate::support::database::Database;
use crate::support::eventually::eventually;

const TOKEN: &str = "a bootstrap token of enough letters";
const CREATE: &str = "/v1/admin/create-key";
const LIST: &str = "/v1/admin/list-keys";
const REVOKE: &str = "/v1/admin/revoke-key";

/// Changes what is stored, as if time had passed.
async fn execute(database: &Database, sql: String) {
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut database.connect().await).await;
    done.expect("it is done");
}

async fn number(database: &Database, sql: String) -> i64 {
    let mut connection = database.connect().await;
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await.expect("a number")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// An API, and the owner of an admin key of the default tenant.
async fn cluster(database: &Database) -> (Api, Client) {
    let settings = [("ADMIN_BOOTSTRAP_TOKEN", TOKEN)];
    let api = Api::start_with(database, &["admin"], &settings).await;
    let client = api.client.clone();
    (api, client)
}

/// Makes a key, as `maker`.
async fn made(maker: &Client, wanted: Value) -> Client {
    maker.with_key(text(&maker.ok(CREATE, wanted).await["api_key"]))
}

fn id(client: &Client) -> &str {
    client.key.split_once('.').unwrap().0
}

async fn status(client: &Client) -> u16 {
    client.post("/v1/get", json!({"agent_id": "ada", "path": "/x"})).await.0.as_u16()
}

async fn until_refused(client: &Client) {
    eventually("the key stops working", async || status(client).await, |status| *status == 401)
        .await;
}

/// The listed keys of a request, by id.
async fn listed(client: &Client, body: Value) -> Vec<Value> {
    client.pages(LIST, body, "keys").await.concat()
}

async fn row(client: &Client, key: &str) -> Value {
    let keys = listed(client, json!({})).await;
    keys.into_iter().find(|row| row["key_id"] == key).expect("it is listed")
}

#[tokio::test]
async fn keys_are_listed_without_their_secrets_and_revoked() {
    let database = Database::migrated().await;
    let (_api, cluster) = cluster(&database).await;
    let wanted = json!({"label": "ci", "scopes": ["memory:read"], "expires_in_seconds": 3600});
    let key = made(&cluster, wanted).await;
    let answer = cluster.ok(LIST, json!({})).await.to_string();
    for key in [&cluster.key, &key.key] {
        assert!(!answer.contains(key.split_once('.').unwrap().1), "{answer}");
    }
    let mut shown = row(&cluster, id(&key)).await;
    let created_at = shown["created_at"].take();
    let expires_at = shown["expires_at"].take();
    assert!(text(&created_at) < text(&expires_at), "{created_at} {expires_at}");
    let expected = json!({
        "key_id": id(&key), "tenant_id": Uuid::nil(), "label": "ci", "scopes": ["memory:read"], "state": "active",
        "created_at": null, "expires_at": null, "revoked_at": null, "created_by": id(&cluster), "managed_by": null,
    });
    assert_eq!(shown, expected);

    assert_eq!(status(&key).await, 200);
    let revoked = cluster.ok(REVOKE, json!({"key_id": id(&key)})).await;
    assert_eq!((&revoked["ok"], &revoked["already"]), (&json!(true), &json!(false)));
    let after = row(&cluster, id(&key)).await;
    assert_eq!((text(&after["state"]), &after["revoked_at"]), ("revoked", &revoked["revoked_at"]));
    until_refused(&key).await;
    let again = cluster.ok(REVOKE, json!({"key_id": id(&key)})).await;
    assert_eq!((&again["already"], &again["revoked_at"]), (&json!(true), &revoked["revoked_at"]));

    let unknown = json!({"key_id": "agfs_live_AAAAAAAAAAA"});
    assert_eq!(cluster.error(REVOKE, unknown).await.1, "NOT_FOUND");
    for wrong in [json!({"key_id": key.key}), json!({"key_id": "42"}), json!({})] {
        let (status, code, message) = cluster.error(REVOKE, wrong).await;
        assert_eq!((status, code.as_str()), (400, "VALIDATION_ERROR"), "{message}");
        assert!(!message.contains(key.key.split_once('.').unwrap().1), "{message}");
    }
}

#[tokio::test]
async fn lists_come_in_pages_that_join() {
    let database = Database::migrated().await;
    let (_api, cluster) = cluster(&database).await;
    let mut tenants = vec![json!(Uuid::nil())];
    for name in ["acme", "beech"] {
        let made = cluster.ok("/v1/admin/create-tenant", json!({"name": name})).await;
        for _ in 0..3 {
            cluster.ok(CREATE, json!({"tenant_id": made["tenant_id"]})).await;
        }
        tenants.push(made["tenant_id"].clone());
    }
    // Of one moment, as a restore or one statement makes them.
    database.execute("UPDATE api_keys SET created_at = '2026-01-28'").await;
    let pages = cluster.pages(LIST, json!({"limit": 2}), "keys").await;
    assert!(pages.iter().all(|page| page.len() <= 2), "{pages:?}");
    assert_eq!(pages.concat(), listed(&cluster, json!({})).await);
    assert_eq!(pages.concat().len(), 7);
    let of_one = json!({"tenant_id": tenants[1], "limit": 2});
    let pages = cluster.pages(LIST, of_one, "keys").await;
    assert_eq!((pages.len(), pages.concat().len()), (2, 3));
    assert!(pages.concat().iter().all(|key| key["tenant_id"] == tenants[1]), "{pages:?}");

    let listed = "/v1/admin/list-tenants";
    let pages = cluster.pages(listed, json!({"limit": 2}), "tenants").await;
    let found: Vec<Value> = pages.concat().iter().map(|row| row["tenant_id"].clone()).collect();
    assert_eq!((pages.len(), found), (2, tenants));
    for (route, field) in [(LIST, "keys"), (listed, "tenants"), ("/v1/admin/usage", "usage")] {
        for wrong in [json!({"limit": 0}), json!({"limit": 1001}), json!({"cursor": "%"})] {
            assert_eq!(cluster.error(route, wrong).await.1, "VALIDATION_ERROR", "{field}");
        }
    }
}

#[tokio::test]
async fn usage_is_shown_by_day_and_tenant() {
    let database = Database::migrated().await;
    let (_api, cluster) = cluster(&database).await;
    let route = "/v1/admin/usage";
    assert_eq!(cluster.ok(route, json!({})).await["usage"], json!([]));
    cluster.put("/a", json!("four")).await;
    let used = cluster.ok(route, json!({})).await;
    let own = &used["usage"][0];
    assert_eq!((&own["name"], &own["writes"]), (&json!("default"), &json!(1)), "{used}");
    let day = text(&used["day"]);
    assert_eq!(cluster.ok(route, json!({"day": day})).await, used);
    let before = json!({"day": "2020-02-29", "tenant_id": Uuid::nil()});
    assert_eq!(cluster.ok(route, before).await["usage"][0]["writes"], 0);
    for day in ["yesterday", "2020-02-30", "2020-02-29T00:00:00Z", "-9999-01-01", ""] {
        assert_eq!(cluster.error(route, json!({"day": day})).await.1, "VALIDATION_ERROR", "{day}");
    }
    let nobody = json!({"tenant_id": Uuid::new_v4()});
    assert_eq!(cluster.error(route, nobody).await.1, "TENANT_NOT_FOUND");
    let by_command = admin_json(&database, &["usage", "--day", day]);
    assert_eq!(by_command["usage"][0]["writes"], 1, "{by_command}");
}

#[tokio::test]
async fn an_administrator_of_a_tenant_sees_and_revokes_its_own_keys_alone() {
    let database = Database::migrated().await;
    let (_api, cluster) = cluster(&database).await;
    let tenant = cluster.ok("/v1/admin/create-tenant", json!({"name": "acme"})).await;
    let tenant = &tenant["tenant_id"];
    let acme = made(&cluster, json!({"tenant_id": tenant, "scopes": ["admin"]})).await;
    let own = made(&acme, json!({})).await;
    let foreign = made(&cluster, json!({})).await;
    let keys = listed(&acme, json!({})).await;
    let ids: Vec<&str> = keys.iter().map(|key| text(&key["key_id"])).collect();
    assert_eq!(ids, [id(&acme), id(&own)]);
    // Its maker is a key of another tenant.
    assert_eq!(keys[0]["created_by"], Value::Null);
    assert_eq!(keys[1]["created_by"], id(&acme));
    assert_eq!(row(&cluster, id(&acme)).await["created_by"], id(&cluster));
    let another = json!({"tenant_id": Uuid::nil()});
    for route in [LIST, "/v1/admin/usage"] {
        assert_eq!(acme.error(route, another.clone()).await.1, "FORBIDDEN", "{route}");
    }
    let tenants = acme.ok("/v1/admin/list-tenants", json!({})).await;
    assert_eq!(tenants["tenants"].as_array().unwrap().len(), 1);
    assert_eq!(&tenants["tenants"][0]["tenant_id"], tenant);
    assert_eq!(tenants["tenants"][0]["active_keys"], 2);

    let answers = join_all(["agfs_live_AAAAAAAAAAA", id(&foreign), id(&cluster)].map(|id| {
        let acme = &acme;
        async move {
            let body = json!({"key_id": id, "descendants": true});
            let (status, code, sentence) = acme.error(REVOKE, body).await;
            (status, code, sentence.replace(id, "<id>"))
        }
    }))
    .await;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!((answers[0].0, answers[0].1.as_str()), (404, "NOT_FOUND"));
    assert_eq!(row(&cluster, id(&foreign)).await["state"], "active");
    acme.ok(REVOKE, json!({"key_id": id(&own)})).await;

    let reader = made(&acme, json!({"scopes": ["memory:read"]})).await;
    for route in [LIST, REVOKE, "/v1/admin/list-tenants", "/v1/admin/usage"] {
        let body = json!({"key_id": id(&own)});
        assert_eq!(reader.error(route, body.clone()).await.1, "FORBIDDEN", "{route}");
        assert_eq!(cluster.with_key("").error(route, body).await.1, "UNAUTHORIZED", "{route}");
    }
}

#[tokio::test]
async fn no_key_outlives_its_maker() {
    let database = Database::migrated().await;
    let (_api, cluster) = cluster(&database).await;
    let maker = made(&cluster, json!({"scopes": ["admin"], "expires_in_seconds": 3600})).await;
    let ends = row(&cluster, id(&maker)).await["expires_at"].clone();
    let child = maker.ok(CREATE, json!({})).await;
    assert_eq!(child["expires_at"], ends, "it ends with its maker");
    let sooner = maker.ok(CREATE, json!({"expires_in_seconds": 60})).await;
    assert!(text(&sooner["expires_at"]) < text(&ends));
    let later = json!({"expires_in_seconds": 7200});
    let (status, code, sentence) = maker.error(CREATE, later).await;
    assert_eq!((status, code.as_str()), (400, "VALIDATION_ERROR"));
    assert!(sentence.contains("no key outlives its maker"), "{sentence}");
    assert!(sentence.contains(text(&ends)), "{sentence}");
    let token = cluster.with_key(TOKEN);
    for unbound in [&cluster, &token] {
        assert_eq!(unbound.ok(CREATE, json!({})).await["expires_at"], Value::Null);
    }

    // Its maker's end is that of a key without one of its own.
    let child = maker.with_key(text(&child["api_key"]));
    let over =
        "UPDATE api_keys SET expires_at = now() WHERE expires_at > now() + interval '30 minutes'";
    database.execute(over).await;
    until_refused(&maker).await;
    until_refused(&child).await;
}

#[tokio::test]
async fn a_revoked_or_expired_key_makes_no_other_though_it_is_remembered() {
    let database = Database::migrated().await;
    let (_api, cluster) = cluster(&database).await;
    for end in ["revoked_at", "expires_at"] {
        let maker = made(&cluster, json!({"scopes": ["admin"]})).await;
        assert_eq!(status(&maker).await, 200);
        let ended = format!("UPDATE api_keys SET {end} = now() WHERE id = '{}'", id(&maker));
        execute(&database, ended).await;
        assert_eq!(maker.error(CREATE, json!({})).await.1, "UNAUTHORIZED", "{end}");
    }
}

/// A key, one made with it, one made with that, and one made with the third: all admins.
async fn family(maker: &Client) -> Vec<Client> {
    let mut family = Vec::new();
    let mut maker = maker.clone();
    for _ in 0..4 {
        maker = made(&maker, json!({"scopes": ["admin"]})).await;
        family.push(maker.clone());
    }
    family
}

#[tokio::test]
async fn descendants_are_revoked_where_that_is_asked_for() {
    let database = Database::migrated().await;
    let (_api, cluster) = cluster(&database).await;
    let keys = family(&cluster).await;
    let state = async |key: &Client| text(&row(&cluster, id(key)).await["state"]).to_owned();

    let alone = cluster.ok(REVOKE, json!({"key_id": id(&keys[1])})).await;
    assert_eq!(alone["revoked_descendants"], 0);
    assert_eq!(alone["live_descendants"], 2);
    assert_eq!((state(&keys[2]).await, state(&keys[0]).await), ("active".into(), "active".into()));

    // Through one that is revoked already.
    let all = cluster.ok(REVOKE, json!({"key_id": id(&keys[0]), "descendants": true})).await;
    assert_eq!((&all["revoked_descendants"], &all["live_descendants"]), (&json!(2), &json!(0)));
    for key in &keys {
        assert_eq!(state(key).await, "revoked");
    }
    assert_eq!(state(&cluster).await, "active");
    until_refused(&keys[3]).await;

    let keys = family(&cluster).await;
    let said = admin(&database, &["revoke-key", id(&keys[0])]).text();
    assert!(
        said.contains("keys made with it that stay valid: 3 (--descendants revokes them)"),
        "{said}"
    );
    let said = admin(&database, &["revoke-key", id(&keys[0]), "--descendants"]).text();
    assert!(said.contains("keys made with it that are revoked too: 3"), "{said}");
}

#[tokio::test]
async fn no_key_revokes_itself_alone_or_as_a_descendant() {
    let database = Database::migrated().await;
    let (_api, cluster) = cluster(&database).await;
    let keys = family(&cluster).await;
    let (status, code, sentence) = keys[0].error(REVOKE, json!({"key_id": id(&keys[0])})).await;
    assert_eq!((status, code.as_str()), (400, "VALIDATION_ERROR"));
    assert!(sentence.contains("a key cannot revoke itself"), "{sentence}");

    // What a leaked key made goes, but not the one that puts an end to it.
    let others = json!({"key_id": id(&keys[0]), "descendants": true});
    let revoked = keys[1].ok(REVOKE, others).await;
    assert_eq!(revoked["revoked_descendants"], 2);
    assert_eq!(revoked["live_descendants"], 1);
    assert_eq!(row(&keys[1], id(&keys[1])).await["state"], "active");
}

#[tokio::test]
async fn keys_made_while_their_maker_is_revoked_are_revoked_too() {
    let database = Database::migrated().await;
    let (_api, cluster) = cluster(&database).await;
    for _ in 0..5 {
        let maker = made(&cluster, json!({"scopes": ["admin"]})).await;
        let body = json!({"key_id": id(&maker), "descendants": true});
        let making = join_all((0..8).map(|_| maker.post(CREATE, json!({}))));
        let (_, revoked) = tokio::join!(making, cluster.ok(REVOKE, body));
        assert_eq!(revoked["live_descendants"], 0);
        let left = format!(
            "SELECT count(*) FROM api_keys WHERE created_by = '{}' AND revoked_at IS NULL",
            id(&maker)
        );
        assert_eq!(number(&database, left).await, 0);
    }
}

#[tokio::test]
async fn revocations_within_a_family_wait_for_each_other() {
    let database = Database::migrated().await;
    let (_api, cluster) = cluster(&database).await;
    // The grandchild's id comes before its maker's.
    let keys = family(&cluster).await;
    let mut younger = [id(&keys[1]), id(&keys[2])];
    younger.sort_unstable();
    let [grandchild, child] = younger;
    let ancestor = id(&keys[0]);
    for (key, maker) in [(child, ancestor), (grandchild, child)] {
        let made = format!("UPDATE api_keys SET created_by = '{maker}' WHERE id = '{key}'");
        execute(&database, made).await;
    }
    let mut locker = database.connect().await;
    let mut lock = locker.begin().await.unwrap();
    let held = "SELECT FROM api_keys WHERE id = $1 FOR UPDATE";
    sqlx::query(held).bind(grandchild).execute(&mut *lock).await.unwrap();
    let revoke = async |key: &str| {
        let wanted = Revocation {
            key: KeyId::parse(key).unwrap(),
            descendants: true,
            within: None,
            by: None,
        };
        revoke::revoke(&mut database.connect().await, &wanted).await
    };
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let of_child = async {
        database.until(waiting, 1).await;
        revoke(child).await
    };
    let release = async {
        database.until(waiting, 2).await;
        lock.rollback().await.unwrap();
    };
    let (first, second, ()) = tokio::join!(revoke(ancestor), of_child, release);
    let (first, second) = (first.unwrap().unwrap(), second.unwrap().unwrap());
    assert_eq!((first.descendants.len(), first.live_descendants), (3, 0));
    assert!(second.already, "the other one came first");
    assert_eq!((second.descendants.len(), second.live_descendants), (0, 0));
}

/// Makes `key` the deployment's admin key, as the migration of a rollout does.
async fn rotate_to(database: &Database, key: &ApiKey) {
    migrate(&database.address(), Some(&key.reveal())).await.expect("it is kept");
}

#[tokio::test]
async fn rotating_the_deployments_key_ends_that_one_key_and_no_other() {
    let database = Database::migrated().await;
    let (api, user) = cluster(&database).await;
    let [first, second] = [ApiKey::generate(), ApiKey::generate()];
    rotate_to(&database, &first).await;
    let client = |key: &ApiKey| api.client.with_key(key.reveal().expose_secret());
    let others = [
        user.clone(),
        made(&client(&first), json!({"scopes": ["admin"]})).await,
        made(&user, json!({})).await,
        made(&user.with_key(TOKEN), json!({})).await,
    ];
    let of_first = row(&user, id(&others[1])).await;
    assert_eq!(of_first["created_by"], Value::Null, "a deployment's key is nobody's maker");

    rotate_to(&database, &second).await;
    assert_eq!(status(&client(&second)).await, 200, "the new one works at once");
    assert_eq!(status(&client(&first)).await, 200, "the earlier one a little longer");
    let ends = format!(
        "SELECT count(*) FROM api_keys WHERE id = '{}' AND revoked_at IS NULL
            AND expires_at BETWEEN now() + interval '1 second' AND now() + interval '1 minute'",
        first.id().as_str()
    );
    assert_eq!(number(&database, ends).await, 1);
    // The minute is over.
    let over = format!(
        "UPDATE api_keys SET expires_at = expires_at - interval '1 minute' WHERE id = '{}'",
        first.id().as_str()
    );
    execute(&database, over).await;
    until_refused(&client(&first)).await;
    for other in &others {
        assert_eq!(status(other).await, 200);
        let shown = row(&user, id(other)).await;
        assert_eq!((text(&shown["state"]), &shown["expires_at"]), ("active", &Value::Null));
    }
    assert_eq!(status(&client(&second)).await, 200);
}

#[tokio::test]
async fn who_rotates_twice_within_the_minute_prolongs_nothing_and_may_go_back() {
    let database = Database::migrated().await;
    let keys = [ApiKey::generate(), ApiKey::generate(), ApiKey::generate()];
    let ends = async |key: &ApiKey| {
        let ends = format!(
            "SELECT coalesce(extract(epoch FROM expires_at) * 1000000, 0)::bigint FROM api_keys WHERE id = '{}'",
            key.id().as_str()
        );
        number(&database, ends).await
    };
    for key in &keys[..2] {
        rotate_to(&database, key).await;
    }
    let first = ends(&keys[0]).await;
    assert!(first > 0);
    rotate_to(&database, &keys[2]).await;
    rotate_to(&database, &keys[2]).await;
    assert_eq!(ends(&keys[0]).await, first, "its minute is not prolonged");
    let second = ends(&keys[1]).await;
    assert!(second > first, "each has a minute of its own");
    assert_eq!(ends(&keys[2]).await, 0);
    rotate_to(&database, &keys[1]).await;
    assert_eq!(ends(&keys[1]).await, 0, "it is valid again");
    assert!(ends(&keys[2]).await > second);
}
