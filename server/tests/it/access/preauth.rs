//! Requests without a valid key.

use agentfs_server::domain::access::api_key::ApiKey;
use reqwest::RequestBuilder;
use reqwest::header::HeaderMap;
use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::support::api::{Api, Client, new_key};
use crate::support::database::Database;
use crate::support::eventually::eventually;
use crate::support::minute::early_in_the_minute;
use crate::support::process::{Process, free_port};

const PROXY: (&str, &str) = ("TRUST_PROXY", "127.0.0.0/8");

/// What a request was told; the code is empty where it succeeded.
struct Told {
    status: u16,
    code: String,
    headers: HeaderMap,
}

impl Told {
    async fn of(request: RequestBuilder) -> Self {
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body: Value = answer.json().await.unwrap();
        let code = body["error"]["code"].as_str().unwrap_or_default().to_owned();
        Self { status, code, headers }
    }

    fn is(&self, status: u16, code: &str) -> bool {
        (self.status, self.code.as_str()) == (status, code)
    }

    fn number(&self, header: &str) -> u32 {
        self.headers[header].to_str().unwrap().parse().unwrap()
    }
}

/// A get that says to come from `address`.
async fn get_from(client: &Client, address: &str) -> Told {
    let request = client.request("/v1/get", r#"{"agent_id":"ada","path":"/x"}"#);
    Told::of(request.header("x-forwarded-for", address)).await
}

fn stranger() -> String {
    ApiKey::generate().reveal().expose_secret().to_owned()
}

#[tokio::test]
async fn failures_are_limited_a_client_and_valid_keys_pass() {
    let database = Database::migrated().await;
    let limit = ("PREAUTH_RATE_LIMIT_PER_MINUTE", "5");
    let api = Api::start_with(&database, &[], &[limit, PROXY]).await;
    early_in_the_minute().await;
    for left in (0..5).rev() {
        let key = if left % 2 == 0 { stranger() } else { "nonsense".to_owned() };
        let told = get_from(&api.client.with_key(&key), "192.0.2.1").await;
        assert!(told.is(401, "UNAUTHORIZED"), "{}", told.code);
        assert_eq!(told.number("x-preauth-ratelimit-limit"), 5);
        assert_eq!(told.number("x-preauth-ratelimit-remaining"), left);
        assert!((1..=60).contains(&told.number("x-preauth-ratelimit-reset")));
    }
    for address in ["192.0.2.1", "6.6.6.6, 192.0.2.1"] {
        let told = get_from(&api.client.with_key(&stranger()), address).await;
        assert!(told.is(429, "PREAUTH_RATE_LIMIT_EXCEEDED"), "{}", told.code);
        assert_eq!(told.number("x-preauth-ratelimit-remaining"), 0);
        assert!((1..=60).contains(&told.number("retry-after")));
    }
    let told = get_from(&api.client, "192.0.2.1").await;
    assert!(told.is(200, ""), "clients behind one proxy do not stop each other: {}", told.code);
    assert!(!told.headers.contains_key("x-preauth-ratelimit-limit"));
    // Also one that must be looked up first.
    let fresh = api.client.with_key(&new_key(&database, &[]).await);
    assert!(get_from(&fresh, "192.0.2.1").await.is(200, ""));
    assert!(get_from(&api.client.with_key(&stranger()), "192.0.2.2").await.is(401, "UNAUTHORIZED"));
}

#[tokio::test]
async fn whoever_is_no_trusted_proxy_is_not_believed() {
    let database = Database::migrated().await;
    let limit = ("PREAUTH_RATE_LIMIT_PER_MINUTE", "2");
    let api = Api::start_with(&database, &[], &[limit, ("TRUST_PROXY", "10.0.0.0/8")]).await;
    early_in_the_minute().await;
    let nobody = api.client.with_key("nonsense");
    for address in ["192.0.2.1", "192.0.2.2"] {
        assert!(get_from(&nobody, address).await.is(401, "UNAUTHORIZED"));
    }
    assert!(get_from(&nobody, "192.0.2.3").await.is(429, "PREAUTH_RATE_LIMIT_EXCEEDED"));
}

#[tokio::test]
async fn guessers_at_one_key_are_locked_out_and_its_owner_is_not() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &[], &[PROXY]).await;
    let (id, _) = api.client.key.split_once('.').unwrap();
    let guess = || {
        let (_, secret) =
            stranger().split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        api.client.with_key(&format!("{id}.{secret}"))
    };
    for n in 0..10 {
        let told = get_from(&guess(), "2001:db8::1").await;
        assert!(told.is(401, "UNAUTHORIZED"), "guess {n}: {}", told.code);
    }
    // The whole /64 is one client.
    let told = get_from(&guess(), "2001:db8::2").await;
    assert!(told.is(429, "AUTH_LOCKOUT"), "{}", told.code);
    assert!((1..=60).contains(&told.number("retry-after")));
    assert!(get_from(&guess(), "2001:db8:0:1::1").await.is(401, "UNAUTHORIZED"), "elsewhere");
    assert!(get_from(&api.client, "192.0.2.1").await.is(200, ""), "the right key elsewhere");
    assert!(get_from(&api.client, "2001:db8::1").await.is(200, ""), "the right key here");
    assert!(get_from(&guess(), "2001:db8::1").await.is(429, "AUTH_LOCKOUT"), "changes nothing");
    // Keys that do not exist can be guessed at for ever.
    let unknown = api.client.with_key(&stranger());
    for _ in 0..12 {
        assert!(get_from(&unknown, "2001:db8:0:2::1").await.is(401, "UNAUTHORIZED"));
    }
}

