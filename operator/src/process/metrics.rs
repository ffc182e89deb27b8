//! The operator's own metrics, in Prometheus' text format.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::object::HasStatus;
use kube::runtime::reflector::Store;
use kube::{Resource, ResourceExt as _};
use prometheus::{
    Encoder as _, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry,
    TextEncoder,
};

use crate::agentfs::recovery::times::RunTimes;
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
    recovery: Recovery,
    shown: Arc<Mutex<Vec<Shown>>>,
    times: Arc<Mutex<BTreeMap<Named, Vec<RunTimes>>>>,
}

/// A resource: kind, namespace and name.
type Named = (String, String, String);

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
                "Reconciles by result: settled, in_progress, needs_attention (a condition says why) or error.",
            ),
            &["kind", "result"],
        )?;
        let errors = IntCounterVec::new(
            Opts::new(
                "agentfs_operator_reconcile_errors_total",
                "Reconciles that failed and are retried, by the call that failed.",
            ),
            &["kind", "step"],
        )?;
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "agentfs_operator_reconcile_duration_seconds",
                "Duration of reconciles, in seconds.",
            )
            .buckets(vec![0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]),
            &["kind"],
        )?;
        let leader =
            Gauge::new("agentfs_operator_leader", "1 while this process is the leader, else 0.")?;
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
        let recovery = Recovery::new(&registry)?;
        Ok(Self {
            registry,
            reconciles,
            errors,
            duration,
            leader,
            conditions,
            recovery,
            shown: Arc::default(),
            times: Arc::default(),
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

    /// Says when the backups, verifications and drills of a resource of `kind` were done and are due.
    pub fn set_run_times(&self, kind: &str, namespace: &str, name: &str, times: Vec<RunTimes>) {
        let mut all = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert((kind.into(), namespace.into(), name.into()), times);
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

    /// All metrics as text. Those of resources are of the resources at this moment, so that a deleted one leaves no series behind.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        self.conditions.reset();
        let mut there = BTreeSet::new();
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
                there.insert((kind, namespace, name));
            }
        }
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.retain(|of, _| there.contains(of));
        self.recovery.show(&times);
        drop(times);
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// When the backups, verifications and drills of each AgentFS were done and are due, in seconds since 1970.
#[derive(Clone)]
struct Recovery {
    last_success: GaugeVec,
    last_attempt: GaugeVec,
    failed: GaugeVec,
    running: GaugeVec,
    previous_due: GaugeVec,
    next_due: GaugeVec,
    max_age: GaugeVec,
}

impl Recovery {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let gauge = GaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        Ok(Self {
            last_success: gauge(
                "agentfs_operator_recovery_last_success_timestamp_seconds",
                "When the task (backup, verify, drill) last succeeded, in seconds since 1970; 0 if never.",
                &["namespace", "name", "task"],
            )?,
            last_attempt: gauge(
                "agentfs_operator_recovery_last_attempt_timestamp_seconds",
                "When the newest run of the task that was started had been due, in seconds since 1970; 0 if none.",
                &["namespace", "name", "task"],
            )?,
            failed: gauge(
                "agentfs_operator_recovery_failed",
                "1 if the newest finished attempt of the task failed, else 0.",
                &["namespace", "name", "task"],
            )?,
            running: gauge(
                "agentfs_operator_recovery_running",
                "1 while a run of the task is in progress, else 0.",
                &["namespace", "name", "task"],
            )?,
            previous_due: gauge(
                "agentfs_operator_recovery_previous_due_timestamp_seconds",
                "When the task was last due by its schedule, in seconds since 1970; absent before its first time and while it is suspended.",
                &["namespace", "name", "task"],
            )?,
            next_due: gauge(
                "agentfs_operator_recovery_next_due_timestamp_seconds",
                "When the task is next due by its schedule, in seconds since 1970; absent while it is suspended.",
                &["namespace", "name", "task"],
            )?,
            max_age: gauge(
                "agentfs_operator_recovery_max_age_seconds",
                "How old the newest success of the task may be by the spec, in seconds; absent while it is suspended.",
                &["namespace", "name", "task"],
            )?,
        })
    }

    /// Shows these, and no other.
    fn show(&self, all: &BTreeMap<Named, Vec<RunTimes>>) {
        let Self { last_success, last_attempt, failed, running, previous_due, next_due, max_age } =
            self;
        for gauge in [last_success, last_attempt, failed, running, previous_due, next_due, max_age]
        {
            gauge.reset();
        }
        for ((_, namespace, name), times) in all {
            for of in times {
                let set = |gauge: &GaugeVec, value: f64| {
                    gauge.with_label_values(&[namespace.as_str(), name, of.task]).set(value);
                };
                set(last_success, of.last_success.map_or(0.0, seconds));
                set(last_attempt, of.last_attempt.map_or(0.0, seconds));
                set(failed, f64::from(u8::from(of.failed)));
                set(running, f64::from(u8::from(of.running)));
                let Some(due) = &of.due else { continue };
                set(max_age, due.max_age.as_secs_f64());
                of.previous().into_iter().for_each(|at| set(previous_due, seconds(at)));
                due.next.into_iter().for_each(|at| set(next_due, seconds(at)));
            }
        }
    }
}

/// A moment in seconds since 1970.
fn seconds(at: Timestamp) -> f64 {
    at.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64()
}
