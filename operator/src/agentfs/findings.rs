//! What is found of each matter of an AgentFS, from its applied children.

use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use super::build::{Applied, Children};
use super::conditions::Finding;
use super::migration::Next;
use super::names::Component;
use super::observe::Observed;
use super::plan::{DatabasePlan, Plan, Pooling, Replicas};
use super::pods::{self, Trouble, unpunctuated};
use super::readiness::Unready;
use super::reasons::Reason;
use super::rollout::{is_rolled_out, replica_failure};
use crate::crd::ApiStatus;

/// Everything that findings are made from.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) plan: &'a Plan,
    pub(super) children: &'a Children<Applied>,
    pub(super) observed: &'a Observed,
    pub(super) counts: &'a ApiStatus,
}

impl Facts<'_> {
    /// The Secrets in use.
    pub(super) fn credentials(&self) -> Finding {
        let Some(access) = &self.plan.access else {
            // An obstacle tells why.
            return Finding::unknown(Reason::NotSeenYet, "The database's Secret was not read.");
        };
        let admin_key = self.plan.names.admin_key();
        Finding::fine(
            Reason::Present,
            format!("The Secrets {} and {admin_key} are in use.", access.secret),
        )
    }

    /// The database.
    pub(super) fn database(&self) -> Finding {
        match self.plan.database {
            DatabasePlan::Embedded(_) => self.embedded(),
            DatabasePlan::External => self.external(),
        }
    }

    fn embedded(&self) -> Finding {
        let database = &self.children.database;
        let set = database.postgres.as_ref();
        let status = set.and_then(|set| set.status.as_ref());
        if self.plan.suspended {
            return if status.is_some_and(|status| status.replicas > 0) {
                Finding::waiting(Reason::Stopping, "PostgreSQL stops when the API has stopped")
            } else {
                Finding::not(Reason::Suspended, "PostgreSQL is stopped; its volume is kept.")
            };
        }
        if status.and_then(|status| status.ready_replicas).unwrap_or(0) >= 1 {
            return Finding::fine(Reason::Running, "PostgreSQL takes connections.");
        }
        let pods = self.observed.pods_of(Component::Database);
        let said = |name: &str| self.observed.warnings.get(name);
        let volume = database.volume.as_ref();
        let trouble = volume
            .and_then(|volume| pods::volume_trouble(volume, said(&volume.name_any())))
            .or_else(|| pods::trouble(&pods))
            .or_else(|| {
                let said = said(&set?.name_any()).filter(|_| pods.is_empty())?;
                Some(pods::refusal(said))
            });
        match trouble {
            Some(trouble) => Finding::Wrong(trouble),
            None => Finding::waiting(Reason::Starting, "PostgreSQL is starting"),
        }
    }

    /// The operator never connects to a database: what it knows of an external one the API pods say.
    fn external(&self) -> Finding {
        let Some(access) = &self.plan.access else {
            return Finding::waiting(
                Reason::AwaitingCredentials,
                "The database's URL is not known, so nothing connects to it",
            );
        };
        if let Some(Unready { reason, message }) = &self.observed.unready
            && Reason::of_api_pod(reason) == Reason::DatabaseUnreachable
        {
            return Finding::Wrong(self.said_by_pod(reason, message));
        }
        let at = access.url.endpoint();
        if self.plan.suspended {
            return Finding::not(Reason::Suspended, format!("Nothing connects to {at}."));
        }
        let migrated = matches!(self.children.migration.next, Next::Done { .. });
        if migrated {
            let who = if self.counts.ready >= 1 { "API" } else { "migration" };
            let left = self.volume_left();
            return Finding::fine(Reason::Reachable, format!("The {who} reached {at}.{left}"));
        }
        Finding::waiting(Reason::NotReachedYet, format!("Nothing has reached {at} yet"))
    }

    /// What an embedded database left that was in use before.
    fn volume_left(&self) -> String {
        match &self.observed.volume {
            Some(volume) => format!(
                " The volume claim {} of the embedded database is kept and not used; delete it when \
                 nobody needs its data.",
                volume.name_any()
            ),
            None => String::new(),
        }
    }

    /// The connection pool, where there is one.
    pub(super) fn pooler(&self) -> Option<Finding> {
        match &self.plan.pooling {
            Pooling::Off => return None,
            // An obstacle tells why.
            Pooling::Barred => {
                let unknown = "The connection pool's Secret was not read.";
                return Some(Finding::unknown(Reason::NotSeenYet, unknown));
            }
            Pooling::On(_) => {}
        }
        let deployment = self.children.pooler.deployment.as_ref();
        let status = deployment.and_then(|d| d.status.as_ref());
        if self.plan.suspended {
            return Some(if status.and_then(|s| s.replicas).unwrap_or(0) > 0 {
                Finding::waiting(
                    Reason::Stopping,
                    "The connection pool stops when the API has stopped",
                )
            } else {
                Finding::not(Reason::Suspended, "The connection pool is stopped.")
            });
        }
        let Some(deployment) = deployment else {
            return Some(Finding::waiting(
                Reason::AwaitingCredentials,
                "The connection pool waits for the database's Secret",
            ));
        };
        let ready = status.and_then(|s| s.ready_replicas).unwrap_or(0);
        if ready >= 1 {
            let desired = deployment.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
            return Some(Finding::fine(
                Reason::Serving,
                format!("{ready} of {desired} pods of the connection pool take connections."),
            ));
        }
        Some(match self.pooler_trouble(deployment) {
            Some(trouble) => Finding::Wrong(trouble),
            None => Finding::waiting(Reason::Starting, "The connection pool is starting"),
        })
    }

    fn pooler_trouble(&self, deployment: &Deployment) -> Option<Trouble> {
        let pods = self.observed.pods_of(Component::Pooler);
        pods::trouble(&pods).or_else(|| replica_failure(deployment))
    }

    /// The schema.
    pub(super) fn schema(&self) -> Finding {
        let migration = &self.children.migration;
        match migration.next {
            Next::AwaitDatabase | Next::Run { .. } | Next::Pause { .. } if self.plan.suspended => {
                return Finding::not(
                    Reason::Suspended,
                    "The migration waits until spec.suspend is false.",
                );
            }
            Next::Done { .. } => {
                let image = &self.plan.images.server;
                return Finding::fine(
                    Reason::Migrated,
                    format!("The schema is what the image {image} needs."),
                );
            }
            Next::AwaitCredentials => {
                return Finding::waiting(
                    Reason::AwaitingCredentials,
                    "The migration waits for the Secrets",
                );
            }
            Next::AwaitDatabase => {
                return Finding::waiting(
                    Reason::AwaitingDatabase,
                    "The schema waits for the database",
                );
            }
            Next::Run { .. } | Next::Pause { .. } => {}
        }
        match self.migration_trouble() {
            Some(trouble) => Finding::Wrong(trouble),
            None => Finding::waiting(Reason::Migrating, "The schema is being migrated"),
        }
    }

    fn migration_trouble(&self) -> Option<Trouble> {
        let migration = &self.children.migration;
        let is_of_obsolete = |pod: &Pod| {
            let job = pod.labels().get("batch.kubernetes.io/job-name");
            job.is_some_and(|job| migration.obsolete.contains(job))
        };
        let mut pods = self.observed.pods_of(Component::Migration);
        pods.retain(|pod| !is_of_obsolete(pod));
        let failed = || {
            let words = pods::last_words(&pods).or_else(|| {
                matches!(migration.next, Next::Pause { .. })
                    .then(|| "its pod is gone without a word".to_owned())
            })?;
            Some(Trouble::new(
                Reason::MigrationFailed,
                format!("The migration of the schema failed: {}", unpunctuated(&words)),
                format!(
                    "It is tried again by itself; the API goes on with what it has.{}",
                    self.check_the_secret()
                ),
            ))
        };
        let refused = || {
            let said = self.observed.warnings.get(&migration.job.as_ref()?.name_any())?;
            pods.is_empty().then(|| pods::refusal(said))
        };
        pods::trouble(&pods).or_else(failed).or_else(refused)
    }

    /// What to look at when an external database does not answer.
    fn check_the_secret(&self) -> String {
        match (&self.plan.database, &self.plan.access) {
            (DatabasePlan::External, Some(access)) => format!(
                " Check that PostgreSQL runs at {} and that Secret {}/{} key {} is right.",
                access.url.endpoint(),
                self.plan.owner.namespace,
                access.secret,
                access.key
            ),
            _ => String::new(),
        }
    }

    /// Where to look when the way to the database leads through the connection pool.
    fn ask_the_pooler(&self) -> String {
        match self.plan.pooling.plan() {
            Some(_) => format!(
                " The API connects through the connection pool, whose log tells what PostgreSQL \
                 answers: kubectl logs -n {} deployment/{}.",
                self.plan.owner.namespace,
                self.plan.names.pooler()
            ),
            None => String::new(),
        }
    }

    /// The API.
    pub(super) fn api(&self) -> Finding {
        if self.plan.suspended {
            return if self.plan.api.has_pods {
                Finding::waiting(Reason::Stopping, "The API answers its last requests")
            } else {
                Finding::not(Reason::Suspended, "The API is stopped.")
            };
        }
        let Some(deployment) = &self.children.api.deployment else {
            return Finding::waiting(Reason::AwaitingSchema, "The API waits for the schema");
        };
        let ApiStatus { ready, desired, url, .. } = self.counts;
        if *desired == 0 && self.plan.api.replicas == Replicas::Fixed(0) {
            return Finding::not(
                Reason::ScaledToZero,
                "spec.api.replicas is 0, so nothing answers. Set it to 1 or more.",
            );
        }
        if ready >= desired {
            return Finding::fine(Reason::Serving, format!("{desired} API pods answer at {url}."));
        }
        match self.api_trouble(deployment) {
            Some(trouble) => Finding::Wrong(trouble),
            None => Finding::waiting(
                Reason::Starting,
                format!("{ready} of {desired} API pods are ready"),
            ),
        }
    }

    /// What keeps API pods from being ready: what Kubernetes says of them, or what they say themselves.
    fn api_trouble(&self, deployment: &Deployment) -> Option<Trouble> {
        let unready = self.observed.unready.as_ref();
        let said = unready.map(|Unready { reason, message }| self.said_by_pod(reason, message));
        pods::trouble(&self.observed.pods_of(Component::Api))
            .or(said)
            .or_else(|| replica_failure(deployment))
    }

    fn said_by_pod(&self, reason: &str, message: &str) -> Trouble {
        let reason = Reason::of_api_pod(reason);
        let check = match reason {
            Reason::DatabaseUnreachable => {
                format!("{}{}", self.check_the_secret(), self.ask_the_pooler())
            }
            _ => String::new(),
        };
        Trouble::new(
            reason,
            message,
            format!("The API keeps trying; it answers again when this is mended.{check}"),
        )
    }

    /// Whether something is on its way. A rollout that is stuck while the old pods go on serving is
    /// told here, and leaves Ready as it is.
    pub(super) fn progressing(&self, others: &[&Finding]) -> Finding {
        if let Some(wrong) = others.iter().find(|finding| finding.is_wrong()) {
            return (*wrong).clone();
        }
        let waiting = others.iter().find_map(|finding| match finding {
            Finding::Waiting { reason, message } | Finding::Unknown { reason, message } => {
                Some((*reason, message))
            }
            _ => None,
        });
        if let Some((reason, message)) = waiting {
            return Finding::fine(reason, format!("{}.", unpunctuated(message)));
        }
        let deployment = self.children.api.deployment.as_ref();
        if let Some(api) = deployment.filter(|api| !is_rolled_out(api)) {
            return match self.api_trouble(api) {
                Some(trouble) => Finding::Wrong(trouble),
                None => Finding::fine(Reason::RollingOut, "The API pods are being replaced."),
            };
        }
        let deployment = self.children.pooler.deployment.as_ref();
        if let Some(pooler) = deployment.filter(|pooler| !is_rolled_out(pooler)) {
            return match self.pooler_trouble(pooler) {
                Some(trouble) => Finding::Wrong(trouble),
                None => Finding::fine(
                    Reason::RollingOut,
                    "The pods of the connection pool are being replaced.",
                ),
            };
        }
        if let Some(trouble) = self.autoscaler_trouble() {
            return Finding::Wrong(trouble);
        }
        Finding::not(Reason::Settled, "Everything is as the spec asks.")
    }

    /// Why the autoscaler chooses no number. A new one knows nothing of its pods for a while.
    fn autoscaler_trouble(&self) -> Option<Trouble> {
        const MAY_LEARN: SignedDuration = SignedDuration::from_mins(3);
        let status = self.children.api.autoscaler.as_ref()?.status.as_ref()?;
        let mut conditions = status.conditions.iter().flatten();
        let active = conditions.find(|c| c.type_ == "ScalingActive" && c.status == "False")?;
        let since = active.last_transition_time.as_ref()?.0;
        if self.observed.now.duration_since(since) < MAY_LEARN {
            return None;
        }
        let said = active.message.as_deref().unwrap_or("it does not say why");
        Some(Trouble::new(
            Reason::AutoscalingFailed,
            format!("The autoscaler does not know the pods' CPU use: {}", unpunctuated(said)),
            "Check that metrics-server runs (kubectl top pods); until then the number of pods stays \
             as it is.",
        ))
    }

    /// Whether everything is well: the first of `others` that is not says why not.
    pub(super) fn ready(&self, others: &[&Finding]) -> Finding {
        let wrong = others.iter().find(|f| f.is_wrong());
        if wrong.is_none() && self.plan.suspended {
            return Finding::not(
                Reason::Suspended,
                "spec.suspend is true: nothing runs, and all data is kept. Set it to false to go on.",
            );
        }
        match wrong.or_else(|| others.iter().find(|f| !f.is_fine())) {
            Some(finding) => (*finding).clone(),
            None => {
                Finding::fine(Reason::Ready, format!("The API answers at {}.", self.counts.url))
            }
        }
    }
}
