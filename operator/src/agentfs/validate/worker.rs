//! The workers to be.

use super::environment::{Embeddings, of_workers};
use crate::agentfs::observe::Observed;
use crate::agentfs::plan::{Part, WorkerPlan};
use crate::crd::agentfs::AgentFSSpec;
use crate::kit::pod::PodPlan;
use crate::kit::validation::{Invalid, amounts_are_valid};

/// There are workers where somebody makes embeddings.
pub(super) fn plan(
    spec: &AgentFSSpec,
    embeddings: &Embeddings,
    observed: &Observed,
) -> Result<Part<WorkerPlan>, Invalid> {
    let worker = &spec.worker;
    amounts_are_valid("spec.worker.resources", worker.resources.as_ref())?;
    let pods = PodPlan::of("spec.worker.affinity", &worker.pods)?;
    Ok(match embeddings {
        Part::Disabled => Part::Disabled,
        Part::Blocked => Part::Blocked,
        Part::Enabled(embeddings) => Part::Enabled(Box::new(WorkerPlan {
            replicas: if spec.suspend { 0 } else { worker.replicas },
            resources: worker.resources.clone(),
            environment: of_workers(spec, embeddings, &observed.references),
            pods,
        })),
    })
}
