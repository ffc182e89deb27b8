//! Whether backups will be made. How old they are and what is proven: `agentfs::recovery`.

use kube::ResourceExt as _;

use super::destination::Destination;
use crate::agentfs::reasons;
use crate::agentfs::status_inputs::StatusInputs;
use crate::kit::conditions::{Failure, State};
use crate::kit::volumes::volume_failure;

/// Backups will be made.
pub const BACKUPS_SCHEDULED: &str = "BackupsScheduled";

impl StatusInputs<'_> {
    /// Whether backups will be made.
    pub fn backups_scheduled(&self) -> Option<State> {
        let backup = self.plan.parts.backup.wanted.enabled()?;
        if let Some(field) = self.paused() {
            let message = format!("{field} is true: no backups are made.");
            return Some(State::false_because(reasons::SUSPENDED, message));
        }
        if self.children.backup.cronjob.is_none() {
            let (reason, what) = match backup.attachments {
                Some(_) => self.awaited(),
                // Which database it is, is not known yet.
                None => (reasons::AWAITING_DATABASE, "the database"),
            };
            return Some(State::progressing(reason, format!("The backups wait for {what}")));
        }
        if let Some(failure) = self.backup_volume_failure() {
            return Some(State::Failed(failure));
        }
        let (name, spec) = (self.plan.names.backup(), &backup.spec);
        Some(State::true_because(
            reasons::SCHEDULED,
            format!(
                "The CronJob {name} makes backups at \"{}\" ({}).",
                spec.schedule, spec.time_zone
            ),
        ))
    }

    /// Why the volume of the backups will not be there. A claim that only waits for its first pod has no failure.
    fn backup_volume_failure(&self) -> Option<Failure> {
        let Destination::Own(volume) = &self.plan.parts.backup.wanted.enabled()?.destination else {
            return None;
        };
        let claim = self.children.backup.volume.as_ref()?;
        let said = self.observed.warnings.get(&claim.name_any());
        let too_small = || volume.too_small.clone();
        volume_failure(claim, said, "spec.backup.volume").or_else(too_small)
    }
}
