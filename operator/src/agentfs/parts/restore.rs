//! The restore of the AgentFS that is under way: an AgentFSRestore, which has a controller of its own.

use kube::ResourceExt as _;

use crate::agentfs::reasons;
use crate::agentfs::status_inputs::StatusInputs;
use crate::crd::AgentFSRestore;
use crate::kit::conditions::{STALLED, State};
use crate::kit::reads::Reader;

/// A restore is under way. It is there while that is so, and counts for nothing else.
pub const RESTORE_IN_PROGRESS: &str = "RestoreInProgress";

/// The step of a restore whose Job is not there.
const WAITING: &str = "Waiting";

/// A restore whose Job is there and has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningRestore {
    /// Its name.
    pub name: String,
    /// The step that it is at, in one word.
    pub step: String,
    /// Whether it takes the place of what is live. One into a new database concerns nobody.
    pub in_place: bool,
}

/// The restores of an AgentFS, of all that are in its namespace.
pub async fn read(reader: Reader<'_>) -> Result<Vec<AgentFSRestore>, kube::Error> {
    let mut restores: Vec<AgentFSRestore> = reader.all().await?;
    restores.retain(|restore| restore.spec.agent_fs == reader.owner().name);
    Ok(restores)
}

/// The one of `restores` that is under way, where one is: they take turns. The Job of one that is being deleted ends with it.
pub fn running(restores: &[AgentFSRestore]) -> Option<RunningRestore> {
    restores.iter().filter(|restore| restore.metadata.deletion_timestamp.is_none()).find_map(
        |restore| {
            let status = restore.status.as_ref().filter(|status| status.finished_time.is_none())?;
            let step = status.step.clone().filter(|step| step != WAITING)?;
            // What a migration may mend, such as an image, must not keep it waiting.
            let is_stalled =
                status.conditions.iter().any(|c| c.type_ == STALLED && c.status == "True");
            if is_stalled && status.switched_time.is_none() {
                return None;
            }
            Some(RunningRestore {
                name: restore.name_any(),
                step,
                in_place: restore.spec.new_database().is_none(),
            })
        },
    )
}

impl StatusInputs<'_> {
    /// The restore that is under way.
    pub fn restore_in_progress(&self) -> Option<State> {
        let RunningRestore { name, step, in_place } = self.plan.parts.restore.as_ref()?;
        let target = if *in_place { "in place" } else { "into a new database" };
        let message = format!("The AgentFSRestore {name} restores {target}: {step}.");
        Some(State::true_because(reasons::RESTORING, message))
    }
}
