//! GET /healthz, /livez, /readyz

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::App;
use crate::health::Unfit;

#[derive(Debug, Serialize)]
pub(super) struct Answer {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// The process alone.
pub(super) async fn livez() -> Json<Answer> {
    Json(Answer { ok: true, reason: None, message: None })
}

/// Whether traffic should be sent here.
pub(super) async fn readyz(State(app): State<App>) -> (StatusCode, Json<Answer>) {
    answer(app.health.ready())
}

/// Whether a request would be served at this moment.
pub(super) async fn healthz(State(app): State<App>) -> (StatusCode, Json<Answer>) {
    answer(app.health.now().await)
}

fn answer(state: Result<(), Unfit>) -> (StatusCode, Json<Answer>) {
    match state {
        Ok(()) => (StatusCode::OK, Json(Answer { ok: true, reason: None, message: None })),
        Err(unfit) => (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(Answer {
                ok: false,
                reason: Some(unfit.reason()),
                message: Some(unfit.to_string()),
            }),
        ),
    }
}
