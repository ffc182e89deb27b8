//! The worker's routes: health and /metrics.

use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;
use secrecy::SecretString;

use super::error::ApiError;
use super::extract::{bearer, token_matches};
use super::routes::health;
use super::routes::metrics::{rendered, unauthorized};
use super::with_stack;
use crate::runtime::health::Health;
use crate::runtime::metrics::Metrics;
use crate::settings::MetricsAccess;

#[derive(Clone)]
struct WorkerState {
    health: Health,
    metrics: Metrics,
    token: Option<SecretString>,
}

impl FromRef<WorkerState> for Health {
    fn from_ref(worker: &WorkerState) -> Self {
        worker.health.clone()
    }
}

/// The routes of a worker.
pub fn worker_router(health: Health, metrics: Metrics, access: MetricsAccess) -> Router {
    let mut routes = Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/healthz", get(health::healthz));
    if !matches!(access, MetricsAccess::Off) {
        routes = routes.route("/metrics", get(shown));
    }
    let token = match access {
        MetricsAccess::Bearer(token) => Some(token),
        MetricsAccess::Off | MetricsAccess::Open => None,
    };
    with_stack(routes, metrics.clone()).with_state(WorkerState { health, metrics, token })
}

async fn shown(
    State(worker): State<WorkerState>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let matches = |token| bearer(&headers).is_some_and(|given| token_matches(token, given));
    if worker.token.as_ref().is_some_and(|token| !matches(token)) {
        return Err(unauthorized());
    }
    rendered(&worker.metrics)
}
