//! Lets through who may see the metrics.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::bearer::bearer;
use super::refuse::{Gatekeeper, is_right, refuse};
use crate::access::preauth::Guessed;
use crate::http::App;
use crate::http::error::{ApiError, Code};
use crate::listen::Connection;
use crate::settings::MetricsAccess;

/// The state of routes with /metrics.
pub trait Measured: Gatekeeper {
    /// Access to it.
    fn metrics_access(&self) -> &MetricsAccess;
}

impl Measured for App {
    fn metrics_access(&self) -> &MetricsAccess {
        &self.metrics_access
    }
}

/// One who may see the metrics.
#[derive(Debug)]
pub struct Scraper;

impl<S: Measured + Sync> FromRequestParts<S> for Scraper {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let expected = state.metrics_access().token();
        if expected.is_none() {
            return Ok(Self);
        }
        let wrong = ApiError::new(
            Code::Unauthorized,
            "send the header Authorization: Bearer <METRICS_TOKEN>",
        );
        let Some(given) = bearer(&parts.headers) else {
            return Err(refuse(parts, state, None, wrong).await);
        };
        if !is_right(parts, state, Guessed::MetricsToken, (expected, given)).await {
            return Err(refuse(parts, state, Some(Guessed::MetricsToken), wrong).await);
        }
        Connection::authenticate(&parts.extensions);
        Ok(Self)
    }
}
