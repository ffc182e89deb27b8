//! Requests a minute, of a key and of a tenant.

use agentfs_server::access::rate_limit::RateLimiter;
use agentfs_server::access::rate_limit::Refused;
use agentfs_server::domain::access::api_key::ApiKey;
use agentfs_server::domain::access::rate_limit::Limited;
use agentfs_server::domain::access::rate_limit::PerMinute;
use agentfs_server::domain::access::rate_limit::RateLimits;
use agentfs_server::domain::access::rate_limit::TenantLimits;
use agentfs_server::domain::access::rate_limit::Whose;
use agentfs_server::domain::{DEFAULT_TENANT, TenantId};
use agentfs_server::group_commit::BatchError;
use agentfs_server::group_commit::leases;
use agentfs_server::group_commit::queue::Queue;
use agentfs_server::runtime::metrics::Metrics;
use agentfs_server::store::connection::address::DatabaseAddress;
use agentfs_server::store::connection::address::Link;
use futures::future::join_all;
use reqwest::Response;
use serde_json::json;

use crate::support::api::{Api, Client, new_key};
use crate::support::database::Database;
use crate::support::minute::early_in_the_minute;

pub fn number(response: &Response, header: &str) -> u32 {
    response.headers()[header].to_str().unwrap().parse().unwrap()
}

async fn get(client: &Client) -> Response {
    client.request("/v1/get", r#"{"agent_id":"ada","path":"/x"}"#).send().await.unwrap()
}

fn limit(requests: &str) -> [(&'static str, &str); 1] {
    [("RATE_LIMIT_REQUESTS_PER_MINUTE", requests)]
}

#[tokio::test]
async fn one_replica_gives_exactly_the_limit() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &["memory:read"], &limit("35")).await;
    early_in_the_minute().await;
    for n in 0..35 {
        // Errors count, and carry the headers as well.
        let answer = match n % 3 {
            0 => get(&api.client).await,
            1 => api.client.request("/v1/get", "{").send().await.unwrap(),
            _ => api.client.request("/v1/put", "{}").send().await.unwrap(),
        };
        assert_eq!(answer.status().as_u16(), [200, 400, 403][n % 3]);
        assert_eq!(number(&answer, "x-ratelimit-limit"), 35);
        assert_eq!(number(&answer, "x-ratelimit-remaining") as usize, 34 - n);
        assert!((1..=60).contains(&number(&answer, "x-ratelimit-reset")));
        assert!(!answer.headers().contains_key("x-preauth-ratelimit-limit"));
    }
    let refused = get(&api.client).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(number(&refused, "x-ratelimit-remaining"), 0);
    assert_eq!(number(&refused, "retry-after"), number(&refused, "x-ratelimit-reset"));
    let (_, code, message) =
        api.client.error("/v1/get", json!({"agent_id": "ada", "path": "/x"})).await;
    assert_eq!(code, "RATE_LIMIT_EXCEEDED");
    assert!(message.contains("35 requests"), "{message}");
    let other = api.client.with_key(&new_key(&database, &[]).await);
    assert_eq!(get(&other).await.status(), 200, "another key has a limit of its own");
    // A minute later; the database decides which minute it is.
    database.execute("UPDATE rate_limits SET minute = minute - 1").await;
    let later = api.replica(&database, &limit("35")).await;
    assert_eq!(get(&later.client).await.status(), 200);
}

#[tokio::test]
async fn three_replicas_give_the_limit_within_lease_times_replicas() {
    const LIMIT: usize = 100;
    const LEASE: usize = LIMIT / 10;
    let database = Database::migrated().await;
    let first = Api::start_with(&database, &[], &limit("100")).await;
    let second = first.replica(&database, &limit("100")).await;
    let third = first.replica(&database, &limit("100")).await;
    let replicas = [&first.client, &second.client, &third.client];
    early_in_the_minute().await;
    let asked = (0..300).map(|n| get(replicas[n % 3]));
    let statuses: Vec<u16> =
        join_all(asked).await.iter().map(|answer| answer.status().as_u16()).collect();
    let let_through = statuses.iter().filter(|status| **status == 200).count();
    assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
    assert!((LIMIT - 2 * LEASE..=LIMIT).contains(&let_through), "{let_through}");
}

