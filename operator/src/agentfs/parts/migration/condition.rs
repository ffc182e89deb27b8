//! The condition of the schema.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use super::objects::{COMPONENT, PODS};
use super::plan::Next;
use crate::agentfs::reasons;
use crate::agentfs::status_inputs::StatusInputs;
use crate::kit::conditions::{Failure, State};
use crate::kit::pods;
use crate::kit::sentences::without_full_stop;

/// The schema fits the server's image.
pub const SCHEMA_READY: &str = "SchemaReady";

impl StatusInputs<'_> {
    /// The schema.
    pub fn schema(&self) -> State {
        let migration = &self.children.migration;
        match migration.next {
            Next::AwaitDatabase
            | Next::AwaitRestore
            | Next::AwaitBackup
            | Next::Run { .. }
            | Next::Pause { .. }
                if self.plan.suspended =>
            {
                return State::false_because(
                    reasons::SUSPENDED,
                    "The migration waits until spec.suspend is false.",
                );
            }
            Next::Done { .. } => {
                let image = &self.plan.images.server;
                return State::true_because(
                    reasons::MIGRATED,
                    format!("The schema matches the image {image}."),
                );
            }
            Next::AwaitCredentials => {
                let (reason, what) = self.awaited();
                return State::progressing(reason, format!("The migration waits for {what}"));
            }
            Next::AwaitDatabase => {
                return State::progressing(
                    reasons::AWAITING_DATABASE,
                    "The schema waits for the database",
                );
            }
            Next::AwaitRestore => {
                let restore = self.plan.parts.restore.as_ref();
                let name = restore.map(|restore| restore.name.as_str()).unwrap_or_default();
                return State::progressing(
                    reasons::AWAITING_RESTORE,
                    format!("The migration waits for the end of the AgentFSRestore {name}"),
                );
            }
            Next::AwaitBackup => return self.backup_before(),
            Next::Run { .. } | Next::Pause { .. } => {}
        }
        match self.migration_failure() {
            Some(failure) => State::Failed(failure),
            None => State::progressing(reasons::MIGRATING, "The schema is being migrated"),
        }
    }

    fn migration_failure(&self) -> Option<Failure> {
        let migration = &self.children.migration;
        let is_of_obsolete = |pod: &Pod| {
            let job = pod.labels().get("batch.kubernetes.io/job-name");
            job.is_some_and(|job| migration.obsolete.contains(job))
        };
        let mut pods = self.observed.pods_of(COMPONENT);
        pods.retain(|pod| !is_of_obsolete(pod));
        let failed = || {
            let words = pods::termination_message(&pods).or_else(|| {
                matches!(migration.next, Next::Pause { .. })
                    .then(|| "its pod is gone and left no message".to_owned())
            })?;
            Some(Failure::new(
                reasons::MIGRATION_FAILED,
                format!("The migration of the schema failed: {}", without_full_stop(&words)),
                format!(
                    "It is retried by itself; meanwhile the API keeps serving.{}",
                    self.check_the_secret()
                ),
            ))
        };
        let refused = || {
            let said = self.observed.warnings.get(&migration.job.as_ref()?.name_any())?;
            pods.is_empty().then(|| pods::refusal(said, PODS))
        };
        pods::failure(&pods, &self.observed.warnings).or_else(failed).or_else(refused)
    }
}
