//! Workers, on a real database and a fake provider: no job is lost, none is stuck, neighbours are unaffected.

use std::time::Duration;

use agentfs_server::embedding::openai::OpenAi;
use agentfs_server::embedding::{EmbedError, Embedder as _};
use agentfs_server::settings::Provider as Setting;
use agentfs_server::store::embeddings::jobs::prune;
use futures::future::join_all;
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::support::api::{Api, Client};
use crate::support::database::{Database, Gate};
use crate::support::eventually::eventually;
use crate::support::process::{Process, free_port};
use crate::support::provider::{KEY, Mood, POISON, Provider, REFUSED, vector};
use crate::support::worker::{EMBEDDED, OPEN, Worker, settings, until, variables};

/// Puts searchable texts, each at a path of its own.
async fn put(api: &Api, texts: &[String]) {
    for text in texts {
        let path = format!("/notes/{}", text.replace(' ', "-"));
        let body = json!({"agent_id": "ada", "path": path, "value": text, "searchable": true});
        api.client.ok("/v1/put", body).await;
    }
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("note number {n}")).collect()
}

async fn with_notes(texts: &[String]) -> (Api, Database, Provider) {
    let (api, database) = Api::start().await;
    put(&api, texts).await;
    (api, database, Provider::start().await)
}

const FAILED: &str = "SELECT count(*) FROM embedding_jobs WHERE status = 'failed'";
const RUNNING: &str = "SELECT count(*) FROM embedding_jobs WHERE status = 'running'";
const JOBS: &str = "SELECT count(*) FROM embedding_jobs";
async fn until_asked(provider: &Provider, requests: usize) {
    let count = async || provider.requests().len();
    eventually("the provider is asked", count, |count| *count >= requests).await;
}

