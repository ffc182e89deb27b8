//! The routes of operators: health and /metrics, of an API and of a worker, on a port where there is nothing else.

use axum::Router;
use axum::extract::{FromRef, State};
use axum::response::Response;
use axum::routing::get;

use super::error::ApiError;
use super::extract::{Gatekeeper, Measured, Scraper};
use super::middleware::observe::Observer;
use super::routes::health;
use super::routes::metrics::{self, rendered};
use super::{App, Observed};
use crate::access::preauth::Preauth;
use crate::runtime::health::Health;
use crate::runtime::metrics::Metrics;
use crate::settings::MetricsAccess;

/// The state of a worker's routes.
#[derive(Debug, Clone)]
pub struct WorkerState {
    /// The health of the process.
    pub health: Health,
    /// The metrics.
    pub metrics: Metrics,
    /// Access to /metrics.
    pub metrics_access: MetricsAccess,
    /// Limits guesses at its token.
    pub preauth: Preauth,
    /// What requests are observed with.
    pub observer: Observer,
}

impl Gatekeeper for WorkerState {
    fn preauth(&self) -> &Preauth {
        &self.preauth
    }

    fn denied(&self, kind: &str) {
        self.metrics.rate_limit_denial(kind);
    }
}

impl Measured for WorkerState {
    fn metrics_access(&self) -> &MetricsAccess {
        &self.metrics_access
    }
}

impl FromRef<WorkerState> for Health {
    fn from_ref(worker: &WorkerState) -> Self {
        worker.health.clone()
    }
}

/// The routes of operators at an API.
pub fn operations_router(app: App) -> Observed {
    let mut routes = health_routes();
    if app.metrics_access.is_on() {
        routes = routes.route("/metrics", get(metrics::metrics));
    }
    let observer = app.observer.clone();
    Observed::new(routes.with_state(app), observer)
}

/// The routes of a worker.
pub fn worker_router(worker: WorkerState) -> Observed {
    let mut routes = health_routes();
    if worker.metrics_access.is_on() {
        routes = routes.route("/metrics", get(shown));
    }
    let observer = worker.observer.clone();
    Observed::new(routes.with_state(worker), observer)
}

fn health_routes<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    Health: FromRef<S>,
{
    Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/healthz", get(health::healthz))
}

async fn shown(_: Scraper, State(worker): State<WorkerState>) -> Result<Response, ApiError> {
    rendered(&worker.metrics)
}
