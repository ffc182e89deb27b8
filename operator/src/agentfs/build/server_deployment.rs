//! A Deployment of the server's program: pods that are replaced so that there are never too few.

use super::trust;
use crate::kit::labels::Component;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::{
    Container, EnvVar, HTTPGetAction, PodSpec, PodTemplateSpec, Probe,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::agentfs::names::{API_PORT, DATABASE, ENVIRONMENT_HASH, SECRET_HASH};
use crate::agentfs::plan::{DatabaseRoute, Environment, Plan};
use crate::crd::fields::Resources;
use crate::kit::env::{env, secret_env};
use crate::kit::pod::{self, PodPlan};

/// How long a pod that leaves may take to end what is under way: the server's own 20 s, and some to spare.
const DRAIN_SECONDS: i64 = 35;

/// What differs between the parts that run the server's program.
pub(super) struct ServerPods<'a> {
    /// Which pods it is. Its word names the container.
    pub(super) component: Component,
    /// The Deployment's name.
    pub(super) name: String,
    /// The program's command.
    pub(super) command: &'a str,
    /// What it is told.
    pub(super) environment: &'a Environment,
    /// CPU and memory of a pod, where the spec says so.
    pub(super) resources: Option<&'a Resources>,
    /// Where the pods run, and what they carry.
    pub(super) pods: &'a PodPlan,
    /// How many more pods there may be while they are replaced.
    pub(super) surge: IntOrString,
    /// Whether a Service leads to the pods, so that a pod that leaves is still found for a while.
    pub(super) is_served: bool,
}

pub(super) fn build(
    plan: &Plan,
    pods: &ServerPods<'_>,
    route: &DatabaseRoute,
    image: &str,
) -> Deployment {
    let hashes = [(SECRET_HASH, route.hash.clone()), (DATABASE, route.fingerprint.clone())];
    let mut metadata = pod::metadata(&plan.owner, pods.pods, pods.component, hashes);
    if let Some(hash) = &pods.environment.hash {
        metadata.annotations.get_or_insert_default().insert(ENVIRONMENT_HASH.into(), hash.clone());
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
        containers: vec![container(pods, route, image)],
        volumes: Some(vec![pod::scratch("tmp", None)]),
        topology_spread_constraints: Some(pod::spread(&plan.owner, pods.pods, pods.component)),
        ..pod::spec(&plan.pod_account(), pods.pods, pod::SERVER_USER)
    }
}

fn container(pods: &ServerPods<'_>, route: &DatabaseRoute, image: &str) -> Container {
    Container {
        name: pods.component.as_str().into(),
        image: Some(image.to_owned()),
        image_pull_policy: Some("IfNotPresent".into()),
        args: Some(vec![pods.command.into()]),
        ports: Some(vec![pod::port("http", API_PORT)]),
        env: Some(environment(pods, route)),
        resources: Some(pod::resources(pods.resources, ["100m", "128Mi", "512Mi"])),
        security_context: Some(pod::confined()),
        startup_probe: Some(probe("/livez", 1, 60)),
        readiness_probe: Some(probe("/readyz", 5, 2)),
        liveness_probe: Some(probe("/livez", 10, 6)),
        lifecycle: pods.is_served.then(pod::leave_slowly),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(vec![pod::mount("tmp", "/tmp")]),
        ..Container::default()
    }
}

fn environment(pods: &ServerPods<'_>, route: &DatabaseRoute) -> Vec<EnvVar> {
    let mut variables = vec![
        secret_env("DATABASE_URL", &route.secret, &route.key),
        env("PORT", API_PORT.to_string()),
    ];
    variables.extend(pods.environment.variables.iter().cloned());
    variables
}

fn probe(path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::String("http".into()),
            scheme: Some("HTTP".into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(3),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}
