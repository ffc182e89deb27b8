//! What the operator counts of itself, in Prometheus' text format.

use std::time::Duration;

use kube::runtime::reflector::Store;
use prometheus::{
    Encoder as _, Gauge, GaugeVec, Histogram, HistogramOpts, IntCounterVec, Opts, Registry,
    TextEncoder,
};

use crate::crd::AgentFS;

/// How a reconcile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconciled {
    /// Everything is as the spec asks.
    Settled,
    /// Something is on its way.
    InProgress,
    /// Somebody has to do something, and a condition says what.
    NeedsAttention,
    /// It failed, and is tried again.
    Error {
        /// The call that failed.
        step: &'static str,
    },
}

/// The operator's metrics. Cloning shares them.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    errors: IntCounterVec,
    duration: Histogram,
    leader: Gauge,
    conditions: GaugeVec,
}

impl Metrics {
    /// Metrics at zero.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let reconciles = IntCounterVec::new(
            Opts::new(
                "agentfs_operator_reconciles_total",
                "Reconciles that ended: settled, in_progress, needs_attention (a condition says why), or error.",
            ),
            &["result"],
        )?;
        let errors = IntCounterVec::new(
            Opts::new(
                "agentfs_operator_reconcile_errors_total",
                "Reconciles that ended with an error and are tried again, by the call that failed.",
            ),
            &["step"],
        )?;
        let duration = Histogram::with_opts(
            HistogramOpts::new(
                "agentfs_operator_reconcile_duration_seconds",
                "How long a reconcile takes.",
            )
            .buckets(vec![0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]),
        )?;
        let leader = Gauge::new(
            "agentfs_operator_leader",
            "1 while this process holds the Lease and works, else 0.",
        )?;
        let conditions = GaugeVec::new(
            Opts::new(
                "agentfs_operator_condition",
                "Conditions of the AgentFS resources: 1 True, 0 False, -1 Unknown.",
            ),
            &["namespace", "name", "condition"],
        )?;
        registry.register(Box::new(reconciles.clone()))?;
        registry.register(Box::new(errors.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(leader.clone()))?;
        registry.register(Box::new(conditions.clone()))?;
        Ok(Self { registry, reconciles, errors, duration, leader, conditions })
    }

    /// Counts a reconcile that took `took`.
    pub fn reconciled(&self, took: Duration, result: Reconciled) {
        self.duration.observe(took.as_secs_f64());
        let word = match result {
            Reconciled::Settled => "settled",
            Reconciled::InProgress => "in_progress",
            Reconciled::NeedsAttention => "needs_attention",
            Reconciled::Error { step } => {
                self.errors.with_label_values(&[step]).inc();
                "error"
            }
        };
        self.reconciles.with_label_values(&[word]).inc();
    }

    /// Says whether this process leads.
    pub fn set_leader(&self, leads: bool) {
        self.leader.set(if leads { 1.0 } else { 0.0 });
    }

    /// All metrics as text. The conditions are those of the resources in `store` at this moment, so
    /// that a deleted resource leaves no series behind.
    pub fn render(&self, store: Option<&Store<AgentFS>>) -> Result<String, prometheus::Error> {
        self.conditions.reset();
        for agentfs in store.map(Store::state).unwrap_or_default() {
            let namespace = agentfs.metadata.namespace.as_deref().unwrap_or_default();
            let name = agentfs.metadata.name.as_deref().unwrap_or_default();
            for condition in agentfs.status.iter().flat_map(|status| &status.conditions) {
                let value = match condition.status.as_str() {
                    "True" => 1.0,
                    "False" => 0.0,
                    _ => -1.0,
                };
                self.conditions.with_label_values(&[namespace, name, &condition.type_]).set(value);
            }
        }
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}
