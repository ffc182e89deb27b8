//! What is found of the schema.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use super::Facts;
use crate::agentfs::migration::Next;
use crate::agentfs::{names, reasons};
use crate::kit::conditions::{Finding, Trouble};
use crate::kit::pods;
use crate::kit::sentences::unpunctuated;

impl Facts<'_> {
    /// The schema.
    pub(in crate::agentfs) fn schema(&self) -> Finding {
        let migration = &self.children.migration;
        match migration.next {
            Next::AwaitDatabase | Next::Run { .. } | Next::Pause { .. } if self.plan.suspended => {
                return Finding::not(
                    reasons::SUSPENDED,
                    "The migration waits until spec.suspend is false.",
                );
            }
            Next::Done { .. } => {
                let image = &self.plan.images.server;
                return Finding::fine(
                    reasons::MIGRATED,
                    format!("The schema is what the image {image} needs."),
                );
            }
            Next::AwaitCredentials => {
                let (reason, what) = self.awaited();
                return Finding::waiting(reason, format!("The migration waits for {what}"));
            }
            Next::AwaitDatabase => {
                return Finding::waiting(
                    reasons::AWAITING_DATABASE,
                    "The schema waits for the database",
                );
            }
            Next::Run { .. } | Next::Pause { .. } => {}
        }
        match self.migration_trouble() {
            Some(trouble) => Finding::Wrong(trouble),
            None => Finding::waiting(reasons::MIGRATING, "The schema is being migrated"),
        }
    }

    fn migration_trouble(&self) -> Option<Trouble> {
        let migration = &self.children.migration;
        let is_of_obsolete = |pod: &Pod| {
            let job = pod.labels().get("batch.kubernetes.io/job-name");
            job.is_some_and(|job| migration.obsolete.contains(job))
        };
        let mut pods = self.observed.pods_of(names::MIGRATE);
        pods.retain(|pod| !is_of_obsolete(pod));
        let failed = || {
            let words = pods::last_words(&pods).or_else(|| {
                matches!(migration.next, Next::Pause { .. })
                    .then(|| "its pod is gone without a word".to_owned())
            })?;
            Some(Trouble::new(
                reasons::MIGRATION_FAILED,
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
}