#[tokio::test]
async fn a_client_over_its_limit_cannot_take_all_connections_with_made_up_keys() {
    let database = Database::migrated().await;
    let limit = ("PREAUTH_RATE_LIMIT_PER_MINUTE", "1");
    let api = Api::start_with(&database, &[], &[limit]).await;
    early_in_the_minute().await;
    let nonsense = api.client.with_key("nonsense");
    assert!(get_from(&nonsense, "").await.is(401, "UNAUTHORIZED"));
    let mut holder = database.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE api_keys").execute(&mut holder).await.unwrap();
    let made_up = (0..10).map(|_| api.client.with_key(&stranger()));
    let asked: Vec<_> = made_up
        .map(|client| tokio::spawn(async move { get_from(&client, "").await.status }))
        .collect();
    let mut most = 0;
    // The lock makes look-ups fail after a second; until the last has, there is never more than one.
    let looking = "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%JOIN api_keys k%'";
    let open = async || {
        most = most.max(database.number(looking).await);
        asked.iter().filter(|asked| !asked.is_finished()).count()
    };
    eventually("half of them have failed", open, |open| *open <= 5).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    assert_eq!(most, 1);
    for asked in asked {
        assert!([429, 503].contains(&asked.await.unwrap()));
    }
}

const BOOTSTRAP: &str = "first light of a day on which keys begin";
const METRICS: &str = "m3trics, for whom it may concern: nobody";

/// Settings of a server with both tokens.
fn tokens() -> [(&'static str, &'static str); 3] {
    [PROXY, ("METRICS_TOKEN", METRICS), ("ADMIN_BOOTSTRAP_TOKEN", BOOTSTRAP)]
}

/// Asks for the metrics from `address`.
async fn metrics(client: &Client, token: &str, address: &str) -> Told {
    let request = client.http.get(format!("{}/metrics", client.url)).bearer_auth(token);
    let answer = request.header("x-forwarded-for", address).send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default();
    let code = body["error"]["code"].as_str().unwrap_or_default().to_owned();
    Told { status, code, headers }
}

/// Makes a key from `address` with the bootstrap token, as the bearer and in the body.
async fn make_key(client: &Client, token: &str, address: &str) -> [Told; 2] {
    let from = |request: RequestBuilder| Told::of(request.header("x-forwarded-for", address));
    let bearer = from(client.with_key(token).request("/v1/admin/create-key", "{}")).await;
    let body = serde_json::json!({"token": token}).to_string();
    [bearer, from(client.request("/v1/admin/create-key", &body)).await]
}

