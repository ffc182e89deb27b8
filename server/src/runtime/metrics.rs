//! Prometheus metrics.

mod backups;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::core::{Atomic, AtomicI64, Collector, GenericGaugeVec};
use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};

use self::backups::BackupGauges;
pub use self::backups::BackupSample;

/// Upper bounds of latency, in milliseconds.
const MILLISECONDS: [f64; 14] =
    [0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 10_000.0];
const ROWS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// The server's metrics; clones share them.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Collectors>);

#[derive(Debug)]
struct Collectors {
    registry: Registry,
    requests: IntCounterVec,
    duration: HistogramVec,
    mcp_calls: IntCounterVec,
    connections: IntGauge,
    operations_connections: IntGauge,
    quota_denials: IntCounterVec,
    rate_limit_denials: IntCounterVec,
    memory_budget: IntGaugeVec,
    memory_budget_denials: IntCounterVec,
    batch_rows: HistogramVec,
    batch_wait: HistogramVec,
    queue_requests: IntGaugeVec,
    queue_oldest: GaugeVec,
    pool_connections: IntGaugeVec,
    pool_wait: Gauge,
    oldest_snapshot: Gauge,
    read_replica_fresh: IntGauge,
    embedding_jobs: IntGaugeVec,
    embedding_outcomes: IntCounterVec,
    embedding_requests: HistogramVec,
    embedding_tokens: IntCounter,
    embedding_cut: IntCounter,
    backups: BackupGauges,
}

