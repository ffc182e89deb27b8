//! The operator's own HTTP port: probes for the kubelet, metrics for Prometheus.

use std::net::SocketAddr;

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;

/// What the routes answer from.
#[derive(Clone)]
pub struct Probes {
    metrics: Metrics,
    stop: CancellationToken,
}

impl Probes {
    /// Probes that answer until `stop` is cancelled.
    pub fn new(metrics: Metrics, stop: CancellationToken) -> Self {
        Self { metrics, stop }
    }

    /// Serves the probes on `address` until the token is cancelled.
    pub async fn serve(self, address: SocketAddr) -> std::io::Result<()> {
        let listener = TcpListener::bind(address).await?;
        let stop = self.stop.clone();
        axum::serve(listener, self.router()).with_graceful_shutdown(stop.cancelled_owned()).await
    }

    fn router(self) -> Router {
        Router::new()
            .route("/livez", get(|| async { "ok" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(self)
    }
}

/// A process that waits for the Lease is ready as well: it is ready to take over.
async fn readyz(State(probes): State<Probes>) -> impl IntoResponse {
    if probes.stop.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    } else {
        (StatusCode::OK, "ok")
    }
}

async fn metrics(State(probes): State<Probes>) -> impl IntoResponse {
    match probes.metrics.render() {
        Ok(text) => (StatusCode::OK, [("content-type", "text/plain; version=0.0.4")], text),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [("content-type", "text/plain")],
            format!("the metrics could not be written: {error}"),
        ),
    }
}
