//! The state that routes share, built once at the start.

use std::sync::Arc;

use axum::extract::FromRef;
use secrecy::SecretString;

use super::middleware::observe::Observer;
use crate::access::authenticator::Authenticator;
use crate::access::preauth::Preauth;
use crate::access::rate_limit::RateLimiter;
use crate::group_commit::Backlog;
use crate::memory::Memory;
use crate::runtime::byte_budget::ByteBudget;
use crate::runtime::health::Health;
use crate::runtime::metrics::Metrics;
use crate::settings::{BodyLimit, McpSettings, MetricsAccess, UnknownFields};
use crate::tenancy::Tenancy;

/// The shared state of the routes, in an [`Arc`]: every request takes it several times.
pub type App = Arc<AppState>;

/// The shared state of the routes.
pub struct AppState {
    /// The use cases of memory.
    pub memory: Memory,
    /// The use cases of tenants and their keys.
    pub tenancy: Tenancy,
    /// Authenticates API keys.
    pub authenticator: Authenticator,
    /// Limits unauthenticated requests.
    pub preauth: Preauth,
    /// What requests are observed with, on each of the listeners.
    pub observer: Observer,
    /// Rate limits of requests per key and tenant; `None` is without limit.
    pub requests: Option<RateLimiter>,
    /// Rate limits of searches per key and tenant; `None` is without limit.
    pub searches: Option<RateLimiter>,
    /// Most bytes of a request's body.
    pub body_limit: BodyLimit,
    /// What is done with fields that a route does not know.
    pub unknown_fields: UnknownFields,
    /// Whether MCP is served, and to whom.
    pub mcp: McpSettings,
    /// The budget of bytes.
    pub budget: ByteBudget,
    /// The health of the process.
    pub health: Health,
    /// The metrics.
    pub metrics: Metrics,
    /// Access to /metrics.
    pub metrics_access: MetricsAccess,
    /// Whether the API's port has /metrics without a token.
    pub monitoring_on_port: bool,
    /// The token that creates the first keys.
    pub bootstrap_token: Option<Arc<SecretString>>,
}

impl FromRef<App> for UnknownFields {
    fn from_ref(app: &App) -> Self {
        app.unknown_fields
    }
}

impl FromRef<App> for BodyLimit {
    fn from_ref(app: &App) -> Self {
        app.body_limit
    }
}

impl FromRef<App> for ByteBudget {
    fn from_ref(app: &App) -> Self {
        app.budget.clone()
    }
}

impl AppState {
    /// The queue in which requests wait for tokens of their rate limit, and its backlog; all limits share it.
    pub(crate) fn leases(&self) -> Option<(&'static str, Backlog)> {
        self.requests.as_ref().or(self.searches.as_ref()).map(RateLimiter::queue)
    }
}
