//! The operator's own metrics, in Prometheus' text format.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::object::HasStatus;
use kube::runtime::reflector::Store;
use kube::{Resource, ResourceExt as _};
use prometheus::{
    Encoder as _, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry,
    TextEncoder,
};

use crate::crd::fields::Conditions;
use crate::kit::reconcile::Reconciled;

/// The operator's metrics. Cloning shares them.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    errors: IntCounterVec,
    duration: HistogramVec,
    leader: Gauge,
    conditions: GaugeVec,
    shown: Arc<Mutex<Vec<Shown>>>,
}

/// Gives the conditions of all resources of one kind.
type Shown = Box<dyn Fn() -> Vec<OfResource> + Send>;

/// The conditions of one resource.
struct OfResource {
    kind: String,
    namespace: String,
    name: String,
    conditions: Vec<Condition>,
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
            &["kind", "result"],
        )?;
        let errors = IntCounterVec::new(
            Opts::new(
                "agentfs_operator_reconcile_errors_total",
                "Reconciles that ended with an error and are tried again, by the call that failed.",
            ),
            &["kind", "step"],
        )?;
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "agentfs_operator_reconcile_duration_seconds",
                "How long a reconcile takes.",
            )
            .buckets(vec![0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]),
            &["kind"],
        )?;
        let leader = Gauge::new(
            "agentfs_operator_leader",
            "1 while this process holds the Lease and works, else 0.",
        )?;
        let conditions = GaugeVec::new(
            Opts::new(
                "agentfs_operator_condition",
                "Conditions of the resources: 1 True, 0 False, -1 Unknown.",
            ),
            &["kind", "namespace", "name", "condition"],
        )?;
        registry.register(Box::new(reconciles.clone()))?;
        registry.register(Box::new(errors.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(leader.clone()))?;
        registry.register(Box::new(conditions.clone()))?;
        Ok(Self {
            registry,
            reconciles,
            errors,
            duration,
            leader,
            conditions,
            shown: Arc::default(),
        })
    }

    /// Counts a reconcile of a resource of `kind` that took `took`.
    pub fn reconciled(&self, kind: &str, took: Duration, result: Reconciled) {
        self.duration.with_label_values(&[kind]).observe(took.as_secs_f64());
        let word = match result {
            Reconciled::Settled => "settled",
            Reconciled::InProgress => "in_progress",
            Reconciled::NeedsAttention => "needs_attention",
            Reconciled::Error { step } => {
                self.errors.with_label_values(&[kind, step]).inc();
                "error"
            }
        };
        self.reconciles.with_label_values(&[kind, word]).inc();
    }

    /// Says whether this process leads.
    pub fn set_leader(&self, leads: bool) {
        self.leader.set(if leads { 1.0 } else { 0.0 });
    }

    /// Lets the metrics show the conditions of the resources in `store`.
    pub fn show<K>(&self, store: Store<K>)
    where
        K: Resource<DynamicType = ()> + HasStatus + Clone + Send + Sync + 'static,
        K::Status: Conditions,
    {
        let conditions = |resource: &K| OfResource {
            kind: K::kind(&()).into_owned(),
            namespace: resource.namespace().unwrap_or_default(),
            name: resource.name_any(),
            conditions: resource.status().map(Conditions::conditions).unwrap_or_default().to_vec(),
        };
        let shown = move || store.state().iter().map(|resource| conditions(resource)).collect();
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(shown));
    }

    /// All metrics as text. The conditions are those of the resources at this moment, so that a deleted
    /// resource leaves no series behind.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        self.conditions.reset();
        for shown in self.shown.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            for OfResource { kind, namespace, name, conditions } in shown() {
                for condition in conditions {
                    let value = match condition.status.as_str() {
                        "True" => 1.0,
                        "False" => 0.0,
                        _ => -1.0,
                    };
                    let labels = [kind.as_str(), &namespace, &name, &condition.type_];
                    self.conditions.with_label_values(&labels).set(value);
                }
            }
        }
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}
