//! What searches by meaning need: an API with a provider, and texts.

use agentfs_server::domain::search::chunks::chunks;
use serde_json::json;

use super::api::{Api, Client};
use super::database::Database;
use super::eventually::eventually;
use super::provider::Provider;
use super::worker::variables;

/// An API and a provider on a database of their own, with no worker.
pub async fn start(more: &[(&str, &str)]) -> (Api, Database, Provider) {
    let (database, provider) = (Database::migrated().await, Provider::start().await);
    let api = Api::start_with(&database, &[], &variables(&provider, more)).await;
    (api, database, provider)
}

pub async fn put(client: &Client, path: &str, value: &str) {
    let body = json!({"agent_id": "ada", "path": path, "value": value, "searchable": true});
    client.ok("/v1/put", body).await;
}

/// Waits until a search goes by meaning, as it does not without a model or a provider.
pub async fn until_semantic(client: &Client, query: &str) {
    let look = async || client.ok("/v1/search", json!({"agent_id": "ada", "query": query})).await;
    eventually("a search goes by meaning", look, |answer| answer["note"].is_null()).await;
}

/// A text of several chunks, whose vectors the fake provider makes unlike each other: of `beginning` and of `end`.
pub fn long(beginning: &str, end: &str) -> String {
    format!("{}{}", beginning.repeat(2500 / beginning.len()), end.repeat(1500 / end.len()))
}

/// The chunks of a text, as those of the fake provider, which reads 8191 tokens.
pub fn chunks_of(text: &str) -> Vec<&str> {
    chunks(text, 8191).ranges.into_iter().map(|range| &text[range]).collect()
}

pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
