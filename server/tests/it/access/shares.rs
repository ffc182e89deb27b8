//! One tenant asks for what is dear, as much as it can: the others are served all the while.

use std::time::{Duration, Instant};

use agentfs_server::domain::access::api_key::ApiKey;
use futures::future::{Either, join_all, select};
use reqwest::StatusCode;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};

use crate::support::api::{Api, Client};
use crate::support::cli::admin_json;
use crate::support::database::Database;

/// Longer than anything takes that does not hang.
const HANGS: Duration = Duration::from_secs(20);

/// 1,000 children of one directory, with long names of characters under the slash, each beginning of which might be a directory.
const LONG_NAMES: &str = "
    INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at)
    SELECT '00000000-0000-0000-0000-000000000000', 'ada', '/' || lpad(i::text, 4, '0') || repeat('-', 490), gen_random_uuid(), 1,
           now() - interval '1 hour'
      FROM generate_series(1, 1000) i";

/// A tenant beside the default one.
struct Other {
    id: String,
    database: Database,
    client: Client,
}

impl Other {
    fn new(api: &Api, database: &Database) -> Self {
        let made = admin_json(database, &["create-tenant", "other"]);
        let id = made["tenant_id"].as_str().unwrap().to_owned();
        Self { id, database: database.clone(), client: api.client.clone() }
    }

    /// With a key that no process has seen.
    fn stranger(&self) -> Client {
        let key = admin_json(&self.database, &["create-key", "--tenant", &self.id]);
        self.client.with_key(key["api_key"].as_str().unwrap())
    }

    /// Asks for everything a few times, each time with another key; all is answered.
    async fn is_served(&self) {
        let mut longest = Duration::ZERO;
        for n in 0..5 {
            let client = self.stranger();
            let (agent, path) = ("bob", format!("/n/{n}"));
            for (route, body) in [
                ("/v1/put", json!({"agent_id": agent, "path": path, "value": n})),
                ("/v1/get", json!({"agent_id": agent, "path": path})),
                ("/v1/list", json!({"agent_id": agent, "prefix": "/"})),
                ("/v1/glob", json!({"agent_id": agent, "pattern": "/**"})),
                ("/v1/dump", json!({"agent_id": agent})),
                ("/v1/history", json!({"agent_id": agent, "path": path})),
                ("/v1/agents", json!({})),
            ] {
                let began = Instant::now();
                client.ok(route, body).await;
                longest = longest.max(began.elapsed());
            }
        }
        eprintln!("the other tenant's longest answer: {longest:?}");
        assert!(longest < HANGS);
    }
}

