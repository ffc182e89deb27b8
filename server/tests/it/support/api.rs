//! A running API and a client of it.

use std::collections::HashMap;
use std::time::Duration;

use agentfs_server::commands::admin;
use agentfs_server::commands::admin::CreateKey;
use agentfs_server::commands::serve::serve;
use agentfs_server::listen::Limits;
use agentfs_server::settings::Settings;
use reqwest::{RequestBuilder, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::database::Database;
use super::eventually::eventually;

/// An API in this process, ended when dropped.
pub struct Api {
    pub client: Client,
    task: JoinHandle<()>,
    /// The end is announced by dropping it.
    end: Option<oneshot::Sender<()>>,
}

/// What the process may use; the tests' own limits are of no test.
const MEMORY: u64 = 4 << 30;

/// Nothing that is limited a day or a minute is limited, unless a test says so.
pub const UNLIMITED: [(&str, &str); 4] = [
    ("WRITE_QUOTA_PER_DAY", "0"),
    ("RATE_LIMIT_REQUESTS_PER_MINUTE", "0"),
    ("SEARCH_RATE_LIMIT_PER_MINUTE", "0"),
    ("PREAUTH_RATE_LIMIT_PER_MINUTE", "0"),
];

impl Drop for Api {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Api {
    /// On `database`, with a key of the default tenant that has `scopes`, and more settings.
    pub async fn start_with(
        database: &Database,
        scopes: &[&str],
        settings: &[(&str, &str)],
    ) -> Self {
        let client = Client::new(String::new(), new_key(database, scopes).await);
        Self::serve(database, client, settings).await
    }

    async fn serve(database: &Database, client: Client, settings: &[(&str, &str)]) -> Self {
        Self::serve_within(database, client, settings, |_| {}).await
    }

    async fn serve_within(
        database: &Database,
        client: Client,
        settings: &[(&str, &str)],
        limit: impl FnOnce(&mut Limits),
    ) -> Self {
        let mut variables: HashMap<&str, &str> = UNLIMITED.into();
        variables.insert("DATABASE_URL", &database.url);
        variables.extend(settings.iter().copied());
        let settings = Settings::read(|name| variables.get(name).map(ToString::to_string), MEMORY);
        let mut settings = settings.expect("settings");
        limit(&mut settings.connections.limits);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (end, ended) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let shutdown = async move { ended.await.unwrap_or_default() };
            Box::pin(serve(settings, listener, shutdown)).await.expect("serves");
        });
        Self { client: Client { url, ..client }, task, end: Some(end) }
    }

    /// With limits of connections that no setting gives, for those who wait for them.
    pub async fn start_within(database: &Database, limit: impl FnOnce(&mut Limits)) -> Self {
        Self::start_within_with(database, &[], limit).await
    }

    /// The same with more settings.
    pub async fn start_within_with(
        database: &Database,
        settings: &[(&str, &str)],
        limit: impl FnOnce(&mut Limits),
    ) -> Self {
        let client = Client::new(String::new(), new_key(database, &[]).await);
        let api = Self::serve_within(database, client, settings, limit).await;
        api.until_served().await;
        api
    }

    /// Waits until a first request is served, and its key remembered: a busy machine may take longer to connect to the
    /// database than a request waits for that.
    pub async fn until_served(&self) {
        let get =
            async || self.client.post("/v1/get", json!({"agent_id": "ada", "path": "/none"})).await;
        eventually("a request is served", get, |(status, _)| *status == 200).await;
    }

    /// Waits until a number of /metrics is as wanted; one that is not there yet is 0.
    pub async fn until_metric(&self, series: &str, wanted: impl Fn(f64) -> bool) {
        let number = async || {
            let text = self.metrics().await;
            let number = text.lines().find_map(|l| l.strip_prefix(series)?.strip_prefix(' '));
            number.map_or(0.0, |number| number.parse().expect("a number"))
        };
        eventually(series, number, |number| wanted(*number)).await;
    }

    /// What /metrics says.
    pub async fn metrics(&self) -> String {
        let asked = self.client.http.get(format!("{}/metrics", self.client.url)).send().await;
        asked.expect("an answer").text().await.expect("text")
    }

    /// Announces the end, as SIGTERM does.
    pub fn announce_end(&mut self) {
        self.end.take();
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) {
        (&mut self.task).await.expect("no panic");
    }

    /// On a new database, with a key that may read and write.
    pub async fn start() -> (Self, Database) {
        let database = Database::migrated().await;
        (Self::start_with(&database, &[], &[]).await, database)
    }

    /// Another process' worth of API on the same database, with the same key.
    pub async fn replica(&self, database: &Database, settings: &[(&str, &str)]) -> Self {
        Self::serve(database, self.client.clone(), settings).await
    }
}

