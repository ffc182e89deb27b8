//! A provider of embeddings that takes no time.

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::vectors::Space;

/// What asks for the vector of a thing.
pub(crate) fn text(thing: u64) -> String {
    format!("thing {thing}")
}

/// Starts one; its base URL.
pub(crate) async fn start(space: Space) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/v1", listener.local_addr()?);
    let routes = Router::new().route("/v1/embeddings", post(answer)).with_state(space);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(url)
}

async fn answer(State(space): State<Space>, Json(asked): Json<Value>) -> Json<Value> {
    let texts = asked["input"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let items: Vec<Value> = texts
        .enumerate()
        .map(|(index, text)| {
            let thing = text.strip_prefix("thing ").and_then(|number| number.parse().ok());
            json!({"index": index, "embedding": space.vector(thing.unwrap_or_default())})
        })
        .collect();
    Json(json!({"data": items, "usage": {"total_tokens": items.len()}}))
}
