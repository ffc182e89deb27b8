//! Putting notes and asking about them, over HTTP.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// Results asked for: what comes later is not found.
pub(crate) const LIMIT: usize = 10;
/// Operations of a batch.
const BATCH: usize = 100;
/// Longest time until all notes of a set have their embeddings.
const EMBEDDED_WITHIN: Duration = Duration::from_mins(10);

/// A mode of search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Default,
    Semantic,
    Hybrid,
    Text,
}

impl Mode {
    pub(crate) const ALL: [Self; 4] = [Self::Default, Self::Semantic, Self::Hybrid, Self::Text];

    fn asked(self) -> Option<&'static str> {
        match self {
            Self::Default => None,
            Self::Semantic => Some("semantic"),
            Self::Hybrid => Some("hybrid"),
            Self::Text => Some("text"),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.asked().unwrap_or("default"))
    }
}

/// Asks one API; each set is an agent of its own.
#[derive(Debug)]
pub(crate) struct Asker<'a> {
    client: Client,
    url: &'a str,
    key: &'a str,
}

impl<'a> Asker<'a> {
    pub(crate) fn new(url: &'a str, key: &'a str) -> anyhow::Result<Self> {
        Ok(Self { client: Client::builder().no_proxy().build()?, url, key })
    }

    /// Puts notes, each at the path of its id.
    pub(crate) async fn put(
        &self,
        agent: &str,
        notes: impl Iterator<Item = (&str, &str)>,
    ) -> anyhow::Result<()> {
        let put = |(id, text): (&str, &str)| json!({"op": "put", "agent_id": agent, "path": format!("/{id}"), "value": text, "searchable": true});
        let operations: Vec<Value> = notes.map(put).collect();
        for operations in operations.chunks(BATCH) {
            let (_, answer) = self.post("/v1/batch", &json!({"operations": operations})).await?;
            let results = answer["results"].as_array().context("no results")?;
            if let Some(failed) = results.iter().find(|result| result["ok"] != true) {
                bail!("a note was not put: {failed}");
            }
        }
        Ok(())
    }

    /// Waits until each note has its embedding.
    pub(crate) async fn until_embedded(&self, agent: &str) -> anyhow::Result<()> {
        let began = Instant::now();
        let asked = json!({"agent_id": agent, "query": "ready", "mode": "semantic", "limit": 1});
        loop {
            let (status, answer) = self.post("/v1/search", &asked).await?;
            // Until the model serves, 503; then a note, as long as an entry waits.
            if status == 200 && answer.get("note").is_none() {
                return Ok(());
            }
            if began.elapsed() > EMBEDDED_WITHIN {
                bail!("the notes of {agent} have no embeddings yet: {answer}");
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// The ids of the notes found, the best first.
    pub(crate) async fn ask(
        &self,
        agent: &str,
        query: &str,
        mode: Mode,
    ) -> anyhow::Result<Vec<String>> {
        let mut asked = json!({"agent_id": agent, "query": query, "limit": LIMIT});
        if let Some(mode) = mode.asked() {
            asked["mode"] = json!(mode);
        }
        let (status, answer) = self.post("/v1/search", &asked).await?;
        let note = answer["note"].as_str().unwrap_or_default();
        if status != 200 || (mode != Mode::Text && note.contains("full-text search")) {
            bail!("a search was not by meaning: {answer}");
        }
        let results = answer["results"].as_array().context("no results")?;
        let id = |result: &Value| Some(result["path"].as_str()?.trim_start_matches('/').to_owned());
        results.iter().map(|result| id(result).context("no path")).collect()
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
        let request = self.client.post(format!("{}{path}", self.url)).bearer_auth(self.key);
        let answer = request.json(body).send().await?;
        let status = answer.status().as_u16();
        let answer: Value = answer.json().await?;
        if status >= 400 && status != 503 {
            bail!("{path} was refused: {answer}");
        }
        Ok((status, answer))
    }
}
