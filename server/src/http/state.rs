//! The state that routes share, built once at the start.

use std::sync::Arc;

use secrecy::SecretString;
use sqlx::postgres::PgPool;

use crate::access::authenticator::Authenticator;
use crate::access::preauth::Preauth;
use crate::access::rate_limit::RateLimiter;
use crate::domain::access::client::TrustedProxies;
use crate::embedding::query_embeddings::QueryEmbeddings;
use crate::group_commit::queue::Queue;
use crate::group_commit::reads::Reader;
use crate::group_commit::writes::Writer;
use crate::runtime::health::Health;
use crate::runtime::metrics::Metrics;
use crate::runtime::replica::Replica;

/// The shared state of the routes, in an [`Arc`]: every request takes it several times.
pub type App = Arc<AppState>;

/// The shared state of the routes.
pub struct AppState {
    /// Connections for everything but gets and writes.
    pub pool: PgPool,
    /// The queue of gets.
    pub reads: Queue<Reader>,
    /// The read replica, if there is one.
    pub replica: Option<Replica>,
    /// The queue of puts and deletes.
    pub writes: Queue<Writer>,
    /// Authenticates API keys.
    pub authenticator: Authenticator,
    /// Limits unauthenticated requests.
    pub preauth: Preauth,
    /// Proxies whose X-Forwarded-For is trusted.
    pub proxies: Arc<TrustedProxies>,
    /// Rate limit of requests per key; `None` is without limit.
    pub requests: Option<RateLimiter>,
    /// Rate limit of searches per key; `None` is without limit.
    pub searches: Option<RateLimiter>,
    /// Searches a day and tenant; `None` is without limit.
    pub searches_per_day: Option<i64>,
    /// Embeds queries for semantic search; `None` without an embedding provider.
    pub query_embeddings: Option<QueryEmbeddings>,
    /// The health of the process.
    pub health: Health,
    /// The metrics.
    pub metrics: Metrics,
    /// Whether there is /metrics.
    pub serves_metrics: bool,
    /// The bearer token of /metrics.
    pub metrics_token: Option<Arc<SecretString>>,
    /// The token that creates the first keys.
    pub bootstrap_token: Option<Arc<SecretString>>,
}
