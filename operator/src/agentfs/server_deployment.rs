//! A Deployment of the server's program: pods that are replaced so that there are never too few.

use agentfs_contract::{drain, setting};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::{
    Container, EnvVar, HTTPGetAction, PodSpec, PodTemplateSpec, Probe,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::database::access::DatabaseRoute;
use super::database::trust;
use super::environment::Environment;
use super::names::{
    API_PORT, DATABASE, ENVIRONMENT_HASH, OPERATIONS, OPERATIONS_ANNOTATION, OPERATIONS_PORT,
    SECRET_HASH,
};
use super::plan::Plan;
use crate::crd::fields::Resources;
use crate::kit::env::{env, secret_env};
use crate::kit::labels::Component;
use crate::kit::pod::{self, PodPlan};
use crate::kit::rollout::is_rolled_out;

/// How long a pod that leaves may take to end what is under way: the server's own time, and some to spare.
const DRAIN_SECONDS: i64 = drain::UNDER_WAY.as_secs() as i64 + 15;

/// The name of the API's port, which the release before was probed by.
pub const HTTP: &str = "http";

/// The API or the workers that run now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// How many pods are wanted.
    pub replicas: i32,
    /// Their image.
    pub image: Option<String>,
    /// The database they work on, in the words of [`DatabaseRoute::fingerprint`].
    pub database: Option<String>,
    /// Whether they have a port for probes and metrics alone.
    pub operations_port: bool,
    /// Whether all of the pods are of the newest kind.
    pub rolled_out: bool,
}

impl Live {
    /// What a Deployment of the server's program runs; its container has the component's name.
    pub fn of(deployment: &Deployment, component: Component) -> Option<Self> {
        let spec = deployment.spec.as_ref()?;
        let template = &spec.template;
        let mut containers = template.spec.iter().flat_map(|pod| &pod.containers);
        let container = containers.find(|container| container.name == component.as_str());
        let annotations = template.metadata.as_ref().and_then(|m| m.annotations.as_ref());
        Some(Self {
            replicas: spec.replicas.unwrap_or(1),
            image: container.and_then(|c| c.image.clone()),
            database: annotations.and_then(|a| a.get(DATABASE).cloned()),
            operations_port: annotations.is_some_and(|a| a.contains_key(OPERATIONS_ANNOTATION)),
            rolled_out: is_rolled_out(deployment),
        })
    }
}

/// What differs between the parts that run the server's program.
pub struct ServerPods<'a> {
    /// Which pods it is. Its word names the container.
    pub component: Component,
    /// The Deployment's name.
    pub name: String,
    /// The program's command.
    pub command: &'a str,
    /// What it is told.
    pub environment: &'a Environment,
    /// CPU and memory of a pod, where the spec says so.
    pub resources: Option<&'a Resources>,
    /// Whether a pod has an embedding model in its memory.
    pub has_model: bool,
    /// Where the pods run, and what they carry.
    pub pods: &'a PodPlan,
    /// How many more pods there may be while they are replaced.
    pub surge: IntOrString,
    /// Whether a Service leads to the pods, so that a pod that leaves is still found for a while.
    pub is_served: bool,
}

/// Makes the Deployment of `pods`, which reach the database by `route`.
pub fn build(plan: &Plan, pods: &ServerPods<'_>, route: &DatabaseRoute, image: &str) -> Deployment {
    let hashes = [(SECRET_HASH, route.hash.clone()), (DATABASE, route.fingerprint.clone())];
    let mut metadata = pod::metadata(&plan.owner, pods.pods, pods.component, hashes);
    let annotations = metadata.annotations.get_or_insert_default();
    if let Some(hash) = &pods.environment.hash {
        annotations.insert(ENVIRONMENT_HASH.into(), hash.clone());
    }
    if plan.has_operations_port(image) {
        annotations.insert(OPERATIONS_ANNOTATION.into(), OPERATIONS_PORT.to_string());
    }
    Deployment {
        metadata: plan.owner.owned(pods.name.clone(), pods.component),
        spec: Some(DeploymentSpec {
            // Never here: an apply would take the number back from whoever scales.
            replicas: None,
            revision_history_limit: Some(3),
            selector: pod::selector(&plan.owner, pods.component),
            strategy: Some(pod::one_more_then_one_less(pods.surge.clone())),
            template: PodTemplateSpec {
                metadata: Some(metadata),
                spec: Some(trust::trusting(
                    route.authority.as_ref(),
                    pod_spec(plan, pods, route, image),
                )),
            },
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

fn pod_spec(plan: &Plan, pods: &ServerPods<'_>, route: &DatabaseRoute, image: &str) -> PodSpec {
    let leaving = if pods.is_served { pod::LEAVE_SLOWLY_SECONDS } else { 0 };
    PodSpec {
        termination_grace_period_seconds: Some(leaving + DRAIN_SECONDS),
        containers: vec![container(plan, pods, route, image)],
        volumes: Some(vec![pod::scratch("tmp", None)]),
        topology_spread_constraints: Some(pod::spread(&plan.owner, pods.pods, pods.component)),
        ..pod::spec(&plan.pod_account(), pods.pods, pod::SERVER_USER)
    }
}

fn container(plan: &Plan, pods: &ServerPods<'_>, route: &DatabaseRoute, image: &str) -> Container {
    let has_operations = plan.has_operations_port(image);
    let mut ports = vec![pod::port(HTTP, API_PORT)];
    if has_operations {
        ports.push(pod::port(OPERATIONS, OPERATIONS_PORT));
    }
    let probed = if has_operations { OPERATIONS } else { HTTP };
    Container {
        name: pods.component.as_str().into(),
        image: Some(image.to_owned()),
        image_pull_policy: Some("IfNotPresent".into()),
        args: Some(vec![pods.command.into()]),
        ports: Some(ports),
        env: Some(environment(pods, route, has_operations)),
        resources: Some(pod::resources(pods.resources, defaults(pods.has_model))),
        security_context: Some(pod::confined()),
        startup_probe: Some(probe(probed, "/livez", 1, 60)),
        readiness_probe: Some(probe(probed, "/readyz", 5, 2)),
        liveness_probe: Some(probe(probed, "/livez", 10, 6)),
        lifecycle: pods.is_served.then(pod::leave_slowly),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(vec![pod::mount("tmp", "/tmp")]),
        ..Container::default()
    }
}

/// CPU, memory, and the limit of memory. all-mpnet-base-v2 takes 0.2 GB, and 0.5 GB on a processor without eight-bit products; a third
/// of the limit is for it and all that the server does not bound.
fn defaults(has_model: bool) -> [&'static str; 3] {
    if has_model { ["100m", "384Mi", "1536Mi"] } else { ["100m", "128Mi", "512Mi"] }
}

fn environment(pods: &ServerPods<'_>, route: &DatabaseRoute, has_operations: bool) -> Vec<EnvVar> {
    let mut variables = vec![
        secret_env(setting::DATABASE_URL, &route.secret, &route.key),
        env(setting::PORT, API_PORT.to_string()),
    ];
    if has_operations {
        variables.push(env(setting::PORT_OPERATIONS, OPERATIONS_PORT.to_string()));
    }
    variables.extend(pods.environment.variables.iter().cloned());
    variables
}

fn probe(port: &str, path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::String(port.into()),
            scheme: Some("HTTP".into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(3),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}
