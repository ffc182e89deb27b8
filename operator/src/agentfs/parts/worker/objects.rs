//! The objects of the workers, which embed what was written. A job of a pod that leaves comes back by
//! itself.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::condition::WORKERS_READY;
use super::plan::WorkerPlan;
use crate::agentfs::database::access::DatabaseRoute;
use crate::agentfs::names::Names;
use crate::agentfs::parts::migration::plan::Next;
use crate::agentfs::plan::{Part, Plan};
use crate::agentfs::server_deployment::{self, ServerPods};
use crate::kit::blockers::OwnershipFilter;
use crate::kit::desired::{Applied, Desired, Prepared, Stage};
use crate::kit::labels::Component;
use crate::kit::pods::PodsOf;
use crate::kit::reads::Reader;
use crate::kit::writer::{Error, Writer};

/// The component of the workers.
pub const COMPONENT: Component = Component::new("worker");
/// Its pods, in words for a condition.
pub const PODS: PodsOf = PodsOf { part: "the workers", resources: "spec.worker.resources" };

/// The workers' objects that are there.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Their pods.
    pub deployment: Option<Deployment>,
}

impl Seen {
    /// Reads them.
    pub async fn read(reader: Reader<'_>, names: &Names) -> Result<Self, kube::Error> {
        Ok(Self { deployment: reader.get(names.of(COMPONENT)).await? })
    }

    /// Those of them that are ours.
    #[must_use]
    pub fn owned(self, filter: &mut OwnershipFilter<'_>) -> Self {
        Self { deployment: filter.owned(WORKERS_READY, self.deployment) }
    }
}

/// The workers' objects.
#[derive(Clone, Debug)]
pub struct Objects<S: Stage> {
    /// Their pods.
    pub deployment: S::Of<Deployment>,
    /// How many pods there are to be; `None`: however many there are.
    pub replicas: Option<i32>,
}

impl Objects<Prepared> {
    /// Makes them.
    pub fn build(plan: &Plan, next: Next) -> Self {
        let workers = match &plan.parts.workers.wanted {
            Part::Disabled => return Self { deployment: Desired::Delete, replicas: None },
            Part::Blocked => return Self { deployment: Desired::Keep, replicas: None },
            Part::Enabled(workers) => workers,
        };
        let made = || {
            let route = plan.route()?;
            let image = plan.server_image(plan.parts.workers.live.as_ref(), next)?;
            Some(deployment(plan, workers, &route, image))
        };
        Self { deployment: Desired::apply_or_keep(made()), replicas: Some(workers.replicas) }
    }

    /// Writes what differs from what was `seen`; `has_route` tells whether the Secrets of the way to the
    /// database are there.
    pub async fn write(
        self,
        writer: &mut Writer<'_>,
        seen: &Seen,
        has_route: bool,
    ) -> Result<Objects<Applied>, Error> {
        let Self { deployment, replicas } = self;
        let deployment = deployment.only_if(has_route);
        let deployment = writer.child(WORKERS_READY, deployment, seen.deployment.as_ref()).await?;
        let deployment = writer.scale(WORKERS_READY, deployment, replicas).await?;
        Ok(Objects { deployment, replicas })
    }
}

fn deployment(plan: &Plan, workers: &WorkerPlan, route: &DatabaseRoute, image: &str) -> Deployment {
    let pods = ServerPods {
        component: COMPONENT,
        name: plan.names.of(COMPONENT),
        command: "worker",
        environment: &workers.environment,
        resources: workers.resources.as_ref(),
        has_model: workers.has_model,
        pods: &workers.pods,
        surge: IntOrString::Int(1),
        is_served: false,
    };
    server_deployment::build(plan, &pods, route, image)
}
