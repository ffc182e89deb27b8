//! GET /metrics

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus::TEXT_FORMAT;

use super::App;
use super::error::{ApiError, Code};
use super::extract::{bearer, token_matches};

pub(super) async fn metrics(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if let Some(token) = &app.metrics_token
        && !bearer(&headers).is_some_and(|given| token_matches(token, given))
    {
        return Err(ApiError::new(
            Code::Unauthorized,
            "send the header Authorization: Bearer <METRICS_TOKEN>",
        ));
    }
    let text = app.metrics.render().map_err(|e| {
        tracing::error!("metrics cannot be rendered: {e}");
        ApiError::internal()
    })?;
    Ok(([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response())
}
