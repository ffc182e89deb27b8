//! GET /healthz, /livez, /readyz

use agentfs_contract::health::Answer;
use axum::Json;
use axum::extract::{FromRef, State};
use axum::http::StatusCode;

use crate::http::App;
use crate::runtime::health::{Health, NotReady};

impl FromRef<App> for Health {
    fn from_ref(app: &App) -> Self {
        app.health.clone()
    }
}

/// The process alone.
#[utoipa::path(get, path = "/livez", tag = "health", summary = "Whether the process is alive", security(()), responses((status = 200, description = "Yes.", body = Answer)))]
pub(crate) async fn livez() -> Json<Answer> {
    Json(Answer::well())
}

/// Whether traffic should be sent here.
#[utoipa::path(get, path = "/readyz", tag = "health", summary = "Whether the server is ready for requests", security(()), responses((status = 200, description = "Yes.", body = Answer), (status = 503, description = "No; `reason` and `message` say why.", body = Answer)))]
pub(crate) async fn readyz(State(health): State<Health>) -> (StatusCode, Json<Answer>) {
    answer(health.ready())
}

/// Whether a request would be served right now, by a look at the database once a second.
#[utoipa::path(get, path = "/healthz", tag = "health", summary = "Whether a request would be served right now", security(()), responses((status = 200, description = "Yes.", body = Answer), (status = 503, description = "No; `reason` and `message` say why.", body = Answer)))]
pub(crate) async fn healthz(State(health): State<Health>) -> (StatusCode, Json<Answer>) {
    answer(health.now())
}

fn answer(state: Result<(), NotReady>) -> (StatusCode, Json<Answer>) {
    match state {
        Ok(()) => (StatusCode::OK, Json(Answer::well())),
        Err(not_ready) => (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(Answer::not_ready(not_ready.reason(), not_ready.to_string())),
        ),
    }
}