/// A new key of the default tenant that has `scopes`.
pub async fn new_key(database: &Database, scopes: &[&str]) -> String {
    key_of(database, None, scopes).await
}

/// A new key of a new tenant.
pub async fn tenants_key(database: &Database) -> String {
    let tenant = Uuid::new_v4();
    sqlx::query("INSERT INTO tenants (id, name) VALUES ($1, 'another')")
        .bind(tenant)
        .execute(&mut database.connect().await)
        .await
        .expect("a tenant");
    key_of(database, Some(tenant), &[]).await
}

async fn key_of(database: &Database, tenant: Option<Uuid>, scopes: &[&str]) -> String {
    let wanted = CreateKey {
        label: "test".into(),
        tenant,
        scopes: scopes.iter().map(|s| (*s).to_owned()).collect(),
        expires_in_seconds: None,
    };
    let key = admin::create_key(&database.address(), &wanted).await.expect("a key");
    key.reveal().expose_secret().to_owned()
}

fn http() -> reqwest::Client {
    // Nothing takes so long but what hangs.
    let patience = Duration::from_mins(1);
    reqwest::Client::builder().no_proxy().timeout(patience).build().expect("a client")
}

/// Speaks to an API as an agent does.
#[derive(Clone)]
pub struct Client {
    pub url: String,
    pub key: String,
    pub http: reqwest::Client,
}

impl Client {
    pub fn new(url: String, key: String) -> Self {
        Self { url, key, http: http() }
    }

    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// With a new connection for each request.
    pub fn unpooled(&self) -> Self {
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0);
        Self { http: http.build().expect("a client"), ..self.clone() }
    }

    pub fn request(&self, route: &str, body: &str) -> RequestBuilder {
        self.http
            .post(format!("{}{route}", self.url))
            .bearer_auth(&self.key)
            .header("content-type", "application/json")
            .body(body.to_owned())
    }

    /// Status and body of a request; an error when there was no answer.
    pub async fn try_post(&self, route: &str, body: Value) -> reqwest::Result<(StatusCode, Value)> {
        let response = self.request(route, &body.to_string()).send().await?;
        Ok((response.status(), response.json().await?))
    }

    pub async fn post(&self, route: &str, body: Value) -> (StatusCode, Value) {
        self.try_post(route, body).await.expect("an answer")
    }

    /// Status and body of a request with an Idempotency-Key.
    pub async fn post_once(&self, key: &str, route: &str, body: Value) -> (StatusCode, Value) {
        let request = self.request(route, &body.to_string()).header("idempotency-key", key);
        let response = request.send().await.expect("an answer");
        (response.status(), response.json().await.expect("JSON"))
    }

    /// The body of a request that must succeed.
    pub async fn ok(&self, route: &str, body: Value) -> Value {
        let (status, answer) = self.post(route, body).await;
        assert_eq!(status, StatusCode::OK, "{route}: {answer}");
        answer
    }

    /// Status and code of a request that must fail, and the error's sentence.
    pub async fn error(&self, route: &str, body: Value) -> (u16, String, String) {
        let (status, answer) = self.post(route, body).await;
        let text =
            |field: &str| answer["error"][field].as_str().expect("an error envelope").to_owned();
        assert!(!text("request_id").is_empty());
        (status.as_u16(), text("code"), text("message"))
    }

    /// All items of a route that answers in pages: those of the list `field`, page by page.
    pub async fn pages(&self, route: &str, body: Value, field: &str) -> Vec<Vec<Value>> {
        let mut pages = Vec::new();
        let mut body = body;
        loop {
            let page = self.ok(route, body.clone()).await;
            assert!(pages.len() < 10_000, "{route} does not come to its end; now {page}");
            pages.push(page[field].as_array().expect(field).clone());
            match page.get("next_cursor") {
                Some(cursor) => body["cursor"] = cursor.clone(),
                None => return pages,
            }
        }
    }

    pub async fn put(&self, path: &str, value: Value) -> Value {
        self.ok("/v1/put", json!({"agent_id": "ada", "path": path, "value": value})).await
    }

    pub async fn get(&self, path: &str) -> Value {
        self.ok("/v1/get", json!({"agent_id": "ada", "path": path})).await
    }

    pub async fn delete(&self, path: &str) -> Value {
        self.ok("/v1/delete", json!({"agent_id": "ada", "path": path})).await
    }
}
