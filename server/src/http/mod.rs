//! The HTTP contract: one file a resource, extractors and the error envelope.

pub mod error;
pub mod extract;

mod agents;
mod as_of;
mod batch;
mod create_key;
mod create_tenant;
mod delete;
mod dump;
mod entry;
mod get;
mod glob;
mod health;
mod history;
mod list;
mod metrics;
pub mod observe;
mod openapi;
mod page;
mod put;
mod quota;
mod rate_headers;
mod requeue;
mod search;
mod splice;
mod worker;
mod write;

pub use self::worker::worker_router;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum::{Json, Router};
use secrecy::SecretString;
use sqlx::postgres::PgPool;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::error::{ApiError, Code};
use crate::access::authenticator::Authenticator;
use crate::access::preauth::Preauth;
use crate::access::rate_limit::RateLimiter;
use crate::domain::access::client::TrustedProxies;
use crate::embedding::query_embeddings::Meaning;
use crate::group_commit::queue::Queue;
use crate::group_commit::reads::Reader;
use crate::group_commit::writes::Writer;
use crate::runtime::health::Health;
use crate::runtime::metrics::Metrics;
use crate::runtime::replica::Replica;

/// Largest request body in bytes.
pub const MAX_BODY: usize = 1 << 20;

/// What the routes work with. Shared: every request takes it several times.
pub type App = Arc<Parts>;

/// What an [`App`] is made of.
pub struct Parts {
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
    pub meaning: Option<Meaning>,
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

/// All routes.
pub fn router(app: App) -> Router {
    let (routes, description) = OpenApiRouter::with_openapi(openapi::Description::openapi())
        .routes(routes!(put::put))
        .routes(routes!(self::get::get))
        .routes(routes!(delete::delete))
        .routes(routes!(batch::batch))
        .routes(routes!(history::history))
        .routes(routes!(list::list))
        .routes(routes!(glob::glob))
        .routes(routes!(agents::agents))
        .routes(routes!(dump::dump))
        .routes(routes!(search::search))
        .routes(routes!(create_key::create_key))
        .routes(routes!(create_tenant::create_tenant))
        .routes(routes!(requeue::requeue))
        .routes(routes!(health::healthz))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .split_for_parts();
    let description = Arc::new(description);
    let mut routes =
        routes.route("/openapi.json", get(async move || Json(description.clone()).into_response()));
    if app.serves_metrics {
        routes = routes.route("/metrics", get(metrics::metrics));
    }
    with_stack(routes, app.metrics.clone()).with_state(app)
}

/// What surrounds every route: limits, the error envelope, request ids, logs and metrics. Benchmarks put their echo
/// route into the same stack.
pub fn with_stack<S: Clone + Send + Sync + 'static>(
    routes: Router<S>,
    metrics: Metrics,
) -> Router<S> {
    routes
        .fallback(async || ApiError::new(Code::NotFound, "no such route"))
        .method_not_allowed_fallback(async || {
            ApiError::new(
                Code::MethodNotAllowed,
                "this route does not take this method; see the Allow header",
            )
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            ApiError::internal().into_response()
        }))
        .layer(from_fn_with_state(metrics, observe::observe))
}

use axum::response::IntoResponse as _;