/// Asks `route` without end, `at_once` at a time, until `meanwhile` is done. Whatever is answered, nothing hangs.
async fn beside<T>(
    client: &Client,
    (route, body): (&str, Value),
    at_once: usize,
    meanwhile: impl Future<Output = T>,
) -> T {
    let ask = async || loop {
        let began = Instant::now();
        let answer = client.try_post(route, body.clone()).await;
        assert!(began.elapsed() < HANGS, "{route} took {:?}: {answer:?}", began.elapsed());
    };
    let asking = join_all((0..at_once).map(|_| ask()));
    match select(Box::pin(asking), Box::pin(meanwhile)).await {
        Either::Left(_) => unreachable!("it asks without end"),
        Either::Right((done, _)) => done,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dear_lists_of_the_past_take_the_database_from_nobody() {
    let (api, database) = Api::start().await;
    database.execute(LONG_NAMES).await;
    let other = Other::new(&api, &database);
    let asked =
        json!({"agent_id": "ada", "prefix": "/", "as_of": "2026-01-01T00:00:00Z", "limit": 1000});
    let began = Instant::now();
    api.client.post("/v1/list", asked.clone()).await;
    eprintln!("one of them: {:?}", began.elapsed());
    beside(&api.client, ("/v1/list", asked), 6, other.is_served()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_whose_reads_all_wait_leaves_the_others_their_share() {
    let (api, database) = Api::start().await;
    let other = Other::new(&api, &database);
    // Searches wait for the lock as long as they may.
    let mut locker = database.connect().await;
    let mut lock = locker.begin().await.unwrap();
    lock.execute("LOCK TABLE search_documents").await.unwrap();
    let search = json!({"agent_id": "ada", "query": "words"});
    beside(&api.client, ("/v1/search", search), 40, other.is_served()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_administrators_keep_no_others_from_revoking_a_key() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &["admin"], &[]).await;
    let tenant = admin_json(&database, &["create-tenant", "other"])["tenant_id"].clone();
    let wanted = ["create-key", "--scope", "admin", "--tenant", tenant.as_str().unwrap()];
    let others = admin_json(&database, &wanted);
    let other = api.client.with_key(others["api_key"].as_str().unwrap());
    other.ok("/v1/admin/list-keys", json!({})).await;
    // Their requests wait for the lock as long as they may.
    let mut locker = database.connect().await;
    let mut lock = locker.begin().await.unwrap();
    lock.execute("LOCK TABLE embedding_jobs").await.unwrap();
    let revokes = async {
        for _ in 0..10 {
            let key = api.client.ok("/v1/admin/create-key", json!({})).await;
            let revoked = api.client.ok("/v1/admin/revoke-key", json!({"key_id": key["key_id"]}));
            assert_eq!(revoked.await["already"], false);
        }
    };
    let requeue = ("/v1/admin/embeddings/requeue", json!({"status": "failed"}));
    beside(&other, requeue, 40, revokes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_valid_waits_for_none_that_was_not() {
    const STRANGERS: usize = 400;
    let (api, database) = Api::start().await;
    api.until_served().await;
    let keys: Vec<ApiKey> = (0..STRANGERS).map(|_| ApiKey::generate()).collect();
    let ids: Vec<&str> = keys.iter().map(|key| key.id().as_str()).collect();
    let insert = "INSERT INTO api_keys (id, tenant_id, secret_hash, scopes, label)
                  SELECT id, '00000000-0000-0000-0000-000000000000', sha256('another'), '{}', 'slow' FROM unnest($1::text[]) id";
    sqlx::query(insert).bind(&ids).execute(&mut database.connect().await).await.unwrap();
    database.slow_down("api_keys", "label = 'slow'", 3.0).await;
    // Each is looked up, and found to have another secret.
    let guess = async |nth: usize| {
        for key in keys.iter().cycle().skip(nth * 7) {
            let guesser = api.client.with_key(key.reveal().expose_secret());
            let (status, answer) = guesser.post("/v1/agents", json!({})).await;
            let refusals = [StatusCode::UNAUTHORIZED, StatusCode::SERVICE_UNAVAILABLE];
            assert!(refusals.contains(&status) || status == 429, "{status}: {answer}");
        }
    };
    // Longer than a key is remembered.
    let keeps_asking = async {
        let (began, mut longest) = (Instant::now(), Duration::ZERO);
        while began.elapsed() < Duration::from_secs(10) {
            let asked = Instant::now();
            api.client.get("/none").await;
            longest = longest.max(asked.elapsed());
        }
        eprintln!("the longest get of the valid key: {longest:?}");
    };
    match select(Box::pin(join_all((0..100).map(guess))), Box::pin(keeps_asking)).await {
        Either::Left(_) => unreachable!("they guess without end"),
        Either::Right(((), _)) => {}
    }
}

#[tokio::test]
async fn a_thousand_made_up_keys_at_once_are_refused_one_by_one() {
    let (api, _database) = Api::start().await;
    api.until_served().await;
    let ask = async || {
        let made_up = api.client.with_key(ApiKey::generate().reveal().expose_secret());
        made_up.post("/v1/agents", json!({})).await
    };
    let answers = join_all((0..1500).map(|_| ask())).await;
    let count = |wanted: u16| answers.iter().filter(|(status, _)| *status == wanted).count();
    eprintln!("{} unauthorized, {} to try again", count(401), count(503));
    assert_eq!(count(401) + count(503), 1500);
    for (_, answer) in answers.iter().filter(|(status, _)| *status == 503) {
        assert_eq!(answer["error"]["code"], "UNAVAILABLE", "{answer}");
    }
    api.client.get("/none").await;
}

#[tokio::test]
async fn a_read_that_takes_too_long_is_ended_and_says_what_to_do() {
    let (api, database) = Api::start().await;
    for n in 0..20 {
        let body = json!({"agent_id": "ada", "path": format!("/n/{n}"), "value": "words", "searchable": true});
        api.client.ok("/v1/put", body).await;
    }
    database.slow_down("search_documents", "agent_id = 'ada'", 0.5).await;
    database.slow_down("entries", "agent_id = 'ada'", 0.5).await;
    let too_dear = (413, "ANSWER_TOO_LARGE", "narrow path_prefix, or search for fewer words");
    let too_slow = (503, "UNAVAILABLE", "by a lower limit or a longer prefix, or try again");
    let past = jiff::Timestamp::now().to_string();
    for (route, body, (status, code, sentence)) in [
        ("/v1/search", json!({"agent_id": "ada", "query": "words"}), too_dear),
        ("/v1/search", json!({"agent_id": "ada", "query": "words", "as_of": past}), too_dear),
        ("/v1/list", json!({"agent_id": "ada", "prefix": "/n"}), too_slow),
        ("/v1/list", json!({"agent_id": "ada", "prefix": "/n", "as_of": past}), too_slow),
        ("/v1/glob", json!({"agent_id": "ada", "pattern": "/**"}), too_slow),
        ("/v1/dump", json!({"agent_id": "ada"}), too_slow),
        ("/v1/agents", json!({}), too_slow),
    ] {
        let began = Instant::now();
        let (got, name, message) = api.client.error(route, body).await;
        assert_eq!((got, name.as_str()), (status, code), "{route}: {message}");
        assert!(message.contains(sentence), "{route}: {message}");
        assert!(began.elapsed() < HANGS, "{route} took {:?}", began.elapsed());
    }
}