#[tokio::test]
async fn no_limit_leaves_no_trace() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &[], &limit("0")).await;
    let answer = get(&api.client).await;
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().keys().all(|name| !name.as_str().contains("ratelimit")));
    assert_eq!(database.number("SELECT count(*) FROM rate_limits").await, 0);
}

/// A limiter of keys as a replica has it, and what it counts.
fn limiter(address: DatabaseAddress, limited: Limited, limit: u32) -> (RateLimiter, Metrics) {
    let of_key = PerMinute::new(limit);
    limiter_of(address, limited, RateLimits { of_key, of_tenants: TenantLimits::all(None) })
}

fn limiter_of(
    address: DatabaseAddress,
    limited: Limited,
    limits: RateLimits,
) -> (RateLimiter, Metrics) {
    let metrics = Metrics::new().unwrap();
    let counted = metrics.clone();
    let queue = Queue::start("leases", 1, leases::BOUNDS, move || {
        leases::Leaser::new(Link::new(address.clone()), counted.clone())
    });
    (RateLimiter::new(limited, limits, queue).unwrap(), metrics)
}

#[tokio::test]
async fn requests_that_come_at_once_share_a_lease() {
    let database = Database::migrated().await;
    let key = *ApiKey::generate().id();
    let (limiter, metrics) = limiter(database.address(), Limited::Requests, 500);
    early_in_the_minute().await;
    // More than a share, which is 50.
    for admitted in join_all((0..200).map(|_| limiter.admit(DEFAULT_TENANT, key))).await {
        admitted.unwrap();
    }
    let text = metrics.render().unwrap();
    let (_, statements) = text.split_once("agentfs_batch_rows_count{queue=\"leases\"} ").unwrap();
    let statements: u32 = statements.lines().next().unwrap().parse().unwrap();
    // Each brings a share, or as many as wait.
    assert!(statements <= 5, "{statements} statements for 200 requests");
    let leased = database.number("SELECT leased FROM rate_limits").await;
    assert!((200..=250).contains(&leased), "{leased} leased for 200 requests");
}

#[tokio::test]
async fn searches_have_a_limit_of_their_own() {
    let database = Database::migrated().await;
    let key = *ApiKey::generate().id();
    let (searches, _) = limiter(database.address(), Limited::Searches, 2);
    let (requests, _) = limiter(database.address(), Limited::Requests, 2);
    early_in_the_minute().await;
    for left in [1, 0] {
        assert_eq!(searches.admit(DEFAULT_TENANT, key).await.unwrap().unwrap().remaining, left);
    }
    assert!(matches!(
        searches.admit(DEFAULT_TENANT, key).await,
        Err(Refused::UsedUp(Whose::Key, _))
    ));
    assert_eq!(requests.admit(DEFAULT_TENANT, key).await.unwrap().unwrap().remaining, 1);
}

#[tokio::test]
async fn without_a_database_nobody_is_let_through_or_kept_waiting() {
    let nowhere =
        DatabaseAddress::parse(&"postgres://u:p@127.0.0.1:1/d".to_owned().into()).unwrap();
    let (limiter, _) = limiter(nowhere, Limited::Requests, 100);
    for admitted in
        join_all((0..50).map(|_| limiter.admit(DEFAULT_TENANT, *ApiKey::generate().id()))).await
    {
        let unavailable = Refused::Unknown(BatchError::Unavailable { unknown: false });
        assert_eq!(admitted.unwrap_err().to_string(), unavailable.to_string());
    }
}

