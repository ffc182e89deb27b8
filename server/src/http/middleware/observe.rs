//! Gives every request an id, a deadline, a log line and metrics; writes the bodies of errors, and takes a panic for one.

use std::mem::take;
use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use tokio::time::timeout;
use uuid::Uuid;

use super::request_log::Answered;
use super::trace_context::TraceContext;
use crate::audit::{Refusal, Refusals, Refused};
use crate::domain::TenantId;
use crate::domain::access::api_key::KeyId;
use crate::domain::access::client::TrustedProxies;
use crate::domain::access::rate_limit::RateLimitStatus;
use crate::http::error::{ApiError, Code};
use crate::http::response::{ignored_fields, rate_headers};
use crate::listen::Connection;
use crate::runtime::byte_budget::Owner;
use crate::runtime::metrics::Metrics;

/// The header of the request id, in both directions.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest request id accepted from a client.
const MAX_REQUEST_ID: usize = 128;

/// The header in which proxies tell the client's address.
const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// What requests are observed with.
#[derive(Debug, Clone)]
pub struct Observer {
    /// The metrics that requests are counted in.
    metrics: Metrics,
    /// Proxies whose X-Forwarded-For is trusted.
    proxies: Arc<TrustedProxies>,
    /// Records refused requests.
    refusals: Refusals,
}

impl Observer {
    /// Counts requests in `metrics`, believes `proxies`, and begins to record refusals.
    pub fn start(metrics: Metrics, proxies: Arc<TrustedProxies>) -> Self {
        Self { metrics, proxies, refusals: Refusals::start() }
    }
}

/// Trusts no proxy.
impl From<Metrics> for Observer {
    fn from(metrics: Metrics) -> Self {
        Self::start(metrics, Arc::default())
    }
}

/// What the middleware knows about a request, and facts that inner layers pass out to it.
#[derive(Debug, Clone)]
pub struct RequestContext(Arc<Context>);

#[derive(Debug)]
struct Context {
    client: IpAddr,
    fields: Mutex<Fields>,
}

/// That of a request that no middleware has seen.
impl Default for RequestContext {
    fn default() -> Self {
        Self::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), None)
    }
}

#[derive(Debug, Default)]
struct Fields {
    id: Option<HeaderValue>,
    route: Option<MatchedPath>,
    key: Option<KeyId>,
    tenant: Option<TenantId>,
    named: Option<KeyId>,
    rate_limit: Option<RateLimitStatus>,
    preauth: Option<RateLimitStatus>,
    ignored: Vec<String>,
    tool: Option<Tool>,
}

/// What MCP was asked for, and the code of what went wrong, which its answer has in its body.
#[derive(Debug)]
struct Tool {
    name: &'static str,
    error: Option<Code>,
}

impl RequestContext {
    fn new(client: IpAddr, id: Option<HeaderValue>) -> Self {
        let fields = Mutex::new(Fields { id, ..Fields::default() });
        Self(Arc::new(Context { client, fields }))
    }

    /// The address of the request's client, behind proxies that are trusted.
    pub fn client(&self) -> IpAddr {
        self.0.client
    }

    /// The request's id.
    pub fn request_id(&self) -> String {
        let fields = self.fields();
        let id = fields.id.as_ref().and_then(|id| id.to_str().ok());
        id.unwrap_or_default().to_owned()
    }

    /// Whose bytes are counted for the request: its tenant's, once that is known.
    pub fn owner(&self) -> Owner {
        self.fields().tenant
    }

    /// Records the route that the router has found.
    pub(in crate::http) fn matched(&self, route: MatchedPath) {
        self.fields().route = Some(route);
    }

    /// Records the valid key of the request, and its tenant.
    pub fn key(&self, key: KeyId, tenant: TenantId) {
        let mut fields = self.fields();
        (fields.key, fields.tenant) = (Some(key), Some(tenant));
    }

    /// Records the key that the request names, and is not let in with.
    pub fn named(&self, key: KeyId) {
        self.fields().named = Some(key);
    }

    /// Records the status of a rate limit of the key or its tenant; of several limits the one with the fewest requests left counts.
    pub fn rate_limit(&self, status: RateLimitStatus) {
        let mut fields = self.fields();
        let strictest = fields.rate_limit.filter(|before| before.remaining <= status.remaining);
        fields.rate_limit = Some(strictest.unwrap_or(status));
    }

    /// Records the rate limit status of a client without a valid key.
    pub fn preauth(&self, status: RateLimitStatus) {
        self.fields().preauth = Some(status);
    }

    /// Records fields of the request that were ignored.
    pub fn ignored(&self, names: Vec<String>) {
        self.fields().ignored.extend(names);
    }

    /// Records what MCP was asked for, and what went wrong.
    pub fn tool(&self, name: &'static str, error: Option<Code>) {
        self.fields().tool = Some(Tool { name, error });
    }

