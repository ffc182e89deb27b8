//! What is noted of every request: its id, a log line, metrics; and the body of what failed.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use uuid::Uuid;

use super::error::{ApiError, Code};
use crate::domain::TenantId;
use crate::metrics::Metrics;

/// The header that carries a request's id both ways.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over from a client.
const MAX_REQUEST_ID: usize = 128;

/// What the inside of the stack lets the outside know of a request.
#[derive(Debug, Clone, Default)]
pub struct Noted(Arc<OnceLock<TenantId>>);

impl Noted {
    /// Notes whose request it is.
    pub fn tenant(&self, tenant: TenantId) {
        self.0.set(tenant).ok();
    }
}

/// Surrounds a request.
pub async fn observe(State(metrics): State<Metrics>, mut request: Request, next: Next) -> Response {
    let start = Instant::now();
    let request_id = request.headers().get(REQUEST_ID).filter(|id| acceptable(id)).cloned();
    let request_id = request_id.unwrap_or_else(fresh);
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("unknown", MatchedPath::as_str);
    let method = request.method().clone();
    let noted = Noted::default();
    request.extensions_mut().insert(noted.clone());

    let mut response = next.run(request).await;

    let id = request_id.to_str().unwrap_or_default();
    let error = response.extensions_mut().remove::<ApiError>();
    if let Some(error) = &error {
        *response.body_mut() = error.body(id);
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let took = start.elapsed();
    let code = error.map(|e| e.code());
    if code == Some(Code::QuotaWritesPerDay) {
        metrics.quota_denial("writes");
    }
    metrics.request(route, method_label(method.as_str()), response.status().as_str(), took);
    tracing::info!(
        target: "agentfs_server::request",
        request_id = id,
        tenant = noted.0.get().map(tracing::field::display),
        route,
        method = method.as_str(),
        status = response.status().as_u16(),
        code = code.map(Code::as_str),
        responseTime = (took.as_secs_f64() * 1_000_000.0).round() / 1000.0,
    );
    response.headers_mut().insert(REQUEST_ID, request_id);
    response
}

/// Methods are the client's to choose; metrics know a few.
fn method_label(method: &str) -> &str {
    if ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"].contains(&method) {
        method
    } else {
        "other"
    }
}

fn acceptable(id: &HeaderValue) -> bool {
    (1..=MAX_REQUEST_ID).contains(&id.len())
        && id.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(b))
}

fn fresh() -> HeaderValue {
    let mut buffer = Uuid::encode_buffer();
    let text = Uuid::now_v7().simple().encode_lower(&mut buffer);
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_ids_are_taken_over() {
        assert!(acceptable(&HeaderValue::from_static("req-1.a:b_C")));
        assert!(!acceptable(&HeaderValue::from_static("a b")));
        assert!(!acceptable(&HeaderValue::from_static("")));
        assert!(!acceptable(&HeaderValue::from_str(&"x".repeat(129)).unwrap()));
        assert!(acceptable(&fresh()));
    }
}
