//! The objects of the API: stateless pods that are replaced without a failed request, the Service that
//! agents talk to, what chooses the number of pods, and their disruption budget.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec,
    MetricTarget, ResourceMetricSource,
};
use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;

use super::condition::API_READY;
use super::plan::{REPLICAS, Replicas};
use crate::agentfs::database::access::DatabaseRoute;
use crate::agentfs::environment::Env;
use crate::agentfs::names::{API_PORT, Names, OPERATIONS, OPERATIONS_PORT};
use crate::agentfs::parts::migration::plan::Next;
use crate::agentfs::plan::Plan;
use crate::agentfs::server_deployment::{self, HTTP, ServerPods};
use crate::crd::agentfs::Autoscaling;
use crate::kit::blockers::{OwnershipFilter, Problem};
use crate::kit::conditions::PROGRESSING;
use crate::kit::desired::{Applied, Desired, Prepared, Stage};
use crate::kit::labels::Component;
use crate::kit::pods::PodsOf;
use crate::kit::reads::{Reader, read};
use crate::kit::writer::{Error, Writer};
use crate::kit::{budgets, pod};

/// The component of the API.
pub const COMPONENT: Component = Component::new("api");
/// Its pods, in words for a condition.
pub const PODS: PodsOf = PodsOf { part: "the API", resources: "spec.api.resources" };

/// The API's objects that are there.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Its pods.
    pub deployment: Option<Deployment>,
    /// Its Service.
    pub service: Option<Service>,
    /// Its autoscaler.
    pub autoscaler: Option<HorizontalPodAutoscaler>,
    /// What keeps the operator from making one, where the spec asks for it.
    pub autoscaler_problem: Option<Problem>,
    /// Whether somebody else's autoscaler scales it, whatever its name.
    pub others_autoscaler: bool,
    /// Its disruption budget.
    pub budget: Option<PodDisruptionBudget>,
}

impl Seen {
    /// Reads them.
    pub async fn read(reader: Reader<'_>, names: &Names) -> Result<Self, kube::Error> {
        struct Read {
            deployment: Option<Deployment>,
            service: Option<Service>,
            autoscalers: Vec<HorizontalPodAutoscaler>,
            budget: Option<PodDisruptionBudget>,
        }
        let Read { deployment, service, autoscalers, budget } = read!(Read {
            deployment: reader.get(names.api()),
            service: reader.get(names.api()),
            autoscalers: reader.all(),
            budget: reader.get(names.api()),
        });
        let mut seen = Self { deployment, service, budget, ..Self::default() };
        for autoscaler in autoscalers {
            let has_our_name = autoscaler.name_any() == names.api();
            let problem = Problem::of(&autoscaler, reader.owner());
            let is_foreign = matches!(problem, Some(Problem::NameTaken { .. }));
            seen.others_autoscaler |=
                (is_foreign || !has_our_name) && scales_api(&autoscaler, names);
            if has_our_name {
                seen.autoscaler = problem.is_none().then_some(autoscaler);
                seen.autoscaler_problem = problem;
            }
        }
        Ok(seen)
    }

    /// Those of them that are ours. Without its budget the API answers as before.
    #[must_use]
    pub fn owned(self, filter: &mut OwnershipFilter<'_>) -> Self {
        Self {
            deployment: filter.owned(API_READY, self.deployment),
            service: filter.owned(API_READY, self.service),
            budget: filter.owned(PROGRESSING, self.budget),
            ..self
        }
    }
}

fn scales_api(autoscaler: &HorizontalPodAutoscaler, names: &Names) -> bool {
    let target = autoscaler.spec.as_ref().map(|spec| &spec.scale_target_ref);
    target.is_some_and(|target| target.kind == "Deployment" && target.name == names.api())
}

/// The API's objects.
#[derive(Clone, Debug)]
pub struct Objects<S: Stage> {
    /// Its Service.
    pub service: S::Of<Service>,
    /// Its pods; absent while the schema of a new AgentFS is not there yet.
    pub deployment: S::Of<Deployment>,
    /// How many pods there are to be; `None`: an autoscaler says so.
    pub replicas: Option<i32>,
    /// What chooses the number of pods by their CPU.
    pub autoscaler: S::Of<HorizontalPodAutoscaler>,
    /// How many pods may be away at once.
    pub budget: S::Of<PodDisruptionBudget>,
}