#[tokio::test]
async fn where_limits_cannot_be_leased_each_process_gives_the_whole_limit_and_no_more() {
    let database = Database::migrated().await;
    database.set_read_only(true).await;
    early_in_the_minute().await;
    let key = *ApiKey::generate().id();
    for _ in 0..2 {
        let (limiter, _) = limiter(database.address(), Limited::Requests, 25);
        for left in (0..25).rev() {
            assert_eq!(limiter.admit(DEFAULT_TENANT, key).await.unwrap().unwrap().remaining, left);
        }
        assert!(matches!(
            limiter.admit(DEFAULT_TENANT, key).await,
            Err(Refused::UsedUp(Whose::Key, _))
        ));
    }
}

#[tokio::test]
async fn a_tenant_multiplies_its_limit_by_no_number_of_keys() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &["admin"], &limit("10")).await;
    let of_all = api.client.clone();
    let tenant = of_all.ok("/v1/admin/create-tenant", json!({"name": "acme"})).await;
    let wanted = json!({"tenant_id": tenant["tenant_id"], "scopes": ["admin"]});
    let admin = of_all.ok("/v1/admin/create-key", wanted).await;
    let admin = of_all.with_key(admin["api_key"].as_str().unwrap());
    early_in_the_minute().await;
    let mut keys = Vec::new();
    for _ in 0..9 {
        let made = admin.ok("/v1/admin/create-key", json!({})).await;
        keys.push(admin.with_key(made["api_key"].as_str().unwrap()));
    }
    let mut through = 9;
    let mut refusals = Vec::new();
    for key in &keys {
        for _ in 0..10 {
            let answer = get(key).await;
            if answer.status() == 200 {
                through += 1;
            } else {
                refusals.push(answer);
            }
        }
    }
    assert_eq!(through, 80, "as much as eight keys may use, the admin's requests among them");
    let refused = refusals.pop().unwrap();
    assert_eq!(refused.status(), 429);
    assert_eq!(
        (number(&refused, "x-ratelimit-limit"), number(&refused, "x-ratelimit-remaining")),
        (80, 0)
    );
    let told = refused.text().await.unwrap();
    assert!(told.contains("this tenant has used up its 80 requests of this minute"), "{told}");
    assert!(told.contains("TENANT_RATE_LIMIT_REQUESTS_PER_MINUTE"), "{told}");
    let other = of_all.with_key(&new_key(&database, &[]).await);
    assert_eq!(get(&other).await.status(), 200, "the default tenant has no such limit by default");
}

#[tokio::test]
async fn what_one_limit_refuses_takes_no_token_of_the_other() {
    let database = Database::migrated().await;
    let (of_key, of_tenant) = (PerMinute::new(3), PerMinute::new(5));
    let limits = RateLimits { of_key, of_tenants: TenantLimits::all(of_tenant) };
    let (limiter, metrics) = limiter_of(database.address(), Limited::Requests, limits);
    let tenant = TenantId(uuid::Uuid::new_v4());
    let [first, second, third] = [(); 3].map(|()| *ApiKey::generate().id());
    early_in_the_minute().await;
    let left = async |key| match limiter.admit(tenant, key).await {
        Ok(status) => Ok(status.unwrap().remaining),
        Err(Refused::UsedUp(whose, _)) => Err(whose),
        Err(Refused::Unknown(error)) => panic!("{error}"),
    };
    assert_eq!(left(first).await, Ok(2));
    let text = metrics.render().unwrap();
    assert!(
        text.contains("agentfs_batch_rows_count{queue=\"leases\"} 1"),
        "one round trip: {text}"
    );
    assert_eq!([left(first).await, left(first).await], [Ok(1), Ok(0)]);
    assert_eq!([left(first).await, left(first).await], [Err(Whose::Key); 2]);
    assert_eq!(left(second).await, Ok(1), "the stricter one is told: the tenant has one left");
    assert_eq!(left(second).await, Ok(0));
    assert_eq!([left(second).await, left(third).await], [Err(Whose::Tenant); 2]);
    let other = TenantId(uuid::Uuid::new_v4());
    assert!(limiter.admit(other, *ApiKey::generate().id()).await.is_ok());
}
