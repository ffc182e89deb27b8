//! The validated workers: replicas, environment, pods, and what runs now.

use super::objects::COMPONENT;
use crate::agentfs::environment::{Embeddings, Environment, of_workers};
use crate::agentfs::plan::Part;
use crate::agentfs::server_deployment::Live;
use crate::agentfs::validate::PlanInputs;
use crate::crd::fields::Resources;
use crate::kit::pod::PodPlan;
use crate::kit::validation::{Invalid, resources_are_valid};

/// The workers to be, and those that run.
#[derive(Clone, Debug)]
pub struct Workers {
    /// Those that there are to be.
    pub wanted: Part<WorkerPlan>,
    /// Those that run now, if some do.
    pub live: Option<Live>,
}

/// The workers to be.
#[derive(Clone, Debug)]
pub struct WorkerPlan {
    /// How many pods.
    pub replicas: i32,
    /// Their CPU and memory, where the spec says so.
    pub resources: Option<Resources>,
    /// Whether they embed themselves.
    pub has_model: bool,
    /// What they are told.
    pub environment: Environment,
    /// Where they run, and what they carry.
    pub pods: PodPlan,
}

/// There are workers where somebody makes embeddings.
pub fn plan(inputs: &PlanInputs<'_>, embeddings: &Embeddings) -> Result<Workers, Invalid> {
    let PlanInputs { spec, observed, .. } = inputs;
    let worker = &spec.worker;
    resources_are_valid("spec.worker.resources", worker.resources.as_ref())?;
    let pods = PodPlan::of("spec.worker.affinity", &worker.pods)?;
    let wanted = match embeddings {
        Part::Disabled => Part::Disabled,
        Part::Blocked => Part::Blocked,
        Part::Enabled(embeddings) => Part::Enabled(Box::new(WorkerPlan {
            replicas: if spec.suspend { 0 } else { worker.replicas },
            resources: worker.resources.clone(),
            has_model: spec.embeddings.local.is_some(),
            environment: of_workers(spec, embeddings, &observed.references),
            pods,
        })),
    };
    let deployment = observed.parts.workers.deployment.as_ref();
    Ok(Workers { wanted, live: deployment.and_then(|of| Live::of(of, COMPONENT)) })
}
