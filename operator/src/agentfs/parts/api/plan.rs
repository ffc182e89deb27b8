//! The validated API: replicas or autoscaling, environment, pods, and what runs now.

use k8s_openapi::api::core::v1::EnvVar;
use kube::ResourceExt as _;

use super::objects::COMPONENT;
use crate::agentfs::environment::{self, Embeddings, Env};
use crate::agentfs::observe::Observed;
use crate::agentfs::server_deployment::Live;
use crate::agentfs::validate::PlanInputs;
use crate::crd::agentfs::{AgentFSSpec, Autoscaling};
use crate::crd::fields::Resources;
use crate::kit::blockers::Blocker;
use crate::kit::conditions::PROGRESSING;
use crate::kit::pod::PodPlan;
use crate::kit::validation::Invalid;

/// The annotation of the operator's autoscaler that says what `spec.api.replicas` was meanwhile.
pub const REPLICAS: &str = "agentfs.io/replicas";

/// The API to be.
#[derive(Clone, Debug)]
pub struct ApiPlan {
    /// How many pods.
    pub replicas: Replicas,
    /// What `spec.api.replicas` says.
    pub wanted: i32,
    /// The number that an autoscaler which goes leaves behind, where `spec.api.replicas` is to become that.
    pub left: Option<i32>,
    /// Their CPU and memory, where the spec says so.
    pub resources: Option<Resources>,
    /// Whether they embed queries themselves.
    pub has_model: bool,
    /// What they are told.
    pub environment: Env,
    /// What migrations are told.
    pub migration_environment: Vec<EnvVar>,
    /// Where they run, and what they carry.
    pub pods: PodPlan,
    /// The API that runs now, if one does.
    pub live: Option<Live>,
    /// Whether pods of it are there, those that leave included.
    pub has_pods: bool,
}

/// Who says how many pods there are.
#[derive(Clone, Debug, PartialEq)]
pub enum Replicas {
    /// The spec: this many.
    Fixed(i32),
    /// An autoscaler that the operator makes.
    Autoscaled(Autoscaling),
    /// An autoscaler that somebody else made; the number is what it is given to begin with.
    OthersAutoscaler(i32),
}

impl ApiPlan {
    /// The number that the operator sets; `None` where it leaves the number alone. An autoscaler does
    /// nothing while the number is 0, so it is given a beginning.
    pub fn number_to_set(&self) -> Option<i32> {
        let lives = self.live.as_ref().is_some_and(|live| live.replicas > 0);
        match &self.replicas {
            Replicas::Fixed(replicas) => Some(*replicas),
            Replicas::Autoscaled(autoscaling) if !lives => Some(autoscaling.min_replicas),
            Replicas::OthersAutoscaler(beginning) if !lives => Some(*beginning),
            Replicas::Autoscaled(_) | Replicas::OthersAutoscaler(_) => None,
        }
    }

    /// The least number of pods that there are to be.
    pub fn least(&self) -> i32 {
        match &self.replicas {
            Replicas::Fixed(replicas) => *replicas,
            Replicas::Autoscaled(autoscaling) => autoscaling.min_replicas,
            Replicas::OthersAutoscaler(_) => self.live.as_ref().map_or(0, |live| live.replicas),
        }
    }
}

/// The API that the spec asks for.
pub fn plan(
    inputs: &PlanInputs<'_>,
    embeddings: &Embeddings,
    blockers: &mut Vec<Blocker>,
) -> Result<ApiPlan, Invalid> {
    let PlanInputs { spec, observed, .. } = inputs;
    // Without its autoscaler the API answers as before.
    let problem = observed.parts.api.autoscaler_problem.clone();
    let problem = problem.filter(|_| spec.api.autoscaling.is_some());
    blockers.extend(problem.map(|problem| Blocker { of: PROGRESSING, problem }));
    let extra_env = spec.api.extra_env.iter().cloned();
    let deployment = observed.parts.api.deployment.as_ref();
    let live = deployment.and_then(|api| Live::of(api, COMPONENT));
    let left = live.as_ref().and_then(|live| left_by_autoscaler(spec, observed, live));
    Ok(ApiPlan {
        replicas: left.map_or_else(|| replicas(spec, observed), Replicas::Fixed),
        wanted: spec.api.replicas,
        left,
        resources: spec.api.resources.clone(),
        has_model: spec.embeddings.local.is_some(),
        environment: environment::of_api(spec, embeddings, &observed.references),
        migration_environment: extra_env.map(environment::without_empty_value).collect(),
        pods: PodPlan::of("spec.api.affinity", &spec.api.pods)?,
        live,
        has_pods: !observed.pods_of(COMPONENT).is_empty(),
    })
}

/// The number of pods when autoscaling is turned off. Who sets `spec.api.replicas` in the same change has
/// that number.
fn left_by_autoscaler(spec: &AgentFSSpec, observed: &Observed, live: &Live) -> Option<i32> {
    let goes = !spec.suspend && spec.api.autoscaling.is_none();
    let autoscaler = observed.parts.api.autoscaler.as_ref().filter(|_| goes)?;
    let before: i32 = autoscaler.annotations().get(REPLICAS)?.parse().ok()?;
    let is_news = live.replicas > 0 && live.replicas != before;
    (spec.api.replicas == before && is_news).then_some(live.replicas)
}

/// An autoscaler of somebody else counts where the spec asks for none.
fn replicas(spec: &AgentFSSpec, observed: &Observed) -> Replicas {
    match &spec.api.autoscaling {
        _ if spec.suspend => Replicas::Fixed(0),
        Some(autoscaling) => Replicas::Autoscaled(autoscaling.clone()),
        None if observed.parts.api.others_autoscaler => {
            Replicas::OthersAutoscaler(spec.api.replicas)
        }
        None => Replicas::Fixed(spec.api.replicas),
    }
}
