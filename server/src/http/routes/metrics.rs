//! GET /metrics

use axum::extract::{FromRequestParts, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use prometheus::TEXT_FORMAT;

use crate::http::App;
use crate::http::error::{ApiError, Code};
use crate::http::extract::{bearer, refuse, token_matches};
use crate::memory::Load;
use crate::runtime::metrics::Metrics;

/// One who may see the metrics.
pub(crate) struct Scraper;

impl FromRequestParts<App> for Scraper {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Some(token) = &app.metrics_token else { return Ok(Self) };
        if bearer(&parts.headers).is_some_and(|given| token_matches(token, given)) {
            return Ok(Self);
        }
        Err(refuse(parts, app, None, unauthorized()).await)
    }
}

pub(crate) async fn metrics(_: Scraper, State(app): State<App>) -> Result<Response, ApiError> {
    let Load { connections, idle, queues } = app.memory.load();
    app.metrics.pool(connections, idle);
    for (name, backlog) in queues.into_iter().chain(app.leases()) {
        app.metrics.queue(name, backlog.requests, backlog.oldest);
    }
    rendered(&app.metrics)
}

pub(crate) fn unauthorized() -> ApiError {
    ApiError::new(Code::Unauthorized, "send the header Authorization: Bearer <METRICS_TOKEN>")
}

pub(crate) fn rendered(metrics: &Metrics) -> Result<Response, ApiError> {
    let text = metrics.render().map_err(|e| {
        tracing::error!("metrics cannot be rendered: {e}");
        ApiError::internal()
    })?;
    Ok(([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response())
}
