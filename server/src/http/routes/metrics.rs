//! GET /metrics

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus::TEXT_FORMAT;

use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::Scraper;
use crate::memory::Load;
use crate::runtime::metrics::Metrics;

pub(crate) async fn metrics(_: Scraper, State(app): State<App>) -> Result<Response, ApiError> {
    let Load { connections, idle, queues } = app.memory.load();
    app.metrics.pool(connections, idle);
    app.metrics.memory_budget(app.budget.used_and_free());
    for (name, backlog) in queues.into_iter().chain(app.leases()) {
        app.metrics.queue(name, backlog.requests, backlog.oldest);
    }
    rendered(&app.metrics)
}

pub(crate) fn rendered(metrics: &Metrics) -> Result<Response, ApiError> {
    let text = metrics.render().map_err(|e| {
        tracing::error!("metrics cannot be rendered: {e}");
        ApiError::internal()
    })?;
    Ok(([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response())
}