    fn fields(&self) -> MutexGuard<'_, Fields> {
        self.0.fields.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has `answer` answer a request. `route` is its route where that is known already.
pub async fn observe<F: Future<Output = Response>>(
    observer: &Observer,
    route: Option<&'static str>,
    mut request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Response {
    let start = Instant::now();
    let request_id = request.headers().get(REQUEST_ID).filter(|id| acceptable(id)).cloned();
    let request_id = request_id.unwrap_or_else(fresh);
    let method = request.method().clone();
    let trace = TraceContext::of(request.headers());
    // Served by another listener than ours, all come from one.
    let peer = request.extensions().get::<Connection>().map(|connection| connection.peer);
    let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let client = observer.proxies.client(peer, forwarded(request.headers()));
    let context = RequestContext::new(client, Some(request_id));
    request.extensions_mut().insert(context.clone());

    let within = Connection::times(request.extensions()).request;
    // A future that has panicked is never polled again.
    let answer = AssertUnwindSafe(async move { answer(request).await }).catch_unwind();
    let mut response = match timeout(within, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(_panic)) => ApiError::internal().into_response(),
        Err(_elapsed) => too_late().into_response(),
    };

    // Moved out of there, where cloning it would cost an allocation.
    let Fields {
        id: request_id,
        route: matched,
        key,
        tenant,
        named,
        rate_limit,
        preauth,
        ignored,
        tool,
    } = take(&mut *context.fields());
    let request_id = request_id.unwrap_or_else(fresh);
    let id = request_id.to_str().unwrap_or_default();
    let route = route.or(matched.as_ref().map(MatchedPath::as_str)).unwrap_or("unknown");
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
    let code = code.or(tool.as_ref().and_then(|tool| tool.error));
    if let Some(quota) = code.and_then(quota) {
        observer.metrics.quota_denial(quota);
    }
    if let Some((code, refusal)) = code.and_then(|code| Some((code.as_str(), refusal(code)?))) {
        let by = Refused { refusal, code, by: key, tenant, named, client, request_id: id };
        observer.refusals.record(by);
    }
    observer.metrics.request(
        route,
        method_label(method.as_str()),
        response.status().as_str(),
        took,
    );
    Answered {
        request_id: id,
        trace: trace.as_ref(),
        tenant,
        key,
        client,
        route,
        tool: tool.as_ref().map(|tool| tool.name),
        method: method.as_str(),
        status: response.status(),
        code,
        took,
    }
    .log();
    response.headers_mut().insert(REQUEST_ID, request_id);
    if let Some(status) = rate_limit {
        rate_headers::insert(response.headers_mut(), &rate_headers::KEY, status);
    }
    if let Some(status) = preauth {
        rate_headers::insert(response.headers_mut(), &rate_headers::PREAUTH, status);
    }
    ignored_fields::insert(response.headers_mut(), &ignored);
    response
}

fn forwarded(headers: &HeaderMap) -> impl DoubleEndedIterator<Item = &str> {
    headers.get_all(X_FORWARDED_FOR).iter().map(|header| header.to_str().unwrap_or_default())
}

/// The request is abandoned; what it has queued is still done.
fn too_late() -> ApiError {
    ApiError::unavailable(
        "the server took too long to answer; a write may or may not have happened; read before you write again",
    )
}

/// The quota of a code, as metrics name it.
fn quota(code: Code) -> Option<&'static str> {
    match code {
        Code::QuotaWritesPerDay => Some("writes"),
        Code::QuotaWriteBytesPerDay => Some("write_bytes"),
        Code::QuotaIdempotencyKeysPerDay => Some("idempotency_keys"),
        Code::QuotaStoredBytes => Some("stored_bytes"),
        Code::QuotaSearches => Some("searches"),
        Code::QuotaEmbedTokensPerDay => Some("embed_tokens"),
        _ => None,
    }
}

/// What the audit log calls an answer of this code, if it is one for it.
fn refusal(code: Code) -> Option<Refusal> {
    match code {
        Code::Unauthorized | Code::PreauthRateLimitExceeded => Some(Refusal::FailedLogin),
        Code::AuthLockout => Some(Refusal::Lockout),
        Code::Forbidden | Code::ReservedPath => Some(Refusal::Forbidden),
        _ => None,
    }
}

/// Limits the methods in metrics to a few, since clients choose them.
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
    fn of_several_limits_the_one_that_leaves_fewest_requests_is_told() {
        let status = |remaining| RateLimitStatus { limit: 9, remaining, reset_seconds: 1 };
        for order in [[7, 3], [3, 7]] {
            let context = RequestContext::default();
            order.into_iter().for_each(|remaining| context.rate_limit(status(remaining)));
            assert_eq!(context.fields().rate_limit, Some(status(3)));
        }
    }

    #[test]
    fn only_harmless_ids_are_taken_over() {
        assert!(acceptable(&HeaderValue::from_static("req-1.a:b_C")));
        assert!(!acceptable(&HeaderValue::from_static("a b")));
        assert!(!acceptable(&HeaderValue::from_static("")));
        assert!(!acceptable(&HeaderValue::from_str(&"x".repeat(129)).unwrap()));
        assert!(acceptable(&fresh()));
    }
}
