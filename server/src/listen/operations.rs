//! A listener for probes and metrics, which floods on the API's port do not reach.

use std::convert::Infallible;
use std::future::pending;

use prometheus::IntGauge;
use tokio::net::TcpListener;

use super::{Limits, RequestHandler, serve};

/// Serves `handler` on `listener`, if there is one, until it is dropped: also while the API drains. `open` counts the open
/// connections.
pub async fn serve_operations(
    listener: Option<TcpListener>,
    handler: impl RequestHandler,
    open: IntGauge,
) -> Infallible {
    if let Some(listener) = listener {
        serve(listener, handler, Limits::operations(), open, pending()).await;
    }
    pending().await
}