#[tokio::test]
async fn once_the_failures_are_used_up_no_token_is_tried_and_keys_go_on() {
    let database = Database::migrated().await;
    let mut settings = tokens().to_vec();
    settings.push(("PREAUTH_RATE_LIMIT_PER_MINUTE", "3"));
    let api = Api::start_with(&database, &["admin"], &settings).await;
    let client = &api.client;
    early_in_the_minute().await;
    assert!(metrics(client, "guess", "192.0.2.1").await.is(401, "UNAUTHORIZED"));
    for told in make_key(client, "second light", "192.0.2.1").await {
        assert!(told.is(401, "UNAUTHORIZED"), "{}", told.code);
    }
    // The right ones, which nobody could tell from wrong ones any more.
    let told = metrics(client, METRICS, "192.0.2.1").await;
    assert!(told.is(429, "PREAUTH_RATE_LIMIT_EXCEEDED"), "{}", told.code);
    assert!((1..=60).contains(&told.number("retry-after")));
    for told in make_key(client, BOOTSTRAP, "192.0.2.1").await {
        assert!(told.is(429, "PREAUTH_RATE_LIMIT_EXCEEDED"), "{}", told.code);
    }
    let key = client.request("/v1/admin/create-key", "{}").header("x-forwarded-for", "192.0.2.1");
    assert!(Told::of(key).await.is(200, ""), "a key is never refused for this");
    // Elsewhere they are tried.
    assert!(metrics(client, METRICS, "192.0.2.2").await.is(200, ""));
    for told in make_key(client, BOOTSTRAP, "192.0.2.2").await {
        assert!(told.is(200, ""), "{}", told.code);
    }
}

#[tokio::test]
async fn guessers_at_a_token_are_locked_out_of_it() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &["admin"], &tokens()).await;
    let client = &api.client;
    for n in 0..10 {
        let told = metrics(client, "guess", "192.0.2.1").await;
        assert!(told.is(401, "UNAUTHORIZED"), "guess {n}: {}", told.code);
    }
    for token in ["guess", METRICS] {
        let told = metrics(client, token, "192.0.2.1").await;
        assert!(told.is(429, "AUTH_LOCKOUT"), "{}", told.code);
        assert!((1..=60).contains(&told.number("retry-after")));
    }
    assert!(metrics(client, METRICS, "192.0.2.2").await.is(200, ""), "elsewhere");
    for _ in 0..5 {
        for told in make_key(client, "second light", "192.0.2.1").await {
            assert!(told.is(401, "UNAUTHORIZED"), "another token: {}", told.code);
        }
    }
    for told in make_key(client, BOOTSTRAP, "192.0.2.1").await {
        assert!(told.is(429, "AUTH_LOCKOUT"), "{}", told.code);
    }
    let key = client.request("/v1/admin/create-key", "{}").header("x-forwarded-for", "192.0.2.1");
    assert!(Told::of(key).await.is(200, ""), "a key is never refused for this");
}

#[tokio::test]
async fn guessers_at_a_workers_token_are_locked_out_as_well() {
    let database = Database::migrated().await;
    let settings = [("DATABASE_URL", database.url.as_str()), ("METRICS_TOKEN", METRICS), PROXY];
    let worker = Process::start_command("worker", free_port(), &settings);
    worker.wait_until_ready().await;
    let client = Client::new(worker.operations_url(), String::new());
    for _ in 0..10 {
        assert!(metrics(&client, "guess", "192.0.2.1").await.is(401, "UNAUTHORIZED"));
    }
    assert!(metrics(&client, METRICS, "192.0.2.1").await.is(429, "AUTH_LOCKOUT"));
    assert!(metrics(&client, METRICS, "192.0.2.2").await.is(200, ""));
}
