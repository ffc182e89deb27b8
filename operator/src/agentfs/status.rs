//! The fifth call of a reconcile: say how the AgentFS is.
//!
//! [`report`] and [`render`] are pure. What they say of the children they say of applied ones only.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::apply::Outcome;
use super::build::Children;
use super::conditions::{
    API_READY, BACKUP_FRESH, BACKUPS_SCHEDULED, CREDENTIALS_READY, DATABASE_READY, POOLER_READY,
    SCHEMA_READY, WORKERS_READY,
};
use super::observe::Observed;
use super::plan::{DatabasePlan, Plan, Replicas};
use super::states::StatusInputs;
use super::{names, reasons};
use crate::crd::agentfs::{AgentFSStatus, ApiStatus, BackupStatus, DatabaseStatus, WorkerStatus};
use crate::kit::blockers::Blocker;
use crate::kit::conditions::{Failure, PROGRESSING, READY, State, condition};
use crate::kit::desired::Applied;
use crate::kit::validation::Invalid;
use crate::process::metrics::Reconciled;

/// The conditions, in the order in which they are shown.
const KINDS: [&str; 10] = [
    READY,
    PROGRESSING,
    CREDENTIALS_READY,
    DATABASE_READY,
    POOLER_READY,
    SCHEMA_READY,
    API_READY,
    WORKERS_READY,
    BACKUPS_SCHEDULED,
    BACKUP_FRESH,
];

/// The conditions of what there may be or not. Those of what there is not are not shown.
const OPTIONAL: [&str; 4] = [POOLER_READY, WORKERS_READY, BACKUPS_SCHEDULED, BACKUP_FRESH];

/// What was found of an AgentFS.
#[derive(Clone, Debug)]
pub struct StatusReport {
    /// What was found of each matter, by the condition's type. A matter that is not among them was
    /// not looked at, and its condition stays.
    pub states: Vec<(&'static str, State)>,
    /// The API's pods, where they were counted.
    pub api: Option<ApiStatus>,
    /// The workers' pods, where there are any.
    pub worker: Option<WorkerStatus>,
    /// The backups, where there are to be any.
    pub backup: Option<BackupStatus>,
    /// The database in use, where it is known.
    pub database: Option<DatabaseStatus>,
}

impl StatusReport {
    /// Whether everything is as the spec asks and nothing is on its route.
    pub fn is_settled(&self) -> bool {
        let settled = |kind: &str, state: &State| match kind {
            PROGRESSING => matches!(state, State::False { .. }),
            // Its first one may be a day away.
            BACKUP_FRESH => !state.is_failed(),
            _ => state.is_at_rest(),
        };
        self.is_complete() && self.states.iter().all(|(kind, f)| settled(kind, f))
    }

    /// How the reconcile that found it ended.
    pub fn reconciled(&self) -> Reconciled {
        if self.needs_somebody() {
            Reconciled::NeedsAttention
        } else if self.is_settled() {
            Reconciled::Settled
        } else {
            Reconciled::InProgress
        }
    }

    /// Whether everything that there is was looked at.
    fn is_complete(&self) -> bool {
        self.states.iter().any(|(kind, _)| *kind == API_READY)
    }