impl Metrics {
    /// A registry of its own with all metrics in it.
    #[expect(clippy::too_many_lines, reason = "a list: one metric after the other")]
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let metrics = Self(Arc::new(Collectors {
            requests: counters(
                &registry,
                "agentfs_http_requests_total",
                "HTTP requests answered.",
                &["route", "method", "status"],
            )?,
            duration: histograms(
                &registry,
                "agentfs_http_request_duration_ms",
                "Duration of HTTP requests, in milliseconds.",
                &MILLISECONDS,
                &["route", "method"],
            )?,
            mcp_calls: counters(
                &registry,
                "agentfs_mcp_calls_total",
                "Calls of MCP tools, and reads of its resources and prompts.",
                &["call", "outcome"],
            )?,
            connections: registered(
                &registry,
                IntGauge::new("agentfs_http_connections", "Open client connections."),
            )?,
            operations_connections: registered(
                &registry,
                IntGauge::new(
                    "agentfs_operations_connections",
                    "Open connections to the port for probes and metrics.",
                ),
            )?,
            quota_denials: counters(
                &registry,
                "agentfs_quota_denials_total",
                "Requests refused by a quota.",
                &["type"],
            )?,
            rate_limit_denials: counters(
                &registry,
                "agentfs_rate_limit_denials_total",
                "Requests refused by a rate limit.",
                &["type"],
            )?,
            memory_budget: gauges(
                &registry,
                "agentfs_memory_budget_bytes",
                "The memory budget for request bodies, queued writes and responses, in bytes.",
                &["state"],
            )?,
            memory_budget_denials: counters(
                &registry,
                "agentfs_memory_budget_denials_total",
                "Requests refused because the memory budget was spent.",
                &["type"],
            )?,
            batch_rows: histograms(
                &registry,
                "agentfs_batch_rows",
                "Requests per batch, which share a database statement.",
                &ROWS,
                &["queue"],
            )?,
            batch_wait: histograms(
                &registry,
                "agentfs_batch_wait_ms",
                "How long the oldest request of a batch waited for it, in milliseconds.",
                &MILLISECONDS,
                &["queue"],
            )?,
            queue_requests: gauges(
                &registry,
                "agentfs_queue_requests",
                "Requests waiting for a batch.",
                &["queue"],
            )?,
            queue_oldest: gauges(
                &registry,
                "agentfs_queue_oldest_seconds",
                "How long the oldest request in the queue has waited at most, in seconds.",
                &["queue"],
            )?,
            pool_connections: gauges(
                &registry,
                "agentfs_pool_connections",
                "Connections of the database connection pool.",
                &["state"],
            )?,
            pool_wait: registered(
                &registry,
                Gauge::new(
                    "agentfs_pool_wait_ms",
                    "How long a request waits for a connection of the pool, in milliseconds; measured every 15 s.",
                ),
            )?,
            oldest_snapshot: registered(
                &registry,
                Gauge::new(
                    "agentfs_oldest_snapshot_age_seconds",
                    "Age of the oldest snapshot of the database, in seconds; measured every 15 s.",
                ),
            )?,
            read_replica_fresh: registered(
                &registry,
                IntGauge::new(
                    "agentfs_read_replica_fresh",
                    "1 while reads go to the replica of DATABASE_READ_URL, 0 while they go to the primary.",
                ),
            )?,
            // A gauge in spite of its name, which runbooks and dashboards know: jobs leave a status again, and a counter
            // that falls would be taken for a restart.
            embedding_jobs: gauges(
                &registry,
                "agentfs_embedding_jobs_total",
                "Current embedding jobs, by status; read every 15 s.",
                &["status"],
            )?,
            embedding_outcomes: counters(
                &registry,
                "agentfs_embedding_outcomes_total",
                "Embedding jobs processed by this worker, by outcome.",
                &["outcome"],
            )?,
            embedding_requests: histograms(
                &registry,
                "agentfs_embedding_request_duration_ms",
                "Duration of embedding requests, in milliseconds.",
                &MILLISECONDS,
                &["ok"],
            )?,
            embedding_tokens: registered(
                &registry,
                IntCounter::new("agentfs_embedding_tokens_total", "Tokens embedded."),
            )?,
            embedding_cut: registered(
                &registry,
                IntCounter::new(
                    "agentfs_embedding_texts_cut_total",
                    "Texts that were not embedded to their end: longer than their chunks, or a chunk longer than the model reads.",
                ),
            )?,
            backups: BackupGauges::new(&registry)?,
            registry,
        }));
        metrics.describe_process()?;
        metrics.begin();
        Ok(metrics)
    }

    /// Starts series at 0, so that their first increase shows.
    fn begin(&self) {
        for quota in ["writes", "searches", "embed_tokens"] {
            self.0.quota_denials.with_label_values(&[quota]);
        }
        for limit in ["requests", "searches", "preauth", "lockout"] {
            self.0.rate_limit_denials.with_label_values(&[limit]);
        }
        for purpose in ["body", "answer"] {
            self.0.memory_budget_denials.with_label_values(&[purpose]);
        }
        for outcome in ["embedded", "outdated", "again", "failed"] {
            self.0.embedding_outcomes.with_label_values(&[outcome]);
        }
    }

    fn describe_process(&self) -> Result<(), prometheus::Error> {
        let build_info =
            gauges::<AtomicI64>(&self.0.registry, "agentfs_build_info", "Always 1.", &["version"])?;
        build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let started = registered(
            &self.0.registry,
            Gauge::new(
                "process_start_time_seconds",
                "Start time of the process, in seconds since 1970.",
            ),
        )?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        started.set(now.as_secs_f64());
        Ok(())
    }

    /// Counts an answered request. `route` is the route's template.
    pub fn request(&self, route: &str, method: &str, status: &str, took: Duration) {
        self.0.requests.with_label_values(&[route, method, status]).inc();
        self.0.duration.with_label_values(&[route, method]).observe(milliseconds(took));
    }

    /// Counts a call of MCP; `outcome` is ok or the code of what went wrong.
    pub fn mcp_call(&self, call: &str, outcome: &str) {
        self.0.mcp_calls.with_label_values(&[call, outcome]).inc();
    }

    /// The gauge of open connections, for the listener.
    pub fn connections(&self) -> IntGauge {
        self.0.connections.clone()
    }

    /// The gauge of open connections of the port of probes and metrics.
    pub fn operations_connections(&self) -> IntGauge {
        self.0.operations_connections.clone()
    }

    /// Counts a request that a quota refused; `kind` is the quota.
    pub fn quota_denial(&self, kind: &str) {
        self.0.quota_denials.with_label_values(&[kind]).inc();
    }

    /// Counts a request that a rate limit refused; `kind` is the limit.
    pub fn rate_limit_denial(&self, kind: &str) {
        self.0.rate_limit_denials.with_label_values(&[kind]).inc();
    }

    /// Records the bytes of the memory budget that are taken, and those that are free.
    pub fn memory_budget(&self, (used, free): (u64, u64)) {
        for (state, bytes) in [("used", used), ("free", free)] {
            self.0.memory_budget.with_label_values(&[state]).set(bytes.cast_signed());
        }
    }

    /// Counts a request that was refused since the memory budget was spent; `kind` is what the bytes were for.
    pub fn memory_budget_denial(&self, kind: &str) {
        self.0.memory_budget_denials.with_label_values(&[kind]).inc();
    }

    /// Records the size of a batch, and how long its oldest request had waited.
    pub fn batch(&self, queue: &str, rows: usize, waited: Duration) {
        self.0.batch_rows.with_label_values(&[queue]).observe(rows as f64);
        self.0.batch_wait.with_label_values(&[queue]).observe(milliseconds(waited));
    }

    /// Records a queue's backlog: its requests, and how long the oldest has waited.
    pub fn queue(&self, queue: &str, requests: usize, oldest: Duration) {
        self.0.queue_requests.with_label_values(&[queue]).set(requests as i64);
        self.0.queue_oldest.with_label_values(&[queue]).set(oldest.as_secs_f64());
    }

    /// Records the connections of the pool.
    pub fn pool(&self, size: u32, idle: usize) {
        let used = i64::from(size) - idle as i64;
        self.0.pool_connections.with_label_values(&["idle"]).set(idle as i64);
        // The two numbers are not of one moment.
        self.0.pool_connections.with_label_values(&["used"]).set(used.max(0));
    }

    /// Records the wait for a connection of the pool.
    pub fn pool_wait(&self, waited: Duration) {
        self.0.pool_wait.set(milliseconds(waited));
    }

    /// Records the age of the database's oldest snapshot.
    pub fn oldest_snapshot(&self, age: Duration) {
        self.0.oldest_snapshot.set(age.as_secs_f64());
    }

    /// Records whether reads go to a replica.
    pub fn read_replica_fresh(&self, fresh: bool) {
        self.0.read_replica_fresh.set(fresh.into());
    }

    /// Records the number of embedding jobs by status; empty if unknown.
    pub fn embedding_jobs(&self, counts: &[(&str, i64)]) {
        if counts.is_empty() {
            // No number is better than an old one.
            self.0.embedding_jobs.reset();
        }
        for (status, count) in counts {
            self.0.embedding_jobs.with_label_values(&[status]).set(*count);
        }
    }

    /// Counts an embedding job by outcome.
    pub fn embedding_outcome(&self, outcome: &str) {
        self.0.embedding_outcomes.with_label_values(&[outcome]).inc();
    }

    /// Records a request to the embedding provider.
    pub fn embedding_request(&self, ok: bool, took: Duration) {
        let ok = if ok { "true" } else { "false" };
        self.0.embedding_requests.with_label_values(&[ok]).observe(milliseconds(took));
    }

    /// Counts an embedded text; `cut` tells whether there is more of it.
    pub fn embedded(&self, tokens: i64, cut: bool) {
        self.0.embedding_tokens.inc_by(tokens.unsigned_abs());
        self.0.embedding_cut.inc_by(u64::from(cut));
    }

    /// Records whether the backups at BACKUP_LOCATION can be listed.
    pub fn backup_catalogue_up(&self, up: bool) {
        self.0.backups.catalogue_up(up);
    }

    /// Records what is known of the backups of the API's database.
    pub fn backups(&self, sample: &BackupSample) {
        self.0.backups.show(sample);
    }

    /// All metrics in Prometheus' text format.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.0.registry.gather())
    }
}

fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    made: Result<C, prometheus::Error>,
) -> Result<C, prometheus::Error> {
    let collector = made?;
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    registered(registry, IntCounterVec::new(Opts::new(name, help), labels))
}

fn gauges<N: Atomic + 'static>(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<GenericGaugeVec<N>, prometheus::Error> {
    registered(registry, GenericGaugeVec::new(Opts::new(name, help), labels))
}

fn histograms(
    registry: &Registry,
    name: &str,
    help: &str,
    buckets: &[f64],
    labels: &[&str],
) -> Result<HistogramVec, prometheus::Error> {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    registered(registry, HistogramVec::new(options, labels))
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
