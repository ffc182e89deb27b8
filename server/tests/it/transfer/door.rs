//! What may stand between a client and an API: it refuses, or loses answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::support::api::Client;

/// What becomes of a request.
#[derive(Debug, Clone, Copy)]
pub enum Fate {
    /// It is answered.
    Pass,
    /// It is refused, as by a rate limit that ends in a second.
    Limit,
    /// It is done, and its answer is lost.
    Lose,
    /// It is done, and its answer never comes.
    Hold,
}

/// A door before an API.
pub struct Door {
    /// For those who come by the door.
    pub client: Client,
    done: Arc<AtomicUsize>,
}

struct Within {
    api: Client,
    fates: Vec<Fate>,
    asked: AtomicUsize,
    done: Arc<AtomicUsize>,
}

impl Door {
    /// Its first requests have these fates, but for those that ask what the API is; all others pass.
    pub async fn before(api: &Client, fates: &[Fate]) -> Self {
        let done = Arc::<AtomicUsize>::default();
        let within = Within {
            api: api.clone(),
            fates: fates.to_vec(),
            asked: AtomicUsize::new(0),
            done: done.clone(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router =
            Router::new().route("/", get(root)).fallback(answer).with_state(Arc::new(within));
        tokio::spawn(axum::serve(listener, router).into_future());
        Self { client: Client { url, ..api.clone() }, done }
    }

    /// How many requests the API has answered.
    pub fn done(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }
}

async fn root(State(within): State<Arc<Within>>) -> Response {
    let api = &within.api;
    let answer = api.http.get(format!("{}/", api.url)).send().await.unwrap();
    (answer.status(), answer.bytes().await.unwrap()).into_response()
}

async fn answer(State(within): State<Arc<Within>>, uri: Uri, body: Bytes) -> Response {
    let index = within.asked.fetch_add(1, Ordering::SeqCst);
    let fate = within.fates.get(index).copied().unwrap_or(Fate::Pass);
    if let Fate::Limit = fate {
        let refusal =
            r#"{"error":{"code":"RATE_LIMIT_EXCEEDED","message":"slow down","request_id":"1"}}"#;
        return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")], refusal).into_response();
    }
    let body = String::from_utf8(body.to_vec()).unwrap();
    let answer = within.api.request(uri.path(), &body).send().await.unwrap();
    let (status, body) = (answer.status(), answer.bytes().await.unwrap());
    within.done.fetch_add(1, Ordering::SeqCst);
    match fate {
        Fate::Hold => std::future::pending().await,
        Fate::Lose => StatusCode::BAD_GATEWAY.into_response(),
        _ => (status, body).into_response(),
    }
}