    /// Whether it stays as it is until somebody does something.
    pub fn needs_somebody(&self) -> bool {
        self.states.iter().any(|(_, state)| state.is_failed())
    }
}

/// What is to be said of what became of `plan`.
pub fn report(plan: &Plan, outcome: &Outcome, observed: &Observed) -> StatusReport {
    let children = &outcome.children;
    let counts = counts(plan, children);
    let inputs = StatusInputs { plan, children, observed, counts: &counts };
    // What keeps a part from being made says more of it than what is there in its stead.
    let found = |of: &str, state: State| {
        outcome.blockers.iter().find(|blocker| blocker.of == of).map_or(state, Blocker::state)
    };
    let credentials = found(CREDENTIALS_READY, inputs.credentials());
    let database = found(DATABASE_READY, inputs.database());
    let schema = found(SCHEMA_READY, inputs.schema());
    let pooler = inputs.pooler().map(|state| found(POOLER_READY, state));
    let api = found(API_READY, inputs.api());
    let workers = inputs.workers().map(|state| found(WORKERS_READY, state));
    let scheduled = inputs.backups_scheduled().map(|state| found(BACKUPS_SCHEDULED, state));
    let (before, after) = ([&credentials, &database], [&schema, &api]);
    let mut parts: Vec<&State> =
        before.into_iter().chain(&pooler).chain(after).chain(&workers).collect();
    // Backups that are paused, or wait for what the others wait for, are no reason of their own.
    parts.extend(scheduled.iter().filter(|state| state.is_failed()));
    let progressing = match found(PROGRESSING, inputs.progressing(&parts)) {
        State::Progressing { reason, message } => State::True { reason, message },
        state => state,
    };
    let ready = inputs.ready(&parts);
    let identity = plan.access.as_ref().map(|access| access.identity.clone());
    let database_status = match plan.database {
        DatabasePlan::Embedded(_) => DatabaseStatus { kind: "embedded".into(), identity: None },
        DatabasePlan::External { .. } => DatabaseStatus { kind: "external".into(), identity },
    };
    let mut states = vec![
        (READY, ready),
        (PROGRESSING, progressing),
        (CREDENTIALS_READY, credentials),
        (DATABASE_READY, database),
    ];
    states.extend(pooler.map(|state| (POOLER_READY, state)));
    states.extend([(SCHEMA_READY, schema), (API_READY, api)]);
    states.extend(workers.map(|state| (WORKERS_READY, state)));
    states.extend(scheduled.map(|state| (BACKUPS_SCHEDULED, state)));
    states.extend(inputs.backup_fresh().map(|state| (BACKUP_FRESH, state)));
    let (worker, backup) = (inputs.worker_counts(), inputs.backup_status());
    StatusReport { states, api: Some(counts), worker, backup, database: Some(database_status) }
}

/// What is to be said when there is no plan.
pub fn report_invalid(invalid: &Invalid) -> StatusReport {
    let failure = Failure::new(
        reasons::INVALID_SPEC,
        invalid.to_string(),
        "Correct the field; nothing is changed until then.",
    );
    StatusReport {
        states: vec![(READY, State::Failed(failure))],
        api: None,
        worker: None,
        backup: None,
        database: None,
    }
}

/// The status that says what was found. Conditions that were not looked at stay as they are.
pub fn render(
    report: &StatusReport,
    before: Option<&AgentFSStatus>,
    generation: Option<i64>,
    now: Timestamp,
) -> AgentFSStatus {
    let former = before.map(|s| s.conditions.as_slice()).unwrap_or_default();
    let not_yet = State::unknown(reasons::NOT_SEEN_YET, "The operator has not come to it yet.");
    let conditions = KINDS.into_iter().filter_map(|kind| {
        let found = report.states.iter().find(|(of, _)| *of == kind).map(|(_, f)| f);
        let kept = || former.iter().find(|c| c.type_ == kind).cloned();
        match found {
            Some(state) => Some(condition(kind, state, former, generation, now)),
            // What there is not has no condition.
            None if report.is_complete() => None,
            None if OPTIONAL.contains(&kind) => kept(),
            None => {
                let unknown = || condition(kind, &not_yet, former, generation, now);
                Some(kept().unwrap_or_else(unknown))
            }
        }
    });
    AgentFSStatus {
        observed_generation: generation,
        conditions: conditions.collect::<Vec<Condition>>(),
        api: report.api.clone().or_else(|| before.and_then(|s| s.api.clone())),
        worker: if report.is_complete() {
            report.worker.clone()
        } else {
            before.and_then(|status| status.worker.clone())
        },
        backup: if report.is_complete() {
            backup(report.backup.as_ref(), before.and_then(|s| s.backup.as_ref()))
        } else {
            before.and_then(|status| status.backup.clone())
        },
        database: database(report.database.as_ref(), before.and_then(|s| s.database.as_ref())),
    }
}

fn counts(plan: &Plan, children: &Children<Applied>) -> ApiStatus {
    let deployment = children.api.deployment.as_ref();
    let status = deployment.and_then(|api| api.status.as_ref());
    let ready = status.and_then(|s| s.ready_replicas).unwrap_or(0);
    let desired = match plan.api.replicas {
        Replicas::Fixed(replicas) => replicas,
        Replicas::Autoscaled(_) | Replicas::OthersAutoscaler(_) => {
            deployment.and_then(|api| api.spec.as_ref()?.replicas).unwrap_or(0)
        }
    };
    let selector = plan.owner.selector(names::API);
    ApiStatus {
        ready,
        desired,
        replicas: status.and_then(|s| s.replicas).unwrap_or(0),
        summary: format!("{ready}/{desired}"),
        selector: selector.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(","),
        url: plan.names.api_url(&plan.owner.namespace),
    }
}

/// What is known of the backups. A CronJob that was deleted and made again knows of no success, and the
/// backup is there nevertheless.
fn backup(now: Option<&BackupStatus>, before: Option<&BackupStatus>) -> Option<BackupStatus> {
    let former = before.and_then(|before| before.last_successful_time.clone());
    now.map(|now| BackupStatus {
        last_successful_time: now.last_successful_time.clone().or(former),
    })
}

/// What is known of the database now, and what was known before of what is not: while a Secret is
/// broken, the database is still the one that it led to.
fn database(
    now: Option<&DatabaseStatus>,
    before: Option<&DatabaseStatus>,
) -> Option<DatabaseStatus> {
    let Some(now) = now else { return before.cloned() };
    let kept = before.filter(|before| before.kind == now.kind).and_then(|b| b.identity.clone());
    Some(DatabaseStatus { kind: now.kind.clone(), identity: now.identity.clone().or(kept) })
}
