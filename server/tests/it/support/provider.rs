//! A fake embedding provider over real HTTP.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router, routing::post};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub const DIMENSIONS: usize = 8;
/// The setting of [`DIMENSIONS`].
pub const DIMENSIONS_TEXT: &str = "8";
pub const KEY: &str = "sk-a-secret";

/// What the provider does at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Well,
    Hangs,
    Overloaded {
        retry_after: u32,
    },
    Broken,
    Unavailable,
    WrongDimensions,
    NaN,
    Zero,
    HalfOfTheVectors,
    CutOff,
    NoJson,
    SameIndexTwice,
    /// Well, as soon as its mood is another.
    Waits,
}

/// A text with this word is refused by it whatever its mood, and with it the whole request.
pub const REFUSED: &str = "unspeakable";
/// A text with this word makes it ask for a long pause, whatever its mood.
pub const TORRENT: &str = "torrent";
/// A text with this word makes it answer 500.
pub const POISON: &str = "poison";

#[derive(Clone)]
pub struct Provider {
    pub url: String,
    dimensions: usize,
    state: Arc<Mutex<Seen>>,
}

struct Seen {
    mood: Mood,
    /// The texts of each request.
    requests: Vec<Vec<String>>,
}

impl Provider {
    pub async fn start() -> Self {
        Self::with_dimensions(DIMENSIONS).await
    }

    /// Its vectors are the others', cut short.
    pub async fn with_dimensions(dimensions: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(Seen { mood: Mood::Well, requests: Vec::new() }));
        let provider = Self { url, dimensions, state };
        let routes =
            Router::new().route("/v1/embeddings", post(answer)).with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        provider
    }

    pub fn feels(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    fn mood(&self) -> Mood {
        self.state.lock().unwrap().mood
    }

    pub fn requests(&self) -> Vec<Vec<String>> {
        self.state.lock().unwrap().requests.clone()
    }

    /// How often a text was sent.
    pub fn sent(&self, text: &str) -> usize {
        self.requests().iter().flatten().filter(|sent| *sent == text).count()
    }
}

/// The vector that the provider gives for a text.
pub fn vector(text: &str) -> [f32; DIMENSIONS] {
    let mut vector = [0.0; DIMENSIONS];
    for (n, byte) in text.bytes().enumerate() {
        vector[n % DIMENSIONS] += f32::from(byte) / 64.0;
    }
    vector[0] += 1.0;
    vector
}

async fn answer(
    State(provider): State<Provider>,
    headers: HeaderMap,
    Json(request): Json<Value>,
) -> Response {
    assert_eq!(headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(request["model"], "fake");
    assert!(request.get("dimensions").is_none(), "only OpenAI's own models are asked for them");
    let texts: Vec<String> = serde_json::from_value(request["input"].clone()).unwrap();
    let mood = {
        let mut state = provider.state.lock().unwrap();
        state.requests.push(texts.clone());
        state.mood
    };
    let echo = json!({"error": {"message": format!("no: {texts:?}"), "param": "input"}});
    if texts.iter().any(|text| text.contains(REFUSED)) {
        return (StatusCode::BAD_REQUEST, Json(echo)).into_response();
    }
    if texts.iter().any(|text| text.contains(TORRENT)) {
        let wait = [("retry-after", "3000")];
        return (StatusCode::TOO_MANY_REQUESTS, wait, Json(echo)).into_response();
    }
    if texts.iter().any(|text| text.contains(POISON)) {
        return (StatusCode::INTERNAL_SERVER_ERROR, Json(echo)).into_response();
    }
    let mut items: Vec<Value> = texts
        .iter()
        .enumerate()
        // Not in order: the index says which is which.
        .rev()
        .map(|(index, text)| json!({"index": index, "embedding": vector(text)[..provider.dimensions]}))
        .collect();
    match mood {
        Mood::Well => {}
        Mood::Waits => {
            while provider.mood() == Mood::Waits {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        Mood::Hangs => std::future::pending().await,
        Mood::Overloaded { retry_after } => {
            let wait = [("retry-after", retry_after.to_string())];
            return (StatusCode::TOO_MANY_REQUESTS, wait, Json(echo)).into_response();
        }
        Mood::Broken => return (StatusCode::INTERNAL_SERVER_ERROR, Json(echo)).into_response(),
        Mood::Unavailable => return (StatusCode::BAD_GATEWAY, "bad gateway").into_response(),
        Mood::WrongDimensions => items[0]["embedding"] = json!([1.0, 2.0]),
        Mood::NaN => items[0]["embedding"][3] = Value::Null,
        Mood::Zero => items[0]["embedding"] = json!(vec![0.0; DIMENSIONS]),
        Mood::HalfOfTheVectors => items.truncate(items.len() / 2),
        Mood::SameIndexTwice => items[0]["index"] = json!(0),
        Mood::NoJson => return "<html>welcome</html>".into_response(),
        Mood::CutOff => {
            // The head and the first half are on their way before the connection ends.
            let half = stream::once(async { Ok::<_, std::io::Error>("{\"data\": [") });
            let end = stream::once(async {
                tokio::time::sleep(Duration::from_millis(200)).await;
                Err(std::io::Error::other("gone"))
            });
            return Body::from_stream(half.chain(end)).into_response();
        }
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    let tokens: usize = texts.iter().map(|text| text.split_whitespace().count()).sum();
    Json(json!({"data": items, "usage": {"total_tokens": tokens}})).into_response()
}
