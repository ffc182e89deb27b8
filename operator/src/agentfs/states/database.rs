//! What is found of the database.

use crate::kit::volumes::volume_failure;
use kube::ResourceExt as _;

use super::StatusInputs;
use crate::agentfs::migration::Next;
use crate::agentfs::plan::DatabasePlan;
use crate::agentfs::{names, reasons};
use crate::kit::conditions::State;
use crate::kit::pods;

impl StatusInputs<'_> {
    /// The database.
    pub(in crate::agentfs) fn database(&self) -> State {
        match self.plan.database {
            DatabasePlan::Embedded(_) => self.embedded(),
            DatabasePlan::External { .. } => self.external(),
        }
    }

    fn embedded(&self) -> State {
        let database = &self.children.database;
        let set = database.postgres.as_ref();
        let status = set.and_then(|set| set.status.as_ref());
        if self.plan.suspended {
            return if status.is_some_and(|status| status.replicas > 0) {
                State::progressing(reasons::STOPPING, "PostgreSQL stops when the API has stopped")
            } else {
                State::false_because(
                    reasons::SUSPENDED,
                    "PostgreSQL is stopped; its volume is kept.",
                )
            };
        }
        if status.and_then(|status| status.ready_replicas).unwrap_or(0) >= 1 {
            return State::true_because(reasons::RUNNING, "PostgreSQL takes connections.");
        }
        let pods = self.observed.pods_of(names::POSTGRES);
        let said = |name: &str| self.observed.warnings.get(name);
        let volume = database.volume.as_ref();
        let failure = volume
            .and_then(|volume| {
                let field = "spec.database.embedded.storage";
                volume_failure(volume, said(&volume.name_any()), field)
            })
            .or_else(|| pods::failure(&pods))
            .or_else(|| {
                let said = said(&set?.name_any()).filter(|_| pods.is_empty())?;
                Some(pods::refusal(said))
            });
        match failure {
            Some(failure) => State::Failed(failure),
            None => State::progressing(reasons::STARTING, "PostgreSQL is starting"),
        }
    }

    /// The operator never connects to a database: what it knows of an external one the API pods say.
    fn external(&self) -> State {
        let Some(access) = &self.plan.access else {
            return State::progressing(
                reasons::AWAITING_CREDENTIALS,
                "The database's URL is not known, so nothing connects to it",
            );
        };
        if let Some(unready) = &self.observed.unready
            && reasons::of_api_pod(&unready.reason) == reasons::DATABASE_UNREACHABLE
        {
            return State::Failed(self.reported_by_pod("API", unready));
        }
        let at = access.url.endpoint();
        if self.plan.suspended {
            return State::false_because(reasons::SUSPENDED, format!("Nothing connects to {at}."));
        }
        let migrated = matches!(self.children.migration.next, Next::Done { .. });
        if migrated {
            let who = if self.counts.ready >= 1 { "API" } else { "migration" };
            let left = self.volume_left();
            return State::true_because(
                reasons::REACHABLE,
                format!("The {who} reached {at}.{left}"),
            );
        }
        State::progressing(reasons::NOT_REACHED_YET, format!("Nothing has reached {at} yet"))
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
}
