//! A provider of embeddings that costs next to nothing: what it answers was written before.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;
use serde::Deserialize;
use tokio::net::TcpListener;

/// The length of its vectors.
pub(crate) const DIMENSIONS: usize = 384;

/// What it says that a text costs.
pub(crate) const TOKENS: usize = 16;

/// Starts one; its base URL.
pub(crate) async fn start() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/v1", listener.local_addr()?);
    // As many digits as a model's numbers have.
    let numbers: Vec<String> =
        (1..=DIMENSIONS).map(|n| format!("{:.8}", (n as f32).sin() / 14.0)).collect();
    let vector: &'static str = numbers.join(",").leak();
    let routes = Router::new().route("/v1/embeddings", post(answer)).with_state(vector);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(url)
}

#[derive(Deserialize)]
struct Asked<'a> {
    #[serde(borrow)]
    input: Vec<&'a serde_json::value::RawValue>,
}

async fn answer(State(vector): State<&'static str>, body: Bytes) -> impl IntoResponse {
    let count = serde_json::from_slice::<Asked<'_>>(&body).map_or(0, |asked| asked.input.len());
    let item = |index| format!("{{\"index\":{index},\"embedding\":[{vector}]}}");
    let items: Vec<String> = (0..count).map(item).collect();
    let (items, tokens) = (items.join(","), TOKENS * count);
    let answer = format!("{{\"data\":[{items}],\"usage\":{{\"total_tokens\":{tokens}}}}}");
    ([(CONTENT_TYPE, "application/json")], answer)
}
