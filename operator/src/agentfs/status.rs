//! The fifth call of a reconcile: say how the AgentFS is.
//!
//! [`assess`] and [`render`] are pure. What they say of the children they say of applied ones only.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;

use super::apply;
use super::build::{Applied, Children, api_url};
use super::conditions::{
    API_READY, CREDENTIALS_READY, DATABASE_READY, Finding, PROGRESSING, READY, SCHEMA_READY,
    condition,
};
use super::migration::Next;
use super::names::{Component, INSTANCE, MANAGED_BY, MANAGER};
use super::observe::Observed;
use super::pods::{self, Trouble, unpunctuated};
use super::readiness::Unready;
use super::validate::{Invalid, Plan};
use crate::crd::{AgentFSStatus, ApiStatus, DatabaseStatus};

/// What was found of an AgentFS.
#[derive(Clone, Debug)]
pub struct Assessment {
    /// What was found of each matter, by the condition's type. A matter that is not among them was
    /// not looked at, and its condition stays.
    pub findings: Vec<(&'static str, Finding)>,
    /// The API's pods, where they were counted.
    pub api: Option<ApiStatus>,
    /// The database in use, where it is known.
    pub database: Option<DatabaseStatus>,
}

impl Assessment {
    /// Whether everything is as the spec asks and nothing is on its way.
    pub fn is_settled(&self) -> bool {
        let settled = |kind: &str, finding: &Finding| {
            if kind == PROGRESSING {
                matches!(finding, Finding::Not { .. })
            } else {
                finding.is_fine()
            }
        };
        self.findings.len() > 1 && self.findings.iter().all(|(kind, f)| settled(kind, f))
    }
}

/// What is to be said after the children of `plan` were applied.
pub fn assess(plan: &Plan, children: &Children<Applied>, observed: &Observed) -> Assessment {
    let credentials = Finding::fine(
        "Present",
        format!(
            "The Secrets {} and {} are in use.",
            children.credentials.name_any(),
            children.admin_key.name_any()
        ),
    );
    let database = database(children, observed);
    let schema = schema(plan, children, observed);
    let counts = counts(plan, children);
    let api = api(&counts, children, observed);
    let progressing = progressing(&[&database, &schema, &api], children, observed);
    let ready = ready(&[&credentials, &database, &schema, &api], &counts);
    Assessment {
        findings: vec![
            (READY, ready),
            (PROGRESSING, progressing),
            (CREDENTIALS_READY, credentials),
            (DATABASE_READY, database),
            (SCHEMA_READY, schema),
            (API_READY, api),
        ],
        api: Some(counts),
        database: Some(DatabaseStatus { kind: "embedded".into() }),
    }
}

/// What is to be said when there is no plan.
pub fn assess_invalid(invalid: &Invalid) -> Assessment {
    let findings = match invalid {
        Invalid::Spec { .. } => vec![(
            READY,
            Finding::Wrong(Trouble::new(
                "InvalidSpec",
                invalid.to_string(),
                "Correct the field; nothing is changed until then.",
            )),
        )],
        Invalid::Secret { .. } => {
            let wrong = Finding::Wrong(Trouble::new(
                "CredentialsUnusable",
                invalid.to_string(),
                "Correct it, or delete the Secret: the operator then makes a new one.",
            ));
            vec![(READY, wrong.clone()), (CREDENTIALS_READY, wrong)]
        }
        Invalid::NameTaken { whose, .. } => {
            let adopt = if whose == "somebody else" {
                format!(
                    " To hand it over to this AgentFS, label it {MANAGED_BY}={MANAGER} and \
                     {INSTANCE}=<name of the AgentFS>."
                )
            } else {
                String::new()
            };
            let remedy = format!(
                "The operator does not overwrite it: remove it, or give the AgentFS another name.{adopt}"
            );
            vec![(READY, Finding::Wrong(Trouble::new("NameTaken", invalid.to_string(), remedy)))]
        }
        Invalid::Leaving { .. } => {
            let sentence = format!("{invalid}; it is made again when it is gone");
            vec![
                (READY, Finding::waiting("AwaitingDeletion", &sentence)),
                (PROGRESSING, Finding::fine("AwaitingDeletion", sentence)),
            ]
        }
    };
    Assessment { findings, api: None, database: None }
}

/// What is to be said when the API server refuses an object.
pub fn assess_refused(kind: &str, name: &str, message: &str) -> Assessment {
    let what = format!("Kubernetes refuses the {kind} {name}: {}", unpunctuated(message));
    let remedy = "Change what the sentence names; the operator tries again by itself.";
    let reason = if message.contains("exceeded quota") { "QuotaExceeded" } else { "ObjectRefused" };
    Assessment {
        findings: vec![(READY, Finding::Wrong(Trouble::new(reason, what, remedy)))],
        api: None,
        database: None,
    }
}

/// What is to be said of an error of apply, when it is the user's to mend.
pub fn assess_error(error: &apply::Error) -> Option<Assessment> {
    match error {
        apply::Error::Refused { kind, name, message } => Some(assess_refused(kind, name, message)),
        apply::Error::Unavailable { .. } | apply::Error::Json { .. } => None,
    }
}

/// The status that says what was found. Conditions that were not looked at stay as they are.
pub fn render(
    assessment: &Assessment,
    before: Option<&AgentFSStatus>,
    generation: Option<i64>,
    now: Timestamp,
) -> AgentFSStatus {
    let former = before.map(|s| s.conditions.as_slice()).unwrap_or_default();
    let not_yet = Finding::unknown("NotSeenYet", "The operator has not come to it yet.");
    let kinds = [READY, PROGRESSING, CREDENTIALS_READY, DATABASE_READY, SCHEMA_READY, API_READY];
    let conditions = kinds.into_iter().map(|kind| {
        let found = assessment.findings.iter().find(|(of, _)| *of == kind).map(|(_, f)| f);
        let kept = || former.iter().find(|c| c.type_ == kind).cloned();
        match found {
            Some(finding) => condition(kind, finding, former, generation, now),
            None => kept().unwrap_or_else(|| condition(kind, &not_yet, former, generation, now)),
        }
    });
    AgentFSStatus {
        observed_generation: generation,
        conditions: conditions.collect::<Vec<Condition>>(),
        api: assessment.api.clone().or_else(|| before.and_then(|s| s.api.clone())),
        database: assessment.database.clone().or_else(|| before.and_then(|s| s.database.clone())),
    }
}

fn database(children: &Children<Applied>, observed: &Observed) -> Finding {
    let set = &children.postgres;
    if set.status.as_ref().and_then(|s| s.ready_replicas).unwrap_or(0) >= 1 {
        return Finding::fine("Running", "PostgreSQL takes connections.");
    }
    let pods = observed.pods_of(Component::Database);
    let said = |name: &str| observed.warnings.get(name);
    let refused = || said(&set.name_any()).filter(|_| pods.is_empty());
    let trouble = pods::volume_trouble(&children.volume, said(&children.volume.name_any()))
        .or_else(|| pods::trouble(&pods))
        .or_else(|| refused().map(|said| pods::refusal(said)));
    match trouble {
        Some(trouble) => Finding::Wrong(trouble),
        None => Finding::waiting("Starting", "PostgreSQL is starting"),
    }
}

fn schema(plan: &Plan, children: &Children<Applied>, observed: &Observed) -> Finding {
    let migration = &children.migration;
    match migration.next {
        Next::Done { .. } => {
            return Finding::fine(
                "Migrated",
                format!("The schema is what the image {} needs.", plan.images.server),
            );
        }
        Next::AwaitDatabase => {
            return Finding::waiting("AwaitingDatabase", "The schema waits for the database");
        }
        Next::Run { .. } | Next::Pause { .. } => {}
    }
    let is_of_obsolete = |pod: &Pod| {
        let job = pod.labels().get("batch.kubernetes.io/job-name");
        job.is_some_and(|job| migration.obsolete.contains(job))
    };
    let mut pods = observed.pods_of(Component::Migration);
    pods.retain(|pod| !is_of_obsolete(pod));
    let failed = || {
        let words = pods::last_words(&pods).or_else(|| {
            matches!(migration.next, Next::Pause { .. })
                .then(|| "its pod is gone without a word".to_owned())
        });
        words.map(|words| {
            Trouble::new(
                "MigrationFailed",
                format!("The migration of the schema failed: {}", unpunctuated(&words)),
                "It is tried again by itself; the API goes on with the image it has.",
            )
        })
    };
    let refused = || {
        let said = observed.warnings.get(&migration.job.as_ref()?.name_any())?;
        pods.is_empty().then(|| pods::refusal(said))
    };
    match pods::trouble(&pods).or_else(failed).or_else(refused) {
        Some(trouble) => Finding::Wrong(trouble),
        None => Finding::waiting("Migrating", "The schema is being migrated"),
    }
}

fn counts(plan: &Plan, children: &Children<Applied>) -> ApiStatus {
    let status = children.api.as_ref().and_then(|api| api.status.as_ref());
    let ready = status.and_then(|s| s.ready_replicas).unwrap_or(0);
    let desired = plan.api.replicas;
    let selector = plan.names.selector(Component::Api);
    ApiStatus {
        ready,
        desired,
        replicas: status.and_then(|s| s.replicas).unwrap_or(0),
        summary: format!("{ready}/{desired}"),
        selector: selector.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(","),
        url: api_url(&plan.names, &plan.owner.namespace),
    }
}

fn api(counts: &ApiStatus, children: &Children<Applied>, observed: &Observed) -> Finding {
    let Some(deployment) = &children.api else {
        return Finding::waiting("AwaitingSchema", "The API waits for the schema");
    };
    let ApiStatus { ready, desired, url, .. } = counts;
    if *desired == 0 {
        return Finding::Wrong(Trouble::new(
            "ScaledToZero",
            "spec.api.replicas is 0, so nothing answers",
            "Set it to 1 or more.",
        ));
    }
    if ready >= desired {
        return Finding::fine("Serving", format!("{desired} API pods answer at {url}."));
    }
    match api_trouble(deployment, observed) {
        Some(trouble) => Finding::Wrong(trouble),
        None => Finding::waiting("Starting", format!("{ready} of {desired} API pods are ready")),
    }
}

/// What keeps API pods from being ready: what Kubernetes says of them, or what they say themselves.
fn api_trouble(deployment: &Deployment, observed: &Observed) -> Option<Trouble> {
    let said_by_pod = observed.unready.as_ref().map(|Unready { reason, message }| {
        Trouble::new(
            reason,
            message.clone(),
            "The API keeps trying; it answers again when this is mended.",
        )
    });
    pods::trouble(&observed.pods_of(Component::Api))
        .or(said_by_pod)
        .or_else(|| replica_failure(deployment))
}

/// A rollout that is stuck while the old pods go on serving is told here: it makes Progressing False
/// and leaves Ready as it is.
fn progressing(others: &[&Finding], children: &Children<Applied>, observed: &Observed) -> Finding {
    if let Some(wrong) = others.iter().find(|finding| finding.is_wrong()) {
        return (*wrong).clone();
    }
    if let Some(Finding::Waiting { reason, message }) = others.iter().find(|f| !f.is_fine()) {
        return Finding::fine(reason, format!("{}.", unpunctuated(message)));
    }
    if let Some(api) = children.api.as_ref().filter(|api| !is_rolled_out(api)) {
        return match api_trouble(api, observed) {
            Some(trouble) => Finding::Wrong(trouble),
            None => Finding::fine("RollingOut", "The API pods are being replaced."),
        };
    }
    Finding::not("Settled", "Everything is as the spec asks.")
}

fn ready(others: &[&Finding], counts: &ApiStatus) -> Finding {
    let first =
        others.iter().find(|f| f.is_wrong()).or_else(|| others.iter().find(|f| !f.is_fine()));
    match first {
        Some(finding) => (*finding).clone(),
        None => Finding::fine("Ready", format!("The API answers at {}.", counts.url)),
    }
}

fn is_rolled_out(api: &Deployment) -> bool {
    let Some(status) = &api.status else { return false };
    let wanted = api.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
    status.observed_generation >= api.metadata.generation
        && status.updated_replicas.unwrap_or(0) == wanted
        && status.replicas.unwrap_or(0) == wanted
}

fn replica_failure(api: &Deployment) -> Option<Trouble> {
    let conditions = api.status.as_ref()?.conditions.as_ref()?;
    let failure = conditions.iter().find(|c| c.type_ == "ReplicaFailure" && c.status == "True")?;
    Some(pods::refusal(failure.message.as_deref()?))
}
