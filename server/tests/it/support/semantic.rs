//! What searches by meaning need: an API with a provider, and texts.

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

pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
