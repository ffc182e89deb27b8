//! What Prometheus sees.

use std::time::Duration;

use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// Upper bounds of latency, in milliseconds.
const MILLISECONDS: [f64; 14] =
    [0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 10_000.0];
const ROWS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// The server's metrics; clones share them.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    duration: HistogramVec,
    quota_denials: IntCounterVec,
    batch_rows: HistogramVec,
}

impl Metrics {
    /// A registry of its own with all metrics in it.
    pub fn new() -> Result<Self, prometheus::Error> {
        let metrics = Self {
            registry: Registry::new(),
            requests: IntCounterVec::new(
                Opts::new("agentfs_http_requests_total", "Requests answered."),
                &["route", "method", "status"],
            )?,
            duration: HistogramVec::new(
                HistogramOpts::new(
                    "agentfs_http_request_duration_ms",
                    "Time to answer a request, in milliseconds.",
                )
                .buckets(MILLISECONDS.to_vec()),
                &["route", "method"],
            )?,
            quota_denials: IntCounterVec::new(
                Opts::new("agentfs_quota_denials_total", "Requests refused by a quota."),
                &["type"],
            )?,
            batch_rows: HistogramVec::new(
                HistogramOpts::new("agentfs_batch_rows", "Requests that shared a statement.")
                    .buckets(ROWS.to_vec()),
                &["queue"],
            )?,
        };
        let build_info =
            IntGaugeVec::new(Opts::new("agentfs_build_info", "Always 1."), &["version"])?;
        build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics.registry.register(Box::new(metrics.requests.clone()))?;
        metrics.registry.register(Box::new(metrics.duration.clone()))?;
        metrics.registry.register(Box::new(metrics.quota_denials.clone()))?;
        metrics.registry.register(Box::new(metrics.batch_rows.clone()))?;
        metrics.registry.register(Box::new(build_info))?;
        Ok(metrics)
    }

    /// Counts an answered request. `route` is the route's template.
    pub fn request(&self, route: &str, method: &str, status: &str, took: Duration) {
        self.requests.with_label_values(&[route, method, status]).inc();
        self.duration.with_label_values(&[route, method]).observe(took.as_secs_f64() * 1000.0);
    }

    /// Counts a request that a quota refused; `kind` is the quota.
    pub fn quota_denial(&self, kind: &str) {
        self.quota_denials.with_label_values(&[kind]).inc();
    }

    /// Notes how many requests a batch held.
    pub fn batch(&self, queue: &str, rows: usize) {
        self.batch_rows.with_label_values(&[queue]).observe(rows as f64);
    }

    /// All metrics in Prometheus' text format.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}