impl Objects<Prepared> {
    /// Makes them.
    pub fn build(plan: &Plan, next: Next) -> Self {
        let api = &plan.parts.api;
        Self {
            service: Desired::Apply(service(plan)),
            deployment: Desired::apply_or_keep(known_deployment(plan, next)),
            replicas: api.number_to_set(),
            autoscaler: match &api.replicas {
                Replicas::Autoscaled(autoscaling) => Desired::Apply(autoscaler(plan, autoscaling)),
                Replicas::Fixed(_) | Replicas::OthersAutoscaler(_) => Desired::Delete,
            },
            budget: budgets::build(&plan.owner, plan.names.api(), COMPONENT, api.least()),
        }
    }

    /// Writes what differs from what was `seen`; `has_route` tells whether the Secrets of the way to the
    /// database are there. Without its budget or its autoscaler the API answers as before, so they are
    /// told of in Progressing.
    pub async fn write(
        self,
        writer: &mut Writer<'_>,
        seen: &Seen,
        has_route: bool,
    ) -> Result<Objects<Applied>, Error> {
        let Self { service, deployment, replicas, autoscaler, budget } = self;
        let service = writer.child(API_READY, service, seen.service.as_ref()).await?;
        let budget = writer.child(PROGRESSING, budget, seen.budget.as_ref()).await?;
        let deployment = deployment.only_if(has_route);
        let deployment = writer.child(API_READY, deployment, seen.deployment.as_ref()).await?;
        // An autoscaler that is no longer wanted goes before the number is set, and one that is wanted
        // comes after there is a number.
        let live = seen.autoscaler.as_ref();
        let goes = matches!(autoscaler, Desired::Delete);
        if goes {
            writer.child::<HorizontalPodAutoscaler>(PROGRESSING, Desired::Delete, live).await?;
        }
        let deployment = writer.scale(API_READY, deployment, replicas).await?;
        let autoscaler =
            if goes { None } else { writer.child(PROGRESSING, autoscaler, live).await? };
        Ok(Objects { service, deployment, replicas, autoscaler, budget })
    }
}

/// The API's pods. Those that run are left as they are while what they are to be told is not known.
fn known_deployment(plan: &Plan, next: Next) -> Option<Deployment> {
    let route = plan.route()?;
    if matches!(plan.parts.api.environment, Env::Partial(_)) && plan.parts.api.live.is_some() {
        return None;
    }
    let image = plan.server_image(plan.parts.api.live.as_ref(), next)?;
    Some(deployment(plan, &route, image))
}

fn deployment(plan: &Plan, route: &DatabaseRoute, image: &str) -> Deployment {
    let pods = ServerPods {
        component: COMPONENT,
        name: plan.names.api(),
        command: "serve",
        environment: plan.parts.api.environment.known(),
        resources: plan.parts.api.resources.as_ref(),
        has_model: plan.parts.api.has_model,
        pods: &plan.parts.api.pods,
        surge: IntOrString::String("25%".into()),
        is_served: true,
    };
    server_deployment::build(plan, &pods, route, image)
}

fn service(plan: &Plan) -> Service {
    Service {
        metadata: plan.owner.owned(plan.names.api(), COMPONENT),
        spec: Some(ServiceSpec {
            ports: Some(vec![
                pod::service_port(HTTP, API_PORT),
                pod::service_port(OPERATIONS, OPERATIONS_PORT),
            ]),
            ..pod::service(&plan.owner, COMPONENT, HTTP, API_PORT)
        }),
        status: None,
    }
}

fn autoscaler(plan: &Plan, autoscaling: &Autoscaling) -> HorizontalPodAutoscaler {
    let mut metadata = plan.owner.owned(plan.names.api(), COMPONENT);
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(REPLICAS.into(), plan.parts.api.wanted.to_string());
    HorizontalPodAutoscaler {
        metadata,
        spec: Some(HorizontalPodAutoscalerSpec {
            min_replicas: Some(autoscaling.min_replicas),
            max_replicas: autoscaling.max_replicas,
            metrics: Some(vec![MetricSpec {
                type_: "Resource".into(),
                resource: Some(ResourceMetricSource {
                    name: "cpu".into(),
                    target: MetricTarget {
                        type_: "Utilization".into(),
                        average_utilization: Some(autoscaling.target_cpu_utilization_percentage),
                        ..MetricTarget::default()
                    },
                }),
                ..MetricSpec::default()
            }]),
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".into()),
                kind: "Deployment".into(),
                name: plan.names.api(),
            },
            behavior: None,
        }),
        status: None,
    }
}