const AT_GATE: &str = "SELECT count(*) FROM pg_stat_activity
                        WHERE wait_event = 'PgSleep' AND datname = current_database()";

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_in_progress_when_the_model_was_registered_is_embedded() {
    let (api, database) = Api::start().await;
    let provider = Provider::start().await;
    let gate = Gate::close(&database).await;
    let writing = async { put(&api, &["begun before".to_owned()]).await };
    let registering = async {
        database.until(AT_GATE, 1).await;
        let worker = Worker::start(&database, &provider, &[]);
        database.until("SELECT count(*) FROM embedding_models WHERE state = 'serving'", 1).await;
        gate.open().await;
        worker
    };
    let ((), worker) = tokio::join!(writing, registering);
    until(&database, EMBEDDED, 1).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_live_and_searchable_is_embedded_once_by_any_number_of_workers() {
    let notes = texts(150);
    let (api, database, provider) = with_notes(&notes).await;
    api.client.put("/hidden", json!("not searchable")).await;
    let gone = ["gone soon".to_owned()];
    put(&api, &gone).await;
    api.client.delete("/notes/gone-soon").await;

    let small = [("EMBED_BATCH_SIZE", "7"), ("EMBED_TOKENS_QUOTA_PER_DAY", "0")];
    let workers = [(); 3].map(|()| Worker::start(&database, &provider, &small));
    until(&database, EMBEDDED, 150).await;
    until(&database, OPEN, 0).await;
    for worker in workers {
        worker.stop().await;
    }
    assert_eq!(database.number(JOBS).await, 150);
    for note in &notes {
        assert_eq!(provider.sent(note), 1, "{note}");
    }
    assert_eq!(provider.sent("not searchable") + provider.sent("gone soon"), 0);
    assert_eq!(database.number("SELECT embed_tokens FROM quota_usage").await, 450);
    let wanted = vector("note number 7").map(|number| number.to_string()).join(",");
    let distance = format!(
        "SELECT count(*) FROM embeddings WHERE path = '/notes/note-number-7' AND embedding <-> '[{wanted}]' < 0.01"
    );
    let right: i64 = sqlx::query_scalar(AssertSqlSafe(distance))
        .fetch_one(&mut database.connect().await)
        .await
        .unwrap();
    assert_eq!(right, 1, "each text has its own vector");
    let serving =
        "SELECT count(*) FROM embedding_models WHERE name = 'fake/8' AND state = 'serving'";
    assert_eq!(database.number(serving).await, 1);

    // A second start makes no jobs again; what was overwritten meanwhile gets one.
    let body = json!({"agent_id": "ada", "path": "/notes/note-number-7", "value": "anew", "searchable": true});
    api.client.ok("/v1/put", body).await;
    let worker = Worker::start(&database, &provider, &small);
    until(&database, "SELECT count(*) FROM embedding_jobs WHERE status = 'succeeded'", 151).await;
    until(&database, EMBEDDED, 150).await;
    worker.stop().await;
    assert_eq!(provider.sent("anew"), 1);
}

async fn recovers_from(mood: Mood) {
    let (_api, database, provider) = with_notes(&texts(6)).await;
    provider.feels(mood);
    let worker = Worker::start(&database, &provider, &[]);
    until_asked(&provider, 2).await;
    assert_eq!(database.number(FAILED).await, 0, "{mood:?}");
    provider.feels(Mood::Well);
    until(&database, EMBEDDED, 6).await;
    until(&database, OPEN, 0).await;
    worker.stop().await;
    assert_eq!(
        database.number("SELECT count(*) FROM embedding_jobs WHERE status = 'succeeded'").await,
        6
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_job_is_lost_whatever_the_provider_does() {
    let moods = [
        Mood::Hangs,
        Mood::Overloaded { retry_after: 1 },
        Mood::Broken,
        Mood::Unavailable,
        Mood::WrongDimensions,
        Mood::NaN,
        Mood::HalfOfTheVectors,
        Mood::CutOff,
        Mood::NoJson,
    ];
    for few in moods.chunks(3) {
        join_all(few.iter().copied().map(recovers_from)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_guilty_texts_fail_and_their_neighbours_do_not_notice() {
    let mut notes = texts(10);
    notes.insert(3, format!("an {REFUSED} thing"));
    notes.insert(8, format!("a {POISON} thing"));
    let (_api, database, provider) = with_notes(&notes).await;
    let worker = Worker::start(&database, &provider, &[]);
    until(&database, EMBEDDED, 10).await;
    until(&database, FAILED, 2).await;
    assert_eq!(database.number(OPEN).await, 0);
    for text in [&notes[3], &notes[8]] {
        assert!(provider.sent(text) >= 5, "five attempts: {text}");
    }
    let given_up = "SELECT count(*) FROM embedding_jobs WHERE status = 'failed' AND attempts = 5 AND finished_at IS NOT NULL";
    assert_eq!(database.number(given_up).await, 2);
    let errors: Vec<String> = sqlx::query_scalar(
        "SELECT last_error FROM embedding_jobs WHERE last_error IS NOT NULL ORDER BY last_error",
    )
    .fetch_all(&mut database.connect().await)
    .await
    .unwrap();
    assert_eq!(
        errors,
        [
            "the embedding provider answered 400 Bad Request: it does not take this text",
            "the embedding provider answered 500 Internal Server Error"
        ]
    );

    // By hand, as in the runbook: what stands in the way is ignored.
    let before = provider.sent(&notes[3]);
    database
        .execute(
            "UPDATE embedding_jobs SET status = 'queued', attempts = 0, next_attempt_at = now() + interval '1 year',
                    leased_until = now() + interval '1 year' WHERE status = 'failed'",
        )
        .await;
    let times = async || provider.sent(&notes[3]);
    eventually("it is tried again", times, |times| *times > before).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_asks_for_time_gets_it_and_jobs_keep_their_attempts() {
    let (_api, database, provider) = with_notes(&texts(3)).await;
    provider.feels(Mood::Overloaded { retry_after: 3000 });
    let worker = Worker::start(&database, &provider, &[("EMBED_CONCURRENCY", "1")]);
    let put_back = "SELECT count(*) FROM embedding_jobs WHERE status = 'queued' AND attempts = 0
                       AND last_error = 'the embedding provider answered 429 Too Many Requests'";
    until(&database, put_back, 3).await;
    provider.feels(Mood::Well);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(provider.requests().len(), 1);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_over_its_quota_waits_and_others_do_not() {
    let (api, database, provider) = with_notes(&texts(4)).await;
    let other = "INSERT INTO tenants (id, name) VALUES ('00000000-0000-0000-0000-00000000000b', 'other');
         UPDATE entries SET tenant_id = '00000000-0000-0000-0000-00000000000b' WHERE path LIKE '%3';
         UPDATE entry_versions SET tenant_id = '00000000-0000-0000-0000-00000000000b' WHERE path LIKE '%3';
         UPDATE search_documents SET tenant_id = '00000000-0000-0000-0000-00000000000b' WHERE path LIKE '%3';
         UPDATE quota_usage SET embed_tokens = 5";
    sqlx::raw_sql(other).execute(&mut database.connect().await).await.unwrap();
    let worker = Worker::start(&database, &provider, &[("EMBED_TOKENS_QUOTA_PER_DAY", "5")]);
    until(&database, EMBEDDED, 1).await;
    assert_eq!(provider.requests(), [["note number 3"]]);
    assert_eq!(database.number(OPEN).await, 3);
    database.execute("UPDATE quota_usage SET embed_tokens = 0 WHERE tenant_id = '00000000-0000-0000-0000-000000000000'").await;
    until(&database, EMBEDDED, 4).await;
    worker.stop().await;
    drop(api);
}

/// Jobs for versions that are no longer the latest.
const OLD_JOBS: &str = "INSERT INTO embedding_jobs (tenant_id, agent_id, path, version_id, model_id)
    SELECT v.tenant_id, v.agent_id, v.path, v.id, m.id FROM entry_versions v, embedding_models m WHERE v.version = 1";

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_are_no_longer_the_latest_are_done_without_embedding() {
    let (api, database, provider) = with_notes(&texts(1)).await;
    let overwrite = json!({"agent_id": "ada", "path": "/notes/note-number-0", "value": {"title": "new", "n": 1}, "searchable": true});
    api.client.ok("/v1/put", overwrite).await;
    let worker = Worker::start(&database, &provider, &[]);
    until(&database, EMBEDDED, 1).await;
    database.execute(OLD_JOBS).await;
    until(&database, "SELECT count(*) FROM embedding_jobs WHERE status = 'succeeded'", 2).await;
    worker.stop().await;
    assert_eq!(provider.requests(), [["n: 1\ntitle: new"]]);
    assert_eq!(database.number(EMBEDDED).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_jobs_are_pruned_after_a_day() {
    let (_api, database, provider) = with_notes(&texts(3)).await;
    let worker = Worker::start(&database, &provider, &[]);
    until(&database, EMBEDDED, 3).await;
    until(&database, OPEN, 0).await;
    worker.stop().await;
    let pool = database.address().pool(1);
    assert_eq!(prune(&pool).await.unwrap(), 0);
    database.execute("UPDATE embedding_jobs SET finished_at = now() - interval '25 hours' WHERE path LIKE '%1'").await;
    assert_eq!(prune(&pool).await.unwrap(), 1);
    assert_eq!(database.number(JOBS).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_killed_worker_are_done_by_another() {
    let (_api, database, provider) = with_notes(&texts(5)).await;
    let more = [
        ("EMBED_LEASE_SECONDS", "4"),
        ("EMBED_TIMEOUT_SECONDS", "600"),
        ("DATABASE_URL", &database.url),
    ];
    let settings = variables(&provider, &more);
    provider.feels(Mood::Hangs);
    let mut first = Process::start_command("worker", free_port(), &settings);
    first.wait_until_ready().await;
    until(&database, RUNNING, 5).await;
    first.kill();
    provider.feels(Mood::Well);
    let mut second = Process::start_command("worker", free_port(), &settings);
    until(&database, EMBEDDED, 5).await;
    until(&database, OPEN, 0).await;
    // The attempt that ended with the first worker counts.
    assert_eq!(database.number("SELECT min(attempts)::bigint FROM embedding_jobs").await, 2);
    second.wait_until_ready().await;
    let client = Client::new(second.url(), String::new());
    let shown = client.http.get(format!("{}/metrics", client.url)).send().await.unwrap();
    let shown = shown.text().await.unwrap();
    assert!(shown.contains("agentfs_embedding_outcomes_total{outcome=\"embedded\"} 5"), "{shown}");
    second.terminate();
    assert!(second.ended().await.success(), "{}", second.log());
    for secret in [KEY, "note number"] {
        assert!(!second.log().contains(secret), "{}", second.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_at_the_end_is_finished() {
    let (_api, database, provider) = with_notes(&texts(3)).await;
    let settings =
        variables(&provider, &[("DATABASE_URL", &database.url), ("EMBED_TIMEOUT_SECONDS", "5")]);
    provider.feels(Mood::Hangs);
    let mut worker = Process::start_command("worker", free_port(), &settings);
    until(&database, RUNNING, 3).await;
    worker.terminate();
    assert!(worker.ended().await.success(), "{}", worker.log());
    let put_back = "SELECT count(*) FROM embedding_jobs WHERE status = 'queued' AND attempts = 0 AND leased_until IS NULL";
    assert_eq!(database.number(put_back).await, 3, "the jobs are free again, and at once");
}

#[tokio::test]
async fn without_a_provider_a_worker_says_so_and_is_well() {
    let database = Database::migrated().await;
    let settings = [("DATABASE_URL", database.url.as_str())];
    let mut worker = Process::start_command("worker", free_port(), &settings);
    worker.wait_until_ready().await;
    assert!(worker.log().contains("no embedding provider is set"), "{}", worker.log());
    worker.terminate();
    assert!(worker.ended().await.success());
}

/// What the client of the endpoint makes of an answer, in a word.
async fn client_says(provider: &Provider, mood: Mood, texts: &[&str]) -> (&'static str, String) {
    provider.feels(mood);
    let Setting::OpenAi(settings) = settings(provider, &[]).provider else { panic!("an endpoint") };
    match OpenAi::new(settings).unwrap().embed(texts).await {
        Ok(_) => ("embedded", String::new()),
        Err(EmbedError::Refused { reason, .. }) => ("refused", reason),
        Err(EmbedError::Wrong(reason)) => ("wrong", reason),
        Err(EmbedError::Later { after, reason }) => {
            assert_eq!(after, Some(Duration::from_secs(7)));
            ("later", reason)
        }
        Err(EmbedError::Down(reason)) => ("down", reason),
    }
}

#[tokio::test]
async fn answers_are_checked_and_errors_sorted_without_texts_and_keys() {
    let provider = Provider::start().await;
    let secret = "a secret note";
    for (mood, word, sentence) in [
        (Mood::Well, "embedded", ""),
        (Mood::Hangs, "down", "does not answer in time"),
        (Mood::Overloaded { retry_after: 7 }, "later", "429"),
        (Mood::Broken, "wrong", "500"),
        (Mood::Unavailable, "down", "502"),
        (Mood::WrongDimensions, "wrong", "vectors of 2 numbers where 8 are expected"),
        (Mood::NaN, "wrong", "no number"),
        (Mood::Zero, "wrong", "all 0"),
        (Mood::HalfOfTheVectors, "wrong", "1 vectors for 2 texts"),
        (Mood::SameIndexTwice, "wrong", "index 0"),
        (Mood::CutOff, "wrong", "broke its answer off"),
        (Mood::NoJson, "wrong", "no JSON"),
    ] {
        let (said, reason) = client_says(&provider, mood, &[secret, "another"]).await;
        assert_eq!(said, word, "{mood:?}: {reason}");
        assert!(reason.contains(sentence), "{mood:?}: {reason}");
        assert!(!reason.contains("secret"), "{reason}");
    }
    assert_eq!(client_says(&provider, Mood::Well, &[REFUSED]).await.0, "refused");
}
