//! A worker in the process of the tests, and what it has done.

use std::collections::HashMap;

use agentfs_server::embedding::embedders::embedders;
use agentfs_server::runtime::metrics::Metrics;
use agentfs_server::settings::{EmbeddingSettings, Settings};
use agentfs_server::worker::work;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::database::Database;
use super::eventually::eventually;
use super::provider::{DIMENSIONS_TEXT, KEY, Provider};

pub fn variables<'a>(
    provider: &'a Provider,
    more: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let mut variables = vec![
        ("OPENAI_API_KEY", KEY),
        ("OPENAI_BASE_URL", provider.url.as_str()),
        ("OPENAI_EMBED_MODEL", "fake"),
        ("OPENAI_EMBED_DIMENSIONS", DIMENSIONS_TEXT),
        ("EMBED_TIMEOUT_SECONDS", "1"),
    ];
    variables.extend(more);
    variables
}

pub fn settings(provider: &Provider, more: &[(&str, &str)]) -> EmbeddingSettings {
    settings_of(variables(provider, more))
}

pub fn settings_of(variables: Vec<(&str, &str)>) -> EmbeddingSettings {
    let mut all: HashMap<&str, &str> = variables.into_iter().collect();
    all.insert("DATABASE_URL", "postgres://u:p@h/d");
    let settings = Settings::read(|name| all.get(name).map(ToString::to_string), 1 << 30);
    settings.expect("settings").embeddings
}

/// A worker in this process.
pub struct Worker {
    task: JoinHandle<()>,
    end: watch::Sender<bool>,
}

impl Worker {
    pub fn start(database: &Database, provider: &Provider, more: &[(&str, &str)]) -> Self {
        Self::with(database, settings(provider, more))
    }

    /// One with the local model of this folder, or with one of several.
    pub fn local(database: &Database, model: &str) -> Self {
        Self::with(database, settings_of(vec![("EMBEDDING_MODEL_DIR", model)]))
    }

    fn with(database: &Database, settings: EmbeddingSettings) -> Self {
        let embedders = embedders(&settings).unwrap();
        let (end, ended) = watch::channel(false);
        let pool = database.address().pool(6);
        let work = work(pool, embedders, settings, Metrics::new().unwrap(), ended);
        Self { task: tokio::spawn(work), end }
    }

    pub async fn stop(self) {
        self.end.send_replace(true);
        self.task.await.unwrap();
    }
}

pub const EMBEDDED: &str =
    "SELECT count(*) FROM embeddings m JOIN entries e USING (tenant_id, agent_id, path)
                         WHERE m.version_id = e.latest_version_id";

pub const OPEN: &str = "SELECT count(*) FROM embedding_jobs WHERE status IN ('queued', 'running')";

/// Nobody waits for a pause to pass. What the worker is at is left alone: each locks jobs in an order of its own.
const HURRY: &str = "UPDATE embedding_jobs SET next_attempt_at = now()
                      WHERE id IN (SELECT id FROM embedding_jobs WHERE status = 'queued' FOR UPDATE SKIP LOCKED)";

pub async fn until(database: &Database, sql: &'static str, wanted: i64) {
    let look = async || {
        let found = database.number(sql).await;
        if found == wanted {
            return (found, Vec::new());
        }
        database.execute(HURRY).await;
        let jobs: Vec<String> =
            sqlx::query_scalar("SELECT row_to_json(j)::text FROM embedding_jobs j LIMIT 20")
                .fetch_all(&mut database.connect().await)
                .await
                .unwrap();
        (found, jobs)
    };
    eventually(sql, look, |(found, _)| *found == wanted).await;
}
