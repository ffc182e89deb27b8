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

/// What the routes work with. Shared: every request takes it several times.
pub type App = Arc<AppState>;

/// What an [`App`] is made of.
pub struct AppState {
    /// Connections for all but gets and writes.
    pub pool: PgPool,
    /// Where gets go.
    pub reads: Queue<Reader>,
    /// A replica that reads may go to.
    pub replica: Option<Replica>,
    /// Where puts and deletes go.
    pub writes: Queue<Writer>,
    /// Who is let in.
    pub authenticator: Authenticator,
    /// What becomes of those who are not.
    pub preauth: Preauth,
    /// Proxies whose X-Forwarded-For is believed.
    pub proxies: Arc<TrustedProxies>,
    /// How often a key may ask; `None` is without limit.
    pub requests: Option<RateLimiter>,
    /// How often a key may search; `None` is without limit.
    pub searches: Option<RateLimiter>,
    /// Searches of a day and tenant; `None` is without limit.
    pub searches_per_day: Option<i64>,
    /// What queries mean; `None` where no embeddings are configured.
    pub query_embeddings: Option<QueryEmbeddings>,
    /// How the process is.
    pub health: Health,
    /// What is counted.
    pub metrics: Metrics,
    /// Whether there is /metrics.
    pub serves_metrics: bool,
    /// The bearer that /metrics asks for.
    pub metrics_token: Option<Arc<SecretString>>,
    /// The token that makes the first keys.
    pub bootstrap_token: Option<Arc<SecretString>>,
}
