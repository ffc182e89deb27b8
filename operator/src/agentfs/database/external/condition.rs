//! The condition of an external database.

use kube::ResourceExt as _;

use crate::agentfs::parts::api;
use crate::agentfs::parts::migration::plan::Next;
use crate::agentfs::reasons;
use crate::agentfs::status_inputs::StatusInputs;
use crate::kit::conditions::State;

impl StatusInputs<'_> {
    /// The operator never connects to a database: what it knows of an external one the API pods say.
    pub fn external(&self) -> State {
        let Some(access) = &self.plan.parts.database.access else {
            return State::progressing(
                reasons::AWAITING_CREDENTIALS,
                "The database's URL is not known, so nothing connects to it",
            );
        };
        if let Some(unready) = self.observed.unready(api::objects::COMPONENT)
            && [reasons::DATABASE_UNREACHABLE, reasons::DATABASE_READ_ONLY]
                .contains(&reasons::of_api_pod(&unready.reason))
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
        match &self.observed.parts.database.volume {
            Some(volume) => format!(
                " The volume claim {} of the embedded database is kept and not used; delete it when \
                 nobody needs its data.",
                volume.name_any()
            ),
            None => String::new(),
        }
    }
}
