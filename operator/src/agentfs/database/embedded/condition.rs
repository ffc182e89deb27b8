//! The condition of the embedded database.

use kube::ResourceExt as _;

use super::objects::{COMPONENT, PODS};
use crate::agentfs::reasons;
use crate::agentfs::status_inputs::StatusInputs;
use crate::kit::conditions::State;
use crate::kit::pods;
use crate::kit::rollout::is_updated;
use crate::kit::volumes::volume_failure;

impl StatusInputs<'_> {
    /// The replacement of PostgreSQL's pod, while there is one.
    pub fn embedded_rollout(&self) -> Option<State> {
        let set = self.children.database.postgres.as_ref().filter(|set| !is_updated(set))?;
        let sentence = format!("The pod of the StatefulSet {} is being replaced.", set.name_any());
        Some(State::true_because(reasons::ROLLING_OUT, sentence))
    }

    /// The embedded database.
    pub fn embedded(&self) -> State {
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
            let too_small =
                self.plan.parts.database.embedded().and_then(|of| of.volume.too_small.clone());
            let running =
                || State::true_because(reasons::RUNNING, "PostgreSQL accepts connections.");
            return too_small.map_or_else(running, State::Failed);
        }
        let pods = self.observed.pods_of(COMPONENT);
        let said = |name: &str| self.observed.warnings.get(name);
        let volume = database.volume.as_ref();
        let failure = self
            .data_loss()
            .or_else(|| {
                let field = "spec.database.embedded.storage";
                volume_failure(volume?, said(&volume?.name_any()), field)
            })
            .or_else(|| {
                let replaced = self.is_replaced_to_start_empty();
                self.observed.pod_failure(COMPONENT).filter(|_| !replaced)
            })
            .or_else(|| {
                pods::unlabelled(self.observed.stray.as_ref()?, &self.plan.owner, COMPONENT)
            })
            .or_else(|| {
                let said = said(&set?.name_any()).filter(|_| pods.is_empty())?;
                Some(pods::refusal(said, PODS))
            });
        match failure {
            Some(failure) => State::Failed(failure),
            None => State::progressing(reasons::STARTING, "PostgreSQL is starting"),
        }
    }
}
